"""Errors, statements and blocks as a grammar sees them, in characters."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference import syntax


def check(
    source: str,
    language: str,
    *,
    errors: int | None = 0,
    statements: tuple[str, ...] = (),
    blocks: tuple[str, ...] = (),
) -> None:
    assert syntax.num_errors(source, language) == errors
    found = [source[start:end] for start, end in syntax.statements(source, language)]
    assert tuple(found) == statements
    found = [source[start:end] for start, end in syntax.blocks(source, language)]
    assert tuple(found) == blocks


def test_a_block_stands_without_its_indentation() -> None:
    check(
        "def f(a):\n    b = a\n    return b\n",
        "python",
        statements=("b = a", "return b"),
        blocks=("b = a\n    return b",),
    )


def test_blocks_come_outermost_first() -> None:
    inner = "pass\n        continue"
    check(
        f"for a in b:\n    while a:\n        {inner}\n",
        "python",
        blocks=(f"while a:\n        {inner}", inner),
    )


def test_a_statement_over_several_lines_is_one() -> None:
    check("f(\n    1,\n)\n", "python", statements=("f(\n    1,\n)",))


def test_a_block_stands_without_its_braces() -> None:
    check(
        "function f(a) {\n  return a;\n}\n",
        "javascript",
        statements=("return a;",),
        blocks=("return a;",),
    )


def test_an_empty_block_is_none() -> None:
    check("function f() {}\n", "javascript")


def test_types_are_typescript() -> None:
    check("type A = B<C>;\n", "typescript", statements=("type A = B<C>;",))


def test_types_are_not_javascript() -> None:
    assert syntax.num_errors("let a: B<C> = d;\n", "javascript") != 0


def test_markup_is_tsx() -> None:
    source = "const a = <b>c</b>;\n"
    check(source, "typescriptreact", statements=("const a = <b>c</b>;",))


def test_offsets_count_characters() -> None:
    check("a = '🦑é'\nb = 1\n", "python", statements=("a = '🦑é'", "b = 1"))


def test_what_cannot_be_understood_is_an_error() -> None:
    check("f(1", "python", errors=1)


def test_what_is_missing_is_an_error() -> None:
    check("a = (1;", "javascript", errors=1, statements=("a = (1;",))


def test_what_is_too_much_is_an_error() -> None:
    check("a = 1 )\n", "python", errors=1, statements=("a = 1",))


@pytest.mark.parametrize("language", ["markdown", "perl", "plaintext", "no such language"])
def test_without_a_grammar_there_is_no_answer(language: str) -> None:
    check("a = 1\n", language, errors=None)


@given(st.text(alphabet=st.characters(codec="utf-8") | st.sampled_from("(){}:\n 🦑=")))
def test_spans_lie_inside_any_text(text: str) -> None:
    for language in ("python", "typescript"):
        errors = syntax.num_errors(text, language)
        assert errors is not None
        assert errors >= 0
        for start, end in [*syntax.statements(text, language), *syntax.blocks(text, language)]:
            assert 0 <= start <= end <= len(text)


@given(st.text(max_size=8).filter(lambda text: "\n" not in text and "\r" not in text))
def test_what_stands_before_moves_spans_by_its_characters(comment: str) -> None:
    source = "def f():\n    a = 1\n"
    before = f"#{comment.encode('utf-8', 'replace').decode()}\n".replace("\0", " ")
    moved = [
        (start + len(before), end + len(before))
        for start, end in syntax.statements(source, "python")
    ]
    assert syntax.statements(before + source, "python") == moved


def test_half_a_surrogate_pair_is_one_character() -> None:
    check("a = '\ud800'\nb\n", "python", statements=("a = '\ud800'", "b"))


@pytest.mark.parametrize(
    ("source", "language", "scope"),
    [
        ("x = 1  # the <|>\ny = 2\n", "python", "comment"),
        ("x = <|>1\n", "python", "code"),
        ("x = 'a<|>b'\n", "python", "string"),
        ("x = 'ab'<|>\n", "python", "code"),
        ("x = <|>'ab'\n", "python", "code"),
        ("x = f'a{b<|>}c'\n", "python", "code"),
        ("x = f'a<|>{b}c'\n", "python", "string"),
        ('def f():\n    """Say <|>\n    all."""\n', "python", "docstring"),
        ("x = 1 /* the <|> */;\n", "javascript", "comment"),
        ("x = 1 /* the */<|>;\n", "javascript", "code"),
        ("x = 1; // the<|>\n", "javascript", "comment"),
        ("x = `a${b<|>}c`;\n", "javascript", "code"),
        ("x = `a<|>${b}c`;\n", "javascript", "string"),
        ('const x: string = "a<|>b";\n', "typescript", "string"),
        ("<|>", "python", "code"),
        ('x = "a<|>\ny = 2\n', "python", "string"),
        ("x = 'a' + 'it\\'s<|>\ny = 2\n", "python", "string"),
        ("x = (1  # it's\ny = <|>", "python", "code"),
        ('f(a, "<|>\n', "javascript", "string"),
    ],
)
def test_a_cursor_stands_in_code_or_in_text(source: str, language: str, scope: str) -> None:
    before, behind = source.split("<|>")
    found = syntax.place(before, behind, language)
    assert found is not None
    assert found.scope == scope


@pytest.mark.parametrize(
    ("source", "text", "before", "after"),
    [
        ("x = <|>\n", "1", 1, 0),
        ("x = f(<|>)\n", "1)", 0, 1),
        ("def f(a):\n    return <|>\n", "a", 0, 0),
        ("é = <|>\n", "'é'", 1, 0),
    ],
)
def test_a_text_mends_or_adds_errors(source: str, text: str, before: int, after: int) -> None:
    found = syntax.place(*source.split("<|>"), "python")
    assert found is not None
    checked = found.check(text)
    assert (checked.num_errors_before, checked.num_errors_after) == (before, after)


@given(st.text(), st.text(), st.text())
def test_a_text_is_checked_as_if_it_were_read_anew(prefix: str, text: str, suffix: str) -> None:
    found = syntax.place(prefix, suffix, "python")
    assert found is not None
    assert found.check(text) == found.check(text)
    assert found.check(text).num_errors_after == syntax.num_errors(prefix + text + suffix, "python")


def test_far_from_the_cursor_nothing_is_parsed() -> None:
    far = "def f():\n    x = (\n" + "    y = 1\n" * 2_000
    found = syntax.place(far + "def g():\n    return ", "\n", "python")
    assert found is not None
    assert found.num_errors == 0


def test_there_is_no_place_without_a_grammar() -> None:
    assert syntax.place("a", "b", "plaintext") is None
