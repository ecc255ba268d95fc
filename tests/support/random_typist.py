"""Somebody who uses an editor at random: types, accepts, undoes, jumps, and now and then is odd.

The same seed does the same, as far as answers come in the same order.
"""

import random

from tests.support.fake_editor import FakeEditor
from tests.support.reference_document import ReferenceDocument

CLOSED_BY_EDITOR = {"(": ")", "[": "]", "{": "}", '"': '"'}
KEYS = (
    *"etaoinshrdlu_x01 .,=:()[]{}\"'#\t",
    "\N{GRINNING FACE}",
    "\N{LATIN SMALL LETTER E WITH ACUTE}",
    "\N{COMBINING ACUTE ACCENT}",
    "\N{CJK UNIFIED IDEOGRAPH-4E2D}",
    "\f",
    "\N{LINE SEPARATOR}",
)
TEXTS = {
    "file:///workspace/feeds.py": "import os\n\n\ndef f(a):\n    return a\n\n\nx = f(1)\n",
    "file:///workspace/pairs.py": "class A:\r\n\tdef f(self):\r\n\t\tpass\r\n\r\n'\N{FIRE}'\r\n",
    "file:///workspace/old%20mac.py": "a = 1\rb = 2\r\rdef g():\r    ",
    "file:///workspace/blank.py": "",
}
MAX_CHARACTERS = 2_500
"""A longer document is cut: what is tried here does not depend on how long it is."""

ACTIONS = {
    "press_key": 60,
    "delete_back": 7,
    "accept": 8,
    "ask_again": 4,
    "invoke": 4,
    "ask_with_menu": 3,
    "jump": 4,
    "undo": 4,
    "cut": 2,
    "paste": 2,
    "edit_twice": 2,
    "cancel": 3,
    "switch": 3,
    "reopen": 1,
    "send_nulls": 1,
    "lose": 1,
    "replace_whole": 1,
    "be_odd": 2,
    "respell": 1,
}


