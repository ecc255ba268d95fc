from typing import Any

from lsp_server.features.commands import COMMANDS
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
