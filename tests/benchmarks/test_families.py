"""families: the page of models has a row for every family, and is read as it was written."""

import pytest
from click.testing import CliRunner

from benchmarks.families import COLUMNS, PAGE, main, written_cells
from export.architectures import FAMILIES

MOST_ERROR = 1e-4


def test_every_family_has_its_row() -> None:
    rows = written_cells()
    assert set(rows) == {family.model_type for family in FAMILIES}
    assert {len(row) for row in rows.values()} == {len(COLUMNS)}


def test_the_page_keeps_what_it_promises() -> None:
    page = PAGE.read_text("utf-8")
    assert f"no row is above {MOST_ERROR:.0e}".replace("e-0", "e-") in page
    assert max(float(row[0]) for row in written_cells().values()) <= MOST_ERROR


@pytest.mark.parametrize("name", ["nobody", "qwen3_next,"])
def test_a_family_that_does_not_exist(name: str) -> None:
    result = CliRunner().invoke(main, [name])
    assert result.exit_code == 2
    assert f"{name} is no family; there are qwen3_moe" in result.output
