"""Export a checkpoint that is larger than the memory it may use, load the package, and decode.

`python -m benchmarks.streaming` writes a random checkpoint of OLMoE's shape, 6.9 billion parameters
in bf16 shards, into a temporary folder (14 GB, and 4 GB for the package), exports it in a process
of its own, and loads the package in another. It prints minutes, peak memory and sizes, and as its
last line one JSON object.

Random weights do not survive rounding, so the quality gate only measures here. How much memory the
exporting process needs shows in `anonymous`, which the checkpoint's own mapped pages do not count
to: the system takes those back when it needs them.

It rounds to nearest: GPTQ reads the calibration text with every layer in float32 and inverts a
matrix of moments for each expert, which takes many times as long. To leave a machine to others, run
it under `nice -n 19 taskset -c 1`; what a stage took is told on stderr as it ends. `cores` is the
time it computed over the time it took.
"""

import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from math import prod
from pathlib import Path
from typing import Any, Final

import click
import ml_dtypes
import numpy as np

from benchmarks.report import print_json, print_report
from export.options import ExportOptions
from export.pipeline import export_checkpoint
from export.quantization.scheme import ROUNDINGS, Rounding
from inference.cancellation import CancelToken
from inference.package.manifest import read_manifest, verify_files
from inference.runtime.onnx import OnnxModel

ROOT: Final = Path(__file__).parent.parent
TOKENIZER: Final = ROOT / "training" / "checkpoints" / "base"
NUM_DECODED: Final = 16
SHAPE: Final[Mapping[str, int]] = {
    "hidden_size": 2048,
    "intermediate_size": 1024,
    "num_hidden_layers": 16,
    "num_attention_heads": 16,
    "num_key_value_heads": 16,
    "num_experts": 64,
    "num_experts_per_tok": 8,
    "vocab_size": 50304,
    "max_position_embeddings": 4096,
}

Shapes = dict[str, tuple[int, ...]]


@click.command()
@click.option("--layers", default=SHAPE["num_hidden_layers"], show_default=True)
@click.option("--rounding", default="nearest", show_default=True, type=click.Choice(ROUNDINGS))
@click.option("--quality-tokens", default=512, show_default=True)
@click.option("--folder", type=click.Path(path_type=Path), help="Where; default the system's own.")
def main(layers: int, rounding: Rounding, quality_tokens: int, folder: Path | None) -> None:
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        checkpoint, package = Path(temporary) / "checkpoint", Path(temporary) / "package"
        start = time.perf_counter()
        num_bytes = write_checkpoint(checkpoint, {**SHAPE, "num_hidden_layers": layers})
        writing = time.perf_counter() - start
        click.echo(f"written: {num_bytes} bytes in {writing:.0f} s", err=True)
        arguments = [str(checkpoint), str(package), rounding, str(quality_tokens)]
        exported = run_watched("export_here", arguments)
        click.echo(f"exported: {exported}", err=True)
        decoded = run_watched("decode_here", [str(package)])
        size = sum(path.stat().st_size for path in package.iterdir())
    figures = {
        "checkpoint_gb": round(num_bytes / 1e9, 2),
        "package_gb": round(size / 1e9, 2),
        "write_minutes": round(writing / 60, 2),
        **{f"export_{name}": value for name, value in exported.items()},
        **{f"decode_{name}": value for name, value in decoded.items()},
    }
    print_report("streaming", ["value"], {name: [str(value)] for name, value in figures.items()})
    print_json("streaming", {"layers": layers, "rounding": rounding, **figures})


def write_checkpoint(folder: Path, shape: Mapping[str, int]) -> int:
    """Write config, tokenizer and one shard a layer; return the weights' bytes."""
    folder.mkdir()
    config = {**shape, "model_type": "olmoe", "hidden_act": "silu", "norm_topk_prob": False}
    config |= {"rms_norm_eps": 1e-5, "rope_theta": 10000.0, "tie_word_embeddings": False}
    config |= {"attention_bias": False, "clip_qkv": None, "eos_token_id": 0}
    (folder / "config.json").write_text(json.dumps(config), "utf-8")
    tokenizer = (TOKENIZER / "tokenizer.json").read_bytes()
    (folder / "tokenizer.json").write_bytes(tokenizer)
    shards = [outer_shapes(shape), *layer_shapes(shape)]
    names = [f"model-{index:05d}.safetensors" for index in range(len(shards))]
    for index, (name, shapes) in enumerate(zip(names, shards, strict=True)):
        write_shard(folder / name, shapes, seed=index)
    places = {tensor: name for name, shapes in zip(names, shards, strict=True) for tensor in shapes}
    index_file = folder / "model.safetensors.index.json"
    index_file.write_text(json.dumps({"weight_map": places}), "utf-8")
    return sum((folder / name).stat().st_size for name in names)


def outer_shapes(shape: Mapping[str, int]) -> Shapes:
    table = (shape["vocab_size"], shape["hidden_size"])
    return {
        "model.embed_tokens.weight": table,
        "model.norm.weight": table[1:],
        "lm_head.weight": table,
    }


