"""One VS Code with one browser for all tests of the extension; each module opens a window."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.editors.debian import UnavailableError
from tests.editors.features import Identity
from tests.editors.vscode.editor import Installation
from tests.editors.vscode.fetch import VSCode, built_extension, vscode


@pytest.fixture(scope="session")
def extension() -> Path:
    """The extension's folder, built."""
    try:
        return built_extension()
    except UnavailableError as error:
        pytest.skip(f"the extension's tools: {error}")


@pytest.fixture(scope="session")
def program() -> VSCode:
    try:
        return vscode()
    except UnavailableError as error:
        pytest.skip(f"VS Code: {error}")


@pytest.fixture(scope="session")
def installation(
    program: VSCode, extension: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Installation]:
    home = tmp_path_factory.mktemp("vscode")
    with Installation(program, extension / "dist" / "inkling.vsix", home, {}) as installation:
        yield installation


@pytest.fixture
def identity(program: VSCode) -> Identity:
    return Identity("VS Code", program.version)
