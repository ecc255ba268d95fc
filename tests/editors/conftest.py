"""A test of an editor may tell what it showed of it; docs/editors.md's table is made of that."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.editors import features
from tests.editors.features import Identity

DOCUMENT = Path(__file__).parents[2] / "docs" / "editors.md"
outcomes: dict[tuple[Identity, str], bool] = {}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Remember what a test showed, and whether it did."""
    shown = [marker.args[0] for marker in item.iter_markers("shows")]
    assert not features.unknown(shown), f"{features.unknown(shown)} stands not in features.py"
    try:
        result = yield
    except pytest.skip.Exception:
        raise
    except BaseException:
        _remember(item, shown, passed=False)
        raise
    _remember(item, shown, passed=True)
    return result


def _remember(item: pytest.Item, shown: list[str], *, passed: bool) -> None:
    for feature in shown:
        identity = item.funcargs["identity"]  # type: ignore[attr-defined]
        outcomes[identity, feature] = outcomes.get((identity, feature), True) and passed


@pytest.fixture(autouse=True)
def _identified(request: pytest.FixtureRequest) -> None:
    """Have the editor's name at hand where a test shows something of it."""
    if request.node.get_closest_marker("shows") is not None:
        request.node.funcargs["identity"] = request.getfixturevalue("identity")


def pytest_sessionfinish(session: pytest.Session) -> None:
    if session.config.getoption("--write-table") and outcomes:
        features.write(DOCUMENT, outcomes)
