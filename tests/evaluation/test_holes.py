"""Which pieces are taken out, and that they are the same every time."""

from collections import Counter
from collections.abc import Callable, Iterable

from hypothesis import given
from hypothesis import strategies as st

from evaluation.holes import (
    KINDS,
    MAX_HOLE_CHARACTERS,
    Hole,
    blocks,
    cut_holes,
    line_tails,
    lines,
    statements,
)
from evaluation.sources import Source
from inference.syntax import Span

CODE = "import a\n\n\ndef f(b):\n    c = b\n    return c\n\n\ndef g():\n    d = 1\n    return d\n"


def check(maker: Callable[[Source], Iterable[Span]], text: str, *pieces: str) -> None:
    found = [text[start:end] for start, end in maker(Source("a.py", text, "python"))]
    assert found == list(pieces)


def test_a_tail_begins_behind_each_character_of_a_line() -> None:
    check(line_tails, "  abcd \n", "bcd", "cd", "d")


def test_a_line_goes_without_its_indentation() -> None:
    check(lines, "if a:\n\tb = c  \n", "if a:", "b = c")


def test_lines_without_a_word_ask_for_nothing() -> None:
    check(lines, "f(\n\n   \n)\n]}\n", "f(")


def test_carriage_returns_stay() -> None:
    check(lines, "a\r\n  b\r\nc", "a", "b", "c")


def test_a_statement_may_take_several_lines() -> None:
    check(statements, "if a:\n    b(\n        c\n    )\n", "b(\n        c\n    )")


def test_a_block_of_one_line_is_a_line() -> None:
    check(blocks, "def f():\n    a\n    b\ndef g():\n    c\n", "a\n    b")


def holes(
    *texts: str, max_holes: int = 1000, seed: int = 0, language: str = "python"
) -> list[Hole]:
    sources = [Source(f"{index}.x", text, language) for index, text in enumerate(texts)]
    return cut_holes(sources, max_holes=max_holes, seed=seed)


def test_a_hole_and_what_surrounds_it_are_the_file() -> None:
    for hole in holes(CODE):
        assert hole.prefix + hole.removed + hole.suffix == CODE
        assert hole.removed.rstrip() == hole.removed != ""
        assert hole.prefix


def test_all_kinds_have_their_turn() -> None:
    counts = Counter(hole.kind.name for hole in holes(CODE, max_holes=8))
    assert counts == {kind.name: 2 for kind in KINDS}


def test_all_languages_have_their_turn() -> None:
    sources = [Source("a.py", CODE * 9, "python"), Source("a.md", "one two\nthree\n", "markdown")]
    counts = Counter(hole.source.language for hole in cut_holes(sources, max_holes=6, seed=0))
    assert counts == {"python": 4, "markdown": 2}


def test_all_files_have_their_turn() -> None:
    found = holes(CODE * 9, CODE * 2, CODE, max_holes=3 * len(KINDS))
    assert set(Counter(hole.source.path for hole in found).values()) == {len(KINDS)}


def test_a_language_without_a_grammar_has_holes_in_lines_only() -> None:
    kinds = {hole.kind.name for hole in holes("one two\nthree\n", language="perl")}
    assert kinds == {"line_tail", "line"}


def test_holes_are_no_longer_than_anyone_waits_for() -> None:
    long = "a = '" + "b" * 2 * MAX_HOLE_CHARACTERS + "'"
    assert max(len(hole.removed) for hole in holes(f"{long}\n")) == MAX_HOLE_CHARACTERS


def test_a_file_of_nothing_has_no_holes() -> None:
    assert holes("", "\n\n", "a") == []


def test_another_seed_cuts_other_holes() -> None:
    assert ids(holes(CODE * 9, max_holes=20)) != ids(holes(CODE * 9, max_holes=20, seed=1))


def test_where_a_file_lies_does_not_matter() -> None:
    texts = (CODE, CODE.replace("a", "z"), "x = 1\ny = 2\n")
    assert ids(holes(*texts, max_holes=9)) == ids(holes(*reversed(texts), max_holes=9))


def test_they_are_the_same_on_every_machine() -> None:
    """Figures of another day are held against these; drawing otherwise must be a decision."""
    found = [(hole.kind.name, hole.removed) for hole in holes(CODE, max_holes=8)]
    assert found == [
        ("line_tail", "(b):"),
        ("statement", "c = b"),
        ("block", "c = b\n    return c"),
        ("line", "return c"),
        ("block", "d = 1\n    return d"),
        ("line", "d = 1"),
        ("line_tail", "):"),
        ("statement", "d = 1"),
    ]


def ids(found: list[Hole]) -> list[str]:
    return [hole.digest for hole in found]


@given(st.text(), st.integers(0, 99), st.integers(1, 20))
def test_any_text_can_be_cut(text: str, seed: int, max_holes: int) -> None:
    text = text.encode("utf-8", "replace").decode()
    found = holes(text, max_holes=max_holes, seed=seed)
    assert len(found) <= max_holes
    assert len({(hole.kind.name, hole.span) for hole in found}) == len(found)
    for hole in found:
        assert hole.prefix + hole.removed + hole.suffix == text
