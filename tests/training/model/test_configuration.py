"""The configurations are within their limits, and what is wrong in one is said."""

from pathlib import Path

import pytest

from training.errors import TrainingError
from training.model.configuration import (
    CONFIGURATIONS,
    from_config_json,
    read_configuration,
    to_config_json,
)

NANO = (CONFIGURATIONS / "nano.toml").read_text("utf-8")


def check(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "some.toml").write_text(text)
    with pytest.raises(TrainingError, match=message):
        read_configuration(str(tmp_path / "some.toml"))


def test_base_is_within_its_limits() -> None:
    shape = read_configuration("base").shape
    assert shape.num_parameters <= 64_000_000
    assert shape.num_active_parameters <= 20_000_000


def test_nano_is_within_its_limits() -> None:
    assert read_configuration("nano").shape.num_parameters <= 16_000_000


def test_the_dense_twins_are_twins() -> None:
    base, total, active = (
        read_configuration(name).shape for name in ("base", "dense_total", "dense_active")
    )
    assert total.num_active_parameters == pytest.approx(base.num_parameters, rel=0.01)
    assert active.num_parameters == pytest.approx(base.num_active_parameters, rel=0.01)


@pytest.mark.parametrize("name", ["base", "nano", "dense_total", "dense_active"])
def test_a_shape_survives_config_json(name: str) -> None:
    shape = read_configuration(name).shape
    assert from_config_json(to_config_json(shape)) == shape


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(TrainingError, match="use one of base, dense_active, dense_total, nano"):
        read_configuration("huge")


def test_sizes_are_multiples_of_a_block(tmp_path: Path) -> None:
    check(NANO.replace("hidden_size = 256", "hidden_size = 200"), "hidden_size 200", tmp_path)


def test_a_batch_is_whole_windows(tmp_path: Path) -> None:
    check(NANO.replace("= 512", "= 500"), "no multiple of sequence_length", tmp_path)


def test_a_misspelled_field_is_refused(tmp_path: Path) -> None:
    check(NANO.replace("num_experts =", "num_expert ="), "num_expert", tmp_path)


def test_another_model_is_refused() -> None:
    config = to_config_json(read_configuration("nano").shape)
    with pytest.raises(TrainingError, match="tie_word_embeddings is False"):
        from_config_json(config | {"tie_word_embeddings": False})
