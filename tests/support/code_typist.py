"""Somebody who types real code into an editor that closes brackets, and tries what is offered.

What is shown is accepted now and then, looked at, and undone; then the line is typed on.
"""

import random

from tests.support.fake_editor import FakeEditor
from tests.support.reference_document import ReferenceDocument

OPENING = {"(": ")", "[": "]", "{": "}"}
CLOSING = {closing: opening for opening, closing in OPENING.items()}


def num_unopened(text: str) -> int:
    """Return how many closing brackets of a text nothing in it opens."""
    opened: list[str] = []
    num_found = 0
    for mark in text:
        if mark in OPENING:
            opened.append(mark)
        elif mark in CLOSING:
            if opened and opened[-1] == CLOSING[mark]:
                opened.pop()
            else:
                num_found += 1
    return num_found


class CodeTypist:
    """`num_tried` counts what was accepted and undone, `num_in_brackets` those in front of some."""

    def __init__(self, editor: FakeEditor, document: ReferenceDocument, seed: int) -> None:
        self.editor, self.document = editor, document
        self.random = random.Random(seed)
        self.num_keystrokes = self.num_tried = self.num_in_brackets = 0
        self._num_closed = 0
        editor.open(document)
        editor.switch(document)

    def type_line(self, line: str) -> None:
        """Type a line at the cursor and go to the next; what the editor closed is typed over."""
        self._num_closed = 0
        for key in line:
            self._press(key)
            self.num_keystrokes += 1
            self.editor.ask(self.document)
            self.editor.settle()
            if self.editor.ghost is not None and self.random.random() < 0.3:
                self._try_it()
        self._write(self.document.line_end)

    def _press(self, key: str) -> None:
        is_closed = self._num_closed > 0 and self.document.behind.startswith(key)
        if key in CLOSING and is_closed:
            self.editor.hide()
            self.document.cursor += 1
            self._num_closed -= 1
        elif key in OPENING:
            self._write(key + OPENING[key])
            self.editor.hide()
            self.document.cursor -= 1
            self._num_closed += 1
        else:
            self._write(key)

    def _try_it(self) -> None:
        """Accept what is shown: it closes no bracket that the editor closes."""
        document, ghost = self.document, self.editor.ghost
        assert ghost is not None
        line = document.before.splitlines()[-1] if document.before else ""
        rest = document.behind.partition("\n")[0]
        self.num_tried += 1
        if rest.strip():
            self.num_in_brackets += 1
            without, with_it = num_unopened(line + rest), num_unopened(line + ghost.text + rest)
            assert with_it <= without, f"{line!r} + {ghost.text!r} + {rest!r} closes twice"
        cursor = document.cursor
        self.editor.accept(document)
        self.editor.undo(document)
        assert document.cursor == cursor

    def _write(self, text: str) -> None:
        cursor = self.document.cursor
        self.editor.edit(self.document, [(cursor, cursor, text)])
