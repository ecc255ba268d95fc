"""Dense twins have the sizes that they are named for."""

import pytest

from benchmarks.twins import dense_config, moe_config
from export.architectures import read_architecture
from export.checkpoint.config import Config
from export.spec.decoder import DecoderSpec, num_active_parameters, num_parameters


def spec_of(config: dict[str, object]) -> DecoderSpec:
    return read_architecture(Config(config, "config.json")).spec


@pytest.mark.parametrize("shape", ["base", "olmoe"])
def test_twins_are_as_large_but_for_routers(shape: str) -> None:
    moe = moe_config(shape)
    experts = spec_of(moe)
    active = spec_of(dense_config(moe, moe["num_experts_per_tok"]))
    total = spec_of(dense_config(moe, moe["num_experts"]))
    num_active = num_active_parameters(experts)
    assert num_active_parameters(active) == pytest.approx(num_active, rel=0.01)
    assert num_parameters(total) == pytest.approx(num_parameters(experts), rel=0.01)
