"""Where a host is looked for: the same place for the same model, code and device, and no other."""

import os
import shutil
import sys
from pathlib import Path

import pytest

from inference.package.manifest import MANIFEST_FILE
from inference.package.store import embedded_folder
from inference.serving.shared import place as places
from inference.serving.shared.place import Place, find_place

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="nothing is shared there")


@pytest.fixture(autouse=True)
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = Path("/tmp") / f"inkling-tests-{os.getpid()}"  # the paths of sockets are short
    shutil.rmtree(folder, ignore_errors=True)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return folder


def found(model: str | None = None, **options: object) -> Place:
    place = find_place(model, **{"device": "cpu", "num_threads": None, **options})  # type: ignore[arg-type]
    assert place is not None
    return place


def test_the_same_is_found_again_in_a_folder_of_ones_own(runtime: Path) -> None:
    assert found() == found() == found("embedded") == found(str(embedded_folder()))
    assert found().folder == runtime / "inkling"
    assert runtime.stat().st_mode & 0o777 == 0o700
    assert found().folder.stat().st_mode & 0o777 == 0o700
    assert str(embedded_folder()) in found().command


def test_what_makes_a_host_another_one_is_another_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "package"
    shutil.copytree(embedded_folder(), package)
    seen = [found(), found(device="cuda"), found(num_threads=1), found(str(package))]
    os.utime(package / MANIFEST_FILE, ns=(0, 0))
    seen.append(found(str(package)))
    monkeypatch.setattr(places, "gethostname", lambda: "another machine")
    seen.append(found())
    monkeypatch.setattr(places, "_code_written", lambda: 0)
    seen.append(found())
    assert len({place.socket for place in seen}) == len(seen)


def test_without_a_runtime_folder_it_is_in_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    monkeypatch.setattr(places, "MAX_SOCKET_PATH_BYTES", 1000)
    assert found().folder == tmp_path / "inkling" / "run"


def check_not_shared(model: str | None = None) -> None:
    assert find_place(model, device="cpu", num_threads=None) is None


def test_nothing_is_shared_of_a_model_that_is_not_there() -> None:
    check_not_shared("no-such-model")


def test_nothing_is_shared_where_others_get_in(runtime: Path) -> None:
    (runtime / "inkling").mkdir(parents=True)
    (runtime / "inkling").chmod(0o755)
    check_not_shared()


def test_nothing_is_shared_where_a_link_leads(runtime: Path, tmp_path: Path) -> None:
    runtime.mkdir()
    (runtime / "inkling").symlink_to(tmp_path)
    check_not_shared()


def test_nothing_is_shared_where_no_folder_can_be(
    runtime: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime.write_text("")
    check_not_shared()
    runtime.unlink()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime / ("x" * 120)))
    check_not_shared()
