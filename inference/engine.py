"""The outer seam: text in, text out, whatever stands behind it.

An engine answers every request once. To cancel a request is to cancel the await. A newer request
for the same document supersedes an older one, which is then answered with no text.
"""

from enum import StrEnum
from typing import Protocol

import msgspec

from inference.completion import Completion, CompletionRequest, Request


class EngineState(StrEnum):
    LOADING = "loading"
    READY = "ready"
    RESTARTING = "restarting"
    FAILED = "failed"
    CLOSED = "closed"


class EngineStatus(msgspec.Struct, frozen=True, kw_only=True):
    """`message` says in the user's words what is wrong and what to do; empty when all is well.

    `model_bytes` is the size of the package's files, 0 where it is not known. What the model can do
    is known once it is ready.
    """

    state: EngineState
    model: str = ""
    model_bytes: int = 0
    message: str = ""
    fills_holes: bool = False
    follows_instructions: bool = False
    num_restarts: int = 0
    process_id: int | None = None


class Engine(Protocol):
    async def complete(self, request: Request) -> Completion:
        """Fill a hole or follow an instruction, which an instructed model alone does.

        No text comes while the model is loading, gone or closed. Never raises for that.

        Raises InvalidRequestError where the request is outside its bounds.
        """
        ...

    def warm(self, request: CompletionRequest) -> None:
        """Read what a request for this hole would read, while nobody waits for anything else.

        Nothing is answered, and nothing happens where the engine is not ready.
        """
        ...

    def leave(self, document: str) -> None:
        """Break off what nobody waits for in a document that was closed. What was read is kept."""
        ...

    def remember(self, document: str, text: str | None) -> None:
        """Take another text of the user's as evidence for what is written; None forgets it.

        It is kept in memory alone, and is none for requests of the same document, nor of another
        owner's (completion.owned). What was answered before is not answered otherwise.
        """
        ...

    async def wait_ready(self) -> EngineStatus:
        """Return once the engine is ready, failed or closed."""
        ...

    def status(self) -> EngineStatus: ...

    def retry(self) -> None:
        """Try again at once where the engine has failed; something may be different now."""
        ...

    def restart(self) -> None:
        """Load the model anew, whether it is ready, still loading or failed."""
        ...

    def stop(self, message: str) -> None:
        """Give up the model, and be as one that failed with this message, until retry()."""
        ...

    async def close(self) -> None:
        """Stop everything; pending requests are answered with no text. May be called twice."""
        ...
