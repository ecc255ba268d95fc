"""Each action: where it is offered, what it asks, and what of the answers is good enough."""

from collections.abc import Sequence
from typing import Literal

import pytest

from inference.syntax import num_errors
from lsp_server.actions import ACTIONS
from lsp_server.actions.action import Edit, Filled, Flagged, NewFile, Shown, Site

BY_NAME = {action.name: action for action in ACTIONS}


class FakeAsk:
    """Answers in order what is written down, then nothing; the syntax is really looked at."""

    def __init__(
        self, language: str, fills: Sequence[str] = (), answers: Sequence[str] = ()
    ) -> None:
        self._language = language
        self._fills, self._answers = list(fills), list(answers)
        self.holes: list[tuple[str, str]] = []

    async def fill(
        self,
        before: str,
        behind: str,
        *,
        scope: Literal["line", "block"] = "block",
        max_tokens: int = 128,
    ) -> Filled:
        self.holes.append((before, behind))
        return Filled(self._fills.pop(0) if self._fills else "", 0.0)

    async def instruct(self, task: str, code: str, *, max_tokens: int = 256) -> str:
        return self._answers.pop(0) if self._answers else ""

    async def num_errors(self, text: str) -> int:
        return num_errors(text, self._language) or 0


def site(marked: str, language: str, flagged: tuple[str, str] | None = None) -> Site:
    """Return a site whose selection stands between <| and |>, or whose cursor is <|>."""
    if "<|>" in marked:
        before, behind = marked.split("<|>")
        start = end = len(before)
        text = before + behind
    else:
        before, rest = marked.split("<|")
        selected, behind = rest.split("|>")
        start, end, text = len(before), len(before) + len(selected), before + selected + behind
    spans = list[Flagged]()
    if flagged is not None:
        span, message = flagged
        first = text.index(span)
        spans.append(Flagged(first, first + len(span), message))
    return Site(text, language, start, end, spans)


async def check(
    name: str,
    marked: str,
    becomes: str | None,
    *,
    language: str = "python",
    flagged: tuple[str, str] | None = None,
    fills: Sequence[str] = (),
    answers: Sequence[str] = (),
) -> None:
    """Compute an action; `becomes` is the whole text behind it, None where nothing may come."""
    place = site(marked, language, flagged)
    (title, which), *_ = BY_NAME[name].titles(place)
    assert title
    outcome = await BY_NAME[name].compute(place, which, FakeAsk(language, fills, answers))
    if becomes is None:
        assert outcome is None
        return
    assert isinstance(outcome, Edit)
    assert place.text[: outcome.start] + outcome.text + place.text[outcome.end :] == becomes


@pytest.mark.parametrize(
    ("name", "marked", "language"),
    [
        ("completeBody", "def f(a):\n    return a<|>\n", "python"),
        ("completeBody", "x = 1<|>\n", "python"),
        ("writeDocstring", 'def f(a):\n    """Do it."""\n    return a<|>\n', "python"),
        ("writeDocstring", "/** Do it. */\nfunction f() {\n  return<|>;\n}\n", "javascript"),
        ("writeDocstring", "def f(a):\n    return a<|>\n", "plaintext"),
        ("annotate", "def f(a: int) -> int:\n    return a<|>\n", "python"),
        ("annotate", "function f(a) {\n  return a<|>;\n}\n", "javascript"),
        ("fix", "x = 1<|>\n", "python"),
        ("continueProse", "A long enough text stands here <|>and goes on\n", "markdown"),
        ("continueProse", "x = 'a long enough text stands here'<|>", "python"),
        ("explain", "x = 1<|>\n", "python"),
        ("rewrite", "<|x = 1\ny = 2\n|>", "python"),
        ("rewrite", "<|# only words\n|>", "python"),
        ("writeTest", "def test_f():\n    assert f()<|>\n", "python"),
        ("writeTest", "def f():\n    return 1<|>\n", "plaintext"),
    ],
)
def test_it_is_not_offered_where_there_is_nothing_to_do(
    name: str, marked: str, language: str
) -> None:
    assert list(BY_NAME[name].titles(site(marked, language))) == []


async def test_a_stub_gets_a_body() -> None:
    for stub in ("pass", "...", "raise NotImplementedError", "raise NotImplementedError('f')"):
        await check(
            "completeBody",
            f'def f(a):\n    """Double it."""\n    {stub}<|>\n\n\nx = f(1)\n',
            'def f(a):\n    """Double it."""\n    return 2 * a\n\n\nx = f(1)\n',
            fills=["return 2 * a"],
        )


async def test_an_empty_body_in_braces_gets_one() -> None:
    await check(
        "completeBody",
        "function f(a) {\n<|>\n}\n",
        "function f(a) {\n  return 2 * a;\n}\n".replace("  ", "    "),
        language="javascript",
        fills=["return 2 * a;"],
    )


async def test_a_todo_is_followed_and_stays() -> None:
    await check(
        "completeBody",
        "def f(a):\n    # TODO: double it<|>\n    pass\n",
        "def f(a):\n    # TODO: double it\n    return 2 * a\n",
        fills=["return 2 * a"],
    )


async def test_the_files_line_ends_are_kept() -> None:
    await check(
        "completeBody",
        "def f(a):\r\n\tpass<|>\r\n",
        "def f(a):\r\n\treturn 2 * a\r\n",
        fills=["return 2 * a"],
    )


