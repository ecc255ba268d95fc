"""An editor without a screen, which types into a real server and believes nothing it is told.

It keeps its own copy of each document by LSP's rules, sends what the recorded client would send,
and asserts with each answer that it fits the version that was asked about, that it is one of the
answers of this request and the only one, and that what is shown while somebody types through it
stays. What fails carries the last events.
"""

import contextlib
import re
import time
from collections import deque
from collections.abc import Generator, Sequence
from typing import Any, NamedTuple

from tests.support.offers import Asked, History, Offer, Says, ghost_offer, menu_offer
from tests.support.profiles import recorded_params
from tests.support.raw_client import RawClient
from tests.support.reference_document import ReferenceDocument

INLINE = "textDocument/inlineCompletion"
MENU = "textDocument/completion"
CANCELLED = -32800
NUM_EVENTS = 40
_WORD = re.compile(r"\s*(?:\w+|[^\w\s]+)|\s+")
_LINE = re.compile(r"(?:\r\n|\n|\r)*[^\r\n]*")


class Habits(NamedTuple):
    """How clients differ in what they send, as their sources and recordings have it."""

    cancels_stale: bool = False
    sends_all: bool = False
    """Each change is the whole text."""


HABITS = {
    "vscode1.139-languageclient11": Habits(cancels_stale=True),
    "nvim07": Habits(cancels_stale=True),
    "nvim010": Habits(cancels_stale=True),
    "vim-ale3.3": Habits(sends_all=True),
}


class Ghost(NamedTuple):
    """What is shown at `offset`. One that is `certain` may be replaced by its extension only."""

    offset: int
    offer: Offer
    text: str
    is_certain: bool


