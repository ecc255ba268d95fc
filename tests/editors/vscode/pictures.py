"""Take the pictures of the extension's README, its walkthrough and the manual.

Run: python -m tests.editors.vscode.pictures
"""

import shutil
import sys
import tempfile
from pathlib import Path

from tests.editors.vscode.editor import STATUS, Editor, Installation
from tests.editors.vscode.fetch import EXTENSION, built_extension, vscode
from tests.support.raw_client import ROOT

MEDIA = EXTENSION / "media"
DOCS = ROOT / "docs" / "pictures"
TEXT = """\
class Point:
    def __init__(self, x, y):
        self.x = x
        self.y = y

    def norm(self):
        return (self.x**2 + self.y**2) ** 0.5

"""


def prepare(window: Editor) -> None:
    window.page.locator(".notifications-toasts .monaco-button", has_text="No, thanks").wait_for()
    window.answer_notice("No, thanks")
    window.press("Control+b")


def ghost(window: Editor) -> None:
    window.open("point.py", TEXT, line=9)
    window.type("    def __repr__(self):\n        return f")
    window.wake()
    window.page.mouse.move(400, 300)
    window.screenshot(MEDIA / "ghost.png")
    shutil.copy(MEDIA / "ghost.png", DOCS / "vscode.png")


def menu(window: Editor) -> None:
    window.page.locator(STATUS).click()
    window.page.locator(".quick-input-list .monaco-list-row", has_text="Pause").wait_for()
    window.screenshot(MEDIA / "menu.png")
    window.press("Escape")


def walkthrough(window: Editor) -> None:
    window.run("Inkling: Get Started")
    window.page.locator(".getting-started-step.expanded").wait_for()
    window.page.locator(".getting-started-step", has_text="Type").first.click()
    window.page.locator(".getting-started-media img[srcset*=ghost]").wait_for()
    window.page.mouse.move(5, 300)
    window.screenshot(DOCS / "vscode_walkthrough.png", height=545)


def main() -> None:
    DOCS.mkdir(exist_ok=True)
    package = built_extension() / "dist" / "inkling.vsix"
    with (
        tempfile.TemporaryDirectory() as home,
        Installation(vscode(), package, Path(home), {}) as installation,
    ):
        installation.configure(
            {
                "inkling.command": [sys.executable, "-m", "inkling"],
                "workbench.colorTheme": "Default Dark Modern",
                "workbench.activityBar.location": "hidden",
            }
        )
        with installation.window(Path(home) / "project", width=760, height=440) as window:
            prepare(window)
            ghost(window)
            menu(window)
        with installation.window(Path(home) / "project", width=1100, height=620) as window:
            prepare(window)
            walkthrough(window)


if __name__ == "__main__":
    main()
