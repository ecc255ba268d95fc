"""Properties are tried on new examples here, and on the same ones in every run of CI.

Tests that import onnxruntime themselves must not tell its maker either; see runtime/onnx.py.
"""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

os.environ["ORT_DISABLE_TELEMETRY"] = "1"
# Nothing that this user installed answers in a test, and no test installs anything for this user.
_home = tempfile.TemporaryDirectory(prefix="inkling-tests-", ignore_cleanup_errors=True)
for _kind in ("DATA_HOME", "STATE_HOME", "RUNTIME_DIR"):
    _folder = Path(_home.name, _kind.lower())
    _folder.mkdir(mode=0o700)
    os.environ[f"XDG_{_kind}"] = str(_folder)
# Tests that end engines, or count them, have their own; of shared ones see serving/shared.
os.environ["INKLING_SHARE"] = "0"

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
