"""Settings by all three ways, and what no way can set."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from lsp_server.settings import Settings
from tests.support.sessions import Session, turns

CHANGE = "workspace/didChangeConfiguration"
PULL = "workspace/configuration"
ASKED = {"workspace": {"configuration": True}}

ALONE = {"maxTokens": 3}
IN_SECTION = {"inkling": ALONE}
DOTTED = {"inkling.maxTokens": 3}


def check(session: Session, settings: Settings, *messages: str) -> None:
    """What holds in a session, and what its user was told."""
    assert session.server.settings == settings
    shown = [one for one in session.kept.messages if one.get("method") == "window/showMessage"]
    assert [message["params"]["message"] for message in shown] == list(messages)


def started(options: object = None, *, pulls: bool = False) -> Session:
    session = Session()
    capabilities = ASKED if pulls else {}
    session.initialize(initializationOptions=options, capabilities=capabilities)
    return session


def pushed(session: Session, settings: object) -> None:
    session.notify(CHANGE, {"settings": settings})


async def answered(session: Session, section: object) -> None:
    """Answer what the server asks last, as a client does that has these settings."""
    await turns()
    *_, question = [one for one in session.kept.messages if one.get("method") == PULL]
    assert question["params"] == {"items": [{"section": "inkling"}]}
    session.receive({"jsonrpc": "2.0", "id": question["id"], "result": [section]})
    await turns()


async def by_options(sent: object) -> Session:
    session = Session()
    params = {"processId": None, "rootUri": None, "capabilities": {}}
    session.request(0, "initialize", {**params, "initializationOptions": sent})
    return session


async def by_push(sent: object) -> Session:
    session = started()
    pushed(session, sent)
    return session


async def by_pull(sent: object) -> Session:
    session = started(pulls=True)
    session.notify("initialized", {})
    await answered(session, sent)
    return session


WAYS = [by_options, by_push, by_pull]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("sent", [ALONE, IN_SECTION, DOTTED], ids=["alone", "section", "dotted"])
async def test_settings_are_taken_by_all_ways(way: Callable[..., Any], sent: object) -> None:
    check(await way(sent), Settings(max_tokens=3))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("sent", [None, [], {}, {"inkling": None}, {"inkling": []}])
async def test_nothing_sets_nothing(way: Callable[..., Any], sent: object) -> None:
    check(await way(sent), Settings())


ELSEWHERE = "/elsewhere"
HOSTILE: Mapping[str, object] = {
    "a model": {"model": ELSEWHERE},
    "its path": {"inkling": {"modelPath": ELSEWHERE}},
    "in dots": {"inkling.model": ELSEWHERE},
    "in dots in the section": {"inkling": {"inkling.model": ELSEWHERE}},
    "nested": {"inkling": {"engine": {"model": {"path": ELSEWHERE}}}},
    "nested in a setting": {"inkling": {"languages": {"model": ELSEWHERE}}},
    "in capitals": {"inkling": {"MODEL": ELSEWHERE}},
    "in another way of writing": {"inkling": {"model_path": ELSEWHERE, "log-file": ELSEWHERE}},
    "a command": {"inkling": {"command": ["sh", "-c", "true"]}},
    "a program and its arguments": {"inkling": {"server": {"path": ELSEWHERE, "args": ["x"]}}},
    "an environment": {"inkling": {"env": {"INKLING_MODEL": ELSEWHERE, "LD_PRELOAD": ELSEWHERE}}},
    "an endpoint": {"inkling": {"endpoint": "https://example.org", "proxy": "example.org:1"}},
    "a remote": {"remote": "https://example.org", "remoteModel": "x", "remoteNeighbours": 8},
    "a remote in parts": {"inkling": {"remote": {"url": "https://example.org", "layout": "x"}}},
    "a token": {"inkling": {"apiKey": "x", "authToken": "x"}},
    "a log": {"inkling": {"logFile": ELSEWHERE, "trace": {"server": "verbose"}}},
    "a cache folder": {"inkling": {"cacheDirectory": ELSEWHERE, "stateFolder": ELSEWHERE}},
    "an attribute of ours": {"inkling": {"__class__": ELSEWHERE, "__init__": {"__globals__": 1}}},
    "a prototype": {"inkling": {"__proto__": {"model": ELSEWHERE}, "constructor": ELSEWHERE}},
    "a value that is a path": {"inkling": {"level": ELSEWHERE, "enable": ELSEWHERE}},
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", list(HOSTILE))
async def test_a_workspace_cannot_choose_what_runs_or_where(
    way: Callable[..., Any], name: str
) -> None:
    """Invariant 23. Nothing is set, one message says so, and the engine hears nothing of it."""
    session = await way(HOSTILE[name])
    assert session.server.settings == Settings()
    assert session.engine.log.num_retried == 0
    shown = [one for one in session.kept.messages if one.get("method") == "window/showMessage"]
    assert len(shown) == 1
    assert ELSEWHERE not in str(vars(session.server.sources)["_values"])


async def test_another_spelling_of_our_section_is_not_our_section() -> None:
    for section in ("Inkling", "INKLING", "inkling ", "inkling-lsp"):
        check(await by_push({section: {"model": ELSEWHERE, "enable": False}}), Settings())


async def test_a_value_that_makes_no_sense_counts_as_not_sent() -> None:
    session = started({"maxTokens": 3})
    pushed(session, {"inkling": {"maxTokens": 0}})
    problem = "inkling.maxTokens must be a whole number from 1 to 256, not 0"
    check(session, Settings(max_tokens=3), f"Inkling: {problem}")


async def test_a_setting_that_is_removed_goes_back() -> None:
    session = started({"maxTokens": 3})
    pushed(session, {"inkling": {"maxTokens": 9, "enable": False}})
    check(session, Settings(max_tokens=9, enable=False))
    pushed(session, {"inkling": {"maxTokens": 9}})
    check(session, Settings(max_tokens=9))
    pushed(session, {"inkling": {}})
    check(session, Settings(max_tokens=3))


async def test_the_settings_of_other_servers_are_not_ours() -> None:
    session = started()
    pushed(session, {"python": {"enable": False}, "enable": False})
    pushed(session, None)
    check(session, Settings())


async def test_a_problem_is_shown_once() -> None:
    session = started()
    for _ in range(3):
        pushed(session, {"inkling": {"enable": 1, "maxTokens": 9}})
    check(session, Settings(max_tokens=9), "Inkling: inkling.enable must be true or false, not 1")


async def test_a_changed_setting_has_a_failed_engine_try_again() -> None:
    session = started()
    for max_tokens in (9, 9, 10):
        pushed(session, {"inkling": {"maxTokens": max_tokens}})
    assert session.engine.log.num_retried == 2


async def test_a_change_that_tells_nothing_is_asked_for() -> None:
    session = started(pulls=True)
    pushed(session, {"inkling": {"maxTokens": 9}})
    pushed(session, None)
    check(session, Settings(max_tokens=9))
    await answered(session, {"maxTokens": 10})
    check(session, Settings(max_tokens=10))
    pushed(session, {})
    await answered(session, None)
    check(session, Settings())


async def test_a_client_that_pushes_in_no_section_may_find_nothing_in_ours() -> None:
    session = started(pulls=True)
    session.notify("initialized", {})
    await turns()
    pushed(session, ALONE)
    check(session, Settings(max_tokens=3))
    session = started(pulls=True)
    pushed(session, ALONE)
    session.notify("initialized", {})
    await answered(session, None)
    check(session, Settings(max_tokens=3))


async def test_only_the_newest_word_counts() -> None:
    session = started(pulls=True)
    pushed(session, None)
    await turns()
    (question,) = [one for one in session.kept.messages if one.get("method") == PULL]
    pushed(session, {"inkling": {"maxTokens": 9}})
    await turns()
    session.receive({"jsonrpc": "2.0", "id": question["id"], "result": [ALONE]})
    await turns()
    check(session, Settings(max_tokens=9))


@pytest.mark.parametrize(
    "answer",
    [{"error": {"code": -32601, "message": "no"}}, {"result": 3}, {"result": []}, {"result": None}],
)
async def test_a_client_that_does_not_tell_is_left_alone(answer: Mapping[str, object]) -> None:
    session = started({"maxTokens": 3}, pulls=True)
    session.notify("initialized", {})
    await turns()
    (question,) = session.kept.messages
    session.receive({"jsonrpc": "2.0", "id": question["id"], **answer})
    await turns()
    check(session, Settings(max_tokens=3))


async def test_a_client_that_cannot_be_asked_is_not_asked() -> None:
    session = started()
    session.notify("initialized", {})
    pushed(session, None)
    await turns()
    assert session.kept.messages == []


async def test_statistics_can_be_switched_off_and_on() -> None:
    session = started()
    assert session.server.journal.is_wanted
    pushed(session, {"inkling": {"statistics": False}})
    assert not session.server.journal.is_wanted
    pushed(session, {"inkling": {}})
    assert session.server.journal.is_wanted