class FakeEditor:
    """`says` is what the engine says of a place; None where that cannot be known."""

    def __init__(
        self,
        profile: str,
        command: Sequence[str],
        says: Says | None = None,
        settings: dict[str, Any] | None = None,
    ) -> None:
        self.profile, self._command = profile, command
        self._settings = settings or {}
        self.habits = HABITS.get(profile, Habits())
        self.history = History(says) if says is not None else None
        self.documents: dict[str, ReferenceDocument] = {}
        self.active: ReferenceDocument | None = None
        """Where the cursor is; nothing is shown in another document."""
        self.ghost: Ghost | None = None
        self.menu: tuple[Asked, Offer] | None = None
        self.events: deque[str] = deque(maxlen=NUM_EVENTS)
        self.num_answered = self.num_shown = self.num_accepted = 0
        self._start()

    def _start(self) -> None:
        self.client = RawClient(self._command)
        self.pending: dict[int, Asked | None] = {}
        self._cancelled: set[int] = set()
        params = recorded_params(self.profile)
        text_document = params["capabilities"]["textDocument"]
        self.has_ghosts = "inlineCompletion" in text_document
        params["initializationOptions"] = self._settings
        capabilities = self.client.result("initialize", params)["capabilities"]
        self.encoding = capabilities.get("positionEncoding") or "utf-16"
        self.client.notify("initialized", {})

    @contextlib.contextmanager
    def explained(self, seed: object) -> Generator[None]:
        """Say with a failure what led to it."""
        try:
            yield
        except BaseException as error:
            events = "\n  ".join(self.events)
            error.add_note(f"as {self.profile} with seed {seed}, after {events}")
            raise

    def open(self, document: ReferenceDocument) -> None:
        document.version, document.is_open, document.is_lost = 1, True, False
        document.revision += 1
        self.documents[document.uri] = document
        item = {"uri": document.spelled, "languageId": document.language, "text": document.text}
        self._notify("didOpen", document, {"textDocument": {**item, "version": 1}})

    def close(self, document: ReferenceDocument) -> None:
        document.is_open = False
        document.revision += 1
        self.hide()
        self._notify("didClose", document, {"textDocument": {"uri": document.spelled}})

    def edit(self, document: ReferenceDocument, edits: Sequence[tuple[int, int, str]]) -> None:
        """Make edits, each in the text that the one before left, and send them as one change."""
        before = self.ghost
        changes = [document.replace(*edit) for edit in edits]
        self.send_changes(document, changes)
        self.ghost = None
        (_, _, text), *others = edits
        if not others and before is not None and edits[0][:2] == (before.offset, before.offset):
            self._type_through(document, before, text)

    def undo(self, document: ReferenceDocument) -> None:
        self.hide()
        self.send_changes(document, [document.undo()])

    def send_changes(
        self, document: ReferenceDocument, changes: list[dict[str, Any]], **odd: Any
    ) -> None:
        """Send what was done to a document, spoilt or not; the menu closes.

        `odd` is what takes the place of the document's name or version.
        """
        document.version += 1
        document.revision += 1
        self.menu = None
        if self.habits.sends_all and all(change.get("text") is not None for change in changes):
            changes = [{"text": document.text}]
            document.is_lost = False
        name = {"uri": document.spelled, "version": document.version, **odd}
        self._notify("didChange", document, {"textDocument": name, "contentChanges": changes})
        if self.habits.cancels_stale:
            for request_id, asked in self.pending.items():
                if asked is not None and asked.uri == document.uri:
                    self.cancel(request_id)

    def hide(self) -> None:
        """Show nothing, as after a movement of the cursor."""
        self.ghost = self.menu = None

    def switch(self, document: ReferenceDocument) -> None:
        self.hide()
        self.active = document

    def ask(self, document: ReferenceDocument, kind: str = "automatic", **context: Any) -> int:
        """Ask for something to insert at the cursor."""
        kind = kind if self.has_ghosts else "menu"
        if kind == "invoked" and self.ghost is not None:  # it may be answered although cancelled
            self.ghost = self.ghost._replace(is_certain=False)
        asked = self._asked(document, kind)
        number = {"invoked": 1}.get(kind, 2)
        context = {"triggerKind": 1 if kind == "menu" else number, **context}
        return self._ask(document, asked, context)

    def ask_selected(self, document: ReferenceDocument, start: int, text: str) -> int:
        """Ask while a menu has `text` selected, which would replace what is typed from `start`."""
        self.hide()
        asked = self._asked(document, "selected")._replace(start=start, selected=text)
        span = {"start": document.position(start), "end": document.position(document.cursor)}
        context = {"triggerKind": 2, "selectedCompletionInfo": {"range": span, "text": text}}
        return self._ask(document, asked, context)

    def post(self, method: str, params: object) -> int:
        """Send a request of which only the number of its answers is of interest."""
        request_id = self.client.post(method, params)
        self.pending[request_id] = None
        return request_id

    def cancel(self, request_id: int) -> None:
        self._cancelled.add(request_id)
        self.client.notify("$/cancelRequest", {"id": request_id})

    def poll(self) -> None:
        """Take what has come."""
        for request_id in [*self.pending]:
            if self.client.has_response(request_id):
                self._take(request_id)
        self._answer_the_server()

    def settle(self) -> None:
        """Wait until everything is answered."""
        for request_id in [*self.pending]:
            self._take(request_id)
        self._answer_the_server()

    def wait_ready(self) -> None:
        """Wait until the model is loaded."""
        command = {"command": "inkling.status", "arguments": []}
        while self.client.result("workspace/executeCommand", command)["state"] != "ready":
            time.sleep(0.05)

    def accept(self, document: ReferenceDocument, part: str = "all") -> None:
        """Accept all of what is shown, its first word or its first line."""
        ghost = self.ghost
        assert ghost is not None
        pattern = {"word": _WORD, "line": _LINE}.get(part)
        found = pattern.match(ghost.text) if pattern else None
        text = found[0] if found and found[0] else ghost.text
        self.events.append(f"accepts {part}: {text!r}")
        self.edit(document, [(ghost.offset, ghost.offset, text)])
        self.num_accepted += 1
        command = ghost.offer.item.get("command")
        if command and text == ghost.text:
            self.post("workspace/executeCommand", {k: command[k] for k in ("command", "arguments")})

    def accept_menu(self, document: ReferenceDocument) -> None:
        """Take the menu's item; a client without ghost text asks for its documentation first."""
        assert self.menu is not None
        asked, offer = self.menu
        if asked.kind == "menu":
            resolved = self.client.result("completionItem/resolve", offer.item)
            assert resolved["textEdit"] == offer.item["textEdit"]
            shown = resolved.get("documentation", resolved["label"])
            assert shown == offer.inserted
        self.edit(document, [(offer.start, offer.end, offer.inserted)])
        assert document.before == asked.text[: offer.start] + offer.inserted
        self.num_accepted += 1

    def crash(self) -> None:
        """Go as a killed editor goes, in the middle of everything, and come back."""
        self.events.append("crashes")
        self.client.process.stdin.close()
        assert self.client.finish() == 1
        self.hide()
        self._start()
        for document in self.documents.values():
            if document.is_open:
                self.open(document)

    def leave(self) -> None:
        """Shut down; whatever was asked has been answered once and no more."""
        self.settle()
        assert self.client.leave() == 0
        assert self.client.unclaimed() == []

    def kill(self) -> None:
        """End a server that may have left already."""
        self.client.process.kill()
        self.client.finish()

    def _ask(
        self, document: ReferenceDocument, asked: Asked, context: dict[str, Any] | None
    ) -> int:
        method = MENU if asked.kind == "menu" else INLINE
        place = document.position(document.cursor)
        name = {"uri": document.spelled}
        params = {"textDocument": name, "position": place, "context": context}
        request_id = self.post(method, params)
        self.pending[request_id] = asked
        self.events.append(f"asks {request_id}: {asked.kind} at {place} {document.before[-20:]!r}")
        return request_id

    def _asked(self, document: ReferenceDocument, kind: str) -> Asked:
        return Asked(
            kind=kind,
            uri=document.uri,
            revision=document.revision,
            text=document.text,
            offset=document.cursor,
            encoding=self.encoding,
            is_known=document.is_open and not document.is_lost,
        )

    def _notify(self, name: str, document: ReferenceDocument, params: dict[str, Any]) -> None:
        self.events.append(f"{name} {document.uri[-8:]} {str(params)[-120:]}")
        self.client.notify(f"textDocument/{name}", params)

    def _take(self, request_id: int) -> None:
        """Take the answer of one request."""
        message = self.client.response(request_id)
        asked = self.pending.pop(request_id)
        self.num_answered += 1
        self.events.append(f"is answered {request_id}: {str(message)[-160:]}")
        if asked is None:
            return
        if "error" in message:
            assert message["error"]["code"] == CANCELLED, message["error"]
            assert request_id in self._cancelled
            return
        offers = self._offers(asked, message["result"]["items"])
        if request_id not in self._cancelled:
            self._show(asked, offers)

    def _offers(self, asked: Asked, items: list[dict[str, Any]]) -> list[Offer]:
        assert asked.is_known or not items, "an answer in a document that nobody knows"
        read = menu_offer if asked.kind == "menu" else ghost_offer
        offers = [read(asked, item) for item in items]
        for offer in offers if self.history is not None else ():
            self.history.check(asked, offer)
            self.history.add(asked, offer)
        return offers

    def _show(self, asked: Asked, offers: list[Offer]) -> None:
        document = self.documents[asked.uri]
        if document is not self.active:
            return
        is_current = (document.revision, document.cursor) == (asked.revision, asked.offset)
        first = offers[0] if offers else None
        if asked.kind in ("menu", "selected"):
            self.hide()
            self.menu = (asked, first) if is_current and first else None
            return
        if not is_current:
            self._show_late(document, asked, first)
            return
        old = self.ghost
        if old is not None and asked.kind == "automatic" and old.is_certain:
            assert first is not None, f"{old.text!r} flickers: it is taken away"
            assert first.ghost.startswith(old.text), f"{old.text!r} becomes {first.ghost!r}"
        if first is not None:
            is_certain = asked.kind == "automatic"
            self.ghost = Ghost(asked.offset, first, first.ghost, is_certain)
            self.num_shown += 1
        elif asked.kind == "automatic":
            self.ghost = None

    def _show_late(self, document: ReferenceDocument, asked: Asked, offer: Offer | None) -> None:
        """Show of an answer to an older version what is left, where nothing is and it still fits.

        The server cannot know of it, so its next answer may be another.
        """
        prefix, suffix = asked.text[: asked.offset], asked.text[asked.offset :]
        if offer is None or self.ghost is not None or document.behind != suffix:
            return
        typed = document.before.removeprefix(prefix)
        if len(prefix) + len(typed) == document.cursor and offer.ghost.startswith(typed):
            text = offer.ghost[len(typed) :]
            if text:
                self.ghost = Ghost(document.cursor, offer, text, is_certain=False)

    def _type_through(self, document: ReferenceDocument, ghost: Ghost, text: str) -> None:
        is_typed = ghost.text.startswith(text) and document.cursor == ghost.offset + len(text)
        if is_typed and len(text) < len(ghost.text):
            rest = ghost.text[len(text) :]
            self.ghost = ghost._replace(offset=document.cursor, text=rest)

    def _answer_the_server(self) -> None:
        """Answer what the server asks, as a client that has no settings of its own."""
        for message in self.client.others:
            assert message["method"] != "window/showMessage", message
            if "id" in message:
                settings = [self._settings] * len(message["params"].get("items", ()))
                result = settings if message["method"] == "workspace/configuration" else None
                self.client.send({"jsonrpc": "2.0", "id": message["id"], "result": result})
        self.client.others.clear()
