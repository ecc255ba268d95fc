"""Of a workspace's files those are read that somebody wrote and nobody wants left alone."""

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from lsp_server import survey
from lsp_server.survey import MAX_LINE_CHARACTERS, Survey, written_text


def written_files(*folders: str) -> list[Path]:
    found = Survey(folders)
    while found.look():
        pass
    return list(found.newest())


def check(folder: Path, files: Mapping[str, str], *, found: list[str]) -> None:
    for number, (name, text) in enumerate(files.items()):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        os.utime(path, (number, number))
    paths = written_files(folder.as_uri())
    assert [path.relative_to(folder).as_posix() for path in paths] == found


def test_the_newest_come_first(tmp_path: Path) -> None:
    check(tmp_path, {"a.py": "a", "b/c.ts": "b", "d.md": "c"}, found=["d.md", "b/c.ts", "a.py"])


@pytest.mark.parametrize(
    "name",
    [
        *(".git/a.py", "node_modules/a/b.js", "target/a.rs", ".venv/a.py", "secrets.toml"),
        *("picture.png", "notes", "ignored/a.py", "a.generated.py", "left/alone.py"),
    ],
)
def test_what_is_left_alone(tmp_path: Path, name: str) -> None:
    rules = {".gitignore": "ignored/\n*.generated.py\n", ".inklingignore": "left\n"}
    check(tmp_path, {**rules, name: "text", "kept.py": "text"}, found=["kept.py"])


@pytest.mark.parametrize("mark", ["pyvenv.cfg", "CACHEDIR.TAG"])
def test_what_is_installed_or_kept_by_a_program_is_left_alone(tmp_path: Path, mark: str) -> None:
    check(tmp_path, {f"env/{mark}": "", "env/lib/a.py": "a", "b.py": "b"}, found=["b.py"])


def test_links_are_not_followed(tmp_path: Path) -> None:
    outside, inside = tmp_path / "outside", tmp_path / "inside"
    outside.mkdir()
    (outside / "a.py").write_text("a")
    inside.mkdir()
    (inside / "linked").symlink_to(outside)
    (inside / "a.py").symlink_to(outside / "a.py")
    check(inside, {"b.py": "b"}, found=["b.py"])


def test_there_is_an_end_to_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(survey, "MAX_FILES", 2)
    check(tmp_path, {"a.py": "", "b.py": "", "c.py": ""}, found=["c.py", "b.py"])


def test_folders_far_down_may_be_too_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(survey, "MAX_FOLDERS", 2)
    check(tmp_path, {"1/a.py": "", "1/2/b.py": ""}, found=["1/a.py"])


def test_folders_that_are_no_local_ones_hold_nothing(tmp_path: Path) -> None:
    assert written_files("vscode-vfs://github/a", "file:///nowhere/at/all", "untitled:1") == []


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"x = 1\n", "x = 1\n"),
        (b"\xff\xfe", None),
        (b"a\0b", None),
        (b"x" * (MAX_LINE_CHARACTERS + 1), None),
        (b'token = "abcdefgh12345678"\n', 'token = "****************"\n'),
    ],
)
def test_what_is_read_of_a_file(tmp_path: Path, content: bytes, text: str | None) -> None:
    path = tmp_path / "a.py"
    path.write_bytes(content)
    assert written_text(path) == text
    assert written_text(tmp_path / "gone.py") is None
