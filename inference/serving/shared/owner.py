"""One editor's part of a shared engine: its documents are its own, and go when it goes."""

from msgspec.structs import replace

from inference.completion import Completion, CompletionRequest, Request, owned
from inference.engine import EngineStatus
from inference.serving.host import HostedEngine


class OwnedEngine:
    """An engine whose documents are called otherwise than those of other owners.

    What it is told to restart, to stop or to close concerns others too, so nothing happens.
    """

    def __init__(self, engine: HostedEngine, owner: str) -> None:
        self._engine = engine
        self._owner = owner
        self._opened: set[str] = set()
        self._remembered: set[str] = set()

    async def complete(self, request: Request) -> Completion:
        return await self._engine.complete(replace(request, document=self._open(request.document)))

    def warm(self, request: CompletionRequest) -> None:
        self._engine.warm(replace(request, document=self._open(request.document)))

    def leave(self, document: str) -> None:
        self._opened.discard(document)
        self._engine.leave(owned(self._owner, document))

    def remember(self, document: str, text: str | None) -> None:
        (self._remembered.discard if text is None else self._remembered.add)(document)
        self._engine.remember(owned(self._owner, document), text)

    async def wait_ready(self) -> EngineStatus:
        return await self._engine.wait_ready()

    def status(self) -> EngineStatus:
        return self._engine.status()

    def stalled_ms(self) -> float:
        return self._engine.stalled_ms()

    def retry(self) -> None:
        """Do nothing."""

    def restart(self) -> None:
        """Do nothing."""

    def stop(self, message: str) -> None:
        """Do nothing."""

    async def close(self) -> None:
        """Forget what this owner's editor told, and stop what is done ahead for it."""
        for document in list(self._opened):
            self.leave(document)
        for document in list(self._remembered):
            self.remember(document, None)

    def _open(self, document: str) -> str:
        self._opened.add(document)
        return owned(self._owner, document)
