"""Read LSP's types from what clients send: strictly where lsprotocol guesses, else leniently.

lsprotocol makes "None" of a null and 3 of "3"; a document must not hold such a word. Absent and
null mean the same here, and what a client leaves out that we can do without has a default.
"""

from collections.abc import Callable, Mapping
from enum import EnumMeta
from typing import Any, Final

from cattrs import Converter
from lsprotocol import types

UNVERSIONED: Final = -(2**31)
"""The version of a change whose client counts none: LSP's types have no null there."""

PLAIN_TEXT: Final = "plaintext"
MAX_INTEGER: Final = 2**31 - 1

# TextDocumentContentChangeEvent itself names its parts in strings, and is not what is looked up.
_CONTENT_CHANGE: Final[Any] = (
    types.TextDocumentContentChangePartial | types.TextDocumentContentChangeWholeDocument
)


def structure_what_clients_send(converter: Converter) -> None:
    """Register how a converter reads texts, numbers, documents, their changes and triggers."""

    def content_change(value: Mapping[str, Any], _: object) -> types.TextDocumentContentChangeEvent:
        text = _text(value["text"])
        if value.get("range") is None:
            return types.TextDocumentContentChangeWholeDocument(text)
        span = converter.structure(value["range"], types.Range)
        return types.TextDocumentContentChangePartial(range=span, text=text)

    # The converter looks for these by class, so for enumerations of texts and numbers as well.
    converter.register_structure_hook(str, _member_or(_text))
    converter.register_structure_hook(int, _member_or(_whole))
    converter.register_structure_hook(bool, _truth)  # a number to Python
    converter.register_structure_hook(types.Position, _position)
    converter.register_structure_hook(types.TextDocumentItem, _item)
    converter.register_structure_hook(types.VersionedTextDocumentIdentifier, _versioned)
    converter.register_structure_hook(_CONTENT_CHANGE, content_change)
    converter.register_structure_hook(types.InlineCompletionTriggerKind, _TriggerKinds())


def _member_or(read: Callable[[object], object]) -> Callable[[object, object], object]:
    """Return a hook for texts or numbers. LSP's enumerations are such, too, and stay themselves."""

    def hook(value: object, known: object) -> object:
        return known(value) if isinstance(known, EnumMeta) else read(value)

    return hook


class _TriggerKinds:
    """Libraries of before LSP 3.18 count trigger kinds from 0.

    So whoever has sent 0 once means "automatic" by 1.
    """

    def __init__(self) -> None:
        self._invoked = int(types.InlineCompletionTriggerKind.Invoked)

    def __call__(self, value: object, _: object) -> types.InlineCompletionTriggerKind:
        is_number = isinstance(value, int) and not isinstance(value, bool)
        if is_number and value == 0:
            self._invoked = 0
        is_invoked = is_number and value == self._invoked
        kinds = types.InlineCompletionTriggerKind
        return kinds.Invoked if is_invoked else kinds.Automatic


def _item(value: Mapping[str, Any], _: object) -> types.TextDocumentItem:
    language_id = value.get("languageId")
    return types.TextDocumentItem(
        uri=_text(value["uri"]),
        language_id=PLAIN_TEXT if language_id is None else _text(language_id),
        version=_version(value.get("version"), 0),
        text=_text(value["text"]),
    )


def _versioned(value: Mapping[str, Any], _: object) -> types.VersionedTextDocumentIdentifier:
    version = _version(value.get("version"), UNVERSIONED)
    return types.VersionedTextDocumentIdentifier(version=version, uri=_text(value["uri"]))


def _version(value: object, default: int) -> int:
    return default if value is None else max(-MAX_INTEGER, min(_whole(value), MAX_INTEGER))


def _position(value: Mapping[str, Any], _: object) -> types.Position:
    """Read a position; some clients write a very large number for the end of a line."""
    line, character = (min(_whole(value[name]), MAX_INTEGER) for name in ("line", "character"))
    return types.Position(line, character)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("this is no text")
    return value


def _whole(value: object) -> int:
    """Read a whole number; some languages write it with a fraction of nothing."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError("this is no whole number")
    return value


def _truth(value: object, _: object) -> bool:
    if not isinstance(value, bool):
        raise TypeError("this is no truth value")
    return value
