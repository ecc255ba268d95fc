"""Export a tiny checkpoint with the real pipeline, and keep what its graph is compared with."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from export.architectures import read_architecture
from export.checkpoint.config import read_config
from export.checkpoint.safetensors import open_checkpoint
from export.graph.builder import write_with_float_activations
from export.graph.weights import dequantized, scheme_weights, slot_values
from export.options import ExportOptions
from export.pipeline import export_checkpoint
from export.quantization.scheme import Head, Preset, scheme_of
from export.spec.decoder import DecoderSpec, slots
from inference.cancellation import CancelToken
from inference.package.manifest import ModelManifest
from inference.runtime.onnx import OnnxCache, OnnxModel
from tests.support.tiny_checkpoints import VOCAB_SIZE, TinyModel, write_tiny_checkpoint

Array = npt.NDArray[np.floating[Any]]

TOKEN_IDS = tuple(np.random.default_rng(0).integers(0, VOCAB_SIZE, 24).tolist())


@dataclass(frozen=True)
class Exported:
    """`weights` are the spec's slots with the values that the graph computes with."""

    folder: Path
    manifest: ModelManifest
    spec: DecoderSpec
    weights: Mapping[str, Array]

    def load(self) -> OnnxModel:
        return OnnxModel.load(self.folder, self.manifest)


def tiny_options(**changes: Any) -> ExportOptions:
    """Return options for random weights, which are not what rounding is good at.

    Little text is read: it shows that all works.
    """
    options = ExportOptions(
        block_size=32, rounding="nearest", accept_quality=True, quality_tokens=64
    )
    return msgspec.structs.replace(options, **changes)


def export_tiny(
    folder: Path,
    model: TinyModel,
    precision: Preset = "f32",
    *,
    block_size: int = 32,
    zero_points: bool = False,
    head: Head | None = None,
) -> Exported:
    checkpoint = write_tiny_checkpoint(folder / "checkpoint", model)
    options = tiny_options(
        precision=precision, block_size=block_size, zero_points=zero_points, head=head
    )
    package = folder / "package"
    manifest = export_checkpoint(str(checkpoint), package, options, progress=no_progress)
    spec, values = read_values(checkpoint)
    weights = scheme_weights(scheme_of(manifest), slots(spec), values)
    return Exported(package, manifest, spec, dequantized(weights))


def read_values(checkpoint: Path) -> tuple[DecoderSpec, Mapping[str, Array]]:
    architecture = read_architecture(read_config(checkpoint / "config.json"))
    opened = open_checkpoint(checkpoint, architecture.reading)
    assigned = architecture.plan(opened.tensors)
    return architecture.spec, slot_values(opened, assigned, slots(architecture.spec))


def read_tokens(model: OnnxModel, cache: OnnxCache, token_ids: Sequence[int]) -> Array:
    """Append tokens to the cache and return the logits of each."""
    cancel = CancelToken()
    return model.forward(token_ids, cache, num_logits=len(token_ids), cancel=cancel).copy()


def greedy_tokens(model: OnnxModel, prompt: Sequence[int], num_tokens: int = 32) -> list[int]:
    """Write tokens one at a time, each read from the cache's logits."""
    cache, cancel = model.create_cache(), CancelToken()
    written: list[int] = []
    unread = list(prompt)
    for _ in range(num_tokens):
        logits = model.forward(unread, cache, num_logits=1, cancel=cancel)
        unread = [int(logits[-1].argmax())]
        written += unread
    return written


def compute_with_float_activations(path: Path) -> None:
    """Have a rounded graph multiply floats, so that its packing alone is judged."""
    write_with_float_activations(path, path)


def no_progress(done: int, total: int) -> None:
    """Show nothing."""
