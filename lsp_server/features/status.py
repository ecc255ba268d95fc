"""One line of status, for clients that have a place for it: sent when it changes, else never.

A client asks for `inkling/status` with `experimental: {"inkling": {"status": true}}` among its
capabilities. One that was written for GitHub's Copilot, which shows in its options, gets
`didChangeStatus` in that server's words. Others get nothing: some warn of what they do not know.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Final, cast

from inference import EngineState, EngineStatus, is_embedded
from lsp_server.server import InklingServer

STATUS: Final = "inkling/status"
COPILOT_STATUS: Final = "didChangeStatus"

UNSETTLED: Final = frozenset({EngineState.LOADING, EngineState.RESTARTING})

LOOK_EVERY_S: Final = 1.0
"""What becomes of an engine that answers is no event of ours, and not urgent."""

_COPILOT_KINDS: Final[Mapping[EngineState, str]] = {
    EngineState.READY: "Normal",
    EngineState.FAILED: "Error",
    EngineState.RESTARTING: "Warning",
}


def follow_status(ls: InklingServer, params: Mapping[str, object]) -> None:
    """Tell the client what becomes of the engine, if the parameters of `initialize` ask for it."""
    shapes = wanted(params)
    if shapes:
        line = StatusLine(ls, shapes)
        ls.on_status = line.tell


def wanted(params: Mapping[str, object]) -> Mapping[str, Callable[[EngineStatus], dict[str, Any]]]:
    """Return the notifications that a client understands, and what each is made of."""
    shapes: dict[str, Callable[[EngineStatus], dict[str, Any]]] = {}
    if _at(params, "capabilities", "experimental", "inkling", "status") is True:
        shapes[STATUS] = as_status
    if isinstance(_at(params, "initializationOptions", "editorPluginInfo"), dict):
        shapes[COPILOT_STATUS] = as_copilots
    return shapes


class StatusLine:
    """Sends a status that differs from the last, and looks for others from the first one on."""

    def __init__(
        self,
        ls: InklingServer,
        shapes: Mapping[str, Callable[[EngineStatus], dict[str, Any]]],
    ) -> None:
        self._ls, self._shapes = ls, shapes
        self._told: dict[str, dict[str, Any]] = {}
        self._following: asyncio.Task[None] | None = None

    def tell(self, status: EngineStatus) -> None:
        for method, shape in self._shapes.items():
            params = shape(status)
            if self._told.get(method) != params:
                self._told[method] = params
                self._ls.protocol.notify(method, params)
        if self._following is None:
            self._following = self._ls.spawn(self._follow())

    async def _follow(self) -> None:
        """Tell what becomes of it: another model is chosen elsewhere, an engine fails by itself."""
        engine = self._ls.engine
        while (status := engine.status()).state is not EngineState.CLOSED:
            self.tell(status)
            if status.state in UNSETTLED:
                settled = await engine.wait_ready()
                if settled.state is not EngineState.CLOSED:  # nobody is there to be told
                    self.tell(settled)
            # In any case: an engine that does not settle may not keep the loop to itself.
            await asyncio.sleep(LOOK_EVERY_S)


def as_status(status: EngineStatus) -> dict[str, Any]:
    """Return our own words: `small_model_only` where the model that ships is all there is."""
    stands_in = bool(status.message)  # for an endpoint, until that answers again
    is_ready = status.state is EngineState.READY
    is_small = is_ready and is_embedded(status.model) and not stands_in
    return {
        "state": status.state.value,
        "model": status.model,
        "message": _message(status, is_small=is_small),
        "small_model_only": is_small,
    }


def as_copilots(status: EngineStatus) -> dict[str, Any]:
    """Return Copilot's words."""
    return {
        "busy": status.state in UNSETTLED,
        "kind": _COPILOT_KINDS.get(status.state, "Inactive"),
        "message": _message(status, is_small=False),
    }


def _message(status: EngineStatus, *, is_small: bool) -> str:
    """Return the line itself."""
    match status.state:
        case EngineState.READY if status.message:
            return status.message
        case EngineState.READY if is_small:
            return f"{status.model} completes; `inkling model list` shows better models"
        case EngineState.READY:
            return f"{status.model} completes"
        case EngineState.LOADING:
            return "the model is being loaded"
        case EngineState.RESTARTING:
            return "the engine is starting again"
        case _:
            return status.message


def _at(value: object, *names: str) -> object:
    for name in names:
        value = cast("Mapping[str, object]", value).get(name) if isinstance(value, dict) else None
    return value
