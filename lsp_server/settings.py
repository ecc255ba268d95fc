"""What a user may set: one tree of settings, each with its bounds and a sentence about it.

`docs/settings.md` and the schema that VS Code shows are written from it (manual.py), and what
clients send is read by it (sources.py).

Invariant 23: a workspace can never set an executable, a model path, an endpoint, a token or a log
file. They come from the command line and the environment, which a workspace cannot reach. No kind
of setting below can hold a text of the client's choice, but for the names of languages.
"""

from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields
from enum import StrEnum
from typing import Any, Final, Literal, NamedTuple, Protocol, TypeGuard

SECTION: Final = "inkling"

MAX_LANGUAGES: Final = 200
MAX_LANGUAGE_CHARACTERS: Final = 100

Scope = Literal["application", "window"]
"""Where VS Code lets it be set: for the user alone, or for a workspace too."""


class Level(StrEnum):
    """How sure a suggestion must be to be shown."""

    QUIET = "quiet"
    BALANCED = "balanced"
    EAGER = "eager"


class Reach(StrEnum):
    """Which other texts of the user's are evidence for what is written."""

    NONE = "none"
    OPEN = "open"
    WORKSPACE = "workspace"


class Kind(Protocol):
    """What values a setting takes. `schema` is the value's part of a JSON schema."""

    @property
    def expected(self) -> str: ...

    @property
    def schema(self) -> Mapping[str, object]: ...

    def read(self, value: object) -> object:
        """Return a JSON value as the setting holds it, None where it makes no sense."""
        ...


@dataclass(frozen=True)
class Switch:
    expected = "true or false"

    @property
    def schema(self) -> Mapping[str, object]:
        return {"type": "boolean"}

    def read(self, value: object) -> object:
        return value if isinstance(value, bool) else None


@dataclass(frozen=True)
class Count:
    """A whole number; 32.0 is one, for clients that know no other numbers."""

    lowest: int
    highest: int

    @property
    def expected(self) -> str:
        return f"a whole number from {self.lowest} to {self.highest}"

    @property
    def schema(self) -> Mapping[str, object]:
        return {"type": "integer", "minimum": self.lowest, "maximum": self.highest}

    def read(self, value: object) -> object:
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int):
            return None
        return value if self.lowest <= value <= self.highest else None


@dataclass(frozen=True)
class Choice:
    values: type[StrEnum]

    @property
    def expected(self) -> str:
        return " or ".join(f'"{value}"' for value in self.values)

    @property
    def schema(self) -> Mapping[str, object]:
        return {"type": "string", "enum": [value.value for value in self.values]}

    def read(self, value: object) -> object:
        return next((known for known in self.values if known == value), None)


@dataclass(frozen=True)
class LanguageSwitches:
    expected = "an object of language ids, each true or false"

    @property
    def schema(self) -> Mapping[str, object]:
        return {"type": "object", "additionalProperties": {"type": "boolean"}}

    def read(self, value: object) -> object:
        if not is_object(value) or len(value) > MAX_LANGUAGES:
            return None
        fits = all(
            isinstance(switch, bool) and len(language) <= MAX_LANGUAGE_CHARACTERS
            for language, switch in value.items()
        )
        return dict(value) if fits else None


class About(NamedTuple):
    """What is known of a setting beside its default. `description` is Markdown, one sentence."""

    kind: Kind
    description: str
    scope: Scope = "window"


def _about(kind: Kind, description: str, scope: Scope = "window") -> Mapping[str, About]:
    return {"about": About(kind, description, scope)}


@dataclass(frozen=True)
class Settings:
    """What holds now. The sentence about each is what its user reads."""

    enable: bool = field(default=True, metadata=_about(Switch(), "answer at all"))
    automatic: bool = field(
        default=True, metadata=_about(Switch(), "answer while you type, not only when asked")
    )
    level: Level = field(
        default=Level.BALANCED,
        metadata=_about(
            Choice(Level),
            "how sure a suggestion must be to be shown while you type: `quiet` shows fewer, "
            "`eager` more",
        ),
    )
    languages: Mapping[str, bool] = field(
        default_factory=dict[str, bool],
        metadata=_about(
            LanguageSwitches(),
            "languages to answer in or not, by LSP's language id; in all that are not named",
        ),
    )
    comments: bool = field(default=True, metadata=_about(Switch(), "answer inside comments"))
    strings: bool = field(default=True, metadata=_about(Switch(), "answer inside strings"))
    min_prefix: int = field(
        default=0,
        metadata=_about(
            Count(0, 100),
            "so many characters must stand before the cursor on its line, spaces not counted, "
            "for an answer while you type",
        ),
    )
    candidates: int = field(
        default=3,
        metadata=_about(Count(1, 4), "the most suggestions to choose from when you ask for one"),
    )
    other_texts: Reach = field(
        default=Reach.WORKSPACE,
        metadata=_about(
            Choice(Reach),
            "which other files suggestions may follow, in memory alone: those of the `workspace` "
            "that no ignore file names, those that are `open`, or `none`",
        ),
    )
    code_actions: bool = field(default=True, metadata=_about(Switch(), "offer code actions"))
    max_tokens: int = field(
        default=64,
        metadata=_about(
            Count(1, 256),
            "the most tokens of an automatic completion; twice as many when you ask for one",
        ),
    )
    first_text_ms: int = field(
        default=400,
        metadata=_about(
            Count(50, 60_000),
            "no more is read than lets the first line be there by then; "
            "the rest is read while you think",
        ),
    )
    deadline_ms: int = field(
        default=3_000,
        metadata=_about(Count(50, 60_000), "what is written by then is the answer"),
    )
    max_document_bytes: int = field(
        default=5_000_000,
        metadata=_about(Count(0, 64 << 20), "larger files, as UTF-8, get no completions"),
    )
    statistics: bool = field(
        default=True,
        metadata=_about(
            Switch(),
            "keep figures of what was suggested and accepted in a file on this machine, "
            "without any text",
            "application",
        ),
    )


def _wire_name(field_name: str) -> str:
    first, *others = field_name.split("_")
    return first + "".join(word.capitalize() for word in others)


def about(setting: Field[Any]) -> About:
    """Return what is known of a field of Settings."""
    known: About = setting.metadata["about"]
    return known


SETTINGS: Final[Mapping[str, Field[Any]]] = {_wire_name(one.name): one for one in fields(Settings)}
"""The fields by the names that clients send."""


def is_object(raw: object) -> TypeGuard[Mapping[str, object]]:
    """Return whether this was a JSON object: their names are always strings."""
    return isinstance(raw, dict)
