"""What is known of each model that has a name: data, in catalogue.toml."""

import functools
import tomllib
from importlib import resources
from typing import Final

import msgspec

from export.options import ExportOptions
from export.package.fim_conventions import Layout

MIRROR: Final = "a mirror of wheels"


class Hub(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`file` is the one file that is wanted; without it the repository is a checkpoint."""

    repository: str
    revision: str | None = None
    file: str | None = None


class Wheel(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One piece of a file: `member` of a wheel, which has so many bytes and this SHA-256."""

    distribution: str
    version: str
    sha256: str
    bytes: int
    member: str


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`memory` is what the engine needs, in MiB; `bytes` and `sha256` are those of the one file.

    `fim_order` is what an export of that very file measured here, so that no other measures it.
    """

    name: str
    title: str
    licence: str
    parameters: int
    active: int
    memory: int
    fills_holes: bool
    follows_instructions: bool
    tried: bool
    hub: Hub
    bytes: int | None = None
    sha256: str | None = None
    wheels: tuple[Wheel, ...] = ()
    fim_order: Layout | None = None

    def options(self) -> ExportOptions:
        return ExportOptions(
            name=self.name,
            fim_order=self.fim_order,
            revision=self.hub.revision if self.hub.file is None else None,
        )


class _Catalogue(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    model: tuple[Entry, ...]


@functools.cache
def catalogue() -> tuple[Entry, ...]:
    """Return the models that have a name, the smaller first."""
    text = (resources.files("export.catalogue") / "catalogue.toml").read_text("utf-8")
    return msgspec.convert(tomllib.loads(text), type=_Catalogue).model


def find_entry(name: str) -> Entry | None:
    return next((entry for entry in catalogue() if entry.name == name), None)
