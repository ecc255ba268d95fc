"""Whose document a request is for, and what its user told beside it.

A client that names a session (`x-session-id`) edits one document there, and its newest request is
the one that counts. Who names none may have asked from two editors: requests that are under way at
once are for documents of their own then, and one that comes later finds what was read before it.

    owner, session ──► a document's name, as the engine is told it: a hash under the owner
    owner, file    ──► the same, and a number where that one is being answered

What a request brings of other texts is remembered until its session brings others. The names of
sessions and files go no further than this module.
"""

import contextlib
import hashlib
import itertools
from collections import OrderedDict
from collections.abc import Generator, Iterable

from inference import Engine, owned
from team.wire import Neighbour


class Sessions:
    def __init__(self, engine: Engine, max_sessions: int) -> None:
        self._engine, self._max_sessions = engine, max_sessions
        self._busy: set[str] = set()
        self._told: OrderedDict[str, frozenset[str]] = OrderedDict()

    @contextlib.contextmanager
    def document(self, owner: str, session: str | None, place: str) -> Generator[str]:
        """Give the name of the document that a request is for, while the block answers it."""
        if session is not None:
            yield owned(owner, _hash("session", session))
            return
        names = (owned(owner, _hash("place", place, str(lane))) for lane in itertools.count())
        name = next(name for name in names if name not in self._busy)
        self._busy.add(name)
        try:
            yield name
        finally:
            self._busy.discard(name)

    def tell(self, owner: str, session: str | None, neighbours: Iterable[Neighbour]) -> None:
        """Let the engine remember these texts of a session's, and no others."""
        key = owned(owner, "" if session is None else _hash("session", session))
        texts = {owned(owner, _hash("text", key, one.text)): one.text for one in neighbours}
        told = self._told.pop(key, frozenset[str]())
        for name in told - texts.keys():
            self._engine.remember(name, None)
        for name in texts.keys() - told:
            self._engine.remember(name, texts[name])
        if texts:
            self._told[key] = frozenset(texts)
        while len(self._told) > self._max_sessions:
            for name in self._told.popitem(last=False)[1]:
                self._engine.remember(name, None)


def _hash(*parts: str) -> str:
    """Return a name that says nothing of its parts to whoever reads it."""
    joined = "\0".join(parts).encode("utf-8", "surrogatepass")
    return hashlib.sha256(joined).hexdigest()[:32]
