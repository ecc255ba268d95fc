"""Read a checkpoint's config.json by type, and notice what nobody read.

A key that no one asked for may change what the model computes, so unknown means unsupported until
the family's file reads it, a list holds it for harmless, or the user does. `null` counts as absent,
as in transformers.
"""

import json
import stat
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar, cast

import msgspec

from export.errors import CheckpointError, UnsupportedError

MAX_CONFIG_BYTES: Final = 1 << 24
MAX_INTEGER: Final = 1 << 31
MAX_SHOWN: Final = 400
"""Characters of a value in a message: a list may have millions of elements."""

Kind = TypeVar("Kind")


class Config:
    """The values of one JSON object, each to be asked for by name and type.

    `ignored` are the keys that the user says change nothing, those of objects within with the
    names of both, as in `rope_scaling.type`.
    """

    def __init__(
        self, values: Mapping[str, Any], name: str, *, ignored: Collection[str] = ()
    ) -> None:
        self._values = values
        self._name = name
        self._ignored = frozenset(ignored)
        self._prefix = ""
        self._passed_over: set[str] = set()
        self._read: set[str] = set()

    @property
    def name(self) -> str:
        """What messages call the object: its file, and the keys that lead to it."""
        return self._name

    def has(self, key: str) -> bool:
        """Say whether the key has a value, without counting it as read."""
        return self._values.get(key) is not None

    def as_object(self) -> dict[str, Any]:
        """Return all of it as it is written, none of it counted as read."""
        return dict(self._values)

    def names(self) -> tuple[str, ...]:
        """Return the keys that have a value, and count them as read."""
        self._read.update(self._values)
        return tuple(key for key in self._values if self.has(key))

    def integer(self, key: str, *, default: int | None = None, minimum: int = 1) -> int:
        value = self._get(key, default)
        if isinstance(value, bool) or not isinstance(value, int):
            raise self._wrong(key, value, "an integer")
        if not minimum <= value <= MAX_INTEGER:
            raise self._wrong(key, value, f"between {minimum} and {MAX_INTEGER}")
        return value

    def number(self, key: str, *, default: float | None = None) -> float:
        """Return a finite number above zero."""
        value = self._get(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self._wrong(key, value, "a number")
        if not 0.0 < value < float("inf"):
            raise self._wrong(key, value, "finite and above zero")
        return float(value)

    def boolean(self, key: str, *, default: bool | None = None) -> bool:
        value = self._get(key, default)
        if not isinstance(value, bool):
            raise self._wrong(key, value, "true or false")
        return value

    def text(self, key: str, *, default: str | None = None) -> str:
        value = self._get(key, default)
        if not isinstance(value, str):
            raise self._wrong(key, value, "a string")
        return value

    def integers(self, key: str) -> tuple[int, ...]:
        """Return the integers of a list; one integer alone, or none, is a list too."""
        value = self._get(key, default=[])
        return self._list(key, [value] if isinstance(value, int) else value, int, "integers")

    def texts(self, key: str) -> tuple[str, ...]:
        """Return the strings of a list; none is an empty list."""
        return self._list(key, self._get(key, default=[]), str, "strings")

    def numbers(self, key: str) -> tuple[float, ...]:
        """Return the numbers of a list, each finite and above zero."""
        value = self._get(key, default=None)
        numbers = self._list(key, value, float, "numbers")
        if not all(0.0 < number < float("inf") for number in numbers):
            raise self._wrong(key, value, "a list of finite numbers above zero")
        return numbers

    def values(self, key: str) -> tuple[float, ...]:
        """Return the numbers of a list, of any sign; none is an empty list."""
        return self._list(key, self._get(key, default=[]), float, "numbers")

    def section(self, key: str, *, inherited: Collection[str] = ()) -> "Config":
        """Return the object under a key, an empty one where there is none.

        `inherited` are keys that hold for it as they are here where it does not have them.
        """
        value = self._get(key, default={})
        if not isinstance(value, dict):
            raise self._wrong(key, value, "an object")
        self._read.update(inherited)
        own = cast("dict[str, Any]", value)
        from_here = {name: self._values.get(name) for name in inherited if own.get(name) is None}
        section = Config(own | from_here, f"{self._name}: {key}", ignored=self._ignored)
        section._prefix = f"{self._prefix}{key}."
        section._passed_over = self._passed_over
        return section

    def assume(self, values: Mapping[str, object]) -> None:
        """Take values for keys that have none, as if they were written; nobody need read them."""
        missing = {key: value for key, value in values.items() if not self.has(key)}
        self._values = {**self._values, **missing}
        self._read.update(missing)

    def spelling(self, *keys: str) -> str:
        """Return which of several spellings of one key is used; the first where none is."""
        return next((key for key in keys if self.has(key)), keys[0])

    def require(self, key: str, *implemented: object) -> None:
        """Refuse every value but the implemented ones; an absent key has the first of them."""
        value = self._get(key, default=implemented[0])
        if not any(value == option and type(value) is type(option) for option in implemented):
            options = " or ".join(repr(option) for option in implemented)
            raise UnsupportedError(
                f"{self._name} says {key} = {_shown(value)}; only {options} is implemented"
            )

    def choice(self, key: str, *implemented: Kind) -> Kind:
        """Return the value, which must be one of the implemented; the first where it is absent."""
        self.require(key, *implemented)
        return self._get(key, default=implemented[0])

    def require_same(self, key: str, other: str) -> None:
        """Refuse every value but that of another key, which is thereby not counted as read."""
        self.require(key, self._values.get(other))

    def unread(self) -> tuple[str, ...]:
        """Return the keys with a value that neither was read nor is to be passed over."""
        found = [key for key in self._values if self.has(key) and key not in self._read]
        named = {key for key in found if self._prefix + key in self._ignored}
        self._passed_over.update(self._prefix + key for key in named)
        return tuple(key for key in found if key not in named)

    def refuse_unread(self, harmless: Collection[str] = ()) -> None:
        """Raise UnsupportedError naming the first key with a value that nobody read."""
        for key in self.unread():
            if key not in harmless:
                raise UnsupportedError(
                    f"{self._name} says {key} = {_shown(self._values[key])}, which is not "
                    f"implemented; if it does not change what the model computes, add "
                    f"--ignore-config {self._prefix}{key}"
                )

    def refuse_needless(self) -> None:
        """Raise UnsupportedError naming the first of the `ignored` that was not passed over."""
        for key in sorted(self._ignored - self._passed_over):
            raise UnsupportedError(
                f"{self._name} has no {key} that nothing reads; leave --ignore-config {key} out"
            )

    def _get(self, key: str, default: object) -> Any:  # noqa: ANN401 - JSON
        self._read.add(key)
        value = self._values.get(key)
        value = default if value is None else value
        if value is None:
            raise CheckpointError(f"{self._name} has no {key}; the checkpoint is incomplete")
        return value

    def _list(self, key: str, value: object, kind: type[Kind], of: str) -> tuple[Kind, ...]:
        try:
            return msgspec.convert(value, tuple[kind, ...])
        except msgspec.ValidationError:
            raise self._wrong(key, value, f"a list of {of}") from None

    def _wrong(self, key: str, value: object, expected: str) -> CheckpointError:
        return CheckpointError(
            f"{self._name} says {key} = {_shown(value)}, which is not {expected}"
        )


def read_json(path: Path, kind: type[Kind], *, max_bytes: int = MAX_CONFIG_BYTES) -> Kind:
    """Read JSON of one shape. Raises CheckpointError where it is missing or something else."""
    try:
        return msgspec.json.decode(_read_file(path, max_bytes), type=kind)
    # A DecodeError is a ValueError too.
    except (ValueError, RecursionError) as error:
        raise _not_valid(path, error) from error


def read_object(path: Path, *, max_bytes: int = MAX_CONFIG_BYTES) -> dict[str, Any]:
    """Read a JSON object as Python writes it, which spells what is no number as well."""
    try:
        return msgspec.convert(json.loads(_read_file(path, max_bytes)), dict[str, Any])
    except (ValueError, RecursionError) as error:
        raise _not_valid(path, error) from error


def read_config(path: Path, *, ignored: Collection[str] = ()) -> Config:
    return Config(read_object(path), path.name, ignored=ignored)


def _read_file(path: Path, max_bytes: int) -> bytes:
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):  # a pipe or a device may have no end
            raise CheckpointError(f"{path} is not a regular file; download it again")
        if status.st_size > max_bytes:
            raise CheckpointError(f"{path} has {status.st_size} bytes, more than {max_bytes}")
        return path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror}") from error


def _shown(value: object) -> str:
    shown = repr(value)
    return shown if len(shown) <= MAX_SHOWN else f"{shown[:MAX_SHOWN]}..."


def _not_valid(path: Path, error: Exception) -> CheckpointError:
    return CheckpointError(f"{path} is not what it should be: {error}")
