"""Properties are tried on new examples here, and on the same ones in every run of CI.

Tests that import onnxruntime themselves must not tell its maker either; see runtime/onnx.py.
"""

import os
import tempfile
from collections.abc import Callable

import pytest
from hypothesis import settings

os.environ["ORT_DISABLE_TELEMETRY"] = "1"
# Nothing that this user installed answers in a test, and no test installs anything for this user.
os.environ["XDG_DATA_HOME"] = tempfile.mkdtemp(prefix="inkling-tests-")
os.environ["XDG_STATE_HOME"] = tempfile.mkdtemp(prefix="inkling-tests-")
# Tests that end engines, or count them, have their own; of those that are shared see serving/shared.
os.environ["INKLING_SHARE"] = "0"
os.environ["XDG_RUNTIME_DIR"] = tempfile.mkdtemp(prefix="inkling-tests-")

settings.register_profile("ci", derandomize=True)
if os.environ.get("CI"):
    settings.load_profile("ci")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="repeat what is random a million times")
    parser.addoption("--write-table", action="store_true", help="write what editors did")


@pytest.fixture
def num_examples(request: pytest.FixtureRequest) -> Callable[..., int]:
    """Return how often to repeat: `num_examples(short=..., long=...)`, by the flag --long."""
    is_long = request.config.getoption("--long")
    return lambda *, short, long: long if is_long else short
