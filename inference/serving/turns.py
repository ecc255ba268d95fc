"""Let requests wait while a host does not read, the newest of each document only."""

import asyncio

from inference.completion import CompletionRequest, FinishReason, Request


class Turns:
    """Requests that wait for their turn. Belongs to one event loop."""

    def __init__(self) -> None:
        self._waiting: dict[object, asyncio.Future[FinishReason | None]] = {}

    async def wait(self, request: Request, *, is_open: bool) -> FinishReason | None:
        """Wait, unless the way is open; return None to go on, else how it ended meanwhile.

        A document's newer completion takes the older one's place; an instruction has its own.
        """
        place = request.document if isinstance(request, CompletionRequest) else object()
        self._end(place, FinishReason.SUPERSEDED)
        if is_open:
            return None
        turn = self._waiting[place] = asyncio.get_running_loop().create_future()
        try:
            return await turn
        finally:
            if self._waiting.get(place) is turn:
                del self._waiting[place]

    def end_all(self, how: FinishReason | None) -> None:
        """Let everything go on, or end it."""
        for place in list(self._waiting):
            self._end(place, how)

    def _end(self, place: object, how: FinishReason | None) -> None:
        turn = self._waiting.get(place)
        if turn is not None and not turn.done():
            turn.set_result(how)
