"""Look up what is known of a language. All of it is data, in languages.toml."""

import functools
import tomllib
from importlib import resources
from pathlib import PurePath
from typing import Final, Literal

import msgspec

PLAIN_TEXT: Final = "plaintext"

BlockStyle = Literal["indent", "prose"]


class Documentation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What documentation of a function opens and closes with, and whether it stands inside it."""

    opens: str
    closes: str = ""
    inside: bool = False


class Language(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`word_characters` belong to a name beside letters, digits and `_`.

    `quotes` begin a string. `trigger_characters`: behind one of them a name or a value begins.
    `documentation` is None where no usual way is known. `optional_types`: parameters may have
    types, `name: type`, and functions `-> type`. `continuations` begin a line that goes on with the
    statement above it at the same indentation, or ends it.
    """

    block: BlockStyle
    line_comment: str | None = None
    suffixes: tuple[str, ...] = ()
    grammar: str | None = None
    statement_nodes: tuple[str, ...] = ()
    block_nodes: tuple[str, ...] = ()
    continuations: tuple[str, ...] = ()
    quotes: str = "\"'`"
    word_characters: str = ""
    trigger_characters: str = ".([="
    documentation: Documentation | None = None
    optional_types: bool = False


def language_for(language_id: str) -> Language:
    """Return the language of an LSP language id; plain text where it is unknown."""
    languages = _languages()
    return languages.get(language_id, languages[PLAIN_TEXT])


def language_id_of(path: str) -> str:
    """Guess the language id from a file's name; plain text where it is unknown."""
    suffix = PurePath(path).suffix.lower()
    for language_id, language in _languages().items():
        if suffix in language.suffixes:
            return language_id
    return PLAIN_TEXT


def trigger_characters() -> list[str]:
    """Return the trigger characters of all languages."""
    return sorted(
        {one for language in _languages().values() for one in language.trigger_characters}
    )


@functools.cache
def _languages() -> dict[str, Language]:
    table = tomllib.loads((resources.files("inference") / "languages.toml").read_text("utf-8"))
    return msgspec.convert(table, type=dict[str, Language])
