"""What is recorded of suggestions, from when they are shown to five minutes after."""

import asyncio
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference import Completion, FinishReason
from lsp_server.insight.feedback import KEPT_AFTER_SECONDS, Feedback
from lsp_server.insight.journal import Journal
from lsp_server.insight.records import Accepted, Kept, PartlyAccepted, Record, Rejected, Shown
from lsp_server.lines import Lines

URI = "file:///a.py"
TEXT = "sum(values) / len(values)"
HEAD = "return "


class Desk:
    """An editor with one document, a clock that is set by hand, and what was recorded."""

    def __init__(self) -> None:
        self.journal = Journal()
        self.records: list[Record] = []
        self.now = 100.0
        self.text: str | None = HEAD
        self.timers: list[tuple[float, Callable[[], None]]] = []
        self.feedback = Feedback(self.records.append, self._lines_of, self._later, lambda: self.now)

    def show(self, text: str = TEXT, *, at: int = len(HEAD)) -> int:
        with self.journal.asked(URI, "python", "automatic") as record:
            record.answer(Completion(text=text, finish_reason=FinishReason.LINE), "nano")
        return self.feedback.answered(record, URI, at, text)

    def change(self, text: str, *inserted: str) -> None:
        assert self.text is not None
        before, self.text, self.now = self.text, text, self.now + 0.5
        self.feedback.changed(URI, Lines.of(before), Lines.of(text), inserted or [text])

    def type(self, text: str) -> None:
        for character in text:
            self.change((self.text or "") + character, character)

    async def wait(self, seconds: float) -> None:
        self.now += seconds
        due = [call for at, call in self.timers if at <= self.now]
        self.timers = [(at, call) for at, call in self.timers if at > self.now]
        for call in due:
            call()
        for _ in range(200):
            if self.feedback.is_idle:
                break
            await asyncio.sleep(0.005)

    def said(self) -> list[str]:
        return [_words(record) for record in self.records]

    def _lines_of(self, _uri: str) -> Lines | None:
        return None if self.text is None else Lines.of(self.text)

    def _later(self, seconds: float, call: Callable[[], None]) -> None:
        self.timers.append((self.now + seconds, call))


def _words(record: Record) -> str:
    match record:
        case Shown():
            return f"{record.ordinal} shown {record.characters}"
        case Accepted():
            return f"{record.ordinal} accepted {record.characters}"
        case PartlyAccepted():
            return f"{record.ordinal} partly {record.characters}"
        case Rejected():
            return f"{record.ordinal} {record.reason}"
        case Kept():
            return f"{record.ordinal} kept {record.share:.2f} after {record.after_seconds}"
        case _:
            return "a request"


def check(act: Callable[[Desk], object], *expected: str) -> Desk:
    """What is recorded after one suggestion of 25 characters was shown and the editor acted."""
    desk = Desk()
    desk.show()
    act(desk)
    assert desk.said() == ["1 shown 25", *expected]
    return desk


ACTS: list[tuple[str, Callable[[Desk], object], list[str]]] = [
    ("nothing yet", lambda desk: None, []),
    ("all at once", lambda desk: desk.change(HEAD + TEXT, TEXT), ["1 accepted 25"]),
    ("typed by hand", lambda desk: desk.type(TEXT), ["1 typed through"]),
    ("something else typed", lambda desk: desk.type("max"), ["1 typed over"]),
    ("begun, then something else", lambda desk: desk.type("sum_"), ["1 typed over"]),
    ("closed", lambda desk: desk.feedback.closed(URI), ["1 closed"]),
    (
        "letters, then the rest",
        lambda desk: (desk.type("su"), desk.change(HEAD + TEXT, TEXT[2:])),
        ["1 accepted 23"],
    ),
    (
        "a word, then something else",
        lambda desk: (desk.change(HEAD + "sum", "sum"), desk.type("[")),
        ["1 partly 3"],
    ),
    ("another one", lambda desk: desk.show("max(1)"), ["1 replaced", "2 shown 6"]),
    ("the same one again", lambda desk: desk.show(), []),
    (
        "the rest of it, asked for anew",
        lambda desk: (desk.type("su"), desk.show(TEXT[2:], at=len(HEAD) + 2)),
        [],
    ),
    ("the client says accepted", lambda desk: desk.feedback.accepted(1), ["1 accepted 25"]),
    (
        "the client says what was seen",
        lambda desk: (desk.change(HEAD + TEXT, TEXT), desk.feedback.accepted(1)),
        ["1 accepted 25"],
    ),
    (
        "the client says it first",
        lambda desk: (desk.feedback.accepted(1), desk.change(HEAD + TEXT, TEXT)),
        ["1 accepted 25"],
    ),
    ("the client says a part", lambda desk: desk.feedback.partly_accepted(1, 3), ["1 partly 3"]),
    (
        "a part that is longer than all",
        lambda desk: desk.feedback.partly_accepted(1, 99),
        ["1 partly 25"],
    ),
    ("no such suggestion", lambda desk: desk.feedback.accepted(7), []),
]


