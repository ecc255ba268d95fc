"""An export that is killed, or cannot write, leaves the old package as it was, and no other.

What a killed one leaves beside it is gone after the next.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from export.errors import PackageError
from export.package.placing import replacing
from export.pipeline import export_checkpoint
from inference.package.manifest import read_manifest, verify_files
from tests.support.exported import no_progress, tiny_options
from tests.support.tiny_checkpoints import TINY_MODELS, write_tiny_checkpoint

TIMEOUT_S = 60.0
ROOT = Path(__file__).parents[2]
OLD, NEW = TINY_MODELS[0], TINY_MODELS[1]

EXPORT = """
import os, signal, sys
from pathlib import Path
from export.package import placing
from export.pipeline import export_checkpoint
from tests.support.exported import tiny_options

checkpoint, package, moment, number = sys.argv[1:]

def interrupt():
    os.kill(os.getpid(), int(number))

def progress(done, total):
    if moment == "halfway" and done == total // 2:
        interrupt()

def audit(event, arguments):
    if event == moment and ".partial-" in str(arguments[0]):
        interrupt()

if moment == "os.rename":
    placing._exchange = lambda first, second: False
sys.addaudithook(audit)
export_checkpoint(checkpoint, Path(package), tiny_options(), progress=progress)
"""


@pytest.fixture
def package(tmp_path: Path) -> Path:
    export(tmp_path, tmp_path / "package", OLD.name)
    return tmp_path / "package"


def export(folder: Path, package: Path, name: str) -> None:
    model = next(model for model in TINY_MODELS if model.name == name)
    checkpoint = write_tiny_checkpoint(folder / name, model)
    options = tiny_options()
    export_checkpoint(str(checkpoint), package, options, progress=no_progress)


def run_export(package: Path, moment: str, number: int) -> int:
    """Export over the package, and end the process at a moment; return what it ended with."""
    checkpoint = write_tiny_checkpoint(package.parent / NEW.name, NEW)
    command = [sys.executable, "-c", EXPORT, checkpoint, package, moment, str(int(number))]
    done = subprocess.run(command, check=False, timeout=TIMEOUT_S, stderr=subprocess.PIPE, cwd=ROOT)
    return done.returncode


def check_whole(package: Path, name: str) -> None:
    """The package is one of the two, whole, and only the checkpoints lie beside it."""
    manifest = read_manifest(package)
    verify_files(manifest, package)
    assert manifest.name == name
    assert {path.name for path in package.iterdir()} == {*manifest.files, "manifest.json"}
    assert {path.name for path in package.parent.iterdir()} == {"package", OLD.name, NEW.name}


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_signal_halfway(number: signal.Signals, package: Path) -> None:
    assert run_export(package, "halfway", number) != 0
    assert read_manifest(package).name == OLD.name
    if number == signal.SIGINT:  # this one unwinds; SIGTERM does under the command line only
        check_whole(package, OLD.name)
    export(package.parent, package, NEW.name)
    check_whole(package, NEW.name)


@pytest.mark.slow
def test_killed_after_the_exchange(package: Path) -> None:
    """The old package has the partial name then, and is removed by the next export."""
    assert run_export(package, "shutil.rmtree", signal.SIGKILL) == -9
    assert read_manifest(package).name in {OLD.name, NEW.name}
    export(package.parent, package, OLD.name)
    check_whole(package, OLD.name)


@pytest.mark.slow
def test_killed_between_two_renames_where_there_is_no_exchange(package: Path) -> None:
    """The one moment without a package: the next export puts the old one back before it begins."""
    assert run_export(package, "os.rename", signal.SIGKILL) == -9
    assert not package.exists()
    with pytest.raises(KeyboardInterrupt), replacing(package):
        raise KeyboardInterrupt
    assert read_manifest(package).name == OLD.name
    export(package.parent, package, NEW.name)
    check_whole(package, NEW.name)


def test_what_another_export_is_writing_is_left_alone(package: Path) -> None:
    with replacing(package.parent / "package") as first:
        (first / "half").touch()
        export(package.parent, package, NEW.name)
        assert (first / "half").exists()
    assert [path.name for path in package.iterdir()] == ["half"]


def test_a_folder_that_only_looks_like_a_leftover_is_left_alone(package: Path) -> None:
    """A link is never followed, and another package's leftovers are another package's."""
    others = [package.parent / ".other.partial-1", package.parent / ".package.partial-2"]
    others[0].mkdir()
    others[1].symlink_to(package.parent / OLD.name)
    export(package.parent, package, NEW.name)
    assert [path for path in others if path.exists()] == others
    assert (package.parent / OLD.name / "config.json").exists()


FULL = """
import resource, sys
from inkling.cli import main
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
sys.argv[0] = "inkling"
main()
"""


@pytest.mark.slow
def test_a_disk_that_is_full(package: Path) -> None:
    """No file may grow beyond 50 kB; the system says so as it says that a disk is full."""
    checkpoint = write_tiny_checkpoint(package.parent / NEW.name, NEW)
    arguments = ["export", checkpoint, "--output", package, "--block-size", "32"]
    done = subprocess.run(
        [sys.executable, "-c", FULL, *arguments],
        check=False,
        timeout=TIMEOUT_S,
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.strip() == f"error: cannot write {package}: File too large"
    check_whole(package, OLD.name)


def check_cannot_be_written(package: Path, checkpoint: Path) -> None:
    options = tiny_options()
    with pytest.raises(PackageError, match="cannot write"):
        export_checkpoint(str(checkpoint), package, options, progress=no_progress)


@pytest.mark.skipif(sys.platform != "linux", reason="nobody can write there on Linux")
def test_a_target_where_nobody_can_write(tmp_path: Path) -> None:
    check_cannot_be_written(Path("/proc/package"), write_tiny_checkpoint(tmp_path))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_target_that_is_read_only(package: Path) -> None:
    checkpoint = write_tiny_checkpoint(package.parent / NEW.name, NEW)
    package.parent.chmod(0o555)
    check_cannot_be_written(package, checkpoint)
    package.parent.chmod(0o755)
    check_whole(package, OLD.name)
