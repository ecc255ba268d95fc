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
from inference.package.manifest import ModelManifest, Precision

LIMITS: Final[Mapping[Precision, float]] = {"f32": 0.99, "f16": 0.99, "int8": 0.95, "int4": 0.80}
"""Least agreement. A small model that was not trained for its rounding keeps 97 % in 8 bits, in 4
bits 84 % in blocks of 128 and 89 % in blocks of 32 (docs/quantization.md)."""

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


def read_windows(
    reader: Reader, windows: Iterable[Sequence[int]], *, last: int | None = None
) -> Iterator[Float64]:
    """Yield the log-probabilities after each token of a window, [num_tokens, vocab_size]."""
    return map(log_probabilities, reader.read(([window] for window in windows), last=last))


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


def _digits(value: float, num_digits: int) -> float:
    return float(f"{value:.{num_digits}g}")


def manifest_figures(
    comparison: Comparison, fim_bits: Mapping[str, float] | None, *, num_tokens: int
) -> dict[str, Any]:
    """Return what the manifest keeps of a comparison with the original."""
    holes = {} if fim_bits is None else {"fim_bits_per_token": dict(fim_bits)}
    return {"tokens": num_tokens, **comparison.figures(), **holes}
