"""How many completions a second a graph could write, by how many sequences share a step.

    python -m benchmarks.batches [PACKAGE] [--device cuda]
    python -m benchmarks.batches --random 18 --device cuda    (a mixture of 1.0 billion parameters)

Runs a package's graph itself, without the engine, as if every sequence held PREFIX tokens already:
its caches are as long, and hold zeros. Reading is NUM_READ tokens more, one sequence after another,
since attention takes several only where each gets one token; writing is one token for each of a
batch, the median over STEPS. A completion is NUM_READ tokens read and NUM_WRITTEN written. Token
ids are random, and so each sequence meets experts of its own.

`bandwidth_share` is of what a copy in the device's memory moves, reading and writing counted, where
torch is there to measure it: the bytes of all weights that a step reads at least (of the experts
those that a batch would meet if its tokens chose evenly and apart) over the time it took.
"""

import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from math import prod
from pathlib import Path
from typing import Any, Final, get_args

import click
import ml_dtypes
import msgspec
import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
from rich.progress import track

from benchmarks.report import print_json, print_report
from export.options import ExportOptions
from export.pipeline import export_checkpoint
from inference.package.manifest import GRAPH_FILES, Device, read_manifest
from inference.package.store import embedded_folder
from inference.runtime.onnx import PLACEMENTS, Placement, check_cuda
from tests.support.exported import no_progress
from tests.support.tiny_checkpoints import (
    BASE_CONFIG,
    TinyModel,
    shapes_of,
    write_json,
    write_shards,
    write_tiny_checkpoint,
)

BATCHES: Final = (1, 8, 32, 128)
PREFIX: Final = 512
NUM_READ: Final = 32
NUM_WRITTEN: Final = 16
STEPS: Final = 32
CAPACITY: Final = PREFIX + 64

MIXTURE: Final[Mapping[str, Any]] = {
    **BASE_CONFIG,
    "vocab_size": 32_768,
    "hidden_size": 1024,
    "intermediate_size": 2048,
    "moe_intermediate_size": 512,
    "num_attention_heads": 16,
    "num_key_value_heads": 4,
    "head_dim": 64,
    "num_experts": 32,
    "num_experts_per_tok": 4,
    "norm_topk_prob": True,
    "max_position_embeddings": 2048,
}
"""With 18 layers 1.02 billion parameters, 0.23 of them active."""


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """Of one batch; `read_ms` is of one sequence, `write_ms` of all together."""

    read_ms: float
    write_ms: float
    read_tokens_per_s: float
    written_tokens_per_s: float
    completions_per_s: float
    moved_gb_per_s: float
    bandwidth_share: float | None


class Batch:
    """A graph with the caches of several sequences, all in the device's memory."""

    def __init__(self, session: ort.InferenceSession, placement: Placement, size: int) -> None:
        self._session, self._size = session, size
        outputs = {node.name: node for node in session.get_outputs()}
        (self._vocab_size,) = _known_sizes(outputs["logits"])
        self._binding = self._session.io_binding()
        kept = np.float32 if placement.aliases else np.float16
        self._caches: list[ort.OrtValue] = []
        for node in self._session.get_inputs():
            if node.name.startswith("past_"):
                num_heads, head_dim = _known_sizes(node)
                zeros = np.zeros((size, num_heads, CAPACITY, head_dim), kept)
                value = ort.OrtValue.ortvalue_from_numpy(zeros, placement.memory, 0)
                self._caches.append(value)  # kept alive: the binding holds no reference
                self._binding.bind_ortvalue_input(node.name, value)
                name = node.name.replace("past_", "present_", 1)
                self._binding.bind_ortvalue_output(name, value)
        logits = np.zeros((size, self._vocab_size), np.float32)
        self._logits = ort.OrtValue.ortvalue_from_numpy(logits, placement.memory, 0)
        self._binding.bind_ortvalue_output("logits", self._logits)
        self._random = np.random.default_rng(0)

    @property
    def logits(self) -> npt.NDArray[np.float32]:
        """Of the last run, [size, vocab_size]."""
        return self._logits.numpy()

    def run(self, num_tokens: int, length: int) -> float:
        """Append random tokens to every sequence, each of `length`; return the milliseconds."""
        shape = (self._size, num_tokens)
        feeds = {
            "input_ids": self._random.integers(0, self._vocab_size, shape, np.int64),
            "logit_rows": np.arange(self._size, dtype=np.int64) * num_tokens + num_tokens - 1,
            "seqlens_k": np.full(self._size, length + num_tokens - 1, np.int32),
            "total_sequence_length": np.asarray(length + num_tokens, np.int32),
        }
        started = time.perf_counter()
        for name, values in feeds.items():
            self._binding.bind_cpu_input(name, values)
        self._session.run_with_iobinding(self._binding)
        self._binding.synchronize_outputs()
        return 1000 * (time.perf_counter() - started)


def _known_sizes(node: ort.NodeArg) -> list[int]:
    """Return the sizes of its shape that are no names."""
    return [size for size in node.shape if isinstance(size, int)]


