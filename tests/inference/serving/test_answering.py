"""Keystrokes of somebody who types, and how little of a model they cost."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Sequence

import pytest
from msgspec.structs import replace

from inference.chat import Message
from inference.completion import (
    Completion,
    CompletionRequest,
    FinishReason,
    InstructionRequest,
    owned,
)
from inference.decoding.pace import MEASURED_RUNS
from inference.serving.local import LocalEngine
from tests.support.scripted_model import CHAT, END, FIM, NextToken, ScriptedModel, loaded, playing

TIMEOUT_S = 10.0
SECRET = "what an error says may be of the document"
TYPING = CompletionRequest(document="a", language="python", prefix="x = ", first_text_ms=400)


class Stage:
    """A model that waits in the runs that are named, until it is let go or cancelled."""

    def __init__(self, next_token: NextToken) -> None:
        self.arrived, self.go_on = threading.Event(), threading.Event()
        self._waits_in: set[int] = set()
        self.model = ScriptedModel(
            next_token, on_forward=self._on_forward, on_cancel=self.go_on.set
        )

    def wait_in_run(self, *numbers: int) -> None:
        """Count from the first run behind those that measured the pace."""
        self._waits_in = {len(MEASURED_RUNS) + number for number in numbers}

    async def wait_arrived(self) -> None:
        assert await asyncio.to_thread(self.arrived.wait, TIMEOUT_S)

    async def wait_for(self, condition: Callable[[], bool]) -> None:
        """Return once something is so, which some run brings about."""
        loop = asyncio.get_running_loop()
        until = loop.time() + TIMEOUT_S
        while not condition():
            assert loop.time() < until
            await asyncio.sleep(0.002)

    def _on_forward(self, run: int) -> None:
        if run in self._waits_in:
            self.arrived.set()
            assert self.go_on.wait(TIMEOUT_S)
            self.go_on.clear()


Open = Callable[[str], "asyncio.Future[tuple[LocalEngine, Stage]]"]


@pytest.fixture
async def opened() -> AsyncIterator[Open]:
    engines: list[LocalEngine] = []

    async def open_engine(writes: str) -> tuple[LocalEngine, Stage]:
        stage = Stage(playing(writes))
        engine = LocalEngine(lambda: replace(loaded(stage.model), chat=CHAT))
        engines.append(engine)
        await asyncio.wait_for(engine.wait_ready(), TIMEOUT_S)
        return engine, stage

    yield lambda writes: asyncio.ensure_future(open_engine(writes))
    for engine in engines:
        await engine.close()


async def ask(engine: LocalEngine, request: CompletionRequest) -> Completion:
    return await asyncio.wait_for(engine.complete(request), TIMEOUT_S)


def typed(text: str, **changes: object) -> CompletionRequest:
    return replace(TYPING, prefix=TYPING.prefix + text, **changes)


async def test_what_is_typed_of_an_answer_costs_no_model(opened: Open) -> None:
    engine, _ = await opened("foo(a)")
    assert (await ask(engine, TYPING)).text == "foo(a)"
    found = await ask(engine, typed("fo"))
    assert (found.text, found.origin, found.tokens.prompt) == ("o(a)", "cache", 0)


async def test_what_agrees_with_what_is_being_written_waits_for_it(opened: Open) -> None:
    engine, stage = await opened("foo(a)")
    stage.wait_in_run(4)
    first = asyncio.ensure_future(ask(engine, TYPING))
    await stage.wait_arrived()
    second = asyncio.ensure_future(ask(engine, typed("f")))
    await asyncio.sleep(0)
    stage.go_on.set()
    assert (await first).text == "foo(a)"
    found = await second
    assert (found.text, found.origin) == ("oo(a)", "joined")


async def test_what_disagrees_starts_anew(opened: Open) -> None:
    engine, stage = await opened("foo(a)")
    stage.wait_in_run(4)
    first = asyncio.ensure_future(ask(engine, TYPING))
    await stage.wait_arrived()
    second = await ask(engine, typed("g"))
    assert (await first).finish_reason is FinishReason.SUPERSEDED
    assert (second.text, second.origin) == ("foo(a)", "model")


async def test_an_editor_may_cancel_before_it_asks_again(opened: Open) -> None:
    engine, stage = await opened("foo(a)")
    stage.wait_in_run(4)
    first = asyncio.ensure_future(engine.complete(TYPING))
    await stage.wait_arrived()
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    second = asyncio.ensure_future(ask(engine, typed("f")))
    await asyncio.sleep(0)
    stage.go_on.set()
    assert (await second).origin == "joined"


async def test_what_nobody_waits_for_is_stopped(opened: Open) -> None:
    engine, stage = await opened("foo(a)")
    stage.wait_in_run(4)
    first = asyncio.ensure_future(engine.complete(TYPING))
    await stage.wait_arrived()
    first.cancel()
    await asyncio.wait_for(asyncio.to_thread(stage.go_on.wait, TIMEOUT_S), TIMEOUT_S)


async def test_the_first_line_is_answered_and_the_others_are_known_later(opened: Open) -> None:
    engine, stage = await opened("a = 1\n    b = 2")
    stage.wait_in_run(13)
    body = replace(TYPING, prefix="def f():\n    ", first_text_ms=1)
    first = asyncio.ensure_future(ask(engine, body))
    await stage.wait_arrived()
    found = await first
    assert (found.text, found.finish_reason) == ("a = 1", FinishReason.LINE)
    accepted = replace(body, prefix=f"{body.prefix}a = 1\n    ", first_text_ms=400)
    rest = asyncio.ensure_future(ask(engine, accepted))
    await asyncio.sleep(0)
    stage.go_on.set()
    assert ((await rest).text, (await rest).origin) == ("b = 2", "joined")


async def test_without_a_promise_every_request_asks_the_model(opened: Open) -> None:
    engine, stage = await opened("foo(a)")
    request = replace(TYPING, first_text_ms=None)
    for _ in range(2):
        before = stage.model.num_forwards
        assert (await ask(engine, request)).origin == "model"
        assert stage.model.num_forwards > before


async def test_warming_reads_what_is_asked_for_later(opened: Open) -> None:
    engine, stage = await opened("foo(a)")
    before = stage.model.num_forwards
    engine.warm(TYPING)
    await stage.wait_for(lambda: stage.model.num_forwards > before)
    found = await ask(engine, replace(TYPING, first_text_ms=None))
    assert found.tokens.prompt - found.tokens.reused == 1


async def test_what_was_closed_is_not_read_to_its_end(opened: Open) -> None:
    engine, stage = await opened("foo(a)")
    stage.wait_in_run(3)
    text = "x = 1\n" * 100 + "z = "
    engine.warm(replace(TYPING, prefix=text))
    await stage.wait_arrived()
    engine.leave(TYPING.document)
    other = replace(TYPING, document="b", first_text_ms=None)
    assert (await ask(engine, other)).text == "foo(a)"
    await asyncio.sleep(0.05)
    assert tuple(text.encode())[-6:-1] not in stage.model.ends_read


@pytest.mark.parametrize(
    ("writes", "accepted", "following"),
    [("foo(a)\n  .b", "foo(a)", "\n  .b"), ("foo(a)\ny = 1", "foo(a)\n", "y = 1")],
    ids=["behind it", "on the line below"],
)
async def test_what_comes_next_is_written_before_it_is_asked(
    opened: Open, writes: str, accepted: str, following: str
) -> None:
    """A model that is asked line by line, so that the answer is the first one."""
    engine, stage = await opened(writes)
    first = replace(TYPING, max_tokens=len("foo(a)"))
    assert (await ask(engine, first)).text == "foo(a)"
    last = tuple((TYPING.prefix + writes).encode())[-6:-1]
    await stage.wait_for(lambda: last in stage.model.ends_read)
    found = await ask(engine, replace(first, prefix=TYPING.prefix + accepted))
    assert (found.text, found.origin != "model") == (following, True)


async def test_what_other_texts_say_is_evidence() -> None:
    """A model that holds every letter for as likely writes on what stands elsewhere."""
    model = ScriptedModel(lambda _: ord("?"))
    engine = LocalEngine(lambda: loaded(model))
    request = CompletionRequest(document="a", prefix="x = total(", scope="line", max_tokens=7)
    try:
        engine.remember("b", "y = total(values)")
        engine.remember("a", "y = total(itself)")
        await engine.wait_ready()
        while not (found := await engine.complete(request)).text.startswith("values"):
            assert found.text == "?" * 7
        engine.remember("b", None)
        # What is forgotten while an answer is written guides only what stood before that.
        while (found := await engine.complete(request)).text != "?" * 7:
            assert "values)".startswith(found.text.rstrip("?"))
    finally:
        await engine.close()


async def test_what_is_about_the_same_elsewhere_is_shown_to_the_model() -> None:
    """By its file's name alone, before the own one's; somebody else's is not."""
    model, separator = ScriptedModel(playing("!")), END  # any control token does
    fim = replace(FIM, file_separator_token_id=separator)
    engine = LocalEngine(lambda: loaded(model, fim))
    request = CompletionRequest(
        document=owned("me", "file:///workspace/a.py"), prefix="x = total(", scope="line"
    )
    try:
        engine.remember(owned("me", "file:///workspace/lib/b.py"), "def total(values)")
        engine.remember(owned("you", "file:///elsewhere/c.py"), "def total(secret)")
        engine.remember(owned("me", "file:///workspace/d.py"), "unlike" * 9)
        await engine.wait_ready()
        await engine.wait_remembered()
        found = await engine.complete(request)
        assert (found.text, found.num_documents) == ("values)!", 2)
    finally:
        await engine.close()
    assert {(separator, *b"b.py"), (*b"ues)", separator)} <= model.ends_read
    assert (*b".py\n", FIM.prefix_token_id) in model.ends_read
    assert not {tuple(b"cret)"), tuple(b"nlike")} & model.ends_read


