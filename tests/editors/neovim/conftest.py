"""Every test of Neovim runs in each version of it that can be had here."""

import pytest

from tests.editors.debian import UnavailableError
from tests.editors.features import Identity
from tests.editors.neovim.editor import Program, find


@pytest.fixture(scope="module", params=["system", "0.10", "0.12"])
def neovim_program(request: pytest.FixtureRequest) -> Program:
    try:
        return find(request.param)
    except UnavailableError as error:
        pytest.skip(f"Neovim, {request.param}: {error}")


@pytest.fixture
def identity(neovim_program: Program) -> Identity:
    return Identity("Neovim", neovim_program.full_version)
