"""families: the page of models has a row for every family, and is read as it was written."""

import pytest
from click.testing import CliRunner

from benchmarks.families import main, written_cells
from export.architectures import FAMILIES


def test_every_family_has_its_row() -> None:
    rows = written_cells()
    assert set(rows) == {family.model_type for family in FAMILIES}
    assert {len(row) for row in rows.values()} == {6}


@pytest.mark.parametrize("name", ["nobody", "qwen3_next,"])
def test_a_family_that_does_not_exist(name: str) -> None:
    result = CliRunner().invoke(main, [name])
    assert result.exit_code == 2
    assert f"{name} is no family; there are qwen3_moe" in result.output
