"""The system's Chromium, driven by playwright; without either, its tests are skipped."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser

PATIENCE_MS = 60_000


@contextmanager
def chromium() -> "Iterator[Browser]":
    """Start a browser without a window; skip the test where there is none."""
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("Chromium is not installed")
    playwright = pytest.importorskip("playwright.sync_api")
    # A container's root may not make the sandbox's namespaces; the pages here are our own.
    arguments = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
    with playwright.sync_playwright() as session:
        browser = session.chromium.launch(executable_path=program, args=arguments)
        try:
            yield browser
        finally:
            browser.close()
