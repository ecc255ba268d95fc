"""Documents by session and place, and what is remembered beside them."""

from team.sessions import Sessions
from team.wire import Neighbour
from tests.support.scripted_engine import ScriptedEngine
from tests.support.service import Service


def document(sessions: Sessions, owner: str, session: str | None, place: str = "a.py") -> str:
    with sessions.document(owner, session, place) as name:
        return name


def remembered(engine: ScriptedEngine) -> list[str]:
    return sorted(text for text in engine.log.remembered.values() if text is not None)


def tell(sessions: Sessions, owner: str, session: str | None, *texts: str) -> None:
    sessions.tell(owner, session, [Neighbour(text) for text in texts])


def test_a_session_is_one_document_of_its_owners() -> None:
    sessions = Sessions(ScriptedEngine(), 8)
    names = [
        document(sessions, owner, session)
        for owner in ("", "ann", "bob")
        for session in ("s1", "s2", None)
    ]
    assert len(set(names)) == 9
    assert document(sessions, "ann", "s1", "another.py") == names[3]


def test_the_engine_learns_no_name() -> None:
    sessions = Sessions(ScriptedEngine(), 8)
    told = [document(sessions, "", "secret-session"), document(sessions, "", None, "secret.py")]
    assert not any("secret" in name for name in told)


def test_who_names_no_session_cancels_nobody() -> None:
    sessions = Sessions(ScriptedEngine(), 8)
    with sessions.document("", None, "a") as one, sessions.document("", None, "a") as other:
        assert one != other
    assert document(sessions, "", None, "a") == one  # what was read for it is used again


async def test_where_no_file_is_named_its_beginning_tells_it_from_others() -> None:
    service = Service()
    for path, fields in (
        ("/infill", {"input_prefix": "a\n", "prompt": "x"}),
        ("/infill", {"input_prefix": "b\n", "prompt": "x"}),
        ("/v1/completions", {"prompt": "a\nx"}),
        ("/v1/completions", {"prompt": "a\n" * 300 + "y"}),
        ("/v1/completions", {"prompt": "a\n" * 300 + "z"}),
    ):
        assert (await service.post(path, fields)).status_code == 200
    names = [request.document for request in service.engine.log.requests]
    assert [names.index(name) for name in names] == [0, 1, 0, 3, 3]


def test_a_session_has_the_texts_that_it_brought_last() -> None:
    engine = ScriptedEngine()
    sessions = Sessions(engine, 8)
    tell(sessions, "ann", "s", "a", "b")
    tell(sessions, "ann", "t", "c")
    assert remembered(engine) == ["a", "b", "c"]
    tell(sessions, "ann", "s", "b", "d")
    assert remembered(engine) == ["b", "c", "d"]
    tell(sessions, "ann", "s")
    assert remembered(engine) == ["c"]


def test_what_stayed_the_same_is_not_told_again() -> None:
    engine = ScriptedEngine()
    sessions = Sessions(engine, 8)
    tell(sessions, "", "s", "a", "b")
    engine.log.remembered.clear()
    tell(sessions, "", "s", "b", "a")
    assert engine.log.remembered == {}


def test_the_texts_of_the_oldest_session_go_first() -> None:
    engine = ScriptedEngine()
    sessions = Sessions(engine, 2)
    for session in ("s", "t", "s", "u"):
        tell(sessions, "", session, f"of {session}")
    assert remembered(engine) == ["of s", "of u"]
