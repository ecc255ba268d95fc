"""What layers that keep a state cost and save: `python -m benchmarks.states`.

Two models of the same random weights but for their attention: three of four layers keep a state, as
Qwen3-Next's, or all look back at every token. Behind contexts of different length both write one
token at a time, then serve keystrokes: each changes the prompt's last two tokens and appends one,
and is answered with a completion of 16 tokens. A state cannot go back, so the first keystroke at a
place reads from the nearest state that was kept. Steps and keystrokes take turns, so that a noisy
machine is noisy for both.
"""

import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import click
import msgspec
import numpy as np
from rich.progress import track

from benchmarks.report import print_json, print_report
from inference.cancellation import CancelToken
from inference.decoding.session import Session
from tests.support.exported import export_tiny
from tests.support.tiny_checkpoints import VOCAB_SIZE, TinyModel
from tests.support.tiny_families import FAMILY_MODELS

CONTEXTS: Final = (256, 1000, 2000, 3900)
NUM_LAYERS: Final = 8
NUM_STEPS: Final = 32
NUM_KEYSTROKES: Final = 9
NUM_COMPLETED: Final = 16
PATTERNS: Final[Mapping[str, Mapping[str, Any]]] = {
    "all": {"layer_types": ["full_attention"] * NUM_LAYERS},
    "states": {},
}
SHAPE: Final[dict[str, Any]] = {
    "hidden_size": 512,
    "num_hidden_layers": NUM_LAYERS,
    "num_attention_heads": 8,
    "linear_key_head_dim": 64,
    "linear_value_head_dim": 64,
    "linear_num_key_heads": 4,
    "linear_num_value_heads": 8,
    "mlp_only_layers": [],
    "moe_intermediate_size": 128,
    "shared_expert_intermediate_size": 128,
    "max_position_embeddings": 4096,
}
TOKEN_IDS: Final[list[int]] = np.random.default_rng(0).integers(0, VOCAB_SIZE, 4096).tolist()


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """Medians in milliseconds; of keystrokes, the first alone, with the tokens that they read."""

    step_ms: float
    first_ms: float
    first_tokens: int
    next_ms: float
    next_tokens: float


COLUMNS: Final = Figures.__struct_fields__


@click.command()
def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        sessions = {name: _load(Path(folder) / name, name) for name in PATTERNS}
        figures = {
            context: _measure(sessions, context)
            for context in track(CONTEXTS, description="measuring")
        }
    rows = {
        f"{context}, {name}": [f"{getattr(measured, column):g}" for column in COLUMNS]
        for context, found in figures.items()
        for name, measured in found.items()
    }
    print_report(f"{NUM_LAYERS} layers, all attending or three of four states", COLUMNS, rows)
    print_json("states", {"layers": NUM_LAYERS, "contexts": msgspec.to_builtins(figures)})


def _load(folder: Path, name: str) -> Session:
    family = next(model for model in FAMILY_MODELS if model.name == "qwen3_next")
    config = {**family.config, **SHAPE, **PATTERNS[name]}
    exported = export_tiny(folder, TinyModel("states", 1, config, family.base), "int4")
    return Session(exported.load())


def _measure(sessions: Mapping[str, Session], context: int) -> dict[str, Figures]:
    for session in sessions.values():
        session.prefill(TOKEN_IDS[:context], CancelToken())
    steps: dict[str, list[float]] = {name: [] for name in sessions}
    for token_id in range(NUM_STEPS):
        for name, session in sessions.items():
            steps[name].append(timed_step(session, token_id))
    typed: dict[str, list[tuple[float, int]]] = {name: [] for name in sessions}
    for keystroke in range(NUM_KEYSTROKES):
        prompt = [*TOKEN_IDS[: context - 2 + keystroke], 7, 7]
        for name, session in sessions.items():
            typed[name].append(_type(session, prompt))
    return {name: _figures(steps[name], typed[name]) for name in sessions}


def _type(session: Session, prompt: Sequence[int]) -> tuple[float, int]:
    """Return how long a prompt took to read and how many tokens of it were; write a completion."""
    started = time.perf_counter()
    _, num_reused = session.prefill(prompt, CancelToken())
    elapsed_ms = 1000 * (time.perf_counter() - started)
    for token_id in range(NUM_COMPLETED):
        session.append([token_id], CancelToken())
    return elapsed_ms, len(prompt) - num_reused


def timed_step(session: Session, token_id: int) -> float:
    started = time.perf_counter()
    session.append([token_id], CancelToken())
    return 1000 * (time.perf_counter() - started)


def _figures(steps: Sequence[float], typed: Sequence[tuple[float, int]]) -> Figures:
    (first_ms, first_tokens), *others = typed
    return Figures(
        step_ms=round(statistics.median(steps), 3),
        first_ms=round(first_ms, 2),
        first_tokens=first_tokens,
        next_ms=round(statistics.median(elapsed for elapsed, _ in others), 2),
        next_tokens=statistics.median(count for _, count in others),
    )


if __name__ == "__main__":
    main()
