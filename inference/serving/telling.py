"""Tell each engine host the user's other texts: all of them anew where one takes another's place.

They come one after another and only while the pipe is empty, so that no request waits behind them.
"""

import asyncio
from typing import Final

from inference.completion import MAX_REMEMBERED_CHARACTERS
from inference.serving.connection import HostConnection
from inference.serving.wire import Remember

PAUSE_S: Final = 0.02
"""Until it is looked again whether the host has read what it was sent."""


class Telling:
    """The texts by document, as long as an engine lives."""

    def __init__(self) -> None:
        self._texts: dict[str, str] = {}
        self._untold: dict[str, None] = {}
        self._woken = asyncio.Event()

    def remember(self, document: str, text: str | None) -> None:
        """Take a text in place of the one that the document had, or nothing."""
        if text is None or len(text) > MAX_REMEMBERED_CHARACTERS:
            self._texts.pop(document, None)
        else:
            self._texts[document] = text
        self._untold.pop(document, None)
        self._untold[document] = None
        self._woken.set()

    async def tell(self, host: HostConnection) -> None:
        """Tell a host what there is, then what comes, for as long as it lives."""
        self._untold = dict.fromkeys(self._texts)
        while True:
            while self._untold:
                if host.num_unsent_bytes:
                    await asyncio.sleep(PAUSE_S)
                    continue
                document = next(iter(self._untold))
                del self._untold[document]
                host.send(Remember(document, self._texts.get(document)))
                await asyncio.sleep(0)
            self._woken.clear()
            await self._woken.wait()
