"""The wheel, as people install it: with pip, and with uv, which links files from its cache."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from tests.support.raw_client import ROOT

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

UV = Path(sys.executable).parent / "uv"
DEPENDENCIES = Path(sysconfig.get_path("purelib"))
BUILT = {"vscode", "playground"} if shutil.which("npm") else set[str]()
DATA = "inference/default_model/model.onnx.data"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, check=True, cwd=ROOT, capture_output=True)
    (built,) = folder.glob("*.whl")
    return built


def environment_in(folder: Path) -> Path:
    """Make an environment that has all that Inkling needs, but not Inkling; return its folder.

    What it needs lies where this test's own lies, so nothing is downloaded.
    """
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    (packages / "dependencies.pth").write_text(str(DEPENDENCIES), "utf-8")
    return folder


def check_completes(environment: Path, folder: Path) -> None:
    """Complete with the installed command, from a folder that has nothing of the repository."""
    source = folder / "hole.py"
    source.write_text("class Point:\n    def __init__(self, x, y):\n        self.x = \n", "utf-8")
    command = [environment / "bin" / "inkling", "complete", f"{source}:3:18", "--json"]
    done = subprocess.run(command, cwd=folder, capture_output=True, check=False, text=True)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["model"], told["text"]) == ("inkling-base", "x")


def installed(environment: Path, name: str) -> Path:
    (path,) = environment.glob(f"lib/python*/site-packages/{name}")
    return path


def test_pip_installs_what_completes(wheel: Path, tmp_path: Path) -> None:
    environment = environment_in(tmp_path / "environment")
    pip = [sys.executable, "-m", "pip", "--python", environment / "bin" / "python", "install"]
    options = ["--quiet", "--no-deps", "--no-index", "--disable-pip-version-check"]
    subprocess.run([*pip, *options, wheel], check=True)
    assert installed(environment, DATA).stat().st_nlink == 1
    check_completes(environment, tmp_path)


@pytest.mark.skipif(not UV.exists(), reason="uv is not installed")
def test_uv_installs_what_completes_from_hard_links(wheel: Path, tmp_path: Path) -> None:
    environment = environment_in(tmp_path / "environment")
    python = environment / "bin" / "python"
    uv = [UV, "pip", "install", "--quiet", "--python", python, "--link-mode", "hardlink"]
    options = ["--no-deps", "--offline", "--cache-dir", tmp_path / "cache"]
    variables = {**os.environ, "UV_NO_CONFIG": "1"}
    subprocess.run([*uv, *options, wheel], check=True, env=variables)
    assert installed(environment, DATA).stat().st_nlink > 1, "the cache has it too"
    check_completes(environment, tmp_path)
    shutil.rmtree(tmp_path / "cache")


def test_the_wheel_holds_what_is_needed_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    folders = {name.split("/")[0] for name in names}
    packages = {"inkling", "lsp_server", "inference", "export", "evaluation", "team"}
    assert {folder for folder in folders if not folder.endswith(".dist-info")} == packages
    data = {DATA, "inference/languages.toml", "export/texts/quality.txt", "evaluation/candidate.py"}
    assert data <= set(names)
    clients = {name.split("/")[2] for name in names if name.startswith("inkling/clients/")}
    assert clients == {"neovim", "emacs", "recipes", *BUILT}
