"""What a user may set, its bounds, and what nobody may set from an editor.

`parse` never raises: a setting that makes no sense keeps its value and becomes a problem to show.

Invariant 23: a workspace can never set an executable, a model path, an endpoint or a token. They
come from the command line and the environment, which a workspace cannot reach.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final, TypeGuard

SECTION: Final = "inkling"

FORBIDDEN: Final = frozenset(
    (
        *("model", "modelPath", "command", "executable", "path", "args", "env"),
        *("endpoint", "url", "token", "apiKey", "logFile"),
    )
)


@dataclass(frozen=True)
class Settings:
    """`enable`: answer at all. `automatic`: answer while the user types, not only when asked.

    `max_tokens` bounds an automatic completion; one that the user asked for may be twice as long.
    `first_text_ms`: an automatic completion reads no more than lets its first line be there by
    then. `deadline_ms`: what is written by then is the answer. `max_document_bytes`: a larger file,
    as UTF-8, gets no completions.
    """

    enable: bool = True
    automatic: bool = True
    max_tokens: int = 64
    first_text_ms: int = 400
    deadline_ms: int = 3_000
    max_document_bytes: int = 5_000_000


@dataclass(frozen=True)
class Switch:
    field: str

    expected = "true or false"

    def accepts(self, value: object) -> bool:
        return isinstance(value, bool)


@dataclass(frozen=True)
class Count:
    field: str
    lowest: int
    highest: int

    @property
    def expected(self) -> str:
        return f"a whole number from {self.lowest} to {self.highest}"

    def accepts(self, value: object) -> bool:
        if isinstance(value, bool) or not isinstance(value, int):
            return False
        return self.lowest <= value <= self.highest


NAMES: Final[Mapping[str, Switch | Count]] = {
    "enable": Switch("enable"),
    "automatic": Switch("automatic"),
    "maxTokens": Count("max_tokens", 1, 256),
    "firstTextMs": Count("first_text_ms", 50, 60_000),
    "deadlineMs": Count("deadline_ms", 50, 60_000),
    "maxDocumentBytes": Count("max_document_bytes", 0, 64 << 20),
}


def parse(raw: object, current: Settings) -> tuple[Settings, list[str]]:
    """Return `current` with what `raw` sets, and a sentence for each thing that it cannot set.

    `raw` is what a client sent: the section itself, or an object that holds it under its name.
    """
    if raw is None:
        return current, []
    section = raw.get(SECTION, raw) if _is_object(raw) else raw
    if not _is_object(section):
        return current, [f"settings must be an object, not {_shown(section)}"]
    settings, problems = current, list[str]()
    for name, value in section.items():
        setting = NAMES.get(name)
        if setting is None:
            problems.append(_unknown(name))
        elif setting.accepts(value):
            settings = replace(settings, **{setting.field: value})
        else:
            problems.append(f"{SECTION}.{name} must be {setting.expected}, not {_shown(value)}")
    return settings, problems


def section_of(raw: object) -> object:
    """Return our section of all the settings of a client, None where there is none."""
    return raw.get(SECTION) if _is_object(raw) else None


def _is_object(raw: object) -> TypeGuard[Mapping[str, object]]:
    """Return whether this was a JSON object: their names are always strings."""
    return isinstance(raw, dict)


def _unknown(name: str) -> str:
    if name in FORBIDDEN:
        return (
            f"{SECTION}.{name} cannot be set from an editor's workspace; "
            "start the server with --model or INKLING_MODEL"
        )
    return f"{SECTION}.{name[:40]} is unknown; there are {', '.join(NAMES)}"


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:40]}..."
