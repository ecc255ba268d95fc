"""What a window saves: `python -m benchmarks.window [--window N]`.

Two models of the same random weights, one whose layers see all tokens and one whose layers see a
window, decode one token behind contexts of different length. The cache is taken as read: its
content does not change what a step costs. Steps of both take turns, so that a noisy machine is
noisy for both; the cost of a layer is that of the step over the number of layers.
"""

import statistics
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import click
from rich.progress import track

from benchmarks.report import print_json, print_report
from inference.cancellation import CancelToken
from inference.runtime import OnnxCache, OnnxModel
from tests.support.exported import export_tiny
from tests.support.tiny_checkpoints import TinyModel
from tests.support.tiny_families import FAMILY_MODELS

CONTEXTS: Final = (1024, 2048, 4096, 8192, 16384)
NUM_LAYERS: Final = 8
SHAPE: Final[dict[str, Any]] = {
    "hidden_size": 512,
    "num_attention_heads": 8,
    "num_key_value_heads": 2,
    "head_dim": 64,
    "num_hidden_layers": NUM_LAYERS,
    "mlp_layer_types": ["sparse"] * NUM_LAYERS,
    "moe_intermediate_size": 128,
    "max_position_embeddings": 2 * CONTEXTS[-1],
}


@click.command()
@click.option("--window", default=1024, show_default=True, type=click.IntRange(1))
@click.option("--steps", default=60, show_default=True, type=click.IntRange(1))
def main(window: int, steps: int) -> None:
    """Measure decoding with and without a window of so many tokens."""
    with tempfile.TemporaryDirectory() as folder:
        models = {
            kind: _load(Path(folder) / kind, kind, window)
            for kind in ("full_attention", "sliding_attention")
        }
        figures = {
            context: _step_ms(models, context, steps)
            for context in track(CONTEXTS, description="measuring")
        }
    rows = {
        str(context): [f"{step:.3f}" for step in steps_ms.values()]
        for context, steps_ms in figures.items()
    }
    print_report(f"median ms a step, {NUM_LAYERS} layers, window {window}", list(models), rows)
    print_json("window", {"window": window, "layers": NUM_LAYERS, "step_ms": figures})


def _load(folder: Path, kind: str, window: int) -> tuple[OnnxModel, OnnxCache]:
    mellum = next(model for model in FAMILY_MODELS if model.name == "mellum")
    changes = {**SHAPE, "layer_types": [kind] * NUM_LAYERS, "sliding_window": window}
    model = TinyModel("window", 1, {**mellum.config, **changes}, mellum.base)
    loaded = export_tiny(folder, model, "int4", block_size=128).load()
    return loaded, OnnxCache(loaded, CONTEXTS[-1] + 1)


def _step_ms(
    models: dict[str, tuple[OnnxModel, OnnxCache]], context: int, steps: int
) -> dict[str, float]:
    samples: dict[str, list[float]] = {kind: [] for kind in models}
    for _ in range(steps):
        for kind, (model, cache) in models.items():
            cache.length = context
            started = time.perf_counter()
            model.forward([1], cache, num_logits=1, cancel=CancelToken())
            samples[kind].append(1000 * (time.perf_counter() - started))
    return {kind: round(statistics.median(times), 4) for kind, times in samples.items()}


if __name__ == "__main__":
    main()
