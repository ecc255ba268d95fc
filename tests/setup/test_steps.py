"""What setup changes on a user's disk, and that it takes back all of it and nothing else."""

import stat
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inkling.setup.steps import BEGIN, END, Backup, CopyFolder, Run, SetupError, Step, WriteBlock

TEXT = "(require 'inkling)"
BLOCK = f";; {BEGIN}\n{TEXT}\n;; {END}\n"


@pytest.fixture
def backup(tmp_path: Path) -> Backup:
    return Backup(tmp_path / "backup")


def block_in(path: Path, text: str = TEXT) -> WriteBlock:
    return WriteBlock(path, text, ";;")


def check(path: Path, before: str | None, after: str) -> None:
    """Set up, set up again, and remove: the file holds `after`, the same, and `before`."""
    if before is not None:
        path.write_bytes(before.encode())
    backup, step = Backup(path.parent / "kept"), block_in(path)
    assert step.change() is not None
    step.apply(backup)
    assert path.read_bytes().decode() == after
    assert step.change() is None
    assert step.removal() is not None
    step.remove(backup)
    assert (path.read_bytes().decode() if path.exists() else None) == before
    assert step.removal() is None


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param(None, BLOCK, id="no file"),
        pytest.param("(setq a 1)\n", f"(setq a 1)\n\n{BLOCK}", id="a file"),
        pytest.param("(setq a 1)\n\n", f"(setq a 1)\n\n\n{BLOCK}", id="a blank line at the end"),
        pytest.param(
            "(setq a 1)\r\n",
            f"(setq a 1)\n\n{BLOCK}".replace("\n", "\r\n"),
            id="line ends of Windows",
        ),
        pytest.param("; é 日本\n", f"; é 日本\n\n{BLOCK}", id="not ASCII"),
    ],
)
def test_a_block_comes_and_goes(tmp_path: Path, before: str | None, after: str) -> None:
    check(tmp_path / "init.el", before, after)


@given(st.text(alphabet=st.sampled_from("a;(\n \té"), min_size=1).filter(str.strip))
def test_whatever_stood_there_stands_there_again(text: str) -> None:
    step = block_in(Path("init.el"))
    with_block = step._with_block(text)
    assert step._with_block(with_block) == with_block
    head, block, tail = step._parts(with_block)
    assert block == BLOCK
    assert head.startswith(text)
    assert tail == ""


def test_another_text_takes_the_place_of_the_old_one(tmp_path: Path, backup: Backup) -> None:
    path = tmp_path / "init.el"
    path.write_text(f"above\n\n{BLOCK}below\n")
    step = block_in(path, "(require 'other)")
    change = step.change()
    assert change is not None
    assert "-(require 'inkling)" in change
    assert "+(require 'other)" in change
    step.apply(backup)
    assert path.read_text() == f"above\n\n{BLOCK.replace('inkling)', 'other)')}below\n"
    assert [kept.read_text() for kept in backup.kept] == [f"above\n\n{BLOCK}below\n"]
    step.remove(backup)
    assert path.read_text() == "above\nbelow\n"


@pytest.mark.parametrize(
    "content",
    [
        f";; {BEGIN}\n(half\n".encode(),
        f";; {END}\n;; {BEGIN}\n".encode(),
        (BLOCK + BLOCK).encode(),
        b"\xff\xfe not UTF-8",
    ],
)
def test_a_file_that_cannot_be_understood_stays_as_it_is(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "init.el"
    path.write_bytes(content)
    for act in (block_in(path).change, block_in(path).removal):
        with pytest.raises(SetupError, match=r"init\.el"):
            act()
    assert path.read_bytes() == content


def test_a_link_and_the_mode_of_a_file_stay(tmp_path: Path, backup: Backup) -> None:
    real, link = tmp_path / "dotfiles" / "init.el", tmp_path / "init.el"
    real.parent.mkdir()
    real.write_text("mine\n")
    real.chmod(0o600)
    link.symlink_to(real)
    block_in(link).apply(backup)
    assert link.is_symlink()
    assert real.read_text() == f"mine\n\n{BLOCK}"
    assert stat.S_IMODE(real.stat().st_mode) == 0o600


@pytest.fixture
def client(tmp_path: Path) -> Path:
    folder = tmp_path / "client"
    (folder / "lua").mkdir(parents=True)
    (folder / "lua" / "init.lua").write_text("return {}\n")
    return folder


def test_a_folder_is_copied_once_and_renewed(tmp_path: Path, client: Path, backup: Backup) -> None:
    step = CopyFolder(client, tmp_path / "data" / "pack" / "inkling")
    step.apply(backup)
    assert step.change() is None
    assert backup.kept == []
    (client / "lua" / "init.lua").write_text("return 1\n")
    (client / "lua" / "old.lua").write_text("")
    step.apply(backup)
    (client / "lua" / "old.lua").unlink()
    assert step.change() is not None
    step.apply(backup)
    assert sorted(path.name for path in step.destination.rglob("*.lua")) == ["init.lua"]
    assert (step.destination / "lua" / "init.lua").read_text() == "return 1\n"
    assert (backup.kept[0] / "lua" / "init.lua").read_text() == "return {}\n"
    step.remove(backup)
    assert step.removal() is None
    assert list(step.destination.parent.iterdir()) == []


def test_a_link_of_the_user_is_left_alone(tmp_path: Path, client: Path) -> None:
    link = tmp_path / "inkling"
    link.symlink_to(client)
    assert CopyFolder(client, link).change() is None


def test_what_a_user_changed_is_kept(tmp_path: Path, client: Path, backup: Backup) -> None:
    step = CopyFolder(client, tmp_path / "pack")
    step.apply(backup)
    (step.destination / "lua" / "mine.lua").write_text("mine\n")
    step.remove(backup)
    assert (backup.kept[0] / "lua" / "mine.lua").read_text() == "mine\n"


def touching(path: Path) -> Callable[[], Run]:
    """Return a step whose commands make and remove a file, as an editor would an extension."""
    make = f"import pathlib; pathlib.Path({str(path)!r}).touch()"
    drop = f"import pathlib; pathlib.Path({str(path)!r}).unlink()"
    return lambda: Run(
        (sys.executable, "-c", make), (sys.executable, "-c", drop), path.exists, path.exists
    )


def test_a_command_runs_once_and_is_undone(tmp_path: Path, backup: Backup) -> None:
    step: Step = touching(tmp_path / "extension")()
    step.apply(backup)
    assert step.change() is None
    step.remove(backup)
    assert step.removal() is None


def test_a_command_that_fails_says_why(tmp_path: Path, backup: Backup) -> None:
    failing = (sys.executable, "-c", "import sys; sys.exit('no room left')")
    step = Run(failing, failing, bool, bool)
    with pytest.raises(SetupError, match="no room left"):
        step.apply(backup)
