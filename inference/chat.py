"""Lay out a conversation as a model was taught to read one; templates are data of the package.

A template says what stands before and behind each speaker's words: control tokens by id, and text.
What a speaker says is text whatever it spells, so nobody's words can end a turn. The templates that
checkpoints bring are programs; none of them is run (export/package/chat_conventions.py).
"""

from collections.abc import Callable, Sequence
from typing import Annotated, Literal

import msgspec

from inference.fim import TokenId

Role = Literal["system", "user", "assistant"]

Piece = TokenId | Annotated[str, msgspec.Meta(max_length=64)]
"""A control token by its id, or a text."""


class Message(msgspec.Struct, frozen=True):
    role: Role
    text: Annotated[str, msgspec.Meta(max_length=65_536)]


class Turn(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What stands around the words of one speaker."""

    before: tuple[Piece, ...] = ()
    behind: tuple[Piece, ...] = ()


class ChatTemplate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where `system` is None, what the system says stands before the first words of the user."""

    system: Turn | None = None
    user: Turn
    assistant: Turn

    @property
    def token_ids(self) -> frozenset[int]:
        """The control tokens that the template names."""
        turns = (turn for turn in (self.system, self.user, self.assistant) if turn is not None)
        pieces = [piece for turn in turns for piece in turn.before + turn.behind]
        return frozenset(piece for piece in pieces if isinstance(piece, int))

    def arrange(
        self, messages: Sequence[Message], encode: Callable[[str], Sequence[int]]
    ) -> list[int]:
        """Return the tokens of a conversation up to where the assistant is to speak."""
        parts = list[Piece]()
        for message in self._spoken(messages):
            turn = getattr(self, message.role)
            parts += [*turn.before, message.text, *turn.behind]
        return _encoded([*parts, *self.assistant.before], encode)

    def _spoken(self, messages: Sequence[Message]) -> list[Message]:
        if self.system is not None:
            return list(messages)
        said = "\n\n".join(message.text for message in messages if message.role == "system")
        others = [message for message in messages if message.role != "system"]
        if said and others:
            others[0] = Message("user", f"{said}\n\n{others[0].text}")
        return others


def _encoded(pieces: Sequence[Piece], encode: Callable[[str], Sequence[int]]) -> list[int]:
    """Encode texts that stand side by side as one, as a tokenizer sees them in training."""
    token_ids, text = list[int](), ""
    for piece in pieces:
        if isinstance(piece, str):
            text += piece
            continue
        token_ids += encode(text) if text else ()
        token_ids.append(piece)
        text = ""
    return [*token_ids, *(encode(text) if text else ())]
