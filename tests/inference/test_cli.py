"""`inkling complete` finds the place it is told, or says why it cannot."""

from pathlib import Path

import msgspec
import pytest

from inference.cli import complete, read_hole, request_for
from inference.completion import MAX_TEXT_CHARACTERS
from inference.errors import InvalidRequestError
from lsp_server.convert import completion_request
from lsp_server.policy.gate import Trigger
from lsp_server.policy.length import first_text_ms, max_tokens
from lsp_server.settings import Settings
from tests.support.sessions import document_of

SOURCE = "def f():\n    return 1\n"


def check(
    place: str,
    *,
    tmp_path: Path,
    content: bytes = SOURCE.encode(),
    until: str | None = None,
    cuts: tuple[str, str] | None = None,
    refuses: str = "",
) -> None:
    (tmp_path / "a.py").write_bytes(content)
    if cuts is None:
        with pytest.raises(InvalidRequestError, match=refuses):
            read_hole(f"{tmp_path}/{place}", until)
    else:
        hole = read_hole(f"{tmp_path}/{place}", until)
        assert (hole.prefix, hole.suffix) == cuts
        assert hole.prefix + hole.removed + hole.suffix == content.decode()


def test_it_cuts_at_the_column(tmp_path: Path) -> None:
    check("a.py:2:5", tmp_path=tmp_path, cuts=("def f():\n    ", "return 1\n"))


def test_the_end_of_a_line_is_one_behind_it(tmp_path: Path) -> None:
    check("a.py:1:9", tmp_path=tmp_path, cuts=("def f():", "\n    return 1\n"))


def test_the_line_behind_the_last_break_exists(tmp_path: Path) -> None:
    check("a.py:3:1", tmp_path=tmp_path, cuts=(SOURCE, ""))


def test_an_empty_file_has_one_place(tmp_path: Path) -> None:
    check("a.py:1:1", tmp_path=tmp_path, content=b"", cuts=("", ""))


def test_carriage_returns_stay_and_do_not_count(tmp_path: Path) -> None:
    check("a.py:1:2", tmp_path=tmp_path, content=b"a\r\nb", cuts=("a", "\r\nb"))


def test_characters_count_not_bytes(tmp_path: Path) -> None:
    check("a.py:1:3", tmp_path=tmp_path, content="é🦑x".encode(), cuts=("é🦑", "x"))


def test_what_stands_up_to_until_is_taken_out(tmp_path: Path) -> None:
    check("a.py:2:5", until="2:13", tmp_path=tmp_path, cuts=("def f():\n    ", "\n"))


def test_a_line_outside_the_file_is_refused(tmp_path: Path) -> None:
    check("a.py:4:1", tmp_path=tmp_path, refuses="has 3 lines; line 4 is outside it")


def test_a_column_outside_the_line_is_refused(tmp_path: Path) -> None:
    check("a.py:1:10", tmp_path=tmp_path, refuses="has 8 characters; column 10 is outside it")


def test_line_zero_is_refused(tmp_path: Path) -> None:
    check("a.py:0:1", tmp_path=tmp_path, refuses="line 0 is outside")


def test_a_place_needs_its_three_parts(tmp_path: Path) -> None:
    check("a.py", tmp_path=tmp_path, refuses="write FILE:LINE:COLUMN")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    check("b.py:1:1", tmp_path=tmp_path, refuses=r"cannot read .*b\.py: No such file")


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "c").mkdir()
    check("c:1:1", tmp_path=tmp_path, refuses="cannot read")


def test_a_file_that_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    check("a.py:1:1", tmp_path=tmp_path, content=b"a = '\xe9'", refuses="not UTF-8 at byte 5")


def test_until_before_the_place_is_refused(tmp_path: Path) -> None:
    check("a.py:2:5", until="1:1", tmp_path=tmp_path, refuses="swap them")


def test_until_needs_two_numbers(tmp_path: Path) -> None:
    check("a.py:2:5", until="x", tmp_path=tmp_path, refuses="write LINE:COLUMN")


@pytest.mark.parametrize(
    "place", ["1:3", "1:9", "2:5", "2:12", f"{3 * MAX_TEXT_CHARACTERS // 2}:1"], ids=str
)
def test_the_command_asks_what_the_server_asks(place: str, tmp_path: Path) -> None:
    """With their defaults, at the same place of the same file."""
    text = SOURCE + "x\n\n\n" * MAX_TEXT_CHARACTERS
    path = tmp_path / "a.py"
    path.write_text(text, "utf-8")
    hole = read_hole(f"{path}:{place}")
    defaults = {option.name: option.default for option in complete.params}
    asked = request_for(hole, scope=defaults["scope"], max_tokens=defaults["max_tokens"])
    document = document_of(text, uri=str(path))
    served = completion_request(
        document,
        len(hole.prefix),
        max_tokens=max_tokens(Settings(), Trigger.AUTOMATIC),
        first_text_ms=first_text_ms(Settings(), Trigger.AUTOMATIC),
        deadline_ms=asked.deadline_ms,
    )
    # Who asks on a command line is in no hurry.
    assert asked == msgspec.structs.replace(served, first_text_ms=None)
