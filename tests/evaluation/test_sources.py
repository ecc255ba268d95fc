"""Which files holes are cut into."""

from pathlib import Path

import pytest

from evaluation.sources import MAX_FILE_BYTES, read_sources
from inference.errors import InvalidRequestError


def check(files: dict[str, bytes], *, tmp_path: Path, reads: list[str], paths: str = ".") -> None:
    """`reads` are the names found under the `paths`, in order."""
    for name, content in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    sources = read_sources([tmp_path / path for path in paths.split()])
    assert [Path(source.path).relative_to(tmp_path).as_posix() for source in sources] == reads


def test_a_folder_is_read_in_order_of_name(tmp_path: Path) -> None:
    check(
        {"b.py": b"b", "a/c.js": b"c", "a/a.py": b"a"},
        tmp_path=tmp_path,
        reads=["a/a.py", "a/c.js", "b.py"],
    )


def test_what_is_no_code_is_passed_over(tmp_path: Path) -> None:
    check({"a.py": b"a", "b.bin": b"b", "LICENSE": b"c"}, tmp_path=tmp_path, reads=["a.py"])


def test_what_is_not_utf_8_is_passed_over_in_a_folder(tmp_path: Path) -> None:
    check({"a.py": b"\xff", "b.py": b"b"}, tmp_path=tmp_path, reads=["b.py"])


def test_large_files_are_passed_over_in_a_folder(tmp_path: Path) -> None:
    check({"a.py": b"a" * (MAX_FILE_BYTES + 1)}, tmp_path=tmp_path, reads=[])


@pytest.mark.parametrize("folder", [".git", "node_modules", "__pycache__", "build"])
def test_what_tools_fill_is_passed_over(tmp_path: Path, folder: str) -> None:
    check({f"{folder}/a.py": b"a", "b.py": b"b"}, tmp_path=tmp_path, reads=["b.py"])


def test_a_named_file_is_read_whatever_it_is(tmp_path: Path) -> None:
    check({"LICENSE": b"a"}, tmp_path=tmp_path, paths="LICENSE", reads=["LICENSE"])


def test_a_file_that_is_named_twice_is_read_once(tmp_path: Path) -> None:
    check({"a.py": b"a"}, tmp_path=tmp_path, paths="a.py . a.py", reads=["a.py"])


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    check({"a.py": b"a"}, tmp_path=tmp_path, reads=["a.py"])


def test_line_ends_and_languages_are_kept(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_bytes(b"a\r\nb")
    (source,) = read_sources([tmp_path])
    assert (source.text, source.language) == ("a\r\nb", "python")


def test_a_path_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequestError, match=r"cannot read .*nothing: No such file"):
        read_sources([tmp_path / "nothing"])


def test_a_named_file_that_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_bytes(b"a\xff")
    with pytest.raises(InvalidRequestError, match="not UTF-8 at byte 1"):
        read_sources([tmp_path / "a.py"])
