"""spec: the slots of a spec, and how many parameters they are."""

from math import prod

import pytest

from export.architectures import read_architecture
from export.checkpoint.config import Config
from export.spec.decoder import num_active_parameters, num_parameters, slots
from tests.support.tiny_checkpoints import TINY_MODELS, TinyModel, tensor_shapes

every_model = pytest.mark.parametrize("model", TINY_MODELS, ids=lambda model: model.name)

HIDDEN = 64
VOCAB = 272
ATTENTION = HIDDEN * (64 + 32 + 32) + 64 * HIDDEN + 2 * 16
NORMS = 2 * HIDDEN
EXPERT = 3 * HIDDEN * 32
DENSE = 3 * HIDDEN * 96


def check_active(model: TinyModel, *, layers: int) -> None:
    """One embedding row, the head and the last norm come on top of the layers."""
    spec = read_architecture(Config(model.full_config, "config.json")).spec
    assert num_active_parameters(spec) == HIDDEN + VOCAB * HIDDEN + HIDDEN + layers


def named(name: str) -> TinyModel:
    return next(model for model in TINY_MODELS if model.name == name)


@every_model
def test_all_parameters_of_the_checkpoint_are_counted_once(model: TinyModel) -> None:
    spec = read_architecture(Config(model.full_config, "config.json")).spec
    stored = sum(prod(shape) for shape in tensor_shapes(model.full_config).values())
    assert num_parameters(spec) == stored


def test_two_of_four_experts_are_active() -> None:
    check_active(named("plain"), layers=2 * (ATTENTION + NORMS + 4 * HIDDEN + 2 * EXPERT))


def test_a_tied_head_is_active_as_a_whole() -> None:
    check_active(named("tied"), layers=2 * (ATTENTION + NORMS + 4 * HIDDEN + 2 * EXPERT))


def test_a_dense_layer_is_active_as_a_whole() -> None:
    sparse = 4 * HIDDEN + 2 * EXPERT
    check_active(named("dense_first"), layers=3 * (ATTENTION + NORMS) + 2 * DENSE + sparse)


def test_slots_come_in_the_order_of_use() -> None:
    spec = read_architecture(Config(named("plain").full_config, "config.json")).spec
    names = list(slots(spec))
    assert names[0] == "embedding"
    assert names[-2:] == ["norm", "head"]
    assert names.index("layers.0.moe.down") < names.index("layers.1.attention_norm")