class RandomTypist:
    """`num_keystrokes` counts what changed a document or asked for something.

    `crashes` is how often in a thousand actions the editor does.
    """

    def __init__(self, editor: FakeEditor, seed: int, *, crashes: float = 0.0) -> None:
        self.editor, self.random = editor, random.Random(seed)
        self.num_keystrokes = 0
        self._crashes = crashes / 1000
        for uri, text in TEXTS.items():
            language = None if text == "" else "python"
            self.editor.open(ReferenceDocument(uri, text, editor.encoding, language))
        editor.switch(editor.documents[next(iter(TEXTS))])

    @property
    def document(self) -> ReferenceDocument:
        return self.editor.active

    def run(self, num_keystrokes: int) -> None:
        """Act until so many keystrokes were made; the last answers have come then."""
        end = self.num_keystrokes + num_keystrokes
        names, weights = [*ACTIONS], [*ACTIONS.values()]
        while self.num_keystrokes < end:
            (name,) = self.random.choices(names, weights)
            getattr(self, name)()
            self.num_keystrokes += 1
            if self.random.random() < 0.5:
                self.editor.settle()
            else:
                self.editor.poll()
            if self.random.random() < self._crashes:
                self.editor.crash()
            self._keep_sound()
        self.editor.settle()

    def press_key(self) -> None:
        """Type through what is shown, as often as not; else anything."""
        ghost, document = self.editor.ghost, self.document
        through = ghost is not None and self.random.random() < 0.6
        key = ghost.text[:1] if through else self.random.choice(KEYS)
        if key in "\r\n" or self.random.random() < 0.05:
            key = ghost.text[:2] if through and ghost.text[:2] == "\r\n" else document.line_end
        behind = document.behind[:1]
        if key in (")", "]", "}") and behind == key:  # the editor types over what it has closed
            self.editor.hide()
            document.cursor += 1
        elif key in CLOSED_BY_EDITOR and self.random.random() < 0.7:
            self._write(key + CLOSED_BY_EDITOR[key])
            document.cursor -= 1
            self.editor.hide()
        else:
            self._write(key)
        self._ask()

    def delete_back(self) -> None:
        for _ in range(self.random.choice((1, 1, 1, 2, 5))):
            cursor = self.document.cursor
            start = self.document.snapped(cursor - 1)
            self._edit((start, cursor, ""))
            self._ask()

    def accept(self) -> None:
        self.editor.settle()
        if self.editor.menu is not None:
            self.editor.accept_menu(self.document)
        elif self.editor.ghost is not None:
            self.editor.accept(self.document, self.random.choice(("all", "word", "line")))
        self._ask()

    def ask_again(self) -> None:
        """Ask twice without a key between, as clients do that ask by a timer."""
        self._ask()
        self._ask()

    def invoke(self) -> None:
        self.editor.ask(self.document, "invoked")

    def ask_with_menu(self) -> None:
        """Ask while a menu has something selected that begins as the word at the cursor."""
        if not self.editor.has_ghosts:
            self.editor.ask(self.document, triggerKind=2, triggerCharacter=".")
            return
        before = self.document.before
        start = len(before)
        while start and before[start - 1].isalnum():
            start -= 1
        more = self.random.choice(("", "more", "\N{FIRE}x"))
        self.editor.ask_selected(self.document, start, before[start:] + more)

    def jump(self) -> None:
        """Go to the end of a line, where most is written, or anywhere."""
        offset = self.random.randrange(len(self.document.text) + 1)
        while self.random.random() < 0.98 and self.document.text[offset : offset + 1].strip("\r\n"):
            offset += 1
        self.editor.hide()
        self.document.cursor = self.document.snapped(offset)
        self._ask()

    def undo(self) -> None:
        for _ in range(min(self.random.choice((1, 1, 3)), len(self.document.undoable))):
            self.editor.undo(self.document)
            self._ask()

    def cut(self) -> None:
        self._edit((*self._span(), ""))
        self._ask()

    def paste(self) -> None:
        lines = self.random.choice(("a = [\n    1,\n]\n", "\n\n", "b(\N{FIRE})", "if x:\n\ty"))
        self._edit((*self._span(0, 0, 5), lines.replace("\n", self.document.line_end)))
        self._ask()

    def edit_twice(self) -> None:
        """Two edits in one notification, as of two cursors or of one who is slow to send."""
        self._edit((*self._span(), "one"), (*self._span(0, 3), "\N{FIRE}two"))
        self._ask()

    def cancel(self) -> None:
        """Cancel something that was asked, whether it is answered or not."""
        request_id = self._ask()
        self.editor.cancel(self.random.choice((request_id, max(1, request_id - 1))))

    def switch(self) -> None:
        self.editor.switch(self.editor.documents[self.random.choice([*TEXTS])])
        self._ask()

    def reopen(self) -> None:
        """Close and open, or open what is open with another text, as after a crash of a plugin."""
        document = self.document
        if self.random.random() < 0.5:
            self.editor.close(document)
            if self.random.random() < 0.5:
                self._ask()
        else:
            self._have_another_text()
        self.editor.open(document)
        self._ask()

    def send_nulls(self) -> None:
        """Send nulls that mean what absence means."""
        cursor = self.document.cursor
        change = self.document.replace(cursor, cursor, "n")
        nulls = {"rangeLength": None, "command": None}
        self.editor.hide()
        self.editor.send_changes(self.document, [{**change, **nulls}], version=None)
        self._ask(triggerCharacter=None, selectedCompletionInfo=None)

    def lose(self) -> None:
        """Send a change that nobody can understand; then type on."""
        document = self.document
        self.editor.hide()
        document.is_lost = True
        if self.random.random() < 0.5:
            self.editor.send_changes(document, [{"text": None}])
            if self.random.random() < 0.5:
                self._have_another_text()
                self._state_whole()
        else:
            change = document.replace(document.cursor, document.cursor, "v")
            document.is_lost = not self.editor.habits.sends_all
            self.editor.send_changes(document, [change], version=-1)
        self._ask()
        self.press_key()

    def replace_whole(self) -> None:
        """State all of the text, which makes a document known whatever was before."""
        self.editor.hide()
        self._state_whole()
        self._ask()

    def be_odd(self) -> None:
        """Ask in ways that must be answered somehow, and once."""
        name = {"uri": self.random.choice((self.document.uri, "untitled:nowhere", ""))}
        place = self.random.choice(
            ({"line": 10**6, "character": 10**9}, {"line": 0, "character": 2**31}, None)
        )
        method = self.random.choice(("inlineCompletion", "completion", "hover"))
        params = {"textDocument": name, "position": place, "context": None}
        self.editor.post(f"textDocument/{method}", params)

    def respell(self) -> None:
        """Write the document's address in another way from here on, as other libraries do."""
        uri = self.document.uri
        spellings = (uri, uri.replace(".py", "%2Epy"), uri.replace("///", "/"))
        self.document.spelled = self.random.choice(spellings)

    def check_texts(self) -> None:
        """Assert that the server's documents are the editor's. Only the telling server tells."""
        for document in self.editor.documents.values():
            held = self.editor.client.result("telling/text", {"uri": document.uri})
            is_known = document.is_open and not document.is_lost
            assert held == (document.text if is_known else None), document.uri

    def _ask(self, **context: object) -> int:
        return self.editor.ask(self.document, **context)

    def _write(self, text: str) -> None:
        self._edit((self.document.cursor, self.document.cursor, text))

    def _edit(self, *edits: tuple[int, int, str]) -> None:
        self.editor.edit(self.document, edits)

    def _have_another_text(self) -> None:
        """Change the line before the cursor without a word, and leave the cursor where it is."""
        self.editor.settle()
        self.editor.hide()
        before = self.document.before
        start = max(before.rfind("\n"), before.rfind("\r")) + 1
        self.document.replace(start, len(before), "z" * (len(before) - start))

    def _span(self, *lengths: int) -> tuple[int, int]:
        start = self.random.randrange(len(self.document.text) + 1)
        return start, start + self.random.choice(lengths or (0, 1, 3, 40))

    def _state_whole(self) -> None:
        document = self.document
        document.is_lost = False
        self.editor.send_changes(document, [{"text": document.text}])

    def _keep_sound(self) -> None:
        """Make a lost document known again, after a while, and a long one short."""
        document = self.document
        if document.is_lost and self.random.random() < 0.3:
            self.editor.hide()
            self._state_whole()
        if len(document.text) > MAX_CHARACTERS:
            self._edit((MAX_CHARACTERS // 4, MAX_CHARACTERS, ""))
            document.undoable.clear()
