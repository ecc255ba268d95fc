"""The words that all actions share: where they are asked for, what they may ask, what they return.

Offsets are characters of `Site.text`, which is the document or what is near in a long one.
"""

from collections.abc import Awaitable, Callable, Sequence
from functools import cached_property
from typing import Final, Literal, Protocol

import msgspec

from lsp_server.actions.definitions import Definition, definition_at

QUICK_FIX: Final = "quickfix"
REWRITE: Final = "refactor.rewrite"
EXPLAIN: Final = "source.inkling"


class Flagged(msgspec.Struct, frozen=True):
    """A diagnostic: the span that it flags, and what it says. `index` tells it from the others."""

    start: int
    end: int
    message: str
    index: int = 0


class Site(msgspec.Struct, frozen=True, dict=True):
    """Where an action is asked for: a text, and in it a selection, or a cursor if it is empty."""

    text: str
    language: str
    start: int
    end: int
    flagged: Sequence[Flagged] = ()

    @property
    def selected(self) -> str:
        return self.text[self.start : self.end]

    @property
    def line_end(self) -> str:
        return "\r\n" if "\r\n" in self.text else "\n"

    @cached_property
    def definition(self) -> Definition | None:
        """The function around the beginning of the selection; looked for once for all actions."""
        return definition_at(self.text, self.start)


class Edit(msgspec.Struct, frozen=True):
    """`text` is to stand in place of what is between `start` and `end`.

    `is_sure`: the model is so sure of it that an editor may apply it without asking.
    """

    start: int
    end: int
    text: str
    is_sure: bool = False


class Shown(msgspec.Struct, frozen=True):
    """Words that the user is shown beside the document, or as a comment before `at` in it."""

    name: str
    text: str
    at: int


class NewFile(msgspec.Struct, frozen=True):
    """A file that does not exist yet, beside the document; the user sees it before it is saved."""

    name: str
    text: str


Outcome = Edit | Shown | NewFile | None
"""None where nothing came that is worth applying."""


class Filled(msgspec.Struct, frozen=True):
    """`lowest` is the logarithm of the probability of the least probable of the first tokens."""

    text: str
    lowest: float = float("-inf")


class Ask(Protocol):
    """What an action may ask of the engine."""

    async def fill(
        self,
        before: str,
        behind: str,
        *,
        scope: Literal["line", "block"] = "block",
        max_tokens: int = 128,
    ) -> Filled:
        """Return what stands between two texts."""
        ...

    async def instruct(self, task: str, code: str, *, max_tokens: int = 256) -> str:
        """Return what an instructed model answers; "" where it is none."""
        ...

    async def num_errors(self, text: str) -> int:
        """Return how many syntax errors a text has; 0 where no grammar is known."""
        ...


class Action(msgspec.Struct, frozen=True):
    """`titles` gives the titles under which it is offered at a site, with what tells them apart.

    `is_instructed`: it needs a model that follows instructions. `edits`: its outcome is an edit.
    `min_model_bytes`: smaller packages hold models that do it badly, by docs/actions.md; it is not
    offered with them.
    """

    name: str
    kind: str
    titles: Callable[[Site], Sequence[tuple[str, int]]]
    compute: Callable[[Site, int, Ask], Awaitable[Outcome]]
    is_instructed: bool = False
    edits: bool = True
    min_model_bytes: int = 0


async def if_well_formed(site: Site, edit: Edit, ask: Ask) -> Edit | None:
    """Return an edit if it leaves the text with no more syntax errors than it has."""
    edited = site.text[: edit.start] + edit.text + site.text[edit.end :]
    return edit if await ask.num_errors(edited) <= await ask.num_errors(site.text) else None


def only(
    title: str, offered: Callable[[Site], bool]
) -> Callable[[Site], Sequence[tuple[str, int]]]:
    """Return `titles` of an action that has one title, where `offered` says so."""
    return lambda site: [(title, 0)] if offered(site) else []
