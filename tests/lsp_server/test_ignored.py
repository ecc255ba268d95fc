"""Ignore files say what is left alone, as git reads them; none outside the workspace does."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from lsp_server.ignored import FRESH_SECONDS, IgnoreFiles


def check(
    folder: Path,
    files: Mapping[str, str],
    *,
    ignored: tuple[str, ...] = (),
    read: tuple[str, ...] = (),
    root: str = "",
) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    names = IgnoreFiles().names
    roots = [(folder / root).as_uri()]
    assert [name for name in ignored if not names((folder / name).as_uri(), roots)] == []
    assert [name for name in read if names((folder / name).as_uri(), roots)] == []


def test_both_kinds_of_files_count(tmp_path: Path) -> None:
    check(
        tmp_path,
        {".gitignore": "build/\n", ".inklingignore": "*.tex\n"},
        ignored=("build/a.py", "build/b/c.py", "a.tex", "b/a.tex"),
        read=("a.py", "builds/a.py"),
    )


def test_the_nearest_file_has_the_last_word(tmp_path: Path) -> None:
    check(
        tmp_path,
        {".gitignore": "*.py\n", "kept/.gitignore": "!a.py\n"},
        ignored=("a.py", "kept/b.py"),
        read=("kept/a.py",),
    )


def test_what_lies_outside_the_workspace_is_not_read(tmp_path: Path) -> None:
    check(tmp_path, {".gitignore": "*\n"}, read=("inside/a.py", "other/a.py"), root="inside")


def test_without_a_file_nothing_is_ignored(tmp_path: Path) -> None:
    check(tmp_path, {}, read=("a.py",))


def test_what_is_no_text_ignores_nothing(tmp_path: Path) -> None:
    (tmp_path / ".gitignore").write_bytes(b"\xff\xfe\x00*\n")
    (tmp_path / ".inklingignore").mkdir()
    check(tmp_path, {}, read=("a.py",))


@pytest.mark.parametrize(
    "uri",
    ["untitled:Untitled-1", "file://server/share/a.py", "file:///a%00b", "http://[", "", "a.py"],
)
def test_what_is_no_local_file_is_named_by_none(uri: str) -> None:
    assert not IgnoreFiles().names(uri, ["file:///"])


def test_it_is_read_again_after_a_while(tmp_path: Path) -> None:
    now = 0.0
    files, uri = IgnoreFiles(clock=lambda: now), (tmp_path / "a.py").as_uri()
    assert not files.names(uri, [tmp_path.as_uri()])
    (tmp_path / ".gitignore").write_text("a.py\n")
    assert not files.names(uri, [tmp_path.as_uri()])
    now += FRESH_SECONDS
    assert files.names(uri, [tmp_path.as_uri()])