@pytest.mark.parametrize("written", ["", "pass", "return (("])
async def test_a_body_that_is_none_is_not_taken(written: str) -> None:
    await check("completeBody", "def f(a):\n    pass<|>\n", None, fills=[written])


@pytest.mark.parametrize(
    "said",
    [
        "Double the number.",
        "This function double the number.",
        "Double the number. It takes a number.",
        '"""Double the number."""',
        "Double the\nnumber.\n\n```python\ndef f\n```",
    ],
)
async def test_documentation_is_one_sentence(said: str) -> None:
    becomes = 'def f(a):\n    """Double the number."""\n    return 2 * a\n'
    if said.startswith("This"):
        becomes = becomes.replace("Double the", "This function double the")
    await check("writeDocstring", "def f(a):\n    return 2 * a<|>\n", becomes, answers=[said])


async def test_documentation_has_the_style_of_the_file() -> None:
    await check(
        "writeDocstring",
        "def g():\n    '''Do it.'''\n\n\ndef f(a):\n    return 2 * a<|>\n",
        "def g():\n    '''Do it.'''\n\n\n"
        "def f(a):\n    '''Double the number.'''\n    return 2 * a\n",
        answers=["Double the number."],
    )
    await check(
        "writeDocstring",
        "class A {\n  f(a) {\n    return 2 * a;<|>\n  }\n}\n",
        "class A {\n  /** Doubles the number. */\n  f(a) {\n    return 2 * a;\n  }\n}\n",
        language="javascript",
        answers=["The function `f(a)` doubles the number."],
    )


async def test_a_model_that_follows_nothing_fills_the_documentation() -> None:
    await check(
        "writeDocstring",
        "def f(a):\n    return 2 * a<|>\n",
        'def f(a):\n    """Double the number."""\n    return 2 * a\n',
        fills=["Double the number."],
    )


async def test_types_are_added_where_there_are_none() -> None:
    await check(
        "annotate",
        "def f(self, a, b: int, c=1, *, d = 2, **e):\n    return a<|>\n",
        "def f(self, a: str, b: int, c: int = 1, *, d: int = 2, **e: object) -> str:\n"
        "    return a\n",
        fills=["str, x", "int = 1", "int", "object)", "str:"],
    )


async def test_what_is_no_type_is_left_out() -> None:
    await check(
        "annotate",
        "def f(a, b):\n    return a<|>\n",
        "def f(a, b: int):\n    return a\n",
        fills=["= 1", "int", "(("],
    )


async def test_a_misspelt_name_is_written_anew() -> None:
    await check(
        "fix",
        "def f(width):\n    return widht<|>\n",
        "def f(width):\n    return width\n",
        flagged=("widht", "undefined name"),
        fills=["width"],
    )


async def test_a_line_of_bad_syntax_is_repaired_as_a_whole() -> None:
    await check(
        "fix",
        "for x in y<|>\n    z(x)\n",
        "for x in y:\n    z(x)\n",
        flagged=("for x in y", "expected ':'"),
        answers=["for x in y:"],
    )


async def test_a_repair_that_repairs_nothing_is_not_offered() -> None:
    await check(
        "fix",
        "for x in y<|>\n    z(x)\n",
        None,
        flagged=("for x in y", "expected ':'"),
        answers=["for x in z"],
        fills=["for x in z", "for x in y"],
    )


async def test_a_text_goes_on() -> None:
    await check(
        "continueProse",
        "# Sorting\n\nA stable sort keeps <|>\n",
        "# Sorting\n\nA stable sort keeps the order of equals.\n",
        language="markdown",
        fills=["the order of equals.\n"],
    )


async def test_an_explanation_changes_nothing() -> None:
    place = site("x = 1\n\n\ndef f(a):\n    return a<|>\n", "python")
    outcome = await BY_NAME["explain"].compute(place, 0, FakeAsk("python", answers=["It is f."]))
    assert outcome == Shown("explanation of f.md", "It is f.", place.text.index("def f"))


async def test_a_selection_is_rewritten_as_its_comment_says() -> None:
    await check(
        "rewrite",
        "def f(a):\n    <|# use a generator\n    x = [b for b in a]\n|>    return x\n",
        "def f(a):\n    # use a generator\n    x = (b for b in a)\n    return x\n",
        answers=["Here:\n```python\nx = (b for b in a)\n```\nDone."],
    )


async def test_a_test_is_a_new_file_beside_the_document() -> None:
    place = site("def f(a):\n    return a<|>\n", "python")
    said = "```python\nfrom m import f\n\n\ndef test_f():\n    assert f(1) == 1\n```"
    outcome = await BY_NAME["writeTest"].compute(place, 0, FakeAsk("python", answers=[said]))
    assert isinstance(outcome, NewFile)
    assert outcome.name == "test_f.py"
    assert outcome.text.endswith("assert f(1) == 1\n")


@pytest.mark.parametrize("said", ["", "def f(a):\n    return a", "assert f(1) == (", "assert g(1)"])
async def test_what_is_no_test_is_not_offered(said: str) -> None:
    place = site("def f(a):\n    return a<|>\n", "python")
    assert await BY_NAME["writeTest"].compute(place, 0, FakeAsk("python", answers=[said])) is None
