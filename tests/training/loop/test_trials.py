"""Trials of equal compute: the wider shape gets fewer steps."""

from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("matplotlib")

from training.loop.speed import flops_per_token
from training.loop.trials import steps_for, to_toml, variations
from training.model.configuration import read_configuration

pytestmark = pytest.mark.parity
TRIALS = Path(__file__).parents[3] / "training" / "trials.toml"


def test_trials_use_the_same_compute() -> None:
    for _, configuration in variations(TRIALS):
        schedule = configuration.schedule
        per_token = flops_per_token(configuration.shape, schedule.sequence_length)
        used = steps_for(configuration, 1e15) * schedule.batch_tokens * per_token
        assert used == pytest.approx(1e15, rel=0.01)


def test_a_written_configuration_reads_back(tmp_path: Path) -> None:
    for name, configuration in variations(TRIALS):
        (tmp_path / f"{name}.toml").write_text(to_toml(configuration))
        assert read_configuration(str(tmp_path / f"{name}.toml")) == configuration


def test_operations_are_counted_as_kaplan_does() -> None:
    shape = read_configuration("nano").shape
    attention = 6 * shape.num_hidden_layers * shape.num_attention_heads * shape.head_dim
    assert flops_per_token(shape, 0) == 6 * shape.num_active_parameters
    assert flops_per_token(shape, 512) - flops_per_token(shape, 0) == 512 * attention
