"""What a window saves: `python -m benchmarks.window [--window N]`.

Models of the same random weights, whose layers see all tokens, a window, or both by turns, read one
text and write one token at a time behind contexts of different length. Their steps take turns, so
that a noisy machine is noisy for all of them.

The buffers of windowed layers slide once in an eighth of a window. A round is so many steps, and
begins where the last one began, so that it slides at the same step: the mean over a round of each
step's median over the rounds is what a step costs, slide included and interruptions not.
"""

import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import click
import numpy as np
from rich.progress import track

from benchmarks.report import print_json, print_report
from inference.cancellation import CancelToken
from inference.decoding.session import PREFILL_CHUNK
from inference.runtime.caches.windowed import SLIDES_PER_WINDOW
from inference.runtime.onnx import OnnxCache, OnnxModel
from tests.support.exported import export_tiny
from tests.support.tiny_checkpoints import TinyModel
from tests.support.tiny_families import FAMILY_MODELS

CONTEXTS: Final = (1024, 2048, 4096, 8192, 16384)
NUM_LAYERS: Final = 8
PATTERNS: Final = {
    "full": ["full_attention"] * NUM_LAYERS,
    "alternating": ["sliding_attention", "full_attention"] * (NUM_LAYERS // 2),
    "windowed": ["sliding_attention"] * NUM_LAYERS,
}
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

Reader = tuple[OnnxModel, OnnxCache]


@click.command()
@click.option("--window", default=1024, show_default=True, type=click.IntRange(SLIDES_PER_WINDOW))
@click.option("--rounds", default=5, show_default=True, type=click.IntRange(1))
def main(window: int, rounds: int) -> None:
    """Measure decoding with and without a window of so many tokens."""
    with tempfile.TemporaryDirectory() as folder:
        readers = {name: _load(Path(folder) / name, name, window) for name in PATTERNS}
        figures = {
            context: _step_ms(readers, context, rounds, window // SLIDES_PER_WINDOW)
            for context in track(CONTEXTS, description="measuring")
        }
    rows = {
        str(context): [f"{step:.3f}" for step in steps_ms.values()]
        + [f"{_ratio(steps_ms, name):.2f}" for name in list(PATTERNS)[1:]]
        for context, steps_ms in figures.items()
    }
    columns = [*PATTERNS, *(f"{name} / full" for name in list(PATTERNS)[1:])]
    print_report(f"ms a step, {NUM_LAYERS} layers, window {window}", columns, rows)
    ratios = {
        context: {name: round(_ratio(steps_ms, name), 3) for name in steps_ms}
        for context, steps_ms in figures.items()
    }
    conditions = {"window": window, "layers": NUM_LAYERS, "rounds": rounds}
    print_json("window", {**conditions, "step_ms": figures, "relative_to_full": ratios})


def _load(folder: Path, name: str, window: int) -> Reader:
    mellum = next(model for model in FAMILY_MODELS if model.name == "mellum")
    changes = {**SHAPE, "layer_types": PATTERNS[name], "sliding_window": window}
    model = TinyModel("window", 1, {**mellum.config, **changes}, mellum.base)
    loaded = export_tiny(folder, model, "int4", block_size=128).load()
    capacity = CONTEXTS[-1] + window // SLIDES_PER_WINDOW
    return loaded, OnnxCache(loaded.manifest.architecture, capacity)


def _step_ms(
    readers: Mapping[str, Reader], context: int, rounds: int, num_steps: int
) -> dict[str, float]:
    """Return each reader's mean over the steps of a round of their medians over the rounds."""
    for reader in readers.values():
        _read_to(reader, context)
    samples = {name: np.zeros((rounds, num_steps)) for name in readers}
    for place in np.ndindex(rounds, num_steps):
        for name, (model, cache) in readers.items():
            if place[1] == 0:
                cache.rewind(context)
            samples[name][place] = _timed_step(model, cache)
    return {
        name: round(1000 * float(np.median(times, axis=0).mean()), 4)
        for name, times in samples.items()
    }


def _read_to(reader: Reader, context: int) -> None:
    model, cache = reader
    while cache.length < context:
        token_ids = [1] * min(PREFILL_CHUNK, context - cache.length)
        model.forward(token_ids, cache, num_logits=1, cancel=CancelToken())
    model.forward([1], cache, num_logits=1, cancel=CancelToken())  # prepares its buffers


def _timed_step(model: OnnxModel, cache: OnnxCache) -> float:
    started = time.perf_counter()
    model.forward([1], cache, num_logits=1, cancel=CancelToken())
    return time.perf_counter() - started


def _ratio(steps_ms: Mapping[str, float], name: str) -> float:
    return steps_ms[name] / steps_ms["full"]


if __name__ == "__main__":
    main()
