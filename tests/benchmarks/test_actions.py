"""What is broken in a file can be told from it, and is where the case says."""

import ast

from benchmarks.actions import MAKERS, Case, cases
from evaluation.sources import Source

TEXT = '''import os


def total(prices: list[int], start: int = 0) -> int:
    """Add up all prices."""
    result = start
    for price in prices:
        result += price
    return result


def empty(number):
    if number:
        number = number + 1
    return number
'''


def found() -> dict[str, Case]:
    return {case.kind: case for case in cases(Source("a.py", TEXT, "python"))}


def test_there_is_a_case_of_each_kind() -> None:
    assert set(found()) == set(MAKERS)


def test_what_was_taken_away_or_broken_is_gone() -> None:
    for kind, case in found().items():
        assert case.original == TEXT
        assert (case.text == TEXT) == (kind == "explain")
    assert '"""' not in found()["docstring"].text
    assert "list[int]" not in found()["types"].text
    assert "pass" in found()["body"].text


def test_only_what_is_of_syntax_breaks_the_syntax() -> None:
    for kind, case in found().items():
        try:
            ast.parse(case.text)
        except SyntaxError:
            assert kind == "syntax"
        else:
            assert kind != "syntax"


def test_what_is_flagged_is_what_was_misspelt() -> None:
    case = found()["name"]
    ((start, end, message),) = case.flagged
    assert case.text[start:end] in message
    assert case.text[start:end] not in TEXT
