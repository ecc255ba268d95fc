"""Have the engine know the user's other texts, which are evidence for what is written in one.

Open documents as they are, a moment after they change; and, where the user lets it, what is written
in the workspace. All of it stays in the memory of the server and of its engine.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, Final

from lsp_server.convert import document_name, encodable, name_of
from lsp_server.documents import Document
from lsp_server.policy.secrets import masked_by_lines
from lsp_server.survey import Survey, written_text

QUIET_SECONDS: Final = 2.0
"""How long a document has been left alone before it is told anew."""

MAX_CHARACTERS: Final = 4_000_000
"""Of all that is read in a workspace."""


class OtherTexts:
    """`find` returns an open document that the engine may see; `spawn` runs what nobody awaits."""

    def __init__(
        self,
        remember: Callable[[str, str | None], None],
        find: Callable[[str], Document | None],
        spawn: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]],
    ) -> None:
        self._remember = remember
        self._find = find
        self._spawn = spawn
        self._due: dict[str, asyncio.TimerHandle] = {}
        self._known: set[str] = set()
        self._survey: asyncio.Task[None] | None = None

    def changed(self, uri: str) -> None:
        """Tell what an open document holds, once it is left alone."""
        self._cancel(uri)
        loop = asyncio.get_running_loop()
        self._due[uri] = loop.call_later(QUIET_SECONDS, self._tell, uri)

    def closed(self, uri: str) -> None:
        """Tell what a document held that was closed before it was told; it is still there."""
        if uri in self._due:
            self._cancel(uri)
            self._tell(uri)

    def survey(self, folders: Iterable[str]) -> None:
        """Read what is written under folders, instead of what an earlier survey has not read."""
        self._stop()
        self._survey = self._spawn(self._read(list(folders)))

    def forget_all(self) -> None:
        self._stop()
        for uri in list(self._due):
            self._cancel(uri)
        for name in self._known:
            self._remember(name, None)
        self._known.clear()

    async def _read(self, folders: list[str]) -> None:
        survey, num_left = Survey(folders), MAX_CHARACTERS
        while await asyncio.to_thread(survey.look):
            pass
        for path in survey.newest():
            name = name_of(path.as_uri())
            text = None if name in self._known else await asyncio.to_thread(written_text, path)
            if text is not None and name not in self._known and len(text) <= num_left:
                num_left -= len(text)
                self._take(name, text)

    def _tell(self, uri: str) -> None:
        self._due.pop(uri, None)
        document = self._find(uri)
        if document is not None:
            self._spawn(self._tell_document(document))

    async def _tell_document(self, document: Document) -> None:
        lines = document.lines
        self._take(
            document_name(document),
            await asyncio.to_thread(lambda: masked_by_lines(lines.text)),
        )

    def _take(self, name: str, text: str) -> None:
        self._known.add(name)
        self._remember(name, encodable(text))

    def _stop(self) -> None:
        if self._survey is not None:
            self._survey.cancel()
            self._survey = None

    def _cancel(self, uri: str) -> None:
        if (handle := self._due.pop(uri, None)) is not None:
            handle.cancel()