async def test_what_breaks_while_nobody_waits_is_logged_without_its_text(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def next_token(token_ids: Sequence[int]) -> int:
        if token_ids[-1] == ord("\n"):
            raise RuntimeError(SECRET)
        return writes(token_ids)

    writes = playing("foo(a)\n  .b")
    stage = Stage(next_token)
    engine = LocalEngine(lambda: loaded(stage.model))
    try:
        await asyncio.wait_for(engine.wait_ready(), TIMEOUT_S)
        found = await ask(engine, replace(TYPING, max_tokens=len("foo(a)")))
        assert found.text == "foo(a)"
        await stage.wait_for(lambda: "RuntimeError in the engine" in caplog.text)
    finally:
        await engine.close()
    assert SECRET not in caplog.text


ASKING = InstructionRequest(document="a", messages=(Message("user", "Why?"),))


async def test_an_instruction_is_begun_again_behind_a_completion(opened: Open) -> None:
    engine, stage = await opened("because")
    stage.wait_in_run(1)
    answer = asyncio.ensure_future(engine.complete(ASKING))
    await stage.wait_arrived()
    completion = await engine.complete(TYPING)
    assert (completion.text, (await answer).text) == ("because", "because")


async def test_an_instruction_ends_with_its_time(opened: Open) -> None:
    engine, stage = await opened("because")
    stage.wait_in_run(1)
    completion = await engine.complete(replace(ASKING, deadline_ms=50))
    assert completion == Completion.nothing(FinishReason.DEADLINE)


async def test_who_leaves_stops_an_instruction(opened: Open) -> None:
    engine, stage = await opened("because")
    stage.wait_in_run(1)
    answer = asyncio.ensure_future(engine.complete(ASKING))
    await stage.wait_arrived()
    answer.cancel()
    with pytest.raises(asyncio.CancelledError):
        await answer
    await stage.wait_for(lambda: engine.stalled_ms() == 0)
