"""A real VS Code in a browser that a test types into.

The server of VS Code runs on loopback; the extension runs in it, as on a machine one is connected
to. What is on the screen is read from the page, what a file holds from the disk.
"""

import contextlib
import json
import os
import re
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import pytest

from tests.editors.browser import PATIENCE_MS, chromium
from tests.editors.vscode.fetch import VSCode
from tests.support.raw_client import PATIENCE_SECONDS, ROOT

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

SETTINGS: Mapping[str, object] = {
    "workbench.startupEditor": "none",
    "workbench.tips.enabled": False,
    "workbench.reduceMotion": "on",
    "workbench.secondarySideBar.defaultVisibility": "hidden",
    "window.commandCenter": False,
    "chat.disableAIFeatures": True,
    "telemetry.telemetryLevel": "off",
    "extensions.ignoreRecommendations": True,
    "git.enabled": False,
    "files.hotExit": "off",
    "editor.minimap.enabled": False,
    "terminal.integrated.gpuAcceleration": "off",
    "editor.cursorBlinking": "solid",
    "editor.quickSuggestions": {"other": "off", "comments": "off", "strings": "off"},
    "editor.autoClosingBrackets": "never",
    "editor.autoClosingQuotes": "never",
    "editor.autoIndent": "none",
}
"""So that what is typed is what stands there, and nothing else is on the screen."""

GHOST = """
window.ghost = () => {
  const text = (one) => one.textContent.replaceAll("\\u00a0", " ").replaceAll("\\u200b", "");
  const first = [...document.querySelectorAll(".view-lines .ghost-text-decoration")].map(text);
  const more = [...document.querySelectorAll(".suggest-preview-text .view-line")].map(text);
  return first.length + more.length ? [first.join(""), ...more].join("\\n") : "";
};
window.lines = () =>
  [...document.querySelectorAll(".editor-instance .view-lines .view-line")]
    .sort((one, other) => parseInt(one.style.top) - parseInt(other.style.top))
    .map((line) => {
      const copy = line.cloneNode(true);
      copy.querySelectorAll(".ghost-text-decoration").forEach((one) => one.remove());
      return copy.textContent.replaceAll("\\u00a0", " ").replaceAll("\\u200b", "");
    });
"""
"""What a page's script reads of the screen."""

MEASURE = """
() => {
  const before = ghost();
  let pressed;
  const press = () => (pressed ??= performance.now());
  window.addEventListener("keydown", press, { capture: true, once: true });
  window.felt = new Promise((resolve) => {
    const look = () => {
      const shown = pressed === undefined ? "" : ghost();
      if (shown !== "" && shown !== before) resolve(performance.now() - pressed);
      else requestAnimationFrame(look);
    };
    look();
  });
}
"""

REMEMBERED = """
async () => {
  const done = (request) =>
    new Promise((resolve, reject) => {
      request.onsuccess = () => resolve(request.result);
      request.onerror = () => reject(request.error);
    });
  const base = await done(indexedDB.open("vscode-web-state-db-global"));
  const values = await done(base.transaction("ItemTable").objectStore("ItemTable").getAll());
  base.close();
  return values.join(" ");
}
"""

STEADY_GHOST = """
() => new Promise((resolve) => {
  const seen = ghost();
  setTimeout(() => resolve(ghost() === seen ? seen : ""), 100);
})
"""

RECORD = """
() => {
  window.painted = [];
  const look = () => {
    window.painted.push([lines(), ghost()]);
    requestAnimationFrame(look);
  };
  look();
}
"""


