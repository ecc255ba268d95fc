"""Run what a user may ask of the server by name: `workspace/executeCommand`.

COMMANDS is the table; a command is a line in it. A handler takes the session and the arguments as
plain JSON, and returns plain JSON. Arguments that do not fit raise `refused`.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

from lsprotocol import types
from pygls.exceptions import JsonRpcException

from lsp_server.features import feedback
from lsp_server.server import Feature, InklingServer

Command = Callable[[InklingServer, Sequence[Any]], Awaitable[object]]


def refused(message: str) -> JsonRpcException:
    """Return what to raise where a command cannot be run as it was asked for."""
    return JsonRpcException(message, types.ErrorCodes.InvalidParams)


async def status(ls: InklingServer, _arguments: Sequence[Any]) -> object:
    """Return the engine's state, the model and the settings that are in force."""
    engine = ls.engine.status()
    return {"state": engine.state, "model": engine.model, "message": engine.message}


COMMANDS: Final[Mapping[str, Command]] = {
    "inkling.status": status,
    feedback.ACCEPTED: feedback.accepted,
    feedback.EXPLAIN_LAST: feedback.explain_last,
}


async def execute_command(ls: InklingServer, params: types.ExecuteCommandParams) -> object:
    command = COMMANDS.get(params.command)
    if command is None:
        raise refused(f"{params.command[:80]} is no command of this server")
    return await command(ls, params.arguments or [])


OPTIONS: Final = types.ExecuteCommandOptions(commands=list(COMMANDS))

FEATURES: Final = (Feature(types.WORKSPACE_EXECUTE_COMMAND, OPTIONS, execute_command),)
