from lsp_server.settings import Settings
from tests.support.sessions import Session

CHANGE = "workspace/didChangeConfiguration"


def check(session: Session, settings: Settings, *messages: str) -> None:
    assert session.server.settings == settings
    assert [message["params"]["message"] for message in session.kept.messages] == list(messages)


async def test_initialization_options_are_taken() -> None:
    session = Session()
    session.initialize(initializationOptions={"maxTokens": 3})
    check(session, Settings(max_tokens=3))


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
