"""Every test of an editor runs in each version of it that can be had here."""

import pytest

from tests.editors.fetch_neovim import UnavailableError
from tests.editors.neovim import Program, find


@pytest.fixture(scope="module", params=["system", "0.10", "0.12"])
def neovim_program(request: pytest.FixtureRequest) -> Program:
    try:
        return find(request.param)
    except UnavailableError as error:
        pytest.skip(f"Neovim, {request.param}: {error}")