@pytest.mark.parametrize(
    ("act", "expected"), [pytest.param(act, said, id=name) for name, act, said in ACTS]
)
def test_what_becomes_of_a_suggestion(act: Callable[[Desk], object], expected: list[str]) -> None:
    check(act, *expected)


def test_more_of_a_suggestion_keeps_its_number() -> None:
    desk = Desk()
    assert (desk.show(), desk.show(TEXT + " + 1"), desk.show("other")) == (1, 1, 3)


def test_how_long_it_stood_is_recorded() -> None:
    desk = check(lambda desk: desk.change(HEAD + TEXT, TEXT), "1 accepted 25")
    (_, accepted) = desk.records
    assert isinstance(accepted, Accepted)
    assert accepted.visible_ms == 500
    assert (accepted.session, accepted.language, accepted.model) == (
        desk.journal.session,
        "python",
        "nano",
    )


def test_a_client_that_tells_what_it_shows_is_believed() -> None:
    desk = Desk()
    desk.show()
    desk.feedback.shown(1)
    desk.show("max(1)")
    desk.show("min(1)")
    desk.feedback.shown(3)
    assert desk.said() == ["1 shown 25", "1 replaced", "2 replaced", "3 shown 6"]


@pytest.mark.parametrize(
    ("later", "shares"),
    [
        pytest.param(HEAD + TEXT, ["1.00", "1.00"], id="all kept"),
        pytest.param("", ["0.00", "0.00"], id="nothing"),
        pytest.param(HEAD + "sum(values) / count", ["0.52", "0.52"], id="a part"),
        pytest.param(None, [], id="closed"),
    ],
)
async def test_what_is_kept_later(later: str | None, shares: list[str]) -> None:
    desk = check(lambda desk: desk.change(HEAD + TEXT, TEXT), "1 accepted 25")
    desk.text = later
    for seconds in KEPT_AFTER_SECONDS:
        await desk.wait(seconds)
    after = zip(shares, KEPT_AFTER_SECONDS, strict=False)
    assert desk.said()[2:] == [f"1 kept {share} after {seconds}" for share, seconds in after]


async def test_only_the_accepted_part_has_to_be_kept() -> None:
    desk = check(lambda desk: desk.feedback.partly_accepted(1, 3), "1 partly 3")
    desk.text = HEAD + "sum"
    await desk.wait(30)
    assert desk.said()[2:] == ["1 kept 1.00 after 30"]


STEPS = st.sampled_from(
    [
        ("show", TEXT),
        ("show", "sum(values)"),
        ("show", "x"),
        ("type", "s"),
        ("type", "um"),
        ("type", "\n"),
        ("take", ""),
        ("word", ""),
        ("delete", ""),
        ("above", ""),
        ("close", ""),
        ("say accepted", ""),
        ("say part", ""),
        ("say shown", ""),
    ]
)


def _step(desk: Desk, numbers: list[int], kind: str, text: str) -> None:
    now, last = desk.text or "", numbers[-1] if numbers else 1
    visible = desk.feedback.on_screen(URI)
    rest = visible.rest if visible else ""
    match kind:
        case "show":
            numbers.append(desk.show(text, at=len(now)))
        case "type":
            desk.change(now + text, text)
        case "take":
            desk.change(now + rest, rest)
        case "word":
            word = rest.partition("(")[0]
            desk.change(now + word, word)
        case "delete":
            desk.change(now[:-1], "")
        case "above":
            desk.change("import os\n" + now, "import os\n")
        case "close":
            desk.feedback.closed(URI)
        case "say accepted":
            desk.feedback.accepted(last)
        case "say part":
            desk.feedback.partly_accepted(last, 3)
        case _:
            desk.feedback.shown(last)


@given(st.lists(STEPS, max_size=30))
def test_each_suggestion_is_shown_once_and_ends_once_but_for_what_the_client_says(
    steps: list[tuple[str, str]],
) -> None:
    desk, numbers = Desk(), list[int]()
    for kind, text in steps:
        _step(desk, numbers, kind, text)
    by_number: dict[int, list[str]] = {}
    for record in desk.records:
        by_number.setdefault(record.ordinal, []).append(type(record).__name__)
    for kinds in by_number.values():
        assert kinds.count("Shown") <= 1
        assert kinds.count("Accepted") <= 1
        assert kinds.count("Rejected") <= 1
        if not any(kind.startswith("say") for kind, _ in steps):
            assert kinds[0] == "Shown"
            assert len(kinds) <= 2
