"""What a change of the document says of a suggestion, and how much of an accepted one is kept."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsp_server.insight.acceptance import Suggestion, continued, follow, kept_share
from lsp_server.lines import Lines

SHOWN = "sum(values) / len(values)"
BEFORE = "def mean(values):\n    return "
AFTER = "\n\nprint(mean([1, 2]))\n"


def check(
    *versions: str, text: str = SHOWN, at: int = len(BEFORE), whole: bool = False
) -> Suggestion | None:
    """Follow a suggestion over versions of its document; each brings its text, or all of it."""
    suggestion: Suggestion | None = Suggestion(text, at)
    for before, after in pairwise(versions):
        assert suggestion is not None
        inserted = [after] if whole else [_inserted(before, after)]
        suggestion = follow(suggestion, Lines.of(before), Lines.of(after), inserted)
    return suggestion


def _inserted(before: str, after: str) -> str:
    start = next((i for i, (a, b) in enumerate(zip(before, after, strict=False)) if a != b), None)
    if start is None:
        start = min(len(before), len(after))
    return after[start : len(after) - (len(before) - start)]


def with_text(text: str) -> str:
    return BEFORE + text + AFTER


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize(
    ("typed", "reached", "taken"),
    [
        pytest.param([SHOWN], len(SHOWN), len(SHOWN), id="all of it at once"),
        pytest.param(["sum"], 3, 3, id="a word of it"),
        pytest.param(["sum", "sum(values) "], 12, 12, id="words of it, one after the other"),
        pytest.param(["s", "su", SHOWN], len(SHOWN), len(SHOWN) - 2, id="the rest after letters"),
        pytest.param(["s", "su", "sum"], 3, 0, id="typed by hand"),
        pytest.param(["su"], 2, 0, id="two letters in one message"),
        pytest.param(["sum()"], None, None, id="a bracket that the editor closes"),
        pytest.param(["max"], None, None, id="something else"),
        pytest.param(["su", "s"], None, None, id="taken back"),
    ],
)
def test_what_stands_in_its_place(
    typed: list[str], reached: int | None, taken: int | None, whole: bool
) -> None:
    found = check(with_text(""), *map(with_text, typed), whole=whole)
    assert (found and found.reached, found and found.taken) == (reached, taken)


@pytest.mark.parametrize(
    ("text", "piece", "taken"),
    [
        ("\n    pass", "\n    ", 0),  # a new line that the editor indents
        ("()", "()", 0),
        (")", ")", 0),
        ("if x:\n    return 1\nelse:", "if x:\n", 6),
        ("x = 1\n", "x = 1\n", 6),
    ],
)
def test_blanks_and_closed_brackets_are_typed(text: str, piece: str, taken: int) -> None:
    found = check(with_text(""), with_text(piece), text=text)
    assert found is not None
    assert (found.reached, found.taken) == (len(piece), taken)


def test_what_a_client_removes_beside_it_does_not_matter() -> None:
    """Some replace what follows on the line, which the suggestion repeats."""
    found = check("f()\nx", "f(values)\nx", text="values)", at=2, whole=True)
    assert found is not None
    assert (found.rest, found.taken) == ("", len("values)"))


@pytest.mark.parametrize(
    ("version", "moved"),
    [
        pytest.param("import os\n" + with_text(""), 10, id="above"),
        pytest.param(with_text("") + "print()\n", 0, id="below"),
        pytest.param(with_text(""), 0, id="nothing"),
    ],
)
def test_a_change_elsewhere_leaves_it(version: str, moved: int) -> None:
    long = "x = 1\n" * 40
    found = check(long + with_text("") + long, _around(version, long), at=240 + len(BEFORE))
    assert found is not None
    assert (found.reached, found.offset) == (0, 240 + len(BEFORE) + moved)


def _around(version: str, long: str) -> str:
    head, separator, tail = version.partition(BEFORE)
    return (
        head
        + long
        + separator
        + tail.removesuffix("print()\n")
        + long
        + ("print()\n" if tail.endswith("print()\n") else "")
    )


@given(st.text("ab \n", max_size=30), st.integers(0, 30), st.text("ab \n(", min_size=1, max_size=9))
def test_a_suggestion_that_is_inserted_whole_has_nothing_left(
    document: str, at: int, text: str
) -> None:
    at = min(at, len(document))
    found = check(document, document[:at] + text + document[at:], text=text, at=at)
    assert found is not None
    assert not found.rest or found.rest == text  # where the text repeats what surrounds it


@given(st.text("ab\n", max_size=20), st.text("ab\n", max_size=20), st.integers(0, 20))
def test_what_is_followed_stays_inside_the_document(before: str, after: str, at: int) -> None:
    found = check(before, after, text="ab", at=min(at, len(before)))
    assert found is None or 0 <= found.offset <= found.place <= len(after)


@pytest.mark.parametrize(
    ("reached", "text", "offset", "expected"),
    [
        (3, "(values) / len(values)", 13, SHOWN),
        (3, "(values) / len(values) + 1", 13, SHOWN + " + 1"),
        (3, "(values)", 13, None),
        (3, "(values) / len(values)", 14, None),
        (3, "[0]", 13, None),
        (len(SHOWN), "x", 10 + len(SHOWN), None),
    ],
)
def test_a_newer_answer_continues_it_or_is_another(
    reached: int, text: str, offset: int, expected: str | None
) -> None:
    found = continued(Suggestion(SHOWN, 10, reached), text, offset)
    assert (found and found.text) == expected


CODE = "total = sum(values)\ncount = len(values)\nreturn total / count\n"
OTHER = "".join(f"import module{number}\n" for number in range(60))


@pytest.mark.parametrize(
    ("now", "lowest", "highest"),
    [
        (OTHER + CODE + OTHER, 1.0, 1.0),
        (CODE + OTHER, 1.0, 1.0),  # it moved
        (OTHER + "    " + CODE.replace("\n", "\n    ") + OTHER, 1.0, 1.0),  # indented anew
        (OTHER + CODE.replace("count", "number") + OTHER, 0.6, 0.9),
        (OTHER + CODE.partition("return")[0] + OTHER, 0.6, 0.8),
        (OTHER + OTHER, 0.0, 0.0),
        ("", 0.0, 0.0),
    ],
)
def test_how_much_is_kept(now: str, lowest: float, highest: float) -> None:
    assert lowest <= kept_share(CODE, Lines.of(now), len(OTHER)) <= highest


@given(st.text(max_size=40), st.text(max_size=80), st.integers(0, 100))
def test_a_share_is_a_share(text: str, now: str, offset: int) -> None:
    lines = Lines.of(now)
    assert 0.0 <= kept_share(text, lines, min(offset, lines.num_characters)) <= 1.0