@click.command()
@click.argument("package", required=False, type=click.Path(path_type=Path, exists=True))
@click.option("--random", "num_layers", type=click.IntRange(1), help="A random mixture instead.")
@click.option("--device", default="cpu", show_default=True, type=click.Choice(get_args(Device)))
@click.option("--batch", "batches", multiple=True, default=BATCHES, show_default=True, type=int)
def main(
    package: Path | None, num_layers: int | None, device: Device, batches: Sequence[int]
) -> None:
    """Measure PACKAGE, or the model that ships with Inkling."""
    if device == "cuda":
        check_cuda()
    with tempfile.TemporaryDirectory() as temporary:
        if num_layers is not None:
            package = random_package(Path(temporary), num_layers, device)
        folder = package or embedded_folder()
        manifest = read_manifest(folder)
        found = _measure(folder, device, batches)
    rows = {
        f"{size} sequences": ["" if value is None else f"{value:.4g}" for value in cells.values()]
        for size, cells in ((size, msgspec.to_builtins(row)) for size, row in found.items())
    }
    title = f"{manifest.name} {manifest.precision} on {device}"
    print_report(title, [name.replace("_", " ") for name in Figures.__struct_fields__], rows)
    print_json(
        "batches",
        {
            "device": device,
            "model": manifest.name,
            "precision": manifest.precision,
            "batches": {str(size): msgspec.to_builtins(row) for size, row in found.items()},
        },
    )


def _measure(folder: Path, device: Device, sizes: Sequence[int]) -> Mapping[int, Figures]:
    placement, copied = PLACEMENTS[device], copy_rate(device)
    session = ort.InferenceSession(
        folder / GRAPH_FILES[device],
        providers=[(placement.provider, dict(placement.options))],
        enable_fallback=0,
    )
    single = Batch(session, placement, 1)
    read_ms = statistics.median([single.run(NUM_READ, PREFIX) for _ in range(2 + STEPS)][2:])
    found: dict[int, Figures] = {}
    for size in track(sizes, description="measuring"):
        batch = Batch(session, placement, size)
        steps = [batch.run(1, PREFIX + NUM_READ) for _ in range(4 + STEPS)][4:]
        write_ms = statistics.median(steps)
        moved = bytes_of_a_step(folder, device, size) / (write_ms / 1000)
        found[size] = Figures(
            read_ms=round(read_ms, 3),
            write_ms=round(write_ms, 3),
            read_tokens_per_s=round(1000 * NUM_READ / read_ms),
            written_tokens_per_s=round(1000 * size / write_ms),
            completions_per_s=round(1000 * size / (size * read_ms + NUM_WRITTEN * write_ms), 1),
            moved_gb_per_s=round(moved / 1e9, 2),
            bandwidth_share=copied and round(moved / copied, 4),
        )
    return found


def bytes_of_a_step(folder: Path, device: Device, size: int) -> float:
    """Count the weights that one step of a batch reads at least: of tables of rows, none."""
    graph = onnx.ModelProto.FromString((folder / GRAPH_FILES[device]).read_bytes()).graph
    sizes = {tensor.name: _num_bytes(tensor) for tensor in graph.initializer}
    counted: dict[str, float] = {}
    for node in graph.node:
        share = 1.0
        if "Gather" in node.op_type:
            share = 0.0
        elif node.op_type == "QMoE":
            chosen = next(attribute.i for attribute in node.attribute if attribute.name == "k")
            experts = next(tensor for tensor in graph.initializer if tensor.name == node.input[2])
            share = 1 - (1 - chosen / experts.dims[0]) ** size
        for name in node.input:
            if name in sizes:
                counted[name] = max(counted.get(name, 0.0), share * sizes[name])
    return sum(counted.values())


def _num_bytes(tensor: onnx.TensorProto) -> int:
    item = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
    return prod(tensor.dims) * item


def copy_rate(device: Device) -> float | None:
    """Return the bytes a second, read and written, of a large copy on a GPU; None without torch."""
    if device != "cuda" or find_spec("torch") is None:
        return None
    torch = import_module("torch")
    source = torch.empty(1 << 31, dtype=torch.uint8, device="cuda")
    target = torch.empty_like(source)
    seconds: list[float] = []
    for _ in range(8):
        torch.cuda.synchronize()
        started = time.perf_counter()
        target.copy_(source)
        torch.cuda.synchronize()
        seconds.append(time.perf_counter() - started)
    del source, target
    torch.cuda.empty_cache()
    return 2 * (1 << 31) / statistics.median(seconds[2:])


def random_package(folder: Path, num_layers: int, device: Device) -> Path:
    checkpoint = write_tiny_checkpoint(folder / "checkpoint", TinyModel("mixture", 1))
    config = {**MIXTURE, "num_hidden_layers": num_layers}
    write_json(checkpoint / "config.json", config)
    pool = np.random.default_rng(1).standard_normal(1 << 24, np.float32)
    tensors = {
        name: (np.resize(pool, shape) / np.sqrt(shape[-1])).astype(ml_dtypes.bfloat16)
        for name, shape in track(shapes_of(config).items(), description="inventing weights")
    }
    write_shards(checkpoint, tensors, 1)
    options = ExportOptions(
        device=device,
        rounding="nearest",
        zero_points=False,
        accept_quality=True,
        quality_tokens=64,
        fim="none",
    )
    export_checkpoint(str(checkpoint), folder / "package", options, progress=no_progress)
    return folder / "package"


if __name__ == "__main__":
    main()
