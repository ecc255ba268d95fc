"""Draw docs/pictures/stats.png: `python -m docs.stats_picture`.

Lines of real files (benchmarks.unread) are typed into the language server as an editor sends them,
a key every 0.18 s, and what is right of what it shows is accepted. Then `inkling stats --html`
writes its page from the journal of that, and Chromium draws it. The model is the one that
`inkling model use` chose.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from benchmarks.typist import KEY_MS
from benchmarks.unread import unread_files
from evaluation.sources import Source
from tests.editors.browser import chromium
from tests.support.fake_editor import FakeEditor
from tests.support.raw_client import INKLING_LSP
from tests.support.reference_document import ReferenceDocument

PICTURE: Final = Path(__file__).parent / "pictures" / "stats.png"
PROFILE: Final = "vscode1.139-languageclient11"
NUM_FILES: Final = 1
"""Of each language."""

NUM_LINES: Final = 5
"""Typed in each file, from its middle on."""


def type_lines(editor: FakeEditor, source: Source) -> None:
    """Type what was taken out of the middle of a file, and accept what is right."""
    lines = source.text.split("\n")
    middle = len(lines) // 2
    before, taken = lines[:middle], lines[middle : middle + NUM_LINES]
    behind = "\n" + "\n".join(lines[middle + NUM_LINES :])
    text = "\n".join([*before, ""])
    document = ReferenceDocument(
        f"file:///{source.path}", text + behind, editor.encoding, source.language
    )
    document.cursor = len(text)
    editor.open(document)
    editor.switch(document)
    left = "\n".join(taken)
    while left:
        editor.edit(document, [(document.cursor, document.cursor, left[0])])
        left = left[1:]
        time.sleep(KEY_MS / 1000)
        editor.ask(document)
        editor.settle()
        if editor.ghost is not None and left.startswith(editor.ghost.text):
            left = left.removeprefix(editor.ghost.text)
            time.sleep(2 * KEY_MS / 1000)
            editor.accept(document)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_STATE_HOME"] = folder
        editor = FakeEditor(PROFILE, INKLING_LSP)
        editor.wait_ready()
        for source in unread_files(NUM_FILES):
            type_lines(editor, source)
        editor.leave()
        page = Path(folder) / "stats.html"
        command = [sys.executable, "-m", "inkling", "stats", "--html", str(page)]
        subprocess.run(command, check=True)  # noqa: S603 - our own
        with chromium() as browser:
            shown = browser.new_page(viewport={"width": 1000, "height": 800})
            shown.goto(page.as_uri())
            shown.screenshot(path=PICTURE, full_page=True)


if __name__ == "__main__":
    main()
