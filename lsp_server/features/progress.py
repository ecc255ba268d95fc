"""Show that something long is being done, and stop it when the user says so.

    async with progress(ls, "Loading the model", token=params.work_done_token) as report:
        report("half of it", percentage=50)

A token that the client sent is used at once. Otherwise one is created, for clients that show
progress, once the work has taken APPEARS_SECONDS: what is quick never flickers. Creating it is
never waited for, and a client that refuses costs only the sight of it.
"""

import asyncio
import contextlib
import logging
import secrets
from collections.abc import AsyncGenerator
from typing import Final, Protocol, cast

from lsprotocol import types
from pygls.exceptions import JsonRpcException

from lsp_server.server import Feature, InklingServer

log = logging.getLogger(__name__)

APPEARS_SECONDS: Final = 1.0

Token = str | int


class Report(Protocol):
    def __call__(self, message: str, percentage: int | None = None) -> None:
        """Say what is being done, and how much of all in percent; nothing where nobody sees it."""
        ...


@contextlib.asynccontextmanager
async def progress(
    ls: InklingServer, title: str, *, token: Token | None = None, cancellable: bool = True
) -> AsyncGenerator[Report]:
    """Show progress while the block runs. Who cancels it cancels the task that runs the block."""
    shown = _Shown(ls, title, cancellable=cancellable)
    task = asyncio.current_task()
    assert task is not None
    beginning: asyncio.Task[None] | None = None
    if token is not None:
        shown.begin(token, task)
    elif ls.client.shows_progress:
        beginning = ls.spawn(_create(ls, shown, task))
    try:
        yield shown.report
    finally:
        if beginning is not None:
            beginning.cancel()
        shown.end()


class _Shown:
    """One progress, from the moment that the client knows its token."""

    def __init__(self, ls: InklingServer, title: str, *, cancellable: bool) -> None:
        self._ls = ls
        self._title = title
        self._cancellable = cancellable
        self._token: Token | None = None
        self._said: tuple[str, int | None] | None = None

    def begin(self, token: Token, task: asyncio.Task[object]) -> None:
        message, percentage = self._said or (None, None)
        self._token = token
        if self._cancellable:
            self._ls.cancellable[token] = task
        self._notify(
            types.WorkDoneProgressBegin(
                title=self._title,
                cancellable=self._cancellable,
                message=message,
                percentage=percentage,
            )
        )

    def report(self, message: str, percentage: int | None = None) -> None:
        if self._said == (message, percentage):
            return
        self._said = message, percentage
        if self._token is not None:
            self._notify(types.WorkDoneProgressReport(message=message, percentage=percentage))

    def end(self) -> None:
        if self._token is not None:
            self._ls.cancellable.pop(self._token, None)
            self._notify(types.WorkDoneProgressEnd())

    def _notify(self, value: object) -> None:
        assert self._token is not None
        self._ls.protocol.notify(types.PROGRESS, types.ProgressParams(self._token, value))


async def _create(ls: InklingServer, shown: _Shown, task: asyncio.Task[object]) -> None:
    await asyncio.sleep(APPEARS_SECONDS)
    token = f"inkling/{secrets.token_hex(8)}"
    params = types.WorkDoneProgressCreateParams(token)
    try:
        await ls.protocol.request(types.WINDOW_WORK_DONE_PROGRESS_CREATE, params)
    except JsonRpcException as error:
        log.info("the client shows no progress: %d", error.code)
    else:
        shown.begin(token, task)


def cancel(ls: InklingServer, params: types.WorkDoneProgressCancelParams) -> None:
    token = cast("object", params.token)  # what a client sends may be anything
    task = ls.cancellable.get(token) if isinstance(token, str | int) else None
    if task is not None:
        task.cancel()


FEATURES: Final = (Feature(types.WINDOW_WORK_DONE_PROGRESS_CANCEL, None, cancel),)
