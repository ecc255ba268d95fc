"""A trainer settles for the fastest way that works, and for micro-batches that fit."""

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch._dynamo.utils import counters  # noqa: E402

from training.errors import TrainingError  # noqa: E402
from training.loop.trainer import Trainer  # noqa: E402
from training.model.configuration import Configuration, Schedule, Shape  # noqa: E402
from training.model.decoder import Decoder, Losses  # noqa: E402
from training.model.experts import GROUPED  # noqa: E402

pytestmark = [
    pytest.mark.parity,
    pytest.mark.slow,
    # what a compiler warns of is not what is tested
    pytest.mark.filterwarnings("ignore"),
]

CONFIGURATION = Configuration(
    shape=Shape(
        hidden_size=128, num_hidden_layers=12, num_attention_heads=2, num_key_value_heads=1,
        num_experts=4, num_experts_per_tok=2, moe_intermediate_size=128, vocab_size=512,
    ),
    schedule=Schedule(sequence_length=32, batch_tokens=256, micro_batch_tokens=256),
)  # fmt: skip
WINDOWS = np.random.default_rng(0).integers(0, 512, (8, 33)).astype(np.uint16)


class Limited(Trainer):
    """Stands for a device: one that compiles nothing, or has room for few tokens."""

    def __init__(self, *, compiles: bool = True, room: int = 256) -> None:
        super().__init__(CONFIGURATION, torch.device("cpu"), torch.bfloat16)
        self.decoder.__class__ = _LimitedDecoder
        self.decoder.compiles = compiles
        self.decoder.room = room


class _LimitedDecoder(Decoder):
    compiles: bool
    room: int

    def run_as(self, grouping: Any, *, is_compiled: bool) -> None:
        if is_compiled and not self.compiles:
            raise RuntimeError("the compiler is not at home\nTraceback of many lines")
        # as on a GPU; torch computes the grouped product on a CPU too
        super().run_as(GROUPED if is_compiled else grouping, is_compiled=is_compiled)

    def losses(self, windows: torch.Tensor) -> Losses:
        if windows[:, 1:].numel() > self.room:
            raise torch.OutOfMemoryError("tried to allocate 2 GiB")
        return super().losses(windows)


def check(trainer: Trainer, capsys: pytest.CaptureFixture[str], *said: str) -> None:
    """Warm up, and expect what was printed, and nothing that is trained to have changed."""
    before = {name: p.detach().clone() for name, p in trainer.parameters.items()}
    trainer.warm_up(WINDOWS)
    assert capsys.readouterr().out.splitlines() == list(said)
    assert all(torch.equal(p, before[name]) for name, p in trainer.parameters.items())
    assert int(trainer.state()["num_steps"]) == 0
    assert np.isfinite(float(trainer.step(WINDOWS, scale=1.0)["prediction"]))


def test_where_everything_works_one_compilation_serves_all_layers(
    capsys: pytest.CaptureFixture[str],
) -> None:
    torch._dynamo.reset()
    counters.clear()
    check(Limited(), capsys, "cpu: compiled layers, grouped experts, 256 tokens at once")
    # a layer, the loss, and the orthogonal matrices of two shapes
    assert counters["stats"]["unique_graphs"] == 4


def test_without_a_compiler(capsys: pytest.CaptureFixture[str]) -> None:
    check(
        Limited(compiles=False),
        capsys,
        "compiled layers, grouped experts, 256 tokens at once: "
        "RuntimeError: the compiler is not at home",
        "cpu: layers as they are, grouped experts, 256 tokens at once",
    )


def test_without_much_memory(capsys: pytest.CaptureFixture[str]) -> None:
    trainer = Limited(compiles=False, room=64)
    refused = "layers as they are, grouped experts, {} tokens at once: memory ran out: "
    check(
        trainer,
        capsys,
        "compiled layers, grouped experts, 256 tokens at once: "
        "RuntimeError: the compiler is not at home",
        refused.format(256) + "tried to allocate 2 GiB",
        refused.format(128) + "tried to allocate 2 GiB",
        "cpu: layers as they are, grouped experts, 64 tokens at once",
    )
    assert trainer.micro_batch_tokens == 64


def test_where_nothing_works() -> None:
    with pytest.raises(TrainingError, match=r"no way of computing a step works here: .*memory ran"):
        Limited(compiles=False, room=16).warm_up(WINDOWS)
