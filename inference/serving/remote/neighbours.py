"""The user's other texts that go with a request, where the user wants that: the latest few.

What is kept of each is its beginning, which names what it has.
"""

from collections import OrderedDict
from typing import Final

from inference.completion import file_name
from inference.serving.remote.dialects import Neighbour

MAX_CHARACTERS: Final = 2_000
"""Of each text."""

NUM_KEPT: Final = 64


class Neighbours:
    """Knows `num_wanted` texts for a document; with 0 it knows none at all."""

    def __init__(self, num_wanted: int) -> None:
        self._num_wanted = num_wanted
        self._texts: OrderedDict[str, str] = OrderedDict()

    def remember(self, document: str, text: str | None) -> None:
        """Take a text in place of the one that the document had, or nothing."""
        self._texts.pop(document, None)
        if text and self._num_wanted:
            self._texts[document] = text[:MAX_CHARACTERS]
            if len(self._texts) > NUM_KEPT:
                self._texts.popitem(last=False)

    def of(self, document: str) -> tuple[Neighbour, ...]:
        """Return the texts that were told last, the latest behind the others."""
        others = [(name, text) for name, text in self._texts.items() if name != document]
        latest = others[-self._num_wanted :] if self._num_wanted else []
        return tuple(Neighbour(file_name(name), text) for name, text in latest)
