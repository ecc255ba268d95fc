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

from export.cores import on_every_core, slices
from export.errors import QualityError
from export.quality.reader import Reader
from export.spec.decoder import DecoderSpec, slots
from export.spec.oracle import Array, Slots, embed, run_layer, score
from export.texts import Text
from inference.decoding.probabilities import log_probabilities
from inference.package.manifest import ModelManifest, Precision

LIMITS: Final[Mapping[Precision, float]] = {"f32": 0.99, "f16": 0.99, "int8": 0.95, "int4": 0.80}
"""Least agreement. A small model that was not trained for its rounding keeps 97 % in 8 bits, in 4
bits 84 % in blocks of 128 and 89 % in blocks of 32 (docs/quantization.md)."""

MAX_PART_BYTES: Final = 1 << 25
"""Of logits that are computed together: those of 256 tokens and 151,936 rows take 155 MB, and the
runtime, the package and the original each hold some."""

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

    def add(self, token_ids: Sequence[int], found: Array, original: Array) -> None:
        """Add rows of logits, [num_tokens, vocab_size], and the tokens that follow each."""
        expected = np.array(token_ids, np.int64)

        def add_up(part: slice) -> Float64:
            return _sums(found[part], original[part], expected[part])

        parts = slices(len(expected), found.shape[1])
        sums = np.sum(on_every_core(add_up, parts), axis=0)
        num_equal, divergence, surprise, original_surprise = sums.tolist()
        self.num_positions += len(expected)
        self.num_equal += int(num_equal)
        self.divergence_sum += divergence
        self.surprise += surprise
        self.original_surprise += original_surprise

    def figures(self) -> dict[str, float]:
        return {
            "agreement": floor(100 * self.agreement) / 100,
            "divergence": _digits(self.divergence, 1),
            "perplexity": _digits(self.perplexity, 3),
            "perplexity_ratio": round(self.perplexity_ratio, 2),
        }


def _sums(found: Array, original: Array, expected: npt.NDArray[np.int64]) -> Float64:
    """Return equal next tokens, divergence, and the surprise of both, over rows of logits."""
    found, original = log_probabilities(found), log_probabilities(original)
    rows = np.arange(len(expected))
    return np.array(
        [
            (found.argmax(axis=1) == original.argmax(axis=1)).sum(),
            (np.exp(original) * (original - found)).sum(),
            -found[rows, expected].sum(),
            -original[rows, expected].sum(),
        ]
    )


def compare(
    reader: Reader,
    spec: DecoderSpec,
    weights: Mapping[str, Array],
    text: Text,
) -> Comparison:
    """Read a text with a package and with the original, whose slots are `weights`."""
    return compare_with(reader, spec, weights, text, states_of(spec, weights, text))


def states_of(spec: DecoderSpec, weights: Mapping[str, Array], text: Text) -> Array:
    """Return what the original's last layer gives for a text, [num_tokens, hidden_size]."""
    original = Slots(weights, np.float32)
    x = embed(spec, original, text.token_ids, window=text.window)
    for index in range(len(spec.layers)):
        x = run_layer(spec, original, index, x, window=text.window)
    return x


def compare_with(
    reader: Reader, spec: DecoderSpec, weights: Mapping[str, Array], text: Text, states: Array
) -> Comparison:
    """Compare a package with an original that has read the text up to its last layer."""
    head = Slots({name: weights[name] for name in _scoring_slots(spec)}, np.float32)
    comparison = Comparison()
    windows = text.windows()
    found = read_all(reader, windows, spec.vocab_size)
    for token_ids, rows, package in zip(
        windows, np.split(states, len(windows)), found, strict=True
    ):
        for part in _parts(len(token_ids) - 1, spec.vocab_size):
            expected = token_ids[part.start + 1 : part.stop + 1]
            comparison.add(expected, package[part], score(spec, head, rows[part]))
    return comparison


def read_all(reader: Reader, windows: Sequence[Sequence[int]], vocab_size: int) -> Iterator[Array]:
    """Yield the logits after each token of a window, read a part at a time."""
    return reader.read(
        [window[part] for part in _parts(len(window), vocab_size)] for window in windows
    )


def _parts(num_rows: int, vocab_size: int) -> list[slice]:
    """Cut rows of logits so that a part takes MAX_PART_BYTES, or is one row."""
    step = max(1, MAX_PART_BYTES // (vocab_size * np.float32().nbytes))
    return [slice(start, min(start + step, num_rows)) for start in range(0, num_rows, step)]


def _scoring_slots(spec: DecoderSpec) -> list[str]:
    """Return the slots that are read behind the layers."""
    unread = {"positions", "head" if spec.tie_word_embeddings else "embedding"}
    return [name for name in slots(spec) if not name.startswith("layers.") and name not in unread]


def measure_alone(reader: Reader, text: Text) -> Comparison:
    """Read a text with a package alone; it is then compared with itself."""
    comparison = Comparison()
    windows = text.windows()
    read = reader.read([window] for window in windows)
    for token_ids, found in zip(windows, read, strict=True):
        comparison.add(token_ids[1:], found[:-1], found[:-1])
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
