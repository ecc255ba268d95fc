"""The quality gate: how far a package's next tokens are from the original's on shipped text.

The package runs in the engine's own runtime, in pieces where it is large (quality/reader.py), the
original in the oracle, layer by layer: so memory for the whole of either is not needed.

    agreement         share of positions whose most likely token is the original's
    divergence        mean Kullback-Leibler divergence from the original's distribution, in nats
    perplexity        exp of the mean negative log-likelihood of the text's next token
    perplexity_ratio  that over the original's

Other kernels move a logit in its fourth digit: reading the windows whole, in pieces of 37 tokens or
one by one moves agreement by 0.3 %, divergence by 0.5 % of itself and perplexity by 0.02 %. What a
manifest keeps is rounded to what survives that, so that a package's bytes do not depend on where it
was made; agreement is rounded down.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import floor
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from export.errors import QualityError
from export.quality.reader import Reader
from export.spec.decoder import DecoderSpec
from export.spec.oracle import Array, Slots, embed, run_layer, score
from export.texts import Text
from inference.decoding.probabilities import log_probabilities
from inference.fim import FimOrder, FimTemplate
from inference.package.manifest import ModelManifest, Precision

LIMITS: Final[Mapping[Precision, float]] = {"f32": 0.99, "f16": 0.99, "int8": 0.97, "int4": 0.93}
"""Least agreement: lower bounds, which what ships clears (docs/quantization.md)."""

_NUM_HOLES: Final = 8
_FIM_PREFIX: Final = 0.5
_FIM_MIDDLE: Final = 0.125
_FIM_SUFFIX: Final = 0.25

Float64 = npt.NDArray[np.float64]


class Comparison(msgspec.Struct, kw_only=True):
    """Sums over positions of a package and of what it is compared with."""

    num_positions: int = 0
    num_equal: int = 0
    divergence_sum: float = 0.0
    surprise: float = 0.0
    original_surprise: float = 0.0

    @property
    def agreement(self) -> float:
        return self.num_equal / self.num_positions

    @property
    def divergence(self) -> float:
        return self.divergence_sum / self.num_positions

    @property
    def perplexity(self) -> float:
        return float(np.exp(self.surprise / self.num_positions))

    @property
    def perplexity_ratio(self) -> float:
        return float(np.exp((self.surprise - self.original_surprise) / self.num_positions))

    def add(self, token_ids: Sequence[int], found: Float64, original: Float64) -> None:
        """Add one window, whose log-probabilities are [num_tokens, vocab_size]."""
        found, original = found[:-1], original[:-1]
        rows = np.arange(len(found))
        self.num_positions += len(found)
        self.num_equal += int((found.argmax(axis=1) == original.argmax(axis=1)).sum())
        self.divergence_sum += float((np.exp(original) * (original - found)).sum())
        self.surprise -= float(found[rows, token_ids[1:]].sum())
        self.original_surprise -= float(original[rows, token_ids[1:]].sum())

    def figures(self) -> dict[str, float]:
        return {
            "agreement": floor(100 * self.agreement) / 100,
            "divergence": _digits(self.divergence, 1),
            "perplexity": _digits(self.perplexity, 3),
            "perplexity_ratio": round(self.perplexity_ratio, 2),
        }


def compare(
    reader: Reader,
    spec: DecoderSpec,
    weights: Mapping[str, Array],
    text: Text,
) -> Comparison:
    """Read a text with a package and with the original, whose slots are `weights`."""
    slots = Slots(weights, np.float32)
    x = embed(spec, slots, text.token_ids)
    for index in range(len(spec.layers)):
        x = run_layer(spec, slots, index, x, window=text.window)
    comparison = Comparison()
    rows = np.split(x, len(x) // text.window)
    windows = text.windows()
    found = read_windows(reader, windows)
    for token_ids, states, package in zip(windows, rows, found, strict=True):
        original = log_probabilities(score(spec, slots, states))
        comparison.add(token_ids, package, original)
    return comparison


def measure_alone(reader: Reader, text: Text) -> Comparison:
    """Read a text with a package alone; it is then compared with itself."""
    comparison = Comparison()
    windows = text.windows()
    for token_ids, found in zip(windows, read_windows(reader, windows), strict=True):
        comparison.add(token_ids, found, found)
    return comparison


def read_windows(reader: Reader, windows: Iterable[Sequence[int]]) -> Iterator[Float64]:
    """Yield the log-probabilities after each token of a window, [num_tokens, vocab_size]."""
    return map(log_probabilities, reader.read([window] for window in windows))


def measure_fim(reader: Reader, fim: FimTemplate, text: Text) -> dict[str, float]:
    """Return the bits a token of a hole costs: in either order, and with no suffix shown.

    A model that was trained on holes finds them easiest in the order its manifest names.
    """
    layouts = {
        "psm": _ordered(fim, "psm"),
        "spm": _ordered(fim, "spm"),
        "left_to_right": None,
    }
    windows = text.windows()[:_NUM_HOLES]
    holes = {
        name: [_hole(layout, window) for window in windows] for name, layout in layouts.items()
    }
    # in one go, since a package that is read in pieces is loaded anew each time
    read = read_windows(reader, [token_ids for part in holes.values() for token_ids, _ in part])
    return {name: round(_mean_bits(part, read), 1) for name, part in holes.items()}


def check_agreement(
    manifest: ModelManifest, comparison: Comparison, *, limit: float | None
) -> None:
    """Raise QualityError with the figures and what to do where agreement is below the limit."""
    least = LIMITS[manifest.precision] if limit is None else limit
    if comparison.agreement >= least:
        return
    raise QualityError(
        f"{comparison.agreement:.1%} of next tokens equal the original's, less than "
        f"{least:.1%}; use {_remedies(manifest)}, or take it as it is with --accept-quality",
        {
            "agreement": comparison.agreement,
            "limit": least,
            "divergence": comparison.divergence,
            "perplexity": comparison.perplexity,
            "perplexity_ratio": comparison.perplexity_ratio,
        },
    )


def _remedies(manifest: ModelManifest) -> str:
    if manifest.precision == "int4":
        smaller = "" if manifest.block_size == 32 else "--block-size 32, "
        return f"--rounding gptq, {smaller}--precision int4-quality or --precision int8"
    return "--precision f32"


def _ordered(fim: FimTemplate, order: FimOrder) -> FimTemplate:
    return msgspec.structs.replace(fim, order=order)


def _hole(fim: FimTemplate | None, window: Sequence[int]) -> tuple[list[int], int]:
    """Cut a hole; return a prompt with its middle behind it, and the middle's length."""
    start, size = (int(share * len(window)) for share in (_FIM_PREFIX, _FIM_MIDDLE))
    end = start + max(1, size)
    prefix, middle = list(window[:start]), list(window[start:end])
    suffix = window[end : end + int(_FIM_SUFFIX * len(window))]
    prompt = prefix if fim is None else fim.arrange(prefix, suffix)
    return prompt + middle, len(middle)


def _mean_bits(holes: Sequence[tuple[list[int], int]], read: Iterator[Float64]) -> float:
    """Take as many windows from `read` as there are holes."""
    surprise = 0.0
    for (token_ids, num_middle), probabilities in zip(holes, read, strict=False):
        found = probabilities[-num_middle - 1 : -1]
        surprise -= float(found[np.arange(num_middle), token_ids[-num_middle:]].sum())
    return surprise / sum(num_middle for _, num_middle in holes) / float(np.log(2))


def _digits(value: float, num_digits: int) -> float:
    return float(f"{value:.{num_digits}g}")


def manifest_figures(
    comparison: Comparison, fim_bits: Mapping[str, float] | None, *, num_tokens: int
) -> dict[str, Any]:
    """Return what the manifest keeps of a comparison with the original."""
    holes = {} if fim_bits is None else {"fim_bits_per_token": dict(fim_bits)}
    return {"tokens": num_tokens, **comparison.figures(), **holes}
