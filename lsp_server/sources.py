"""Read settings from whoever may send them, and say what holds when several do.

    the defaults < initializationOptions < configuration < commands

Each source is read whole: what it does not name any more is as if it never had. Nothing raises: a
value that makes no sense counts as not sent, and becomes a problem to show. null, [] and {} set
nothing, alone or in place of a value.
"""

import difflib
import reprlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from enum import IntEnum, auto
from itertools import islice
from typing import Final

from lsp_server.settings import SECTION, SETTINGS, Settings, about, is_object

FORBIDDEN: Final = (
    *("model", "package", "checkpoint", "device", "library", "plugin", "provider"),
    *("command", "exec", "binary", "program", "script", "shell", "interpreter", "args", "argument"),
    *("path", "file", "folder", "dir", "cwd", "cache", "log", "trace", "env"),
    *("endpoint", "url", "uri", "host", "server", "port", "address", "socket", "proxy", "remote"),
    *("token", "key", "secret", "password", "credential", "auth"),
)
"""What in a name, however it is spelt, says that it would choose what runs, what is read or
written, or whom to talk to. No setting of ours is any of that, so none of it can be set; these
words only decide what is said about it."""

MAX_PROBLEMS: Final = 5
MAX_SHOWN_CHARACTERS: Final = 40
MAX_PATHS: Final = 100
MAX_DEPTH: Final = 8

Values = Mapping[str, object]
"""Values of settings by the names of the fields."""


class Source(IntEnum):
    """Who may set something; the later ones over the earlier."""

    OPTIONS = auto()
    CONFIGURATION = auto()
    COMMANDS = auto()


class Sources:
    """What each source has set, and the problems that were told already."""

    def __init__(self) -> None:
        self._values: dict[Source, Values] = {source: {} for source in Source}
        self._told: set[str] = set()

    @property
    def settings(self) -> Settings:
        merged = dict[str, object]()
        for values in self._values.values():
            merged = _over(merged, values)
        return replace(Settings(), **merged)

    def take(self, source: Source, raw: object) -> list[str]:
        """Replace what a source has set; return the problems that are new."""
        self._values[source], problems = parse(raw)
        new = [problem for problem in problems if problem not in self._told]
        self._told.update(new)
        return new

    def override(self, raw: object) -> list[str]:
        """Add to what commands have set; return all problems, where there is one nothing is."""
        values, problems = parse(raw)
        if not problems:
            self._values[Source.COMMANDS] = _over(self._values[Source.COMMANDS], values)
        return problems


def parse(raw: object) -> tuple[Values, list[str]]:
    """Return what `raw` sets, and a sentence for each thing in it that cannot be set.

    `raw` is what was sent to us alone: our settings, or an object that holds them under our name.
    """
    section = _ours(raw)
    if is_nothing(section):
        return {}, []
    if not is_object(section):
        return {}, [f"settings must be an object, not {_shown(section)}"]
    values, wrong = dict[str, object](), dict[str, object]()
    for name, value in section.items():
        if is_nothing(value):
            continue
        setting = SETTINGS.get(name)
        read = about(setting).kind.read(value) if setting is not None else None
        if setting is None or read is None:
            wrong[name] = value
        else:
            values[setting.name] = read
    problems = [_problem(*each) for each in islice(wrong.items(), MAX_PROBLEMS)]
    if len(wrong) > MAX_PROBLEMS:
        problems.append(f"and {len(wrong) - MAX_PROBLEMS} more")
    return values, problems


def section_of(raw: object) -> object:
    """Return what is ours of settings that a client may send to several servers.

    Settings without any section are ours; where there are sections, only the one of our name is.
    """
    if not is_object(raw) or _has_section(raw):
        return raw
    is_shared = any("." in name or is_object(raw[name]) for name in raw if name not in SETTINGS)
    return None if is_shared else raw


def _has_section(raw: Mapping[str, object]) -> bool:
    return SECTION in raw or any(name.startswith(f"{SECTION}.") for name in raw)


def _ours(raw: object) -> object:
    """Return the section under our name, with what stands beside it under dotted names."""
    if not is_object(raw) or not _has_section(raw):
        return raw
    prefix = f"{SECTION}."
    dotted = {
        name.removeprefix(prefix): value for name, value in raw.items() if name.startswith(prefix)
    }
    section = raw.get(SECTION)
    if is_nothing(section):
        return dotted
    return {**dotted, **section} if is_object(section) else section


def _over(below: Values, above: Values) -> dict[str, object]:
    """Return values over others; objects are laid over each other name by name."""
    merged = dict(below)
    for name, value in above.items():
        under = merged.get(name)
        merged[name] = {**under, **value} if is_object(under) and is_object(value) else value
    return merged


def is_nothing(value: object) -> bool:
    """Return whether a client said nothing by this; some cannot spell an empty object."""
    return value is None or value in ([], {})


def _problem(name: str, value: object) -> str:
    said = f"{SECTION}.{_cut(name)}"
    setting = SETTINGS.get(name)
    if setting is not None:
        return f"{said} must be {about(setting).kind.expected}, not {_shown(value)}"
    similar = difflib.get_close_matches(_cut(name), SETTINGS, 1, 0.8)
    if similar:
        return f"{said} is unknown; did you mean {similar[0]}?"
    for path in islice(_paths(name, value), MAX_PATHS):
        letters = "".join(filter(str.isalpha, path.lower()))
        if any(word in letters for word in FORBIDDEN):
            return (
                f"{SECTION}.{_cut(path)} cannot be set from an editor's workspace; "
                "start the server with --model or INKLING_MODEL"
            )
    return f"{said} is unknown; there are {', '.join(sorted(SETTINGS))}"


def _paths(name: str, value: object, depth: int = 0) -> Iterator[str]:
    """Yield the dotted names of a value and of all in it."""
    yield name
    if is_object(value) and depth < MAX_DEPTH:
        for inner, inner_value in value.items():
            yield from _paths(f"{name}.{inner}", inner_value, depth + 1)


def _shown(value: object) -> str:
    return _cut(reprlib.repr(value))


def _cut(text: str) -> str:
    return text if len(text) <= MAX_SHOWN_CHARACTERS else f"{text[:MAX_SHOWN_CHARACTERS]}..."
