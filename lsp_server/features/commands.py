"""Run what a user may ask of the server by name: `workspace/executeCommand`.

COMMANDS is the table; a command is a line in it. A handler takes the session and the arguments as
plain JSON, and returns plain JSON. Arguments that do not fit raise `refused`.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

from lsprotocol import types

from lsp_server.features import code_action, feedback
from lsp_server.features.configuration import apply_settings
from lsp_server.features.loading import show_loading
from lsp_server.protocol import refused
from lsp_server.server import Feature, InklingServer

Command = Callable[[InklingServer, Sequence[Any]], Awaitable[object]]


async def status(ls: InklingServer, _arguments: Sequence[Any]) -> object:
    """Return the engine's state, the model, and what of the settings commands change."""
    engine, settings = ls.engine.status(), ls.settings
    return {
        "state": engine.state,
        "model": engine.model,
        "message": engine.message,
        "enable": settings.enable,
        "level": settings.level,
        "languages": dict(settings.languages),
    }


async def pause(ls: InklingServer, _arguments: Sequence[Any]) -> object:
    return await _override(ls, {"enable": False})


async def resume(ls: InklingServer, _arguments: Sequence[Any]) -> object:
    return await _override(ls, {"enable": True})


async def toggle_language(ls: InklingServer, arguments: Sequence[Any]) -> object:
    """Switch a language off, or on again. Arguments: its LSP language id."""
    language = _only_text(arguments, "toggleLanguage takes a language id")
    is_on = ls.settings.languages.get(language, True)
    return await _override(ls, {"languages": {language: not is_on}})


async def set_level(ls: InklingServer, arguments: Sequence[Any]) -> object:
    """Arguments: one of the levels that docs/settings.md names."""
    return await _override(ls, {"level": _only_text(arguments, "setLevel takes a level")})


async def restart_engine(ls: InklingServer, _arguments: Sequence[Any]) -> object:
    ls.engine.restart()
    ls.spawn(show_loading(ls))
    return await status(ls, ())


async def _override(ls: InklingServer, raw: Mapping[str, object]) -> object:
    problems = ls.sources.override(raw)
    if problems:
        raise refused("; ".join(problems))
    apply_settings(ls)
    return await status(ls, ())


def _only_text(arguments: Sequence[Any], expected: str) -> str:
    match arguments:
        case [str(text)]:
            return text
        case _:
            raise refused(f"inkling.{expected}")


COMMANDS: Final[Mapping[str, Command]] = {
    "inkling.status": status,
    "inkling.pause": pause,
    "inkling.resume": resume,
    "inkling.toggleLanguage": toggle_language,
    "inkling.setLevel": set_level,
    "inkling.restartEngine": restart_engine,
    code_action.RUN: code_action.run_action,
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
