"""The system's Chromium, driven by playwright; without either, its tests are skipped."""

import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Playwright

PATIENCE_MS = 60_000

# A container's root may not make the sandbox's namespaces; the pages here are our own.
ARGUMENTS = ("--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage")


class Driver:
    """Playwright runs once in a process: it holds the thread's event loop while it does."""

    def __init__(self) -> None:
        self._running = ExitStack()
        self._num_browsers = 0
        self._playwright: Playwright

    @contextmanager
    def browser(self, program: str) -> "Iterator[Browser]":
        if self._num_browsers == 0:
            begin = pytest.importorskip("playwright.sync_api").sync_playwright
            self._playwright = self._running.enter_context(begin())
        self._num_browsers += 1
        try:
            launch = self._playwright.chromium.launch
            with launch(executable_path=program, args=list(ARGUMENTS)) as browser:
                yield browser
        finally:
            self._num_browsers -= 1
            if self._num_browsers == 0:
                self._running.close()


_driver = Driver()


@contextmanager
def chromium() -> "Iterator[Browser]":
    """Start a browser without a window; skip the test where there is none."""
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("Chromium is not installed")
    with _driver.browser(program) as browser:
        yield browser