class Installation:
    """VS Code's server with the extension, and a browser for its windows.

    `home` is where both keep what they write, and the home of the user.
    """

    def __init__(
        self, vscode: VSCode, extension: Path, home: Path, environment: Mapping[str, str]
    ) -> None:
        self._vscode, self.home = vscode, home
        self._run_folder = home / "run"
        self._run_folder.mkdir(parents=True)
        folders = {f"XDG_{name}_HOME": str(home / name.lower()) for name in _FOLDERS}
        self._environment = {
            **{name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"},
            **folders,
            "HOME": str(home),
            "XDG_RUNTIME_DIR": str(self._run_folder),
            "PYTHONPATH": str(ROOT),
            # Nothing is asked of a gallery of extensions.
            "EXTENSIONS_GALLERY": '{"serviceUrl": ""}',
            **environment,
        }
        self.configure({})
        self._command("--install-extension", str(extension))
        self._process = subprocess.Popen(
            [*self._arguments(), "--host=127.0.0.1", "--port=0", "--without-connection-token"],
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._port = self._wait_for_port()
        # What it says later is nobody's, but it must not wait for a reader.
        threading.Thread(target=self._process.stdout.read, daemon=True).start()
        self._closing = contextlib.ExitStack()
        self._browser: Browser = self._closing.enter_context(chromium())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.close()
        self._process.terminate()
        self._process.wait()
        self._process.stdout.close()

    def configure(self, settings: Mapping[str, object]) -> None:
        """Set what holds for the machine; windows that are open follow."""
        path = self.home / "vscode" / "Machine" / "settings.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({**SETTINGS, **settings}), "utf-8")

    @contextmanager
    def window(self, folder: Path, *, width: int = 1000, height: int = 640) -> "Iterator[Editor]":
        """Open a window on a folder, and wait until the extension is there."""
        folder.mkdir(parents=True, exist_ok=True)
        context = self._browser.new_context(viewport={"width": width, "height": height})
        context.grant_permissions(["clipboard-read", "clipboard-write"])
        context.set_default_timeout(PATIENCE_MS)
        page = context.new_page()
        page.add_init_script(GHOST)
        editor = Editor(page, folder, self)
        editor.load(f"http://127.0.0.1:{self._port}/?folder={folder}")
        try:
            yield editor
        finally:
            context.close()

    def sockets(self) -> set[Path]:
        """Return what the windows that are or were open listen on."""
        return set(self._run_folder.glob("vscode-ipc-*.sock"))

    def tell(self, socket: Path, *arguments: str) -> None:
        """Tell an open window something, as the command of a terminal in it does."""
        script = self._vscode.main.with_name("server-cli.js")
        names = ("code", self._vscode.version, "", "code")
        subprocess.run(
            [self._vscode.node, script, *names, *arguments],
            check=True,
            capture_output=True,
            env={**self._environment, "VSCODE_IPC_HOOK_CLI": str(socket)},
        )

    def _command(self, *arguments: str) -> None:
        done = subprocess.run(
            [*self._arguments(), *arguments],
            check=False,
            capture_output=True,
            text=True,
            env=self._environment,
        )
        assert "successfully installed" in done.stdout, done.stdout + done.stderr

    def _arguments(self) -> Sequence[str]:
        folders = {"server-data-dir": "server", "user-data-dir": "vscode", "extensions-dir": "ext"}
        return [
            *(str(self._vscode.node), str(self._vscode.main), "--accept-server-license-terms"),
            *("--disable-telemetry", "--disable-workspace-trust", "--reconnection-grace-time=1"),
            *(f"--{option}={self.home / folder}" for option, folder in folders.items()),
        ]

    def _wait_for_port(self) -> str:
        said = ""
        for line in self._process.stdout:
            said += line
            if found := re.search(r"agent listening on (\d+)", line):
                return found[1]
        pytest.fail(f"VS Code did not start: {said}")


class Editor:
    """One window, on `folder`."""

    def __init__(self, page: "Page", folder: Path, installation: Installation) -> None:
        self.page, self.folder, self._installation = page, folder, installation
        self._socket = Path()

    def load(self, address: str) -> None:
        """Load the window, and wait until the extension is there."""
        known = self._installation.sockets()
        self.page.goto(address, wait_until="domcontentloaded")
        self.page.locator(STATUS).wait_for()
        self._socket = eventually(lambda: self._installation.sockets() - known).pop()

    def reload(self) -> None:
        self.load(self.page.url)

    def open(self, name: str, text: str, *, line: int = 1, column: int = 1) -> None:
        """Write a file, open it, and leave the cursor there."""
        self.show(self.write(name, text), line, column)
        self.page.locator(".editor-instance .monaco-editor.focused").wait_for()

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.write_text(text, "utf-8", newline="")
        return path

    def show(self, path: Path, line: int = 1, column: int = 1) -> None:
        place = f"{path}:{line}:{column}"
        self._installation.tell(self._socket, "--reuse-window", "--goto", place)
        self.page.locator(f'.tab.active[data-resource-name="{path.name}"]').wait_for()

    def type(self, text: str) -> None:
        self.page.keyboard.type(text)

    def wake(self) -> None:
        """Have suggestions asked for until one shows.

        The first editor of a window asks for none until a moment after it can be typed into.
        """
        for _ in range(int(PATIENCE_SECONDS)):
            with contextlib.suppress(AssertionError):
                eventually(self.ghost_now, seconds=1)
                return
            self.run("Trigger Inline Suggestion")
        pytest.fail("no ghost text comes")

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def run(self, title: str) -> None:
        """Run a command by the title that the palette shows."""
        self.press("F1")
        box = self.page.locator(".quick-input-widget input[type=text]")
        box.fill(f">{title}")
        self.page.locator(".quick-input-list .monaco-list-row").first.wait_for()
        self.press("Enter")

    def pick(self, label: str) -> None:
        """Pick an entry of a list that is open."""
        row = self.page.locator(".quick-input-list .monaco-list-row", has_text=label)
        row.first.click()

    def menu(self, label: str) -> None:
        """Pick an entry of the menu behind the status item."""
        self.page.locator(STATUS).click()
        self.pick(label)

    def ghost_now(self) -> str:
        """Return the ghost text on the screen, "" where there is none."""
        return self.page.evaluate("() => ghost()")

    def ghost(self) -> str:
        """Wait for ghost text and return it, as it stands once all of it is painted."""
        return eventually(lambda: self.page.evaluate(STEADY_GHOST))

    def lines(self) -> list[str]:
        """Return the lines that are on the screen, without ghost text."""
        return self.page.evaluate("() => lines()")

    def status(self) -> str:
        return self.page.locator(STATUS).inner_text().strip()

    def status_label(self) -> str:
        """Return what a screen reader reads: the status and what is known of it."""
        return self.page.locator(f"{STATUS} a").get_attribute("aria-label") or ""

    def notices(self) -> list[str]:
        return self.page.locator(".notification-list-item-message").all_inner_texts()

    def answer_notice(self, button: str) -> None:
        self.page.locator(".notifications-toasts .monaco-button", has_text=button).click()

    def remembered(self) -> str:
        """Return what the browser has on disk for all windows, a moment after a change."""
        return self.page.evaluate(REMEMBERED)

    def record(self) -> None:
        """Keep from now on what each frame shows: its lines and its ghost text."""
        self.page.evaluate(RECORD)

    def painted(self) -> list[tuple[list[str], str]]:
        return [(lines, ghost) for lines, ghost in self.page.evaluate("() => window.painted")]

    def milliseconds_to_ghost(self, key: str) -> float:
        """Press a key; return how long it took until other ghost text than before was painted."""
        self.page.evaluate(MEASURE)
        self.press(key)
        return self.page.evaluate("() => window.felt")

    def screenshot(self, path: Path, *, height: int | None = None) -> None:
        """Write what is on the screen, the upper `height` pixels of it."""
        width, whole = self.page.viewport_size["width"], self.page.viewport_size["height"]
        clip = {"x": 0, "y": 0, "width": width, "height": height or whole}
        self.page.screenshot(path=path, clip=clip)


def eventually(
    look: Callable[[], Any],
    fits: Callable[[Any], object] = bool,
    *,
    seconds: float = PATIENCE_SECONDS,
) -> Any:
    """Return what `look` returns once it fits."""
    deadline = time.monotonic() + seconds
    while not fits(seen := look()):
        assert time.monotonic() < deadline, f"it stays {seen!r}"
        time.sleep(0.02)
    return seen


STATUS = "[id='inkling.inkling.inkling']"

_FOLDERS: Sequence[str] = ("CONFIG", "DATA", "STATE", "CACHE")
