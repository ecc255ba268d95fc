"""Which model answers: what is named, else what was chosen, else the one that ships."""

import itertools
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from inference.errors import InvalidModelError, ModelNotFoundError
from inference.package import store
from inference.package.store import EMBEDDED, choose, embedded_folder, find_model, models_folder


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    return tmp_path


def install(name: str) -> Path:
    return Path(shutil.copytree(embedded_folder(), models_folder() / name))


def check(named: str | None, *, folder: Path, reason: str) -> None:
    found = find_model(named)
    assert found.folder == folder
    assert reason in found.reason


def test_where_nothing_is_said_the_one_that_ships_answers() -> None:
    check(None, folder=embedded_folder(), reason="the one that ships")


def test_the_chosen_one_answers() -> None:
    folder = install("mine")
    choose("mine")
    check(None, folder=folder, reason="mine, as `inkling model use` says")


def test_what_is_named_wins_over_what_is_chosen() -> None:
    install("mine")
    other = install("other")
    choose("mine")
    check("other", folder=other, reason="other, by name")
    check(EMBEDDED, folder=embedded_folder(), reason="by name")


def test_a_folder_may_be_named(home: Path) -> None:
    folder = Path(shutil.copytree(embedded_folder(), home / "package"))
    check(str(folder), folder=folder, reason="the package in")


def test_the_one_that_ships_can_be_chosen_again() -> None:
    install("mine")
    choose("mine")
    choose(EMBEDDED)
    check(None, folder=embedded_folder(), reason="the one that ships")


def test_where_the_chosen_one_is_gone_the_one_that_ships_answers_and_it_is_said() -> None:
    shutil.rmtree((install("mine"), choose("mine"))[0])
    check(None, folder=embedded_folder(), reason="since mine is gone")


@pytest.mark.parametrize("act", [find_model, choose], ids=["named", "chosen"])
def test_what_is_not_there_is_told_with_what_is(act: Callable[[str], object]) -> None:
    install("mine")
    with pytest.raises(ModelNotFoundError, match="there are embedded, mine"):
        act("absent")


@pytest.mark.parametrize("written", [b"", b"\xff\xfe", b"../mine", b"/etc", b"a" * 5_000, b"a b"])
def test_a_choice_that_is_none_is_no_choice(written: bytes, home: Path) -> None:
    (home / "inkling").mkdir()
    (home / "inkling" / "model").write_bytes(written)
    check(None, folder=embedded_folder(), reason="the one that ships")


@pytest.mark.parametrize("name", ["", "..", "a/b", ".hidden", "a\nb", EMBEDDED, "x" * 101])
def test_a_name_that_could_be_a_path_is_refused(name: str) -> None:
    with pytest.raises(InvalidModelError, match="is no name for a model"):
        store.checked_name(name)


def test_half_a_package_is_not_installed() -> None:
    (models_folder() / "half").mkdir(parents=True)
    (install("mine").parent / ".mine.removed-1").mkdir()
    assert store.installed() == ["mine"]


def test_the_stamp_changes_when_the_choice_or_the_chosen_package_does() -> None:
    stamps = [store.stamp()]
    folder = install("mine")
    stamps.append(store.stamp())
    choose("mine")
    stamps.append(store.stamp())
    (folder / "manifest.json").touch()
    stamps.append(store.stamp())
    assert [before == after for before, after in itertools.pairwise(stamps)] == [
        True,
        False,
        False,
    ]
