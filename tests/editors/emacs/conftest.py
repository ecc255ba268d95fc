"""Every test of Emacs runs in each version of it that can be had here."""

import pytest

from tests.editors.debian import UnavailableError
from tests.editors.emacs.editor import Program, find
from tests.editors.features import Identity


@pytest.fixture(scope="module", params=["system", "30"])
def emacs_program(request: pytest.FixtureRequest) -> Program:
    try:
        return find(request.param)
    except UnavailableError as error:
        pytest.skip(f"Emacs, {request.param}: {error}")


@pytest.fixture
def identity(emacs_program: Program) -> Identity:
    return Identity("Emacs", emacs_program.version)
