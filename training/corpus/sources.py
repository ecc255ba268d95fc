"""Read corpus.toml: which packages the corpus is made of, and what each is used for.

Knows names, versions, licences and hashes. Downloads nothing and reads no archive.
"""

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Literal

import msgspec

from training.errors import TrainingError

Kind = Literal["wheel", "sdist", "npm", "debian", "installed"]
Role = Literal["train", "validation", "test"]

ALLOWED_LICENCES: Final = frozenset(
    {"PSF-2.0", "MIT", "BSD-2-Clause", "BSD-3-Clause", "Apache-2.0"}
)
CORPUS_FILE: Final = Path(__file__).parents[1] / "corpus.toml"
DATA_FOLDER: Final = Path(__file__).parents[1] / "data"


class Package(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`sha256` is that of the archive; an installed package has none.

    `python` is the interpreter version a wheel is asked for where it is not the running one.
    """

    name: str
    kind: Kind
    version: str
    licence: str
    sha256: str = ""
    role: Role = "train"
    python: str = ""


class Corpus(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    package: tuple[Package, ...]


def read_corpus(path: Path = CORPUS_FILE) -> Sequence[Package]:
    """Return the packages in the file's order.

    Raises TrainingError for a licence that is not allowed, a missing hash or a name given twice.
    """
    try:
        corpus = msgspec.convert(tomllib.loads(path.read_text("utf-8")), type=Corpus)
    except (msgspec.ValidationError, tomllib.TOMLDecodeError) as error:
        raise TrainingError(f"{path.name} is not understood: {error}") from error
    for package in corpus.package:
        _check(package)
    names = [(package.kind == "npm", package.name) for package in corpus.package]
    for name in names:
        if names.count(name) > 1:
            raise TrainingError(f"{name[1]} stands twice in {path.name}; remove one")
    return corpus.package


def _check(package: Package) -> None:
    if package.licence not in ALLOWED_LICENCES:
        allowed = ", ".join(sorted(ALLOWED_LICENCES))
        raise TrainingError(
            f"licence {package.licence} of {package.name} is not one of {allowed}; leave it out"
        )
    if package.kind != "installed" and len(package.sha256) != 64:
        raise TrainingError(f"{package.name} has no sha256; fetch it with --pin and copy the line")
