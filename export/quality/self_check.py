"""Run a finished package through the engine's own runtime and compare it with the oracle.

It catches what no test of ours can: a runtime or a processor whose kernels compute something else.
Eight-bit activations can give a token another expert where two are nearly as good. A package that
differs for that alone passes: with float activations it must be the oracle, digit for digit.

Packages of large models are only checked for agreeing with themselves, since the oracle would take
longer than the export.
"""

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from export.errors import VerificationError
from export.graph.builder import write_with_float_activations
from export.graph.data_file import DATA_FILE
from export.quality.reader import open_reader
from export.spec.decoder import DecoderSpec, is_small
from export.spec.oracle import forward, predict
from inference.cancellation import CancelToken
from inference.package.manifest import (
    MODEL_FILE,
    PREDICTOR_FILE,
    ModelManifest,
    Precision,
    verify_files,
)
from inference.runtime.onnx import OnnxModel

NUM_TOKENS: Final = 16

TOLERANCES: Final[Mapping[Precision, float]] = {"f32": 1e-3, "f16": 1e-3, "int8": 0.3, "int4": 0.3}
"""Root mean square of the difference over that of the logits. Rounded graphs multiply 8-bit
activations, which the oracle does not: random models come to 0.1 where a token changes its expert,
the trained one to 0.02; a graph with one wrong matrix is above 1 (measured)."""

FLIPPED_TOLERANCE: Final = 0.7
"""The tolerance for a package whose weights are proved by float activations. It lies half way from
what random models come to whose experts change by 8-bit activations, 0.4, to what one wrong matrix
gives, 1 (measured)."""

Array = npt.NDArray[np.floating[Any]]


def verify_package(
    folder: Path, manifest: ModelManifest, spec: DecoderSpec, weights: Mapping[str, Array]
) -> None:
    """Check hashes, load the graph, and compare its logits.

    `weights` are the spec's slots with the values that the package's rounded weights stand for.
    Raises VerificationError naming the difference.
    """
    verify_files(manifest, folder)
    token_ids = _spread_token_ids(spec.vocab_size, min(NUM_TOKENS, manifest.context_length))
    tolerance = TOLERANCES[manifest.precision]
    with open_reader(folder, manifest) as reader:
        whole, parts = reader.read([[token_ids], [token_ids[:1], token_ids[1:]]])
    _compare(whole, parts, "itself in two runs", tolerance)
    if is_small(spec):
        expected = forward(spec, weights, token_ids)
        if tolerance < relative_error(whole, expected) <= FLIPPED_TOLERANCE:
            exact = _logits_of_floats(folder, manifest, token_ids)
            if relative_error(exact, expected) <= TOLERANCES["f32"]:
                return
        _compare(whole, expected, "the oracle", tolerance)


def verify_predictor(
    folder: Path, manifest: ModelManifest, spec: DecoderSpec, weights: Mapping[str, Array]
) -> None:
    """Load the graph that predicts, and compare its logits as those of the model.

    It is given hidden states of no text. `spec` is the predictor's, and so are `weights`.
    Raises VerificationError naming the difference.
    """
    num_tokens = min(NUM_TOKENS, manifest.context_length)
    token_ids = _spread_token_ids(spec.vocab_size, num_tokens)
    shape = (num_tokens, spec.hidden_size)
    given = np.random.default_rng(0).standard_normal(shape, np.float32)
    own = msgspec.structs.replace(manifest, architecture=manifest.architecture.of_predictor())
    tolerance = TOLERANCES[manifest.precision]
    with closing(OnnxModel.load_graph(folder / PREDICTOR_FILE, own)) as model:
        whole = _predicted(model, token_ids, given, runs=(slice(None),))
        parts = _predicted(model, token_ids, given, runs=(slice(1), slice(1, None)))
    _compare(whole, parts, "itself in two runs", tolerance)
    if is_small(spec):
        expected = predict(spec, weights, token_ids, given)
        is_rounded = tolerance > TOLERANCES["f32"]
        _compare(whole, expected, "the oracle", FLIPPED_TOLERANCE if is_rounded else tolerance)


def _predicted(
    model: OnnxModel, token_ids: Sequence[int], given: Array, runs: Sequence[slice]
) -> Array:
    cache, rows = model.create_cache(), list[Array]()
    for run in runs:
        model.give(given[run].astype(np.float32, copy=False))
        num_logits = len(token_ids[run])
        cancel = CancelToken()
        rows.append(
            model.forward(token_ids[run], cache, num_logits=num_logits, cancel=cancel).copy()
        )
    return np.concatenate(rows)


def relative_error(found: Array, expected: Array) -> float:
    """Return the root mean square of the difference over that of what is expected."""
    difference = found.astype(np.float64) - expected
    return float(np.sqrt(np.mean(difference**2) / np.mean(np.square(expected, dtype=np.float64))))


def _spread_token_ids(vocab_size: int, num_tokens: int) -> list[int]:
    return np.linspace(0, vocab_size - 1, num_tokens).astype(int).tolist()


def _logits_of_floats(folder: Path, manifest: ModelManifest, token_ids: Sequence[int]) -> Array:
    with tempfile.TemporaryDirectory() as name:
        changed = Path(name)
        shutil.copyfile(folder / DATA_FILE, changed / DATA_FILE)
        write_with_float_activations(folder / MODEL_FILE, changed / MODEL_FILE)
        with open_reader(changed, manifest) as reader:
            (logits,) = reader.read([[token_ids]])
    return logits


def _compare(found: Array, expected: Array, other: str, tolerance: float) -> None:
    error = relative_error(found, expected)
    if not error <= tolerance:  # also where it is not a number
        raise VerificationError(
            f"the exported graph differs from {other} by {error:.2g} of the logits' size, more "
            f"than {tolerance}; report this with the versions of onnxruntime and the processor"
        )
