"""What a server offered, held against the text that it was asked about. Pure but for `History`."""

from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

from tests.support.reference_document import line_ends, offset_in

SURROUNDINGS = 64
"""Characters around a place that must be the same for what was said there to be said again."""

Says = Callable[[str, str], str]
"""What the engine says between two texts."""


class Asked(NamedTuple):
    """A request for something to insert, and all that the server may know of when it answers.

    `kind` is "automatic", "invoked", "menu" or "selected"; with the last, `selected` is the text
    that a menu has selected, in place of what stands from `start` to the cursor.
    """

    kind: str
    uri: str
    revision: int
    text: str
    offset: int
    encoding: str
    is_known: bool
    start: int = 0
    selected: str = ""

    @property
    def around(self) -> tuple[str, str]:
        """The two sides of what is asked for."""
        if self.kind == "selected":
            return self.text[: self.start] + self.selected, self.text[self.offset :]
        return self.text[: self.offset], self.text[self.offset :]


class Offer(NamedTuple):
    """`inserted` takes the place of what is from `start` to `end`; `ghost` is behind the cursor."""

    start: int
    end: int
    inserted: str
    ghost: str
    item: dict[str, Any]


def ghost_offer(asked: Asked, item: dict[str, Any]) -> Offer:
    offer = _offer(asked, item["range"], item["insertText"], item)
    if asked.kind == "selected":
        assert (offer.start, offer.end) == (asked.start, asked.offset), "not what is selected"
        assert offer.inserted.startswith(asked.selected), "it does not extend what is selected"
    else:
        assert offer.start == offer.end, "ghost text replaces something"
    return offer


def menu_offer(asked: Asked, item: dict[str, Any]) -> Offer:
    offer = _offer(asked, item["textEdit"]["range"], item["textEdit"]["newText"], item)
    left = asked.text[offer.start : asked.offset]
    for name in ("filterText", "insertText", "label"):
        assert item[name].startswith(left), f"{name} does not begin as what is typed"
        assert not set("\r\n") & set(item[name]), f"{name} has more than one line"
    assert item.get("insertTextFormat") == 1, "a completion is no snippet"
    assert offer.end == asked.offset
    return offer


def _offer(asked: Asked, span: dict[str, Any], inserted: str, item: dict[str, Any]) -> Offer:
    """Return what any item must be, whoever asked: one line around the cursor, and no odd ends."""
    assert span["start"]["line"] == span["end"]["line"], "the range is not on one line"
    start, end = (offset_in(asked.text, span[side], asked.encoding) for side in ("start", "end"))
    assert start <= asked.offset <= end, "the range is not around the cursor"
    left = asked.text[start : asked.offset]
    assert inserted.startswith(left), "the text does not begin as what is typed"
    assert inserted[len(left) :], "nothing would be inserted"
    if line_ends(asked.text) == {"\r\n"}:
        assert line_ends(inserted) <= {"\r\n"}, "another line end among CRLF"
    return Offer(start, end, inserted, inserted[len(left) :], item)


class History:
    """What was said in each document, to tell what fits from what is stale."""

    def __init__(self, says: Says) -> None:
        self._says = says
        self._given: dict[str, deque[tuple[str, str, str]]] = {}

    def check(self, asked: Asked, offer: Offer) -> None:
        """Assert that the engine said this of this version, or of a beginning of it.

        The latter is what is left of an earlier answer whose beginning was typed since.
        """
        new = offer.inserted[len(asked.selected) :] if asked.selected else offer.ghost
        prefix, suffix = asked.around
        is_said = new == self._says(prefix, suffix)
        is_left = asked.kind in ("automatic", "selected") and self._is_left(asked, offer.ghost)
        assert is_said or is_left, f"the engine says nothing like {new!r} here"

    def add(self, asked: Asked, offer: Offer) -> None:
        prefix, suffix = asked.text[: asked.offset], asked.text[asked.offset :]
        given = self._given.setdefault(asked.uri, deque(maxlen=100))
        given.append((prefix[-SURROUNDINGS:], offer.ghost, suffix[:SURROUNDINGS]))

    def _is_left(self, asked: Asked, text: str) -> bool:
        prefix, suffix = asked.text[: asked.offset], asked.text[asked.offset :]
        return any(
            said.endswith(text)
            and suffix[:SURROUNDINGS] == behind
            and prefix.endswith((before + said[: len(said) - len(text)])[-SURROUNDINGS:])
            for before, said, behind in self._given.get(asked.uri, ())
        )
