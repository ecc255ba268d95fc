"""One build of the page and one browser for all tests of the playground."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.editors.browser import chromium
from tests.editors.debian import UnavailableError
from tests.editors.features import Identity
from tests.editors.playground.fetch import built_page
from tests.editors.playground.page import Entered, Page, command, enter

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.fixture(scope="session")
def page_folder() -> Path:
    try:
        return built_page()
    except UnavailableError as error:
        pytest.skip(f"the playground's tools: {error}")


@pytest.fixture(scope="session")
def browser() -> "Iterator[Browser]":
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="session")
def entered(page_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Entered]:
    """A playground for all tests that need none of their own, with its key in hand."""
    with command(tmp_path_factory.mktemp("home")) as address:
        yield enter(address)


@pytest.fixture
def address(page_folder: Path, tmp_path: Path) -> Iterator[str]:
    """Where a playground of this test's own is, which lets in once."""
    with command(tmp_path) as address:
        yield address


@pytest.fixture
def open_page(browser: "Browser") -> Iterator[Callable[..., Page]]:
    """Open tabs; they had no faults when the test is over."""
    pages: list[Page] = []

    def open_page(*where: str, **options: str) -> Page:
        pages.append(Page(browser, *where, **options))
        return pages[-1]

    yield open_page
    for page in pages:
        page.close()
        assert page.faults == []


@pytest.fixture
def opened(open_page: Callable[..., Page], entered: Entered) -> Callable[..., Page]:
    """Open a tab that is let in already."""
    return lambda **options: open_page(*entered, **options)


@pytest.fixture
def identity(browser: "Browser") -> Identity:
    return Identity("Playground in Chromium", browser.version.partition(".")[0])
