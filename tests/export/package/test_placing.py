"""placing: a package takes its place whole, or the place is as it was."""

from collections.abc import Callable
from pathlib import Path

import pytest

from export.errors import PackageError
from export.package.placing import check_output, replacing
from inference.package.manifest import MANIFEST_FILE
from tests.support.exported import Exported, export_tiny
from tests.support.tiny_checkpoints import TINY_MODELS


class Interrupted(BaseException):
    """Stands for Ctrl-C, which is no Exception either."""


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    return export_tiny(tmp_path_factory.mktemp("package"), TINY_MODELS[0])


@pytest.fixture
def package(exported: Exported, tmp_path: Path) -> Path:
    """A copy of a true package, in a folder of its own."""
    folder = tmp_path / "package"
    folder.mkdir()
    for path in exported.folder.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.*")}


def write(output: Path) -> None:
    with replacing(output) as folder:
        (folder / "new.txt").write_text("new", encoding="utf-8")


def write_half(output: Path, error: type[BaseException] | BaseException) -> None:
    with replacing(output) as folder:
        (folder / "model.onnx.data").write_bytes(b"half")
        raise error


def write_thesis(folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "thesis.txt").write_text("mine", encoding="utf-8")


def check_refused(output: Path, because: str) -> None:
    before = output.lstat()
    with pytest.raises(PackageError, match=because):
        write(output)
    after = output.lstat()  # but for the time of the last reading, which asking changes
    assert (after.st_ino, after.st_mode, after.st_size, after.st_mtime_ns) == (
        before.st_ino,
        before.st_mode,
        before.st_size,
        before.st_mtime_ns,
    )


def check_written(output: Path) -> None:
    write(output)
    assert contents(output) == {"new.txt": b"new"}
    assert [path.name for path in output.parent.iterdir()] == [output.name]
    assert output.stat().st_mode & 0o777 == 0o755


def test_an_absent_folder_is_made_with_its_parents(tmp_path: Path) -> None:
    check_written(tmp_path / "some" / "where" / "package")


def test_an_empty_folder_is_used(tmp_path: Path) -> None:
    (tmp_path / "package").mkdir()
    check_written(tmp_path / "package")


def test_a_package_is_replaced_whole(package: Path) -> None:
    check_written(package)


def test_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "package").write_text("mine", encoding="utf-8")
    check_refused(tmp_path / "package", "is not a folder; choose another --output")


def test_a_link_is_refused(package: Path) -> None:
    link = package.parent / "link"
    link.symlink_to(package)
    check_refused(link, "is not a folder")


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    write_thesis(tmp_path)
    check_refused(tmp_path, "is not empty and not a package")


def test_a_package_with_something_else_in_it_is_refused(package: Path) -> None:
    (package / "notes.txt").write_text("mine", encoding="utf-8")
    check_refused(package, r"holds notes\.txt, which is no part of its package")


def test_a_folder_with_a_broken_manifest_is_refused(package: Path) -> None:
    (package / MANIFEST_FILE).write_text("{", encoding="utf-8")
    check_refused(package, "not a package")


@pytest.mark.parametrize("error", [Interrupted, KeyboardInterrupt, ValueError, SystemExit])
def test_whatever_interrupts_leaves_the_old_package(
    error: type[BaseException], package: Path
) -> None:
    before = contents(package.parent)
    with pytest.raises(error):
        write_half(package, error)
    assert contents(package.parent) == before


def test_an_interruption_leaves_nothing_where_nothing_was(tmp_path: Path) -> None:
    with pytest.raises(Interrupted), replacing(tmp_path / "package"):
        raise Interrupted
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_told_in_words(package: Path) -> None:
    before = contents(package.parent)
    with pytest.raises(PackageError, match=r"cannot write .*package: No space left on device"):
        write_half(package, OSError(28, "No space left on device"))
    assert contents(package.parent) == before


def test_a_parent_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(PackageError, match="cannot write to"):
        write(tmp_path / "file" / "package")


def test_a_folder_that_fills_up_meanwhile_is_left_alone(tmp_path: Path) -> None:
    """Someone else's file appears in the empty target while we export."""
    output = tmp_path / "package"
    with pytest.raises(PackageError, match="is not empty"), replacing(output):
        write_thesis(output)
    assert contents(tmp_path) == {"package/thesis.txt": b"mine"}


def check_accepts(make: Callable[[Path], object], tmp_path: Path) -> None:
    output = tmp_path / "package"
    make(output)
    check_output(output)


def test_nothing_there_is_accepted(tmp_path: Path) -> None:
    check_accepts(lambda output: None, tmp_path)


def test_a_dangling_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "package").symlink_to(tmp_path / "nowhere")
    check_refused(tmp_path / "package", "is not a folder")
