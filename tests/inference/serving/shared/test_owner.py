"""What one editor's part of a shared engine does is done in its name, and undone when it goes."""

from inference.completion import CompletionRequest, owner_of
from inference.serving.shared.owner import OwnedEngine
from tests.support.scripted_engine import ScriptedEngine

REQUEST = CompletionRequest(document="a", prefix="x")


class Hosted(ScriptedEngine):
    def stalled_ms(self) -> float:
        return 7.0


async def test_documents_of_two_owners_are_not_the_same() -> None:
    engine = Hosted()
    one, other = OwnedEngine(engine, "1"), OwnedEngine(engine, "2")
    for owned in (one, other):
        owned.warm(REQUEST)
        owned.remember("b", "text")
        owned.leave("c")
    log = engine.log
    assert [owner_of(request.document) for request in log.warmed] == ["1", "2"]
    assert {owner_of(name) for name in log.remembered} == {"1", "2"}
    assert [owner_of(name) for name in log.left] == ["1", "2"]
    assert (one.stalled_ms(), one.status()) == (7.0, engine.status())


async def test_what_an_owner_told_goes_with_it() -> None:
    engine = Hosted()
    one, other = OwnedEngine(engine, "1"), OwnedEngine(engine, "2")
    other.remember("b", "kept")
    one.remember("b", "text")
    one.remember("gone", "text")
    one.remember("gone", None)
    one.warm(REQUEST)
    await one.complete(REQUEST)
    one.restart()
    one.retry()
    one.stop("no")
    await one.close()
    log = engine.log
    told = {owner_of(name): text for name, text in log.remembered.items()}
    assert told == {"1": None, "2": "kept"}
    assert [owner_of(name) for name in log.left] == ["1"]
    assert (log.num_closed, log.num_restarted, log.num_retried) == (0, 0, 0)
