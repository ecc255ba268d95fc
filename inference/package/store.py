"""Which models are installed for this user, and which of them answers.

    <user's data folder>/inkling/models/NAME/     a package
    <user's data folder>/inkling/model            the name that `inkling model use` wrote

Everything here is the user's own: nothing of a workspace is looked at. What is named in a command
or in INKLING_MODEL wins over what is written, and the model that ships answers where nothing is.
"""

import os
import re
from importlib import resources
from pathlib import Path
from typing import Final

import msgspec
import platformdirs

from inference.errors import InvalidModelError, ModelNotFoundError
from inference.package.manifest import MANIFEST_FILE

EMBEDDED: Final = "embedded"
"""What the model that ships is called where a model is named."""

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_MAX_CHOICE_BYTES: Final = 256


class Choice(msgspec.Struct, frozen=True):
    """The package that answers; `reason` says in the user's words why it is this one."""

    folder: Path
    reason: str


def data_folder() -> Path:
    return Path(platformdirs.user_data_dir("inkling", appauthor=False))


def models_folder() -> Path:
    return data_folder() / "models"


def embedded_folder() -> Path:
    """Return the folder of the model that ships inside the distribution."""
    return Path(str(resources.files("inference") / "default_model"))


def checked_name(name: str) -> str:
    """Return a name that can be a folder's. Raises InvalidModelError."""
    if not _NAME.fullmatch(name) or name == EMBEDDED:
        raise InvalidModelError(
            f"{name!r} is no name for a model; use letters, digits, dots and dashes"
        )
    return name


def installed() -> list[str]:
    """Return the names of the installed packages, in order."""
    folder = models_folder()
    if not folder.is_dir():
        return []
    return sorted(
        path.name
        for path in folder.iterdir()
        if _NAME.fullmatch(path.name) and (path / MANIFEST_FILE).is_file()
    )


def installed_folder(name: str) -> Path | None:
    return models_folder() / name if name in installed() else None


def chosen() -> str | None:
    """Return the name that `use` wrote; None where there is none that could be one."""
    try:
        with _choice_file().open("rb") as file:
            name = file.read(_MAX_CHOICE_BYTES).decode("utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return None
    return name if _NAME.fullmatch(name) else None


def choose(name: str) -> None:
    """Have this installed model answer from now on, or the embedded one.

    Raises ModelNotFoundError where it is not installed.
    """
    if name != EMBEDDED and installed_folder(name) is None:
        raise ModelNotFoundError(_not_installed(name))
    file = _choice_file()
    file.parent.mkdir(parents=True, exist_ok=True)
    written = file.with_name(f".{file.name}.{os.getpid()}")
    written.write_text(f"{name}\n", "utf-8")
    written.replace(file)


def find_model(named: str | None = None) -> Choice:
    """Return the package that answers.

    `named` is what a command or the environment says: a name, or a folder.
    Raises ModelNotFoundError where neither is there.
    """
    if named is not None:
        return _named(named)
    name = chosen()
    folder = None if name is None else installed_folder(name)
    if folder is not None:
        return Choice(folder, f"{name}, as `inkling model use` says")
    if name is not None and name != EMBEDDED:
        return Choice(embedded_folder(), f"the one that ships, since {name} is gone")
    return Choice(embedded_folder(), "the one that ships")


def stamp() -> tuple[int, ...]:
    """Return what changes when another model is chosen or the chosen one is replaced."""
    name = chosen()
    files = [_choice_file(), *([models_folder() / name / MANIFEST_FILE] if name else [])]
    return tuple(_changed_at(file) for file in files)


def _named(named: str) -> Choice:
    if named == EMBEDDED:
        return Choice(embedded_folder(), "the one that ships, by name")
    folder = installed_folder(named)
    if folder is not None:
        return Choice(folder, f"{named}, by name")
    path = Path(named)
    if path.is_dir():
        return Choice(path, f"the package in {path}")
    raise ModelNotFoundError(_not_installed(named))


def _not_installed(name: str) -> str:
    there = ", ".join([EMBEDDED, *installed()])
    return (
        f"no model {name} is installed and there is no such folder; there are {there}, and "
        "`inkling model list` shows what can be added"
    )


def _choice_file() -> Path:
    return data_folder() / "model"


def _changed_at(file: Path) -> int:
    try:
        return file.stat().st_mtime_ns
    except OSError:
        return 0
