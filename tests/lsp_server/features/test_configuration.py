from collections.abc import Mapping
from pathlib import Path

import pytest

from lsp_server.settings import Settings
from tests.support.sessions import Session

CHANGE = "workspace/didChangeConfiguration"
MANUAL = (Path(__file__).parents[3] / "docs" / "server.md").read_text("utf-8")


def check(session: Session, settings: Settings, *messages: str) -> None:
    assert session.server.settings == settings
    assert [message["params"]["message"] for message in session.kept.messages] == list(messages)


ALONE = {"maxTokens": 3}
IN_SECTION = {"inkling": ALONE}


@pytest.mark.parametrize("options", [ALONE, IN_SECTION], ids=["alone", "in their section"])
async def test_initialization_options_are_taken(options: Mapping[str, object]) -> None:
    assert "`initializationOptions`, alone or under `inkling`" in MANUAL
    session = Session()
    session.initialize(initializationOptions=options)
    check(session, Settings(max_tokens=3))


@pytest.mark.parametrize(
    ("sent", "settings"),
    [(ALONE, Settings()), (IN_SECTION, Settings(max_tokens=3))],
    ids=["alone", "in their section"],
)
async def test_a_change_is_taken_in_its_section_only(
    sent: Mapping[str, object], settings: Settings
) -> None:
    assert "`workspace/didChangeConfiguration`, under `inkling` only" in MANUAL
    session = Session()
    session.initialize()
    session.notify(CHANGE, {"settings": sent})
    check(session, settings)


async def test_what_makes_no_sense_keeps_its_value() -> None:
    assert "a setting that makes no sense, keeps the value it has" in MANUAL
    session = Session()
    session.initialize(initializationOptions={"maxTokens": 3})
    session.notify(CHANGE, {"settings": {"inkling": {"maxTokens": 0}}})
    problem = "inkling.maxTokens must be a whole number from 1 to 256, not 0"
    check(session, Settings(max_tokens=3), f"Inkling: {problem}")


async def test_a_change_keeps_what_it_does_not_name() -> None:
    session = Session()
    session.initialize(initializationOptions={"maxTokens": 3})
    session.notify(CHANGE, {"settings": {"inkling": {"enable": False}}})
    check(session, Settings(max_tokens=3, enable=False))


async def test_the_settings_of_other_servers_are_not_ours() -> None:
    session = Session()
    session.initialize()
    session.notify(CHANGE, {"settings": {"python": {"enable": False}, "enable": False}})
    session.notify(CHANGE, {"settings": None})
    check(session, Settings())


async def test_a_problem_is_shown_once() -> None:
    session = Session()
    session.initialize()
    for _ in range(3):
        session.notify(CHANGE, {"settings": {"inkling": {"enable": 1, "maxTokens": 9}}})
    check(session, Settings(max_tokens=9), "Inkling: inkling.enable must be true or false, not 1")


async def test_a_changed_setting_has_a_failed_engine_try_again() -> None:
    session = Session()
    session.initialize()
    for max_tokens in (9, 9, 10):
        session.notify(CHANGE, {"settings": {"inkling": {"maxTokens": max_tokens}}})
    assert session.engine.log.num_retried == 2


async def test_a_workspace_cannot_choose_the_model() -> None:
    session = Session()
    session.initialize()
    session.notify(CHANGE, {"settings": {"inkling": {"model": "/elsewhere"}}})
    check(
        session,
        Settings(),
        "Inkling: inkling.model cannot be set from an editor's workspace; "
        "start the server with --model or INKLING_MODEL",
    )
