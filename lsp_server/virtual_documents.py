"""Hold texts that exist in no file, so that a client can show them: explanations, for example.

`workspace/textDocumentContent` (LSP 3.18) asks for one by its URI, `inkling:` and a path. Pure.
"""

from typing import Final
from urllib.parse import quote, unquote

SCHEME: Final = "inkling"

MAX_TEXTS: Final = 64
MAX_CHARACTERS: Final = 1 << 20
"""The most of all texts together; the oldest are forgotten, and no text is longer than this."""


class VirtualDocuments:
    def __init__(self) -> None:
        self._texts: dict[str, str] = {}

    def put(self, path: str, text: str) -> str:
        """Hold a text, in place of an older one of that path; return its URI."""
        self._texts.pop(path, None)
        self._texts[path] = text[:MAX_CHARACTERS]
        while len(self._texts) > MAX_TEXTS or self._num_characters > MAX_CHARACTERS:
            del self._texts[next(iter(self._texts))]
        return f"{SCHEME}:{quote(path)}"

    def get(self, uri: str) -> str | None:
        """Return the text of a URI, however a client escapes it; None where none is held."""
        scheme, _, path = uri.partition(":")
        return self._texts.get(unquote(path)) if scheme.lower() == SCHEME else None

    @property
    def _num_characters(self) -> int:
        return sum(map(len, self._texts.values()))
