from pathlib import Path
from typing import Any

import pytest

from lsp_server.features.commands import COMMANDS
from lsp_server.settings import Level, Settings
from tests.support.sessions import Session, turns

EXECUTE = "workspace/executeCommand"


async def check(session: Session, command: str, *arguments: object, gives: object) -> None:
    """What a command returns; a number is the code of the error that it is refused with."""
    answer = await executed(session, command, *arguments)
    if isinstance(gives, int):
        assert answer["error"]["code"] == gives
    else:
        assert answer["result"] == gives


async def executed(session: Session, command: str, *arguments: object) -> dict[str, Any]:
    session.kept.messages.clear()
    session.request(7, EXECUTE, {"command": command, "arguments": list(arguments)})
    await turns()
    (answer,) = [message for message in session.kept.messages if message.get("id") == 7]
    return answer


async def test_an_unknown_command_is_refused() -> None:
    session = Session()
    session.initialize()
    await check(session, "inkling.nonsense", gives=-32602)
    await check(session, "", gives=-32602)


async def test_a_command_without_arguments_may_leave_them_out() -> None:
    session = Session()
    session.initialize()
    session.request(7, EXECUTE, {"command": "inkling.status"})
    await turns()
    assert session.kept.messages[0]["result"]["state"] == "ready"


async def test_the_commands_are_advertised_under_our_name() -> None:
    session = Session()
    session.request(1, "initialize", {"processId": None, "rootUri": None, "capabilities": {}})
    (answer,) = session.kept.messages
    advertised = answer["result"]["capabilities"]["executeCommandProvider"]["commands"]
    assert advertised == list(COMMANDS)
    assert all(name.startswith("inkling.") for name in advertised)


def test_the_manual_names_every_command() -> None:
    manual = (Path(__file__).parents[3] / "docs" / "server.md").read_text("utf-8")
    assert [name for name in COMMANDS if f"`{name}`" not in manual] == []


async def started() -> Session:
    session = Session()
    session.initialize()
    return session


async def test_a_paused_server_is_silent_until_it_is_resumed() -> None:
    session = await started()
    for command, enable in (("inkling.pause", False), ("inkling.resume", True)):
        answer = await executed(session, command)
        assert answer["result"]["enable"] is session.server.settings.enable is enable


async def test_resuming_has_a_failed_engine_try_again() -> None:
    session = await started()
    await executed(session, "inkling.pause")
    before = session.engine.log.num_retried
    await executed(session, "inkling.resume")
    assert session.engine.log.num_retried == before + 1


async def test_a_language_is_switched_off_and_on() -> None:
    session = await started()
    for is_on in (False, True, False):
        answer = await executed(session, "inkling.toggleLanguage", "css")
        assert answer["result"]["languages"] == {"css": is_on}
    assert session.server.settings.languages == {"css": False}


async def test_the_level_is_set() -> None:
    session = await started()
    answer = await executed(session, "inkling.setLevel", "quiet")
    assert answer["result"]["level"] == session.server.settings.level == Level.QUIET


@pytest.mark.parametrize(
    ("command", "arguments"),
    [
        ("inkling.setLevel", ["loud"]),
        ("inkling.setLevel", [3]),
        ("inkling.setLevel", []),
        ("inkling.toggleLanguage", []),
        ("inkling.toggleLanguage", [None]),
        ("inkling.toggleLanguage", ["x" * 101]),
        ("inkling.toggleLanguage", ["css", "lua"]),
    ],
)
async def test_arguments_that_do_not_fit_are_refused(command: str, arguments: list[object]) -> None:
    session = await started()
    await check(session, command, *arguments, gives=-32602)
    assert session.server.settings == Settings()


async def test_what_a_command_sets_holds_over_the_configuration() -> None:
    session = await started()
    await executed(session, "inkling.pause")
    changed = {"settings": {"inkling": {"enable": True, "maxTokens": 9}}}
    session.notify("workspace/didChangeConfiguration", changed)
    assert session.server.settings == Settings(enable=False, max_tokens=9)


async def test_the_engine_is_restarted() -> None:
    session = await started()
    await executed(session, "inkling.restartEngine")
    assert session.engine.log.num_restarted == 1
