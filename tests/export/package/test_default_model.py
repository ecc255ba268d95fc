"""default_model: the package that ships is what its checkpoint gives, byte for byte."""

from pathlib import Path

import pytest

from export.options import ExportOptions
from export.pipeline import export_checkpoint
from inference.package.manifest import read_manifest, verify_files
from tests.support.exported import no_progress
from tests.support.shipped import PACKED, shipped_checkpoint

ROOT = Path(__file__).parents[3]
SHIPPED = ROOT / "inference" / "default_model"
RUN = ROOT / "training" / "runs" / "base"


@pytest.mark.slow
def test_exporting_again_gives_the_same_bytes(tmp_path: Path) -> None:
    options = ExportOptions(fim_order="spm", name="inkling-base")
    again = tmp_path / "again"
    export_checkpoint(str(shipped_checkpoint()), again, options, progress=no_progress)
    for path in again.iterdir():
        assert path.read_bytes() == (SHIPPED / path.name).read_bytes(), path.name


def test_the_shipped_package_is_whole_and_nothing_else_lies_beside_it() -> None:
    manifest = read_manifest(SHIPPED)
    verify_files(manifest, SHIPPED)
    present = {path.name for path in SHIPPED.iterdir()}
    assert present == {*manifest.files, "manifest.json", "README.md", "CORPUS.md"}


def test_its_data_card_is_that_of_the_run_that_made_it() -> None:
    assert (SHIPPED / "CORPUS.md").read_bytes() == (RUN / "CORPUS.md").read_bytes()


def test_the_readme_gives_the_command_that_made_it() -> None:
    manifest = read_manifest(SHIPPED)
    readme = (SHIPPED / "README.md").read_text("utf-8")
    assert manifest.fim is not None
    command = (
        f"python -m training.model.packed {PACKED.relative_to(ROOT)} build/base\n"
        "inkling export build/base --output build/default_model "
        f"--precision {manifest.precision} --block-size {manifest.block_size} "
        f"--fim-order {manifest.fim.order} --name {manifest.name}"
    )
    assert command in readme