def layer_shapes(shape: Mapping[str, int]) -> Iterator[Shapes]:
    hidden, size = shape["hidden_size"], shape["intermediate_size"]
    for layer in range(shape["num_hidden_layers"]):
        parts: Shapes = {f"self_attn.{name}_proj.weight": (hidden, hidden) for name in "qkvo"}
        parts |= {f"self_attn.{name}_norm.weight": (hidden,) for name in "qk"}
        parts |= {"input_layernorm.weight": (hidden,), "post_attention_layernorm.weight": (hidden,)}
        parts["mlp.gate.weight"] = (shape["num_experts"], hidden)
        for expert in range(shape["num_experts"]):
            parts[f"mlp.experts.{expert}.gate_proj.weight"] = (size, hidden)
            parts[f"mlp.experts.{expert}.up_proj.weight"] = (size, hidden)
            parts[f"mlp.experts.{expert}.down_proj.weight"] = (hidden, size)
        yield {f"model.layers.{layer}.{name}": part for name, part in parts.items()}


def write_shard(path: Path, shapes: Shapes, *, seed: int) -> None:
    """Write the format by hand, one tensor in memory at a time."""
    random = np.random.default_rng(seed)
    header: dict[str, Any] = {}
    end = 0
    for name, shape in shapes.items():
        start, end = end, end + 2 * prod(shape)
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [start, end]}
    encoded = json.dumps(header).encode()
    with path.open("wb") as file:
        file.write(len(encoded).to_bytes(8, "little") + encoded)
        for name, shape in shapes.items():
            file.write(random_tensor(random, name, shape).tobytes())


def random_tensor(
    random: np.random.Generator, name: str, shape: Sequence[int]
) -> np.ndarray[Any, Any]:
    if name.endswith("norm.weight"):
        return np.ones(shape, ml_dtypes.bfloat16)
    values = random.standard_normal(shape, np.float32) * np.float32(1 / np.sqrt(shape[-1]))
    return values.astype(ml_dtypes.bfloat16)


def run_watched(function: str, arguments: Sequence[str]) -> dict[str, float]:
    """Run a function of this module in a process of its own; add what it took to what it says.

    Of the stages that it says the end of, `NAME_ended` on the system's clock, the memory is told.
    """
    code = f"import sys; from benchmarks import streaming; streaming.{function}(*sys.argv[1:])"
    start = time.monotonic()
    with subprocess.Popen(
        [sys.executable, "-c", code, *arguments], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as process:
        samples: list[Sample] = []
        watcher = threading.Thread(target=watch_memory, args=(process, samples))
        watcher.start()
        output, _ = process.communicate()
        watcher.join()
    if process.returncode:
        raise click.ClickException(f"{function} ended with {process.returncode}")
    said: dict[str, float] = json.loads(output.splitlines()[-1])
    ends = {name.removesuffix("_ended"): said.pop(name) for name in [*said] if "_ended" in name}
    return {
        **said,
        **{
            f"{name}_peak_anonymous_gb": peak([part for part in samples if part[0] <= end], 1)
            for name, end in ends.items()
        },
        "minutes": round((time.monotonic() - start) / 60, 2),
        "peak_anonymous_gb": peak(samples, 1),
        "peak_resident_gb": peak(samples, 2),
    }


Sample = tuple[float, int, int]
"""Seconds on the system's clock, and kB that are anonymous and that are resident."""


def peak(samples: Sequence[Sample], field: int) -> float:
    return round(max((sample[field] for sample in samples), default=0) / 1e6, 2)


def watch_memory(process: subprocess.Popen[str], samples: list[Sample]) -> None:
    """Read the process's memory ten times a second until it ends."""
    status = Path(f"/proc/{process.pid}/status")
    while process.poll() is None:
        lines = [line.split() for line in status.read_text("ascii").splitlines()]
        found = {line[0]: int(line[1]) for line in lines if line[0] in {"RssAnon:", "VmRSS:"}}
        samples.append((time.monotonic(), found.get("RssAnon:", 0), found.get("VmRSS:", 0)))
        time.sleep(0.1)


def export_here(checkpoint: str, package: str, rounding: Rounding, quality_tokens: str) -> None:
    options = ExportOptions(
        rounding=rounding, accept_quality=True, quality_tokens=int(quality_tokens)
    )
    marks: list[tuple[float, float]] = []

    def mark(done: int, total: int) -> None:
        marks.append((time.monotonic(), time.process_time()))

    export_checkpoint(checkpoint, Path(package), options, progress=mark)
    mark(0, 0)
    (start, used_before), (rounded, used_until), (end, used) = marks[0], marks[-2], marks[-1]
    figures = {
        "rounding_ended": rounded,
        "rounding_minutes": round((rounded - start) / 60, 2),
        "rounding_cores": round((used_until - used_before) / (rounded - start), 2),
        "checking_minutes": round((end - rounded) / 60, 2),
        "checking_cores": round((used - used_until) / (end - rounded), 2),
    }
    print(json.dumps(figures))


def decode_here(package: str) -> None:
    folder = Path(package)
    start = time.perf_counter()
    manifest = read_manifest(folder)
    verify_files(manifest, folder)
    hashed = time.perf_counter()
    model = OnnxModel.load(folder, manifest)
    loaded = time.perf_counter()
    cache, cancel = model.create_cache(), CancelToken()
    token_ids = list(range(100, 164))
    for _ in range(NUM_DECODED):
        logits = model.forward(token_ids, cache, num_logits=1, cancel=cancel)
        assert np.isfinite(logits).all()
        token_ids = [int(logits[-1].argmax())]
    decoded = time.perf_counter()
    print(
        json.dumps(
            {
                "hash_seconds": round(hashed - start, 1),
                "load_seconds": round(loaded - hashed, 1),
                "tokens": NUM_DECODED,
                "seconds": round(decoded - loaded, 1),
            }
        )
    )


if __name__ == "__main__":
    main()
