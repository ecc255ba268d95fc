"""models: the page says what the registry, the GGUF table and the published configs say now."""

import shutil
from pathlib import Path

from benchmarks.models import (
    CONFIGS,
    FAMILIES_COMMAND,
    HOLES,
    PAGE,
    REASONS_COMMAND,
    TRIED,
    refusals,
    write_page,
)
from benchmarks.report import written_table
from export.architectures import FAMILIES

NAMES = {family.model_type for family in FAMILIES}


def test_the_page_is_what_the_command_writes(tmp_path: Path) -> None:
    page = shutil.copyfile(PAGE, tmp_path / "models.md")
    write_page(page)
    assert page.read_text("utf-8") == PAGE.read_text("utf-8"), "python -m benchmarks.models --write"


def test_every_family_and_every_config_is_told_of() -> None:
    rows = written_table(PAGE, FAMILIES_COMMAND)
    assert {row[""].strip("`") for row in rows} == NAMES
    counts = [row["configs"].split(" of ") for row in rows if row["configs"]]
    of_families = sum(int(total) for _, total in counts)
    read = sum(int(number) for number, _ in counts)
    total = len(list(CONFIGS.glob("*.json")))
    assert total - len(refusals()) == read <= of_families
    assert len(written_table(PAGE, REASONS_COMMAND)) == total - read


def test_what_is_known_by_hand_is_of_families_that_there_are() -> None:
    assert HOLES.keys() | TRIED.keys() <= NAMES
