"""The playground as somebody has it: the command, a browser, and a page that is typed into."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.request import Request, urlopen

from tests.editors.browser import PATIENCE_MS
from tests.support.raw_client import ROOT

if TYPE_CHECKING:
    from playwright.sync_api import Browser

READY = "#status[data-state=ready]"


@contextmanager
def command(home: Path) -> Iterator[str]:
    """Run `inkling playground`, with the models of `home`; give the address that it prints."""
    environment = {
        **os.environ,
        "XDG_DATA_HOME": str(home / "data"),
        "XDG_STATE_HOME": str(home / "state"),
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "inkling", "playground", "--no-browser"],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        found = re.search(r"http://\S+", process.stdout.readline())
        assert found is not None
        yield found[0]
    finally:
        process.terminate()
        code = process.wait(20)
        process.stdout.close()
    assert code == 0


class Entered(NamedTuple):
    origin: str
    key: str


def enter(address: str) -> Entered:
    """Use the token of an address up; return the key that it opens with from now on."""
    origin, _, token = address.partition("#")
    request = Request(f"{origin}session", headers={"Authorization": f"Bearer {token}"})
    with urlopen(request) as answer:
        return Entered(origin, json.load(answer)["key"])


class Page:
    """A tab; it hears each message of LSP, each request, and each fault."""

    def __init__(
        self, browser: "Browser", address: str, key: str = "", *, scheme: str = "light"
    ) -> None:
        viewport = {"width": 1280, "height": 880}
        context = browser.new_context(color_scheme=scheme, viewport=viewport)
        if key:
            context.add_init_script(f"sessionStorage.setItem('inkling.key', {json.dumps(key)})")
        self.tab = context.new_page()
        self.tab.set_default_timeout(PATIENCE_MS)
        self.sent: list[str] = []
        self.requested: list[str] = []
        self.faults: list[str] = []
        self.tab.on("websocket", lambda socket: socket.on("framesent", self._hear))
        self.tab.on("request", lambda request: self.requested.append(request.url))
        self.tab.on("pageerror", lambda error: self.faults.append(str(error)))
        self.tab.on("console", self._listen)
        self.tab.goto(address)

    def _hear(self, frame: str | bytes) -> None:
        self.sent.append(frame if isinstance(frame, str) else frame.decode())

    def _listen(self, message: Any) -> None:
        if message.type == "error":
            self.faults.append(message.text)

    def close(self) -> None:
        self.tab.context.close()

    def ready(self) -> "Page":
        self.tab.wait_for_selector(READY)
        return self

    def eventually(self, javascript: str, argument: object = None) -> Any:
        """Return what a function of the page returns, once that is true.

        Playwright's own waiting has the page evaluate text, which this page's policy forbids.
        """
        deadline = time.monotonic() + PATIENCE_MS / 1000
        while not (found := self.tab.evaluate(javascript, argument)):
            assert time.monotonic() < deadline, f"{javascript} with {argument!r}; {self.state()}"
            time.sleep(0.01)
        return found

    def state(self) -> str:
        ghost = self.tab.evaluate(f"() => {GHOST}")
        return f"{self.text()}\n{ghost=}\n{self.panel('panel')}\n{self.faults}"

    def text(self) -> str:
        """Return what the editor shows, without the ghost text."""
        return self.tab.evaluate(TEXT)

    def shows(self, text: str) -> None:
        """Wait until the editor shows a line."""
        self.eventually(f"wanted => ({TEXT}).split('\\n').includes(wanted)", text)

    def ghost(self, text: str | None = None) -> str:
        """Wait for ghost text, or for this one; return it."""
        fits = f"wanted => {{ const g = {GHOST}; return (!wanted || g === wanted) && g }}"
        return self.eventually(fits, text)

    def another_ghost(self, text: str) -> str:
        """Wait for ghost text that begins otherwise; return it."""
        return self.eventually(
            f"known => {{ const g = {GHOST}; return !g.startsWith(known) && g }}", text
        )

    def no_ghost(self) -> None:
        self.eventually(f"() => ({GHOST}) === ''")

    def press(self, *keys: str) -> None:
        for key in keys:
            self.tab.keyboard.press(key)

    def type(self, text: str) -> None:
        self.tab.keyboard.type(text)

    def panel(self, section: str) -> str:
        return self.tab.inner_text(f"#{section}")

    def tokens(self, first: str) -> list[str]:
        """Wait until the tokens of a completion stand there, the first of them this one."""
        self.eventually(f"first => ({TOKENS})[0] === first", first)
        return self.tab.evaluate(f"() => {TOKENS}")


# Monaco draws lines in any order, and blanks as ones that do not break.
_LINES = "[...document.querySelectorAll('#editor .view-line')]"
_SPELLED = ".join('').replaceAll('\\u00a0', ' ')"
_GHOSTS = "[...document.querySelectorAll('#editor [class*=ghost-text]')]"
GHOST = (
    f"{_GHOSTS}.filter(ghost => !ghost.querySelector('[class*=ghost-text]'))"
    f".map(ghost => ghost.textContent){_SPELLED}"
)
TEXT = (
    f"{_LINES}.sort((a, b) => parseInt(a.style.top) - parseInt(b.style.top))"
    ".map(line => { const copy = line.cloneNode(true);"
    " copy.querySelectorAll('[class*=ghost-text]').forEach(ghost => ghost.remove());"
    " return copy.textContent.replaceAll('\\u00a0', ' ') }).join('\\n')"
)
TOKENS = "[...document.querySelectorAll('#tokens button')].map(button => button.textContent)"
