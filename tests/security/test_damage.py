"""Damage to a real package: 500 flipped bits over all files, files cut off; none is accepted."""

import os
import random
import shutil
from pathlib import Path

import pytest

from inference.errors import InvalidModelError
from inference.package.manifest import MANIFEST_FILE, read_manifest, verify_files
from inference.serving.local import load_package
from tests.support.exported import export_tiny
from tests.support.tiny_checkpoints import TINY_MODELS

NUM_FLIPS = 500
SEED = 4


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A package in 4 bits that loads; each test puts back what it harms."""
    folder = export_tiny(tmp_path_factory.mktemp("damage"), TINY_MODELS[0], "int4").folder
    load_package(folder)
    return folder


def check_refused(folder: Path) -> None:
    with pytest.raises(InvalidModelError):
        verify_files(read_manifest(folder), folder)


@pytest.mark.slow
def test_500_single_bit_flips_over_all_files(package: Path) -> None:
    chance = random.Random(SEED)
    files = sorted(package.iterdir())
    assert MANIFEST_FILE in {path.name for path in files}
    for index in range(NUM_FLIPS):
        path = files[index % len(files)]  # evenly, or the weights would take nearly all
        content = path.read_bytes()
        flipped = bytearray(content)
        bit = chance.randrange(8 * len(content))
        flipped[bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
        check_refused(package)
        path.write_bytes(content)
    verify_files(read_manifest(package), package)


@pytest.mark.parametrize("share", [0.0, 0.25, 0.5, 0.999])
def test_every_file_cut_off(share: float, package: Path) -> None:
    for path in sorted(package.iterdir()):
        content = path.read_bytes()
        os.truncate(path, int(len(content) * share))
        check_refused(package)
        path.write_bytes(content)


def test_two_files_that_changed_places(package: Path) -> None:
    first, second = (package / name for name in sorted(read_manifest(package).files)[:2])
    spare = package / "spare"
    for source, target in ((first, spare), (second, first), (spare, second)):
        shutil.move(source, target)
    check_refused(package)
    for source, target in ((first, spare), (second, first), (spare, second)):
        shutil.move(source, target)
    verify_files(read_manifest(package), package)
