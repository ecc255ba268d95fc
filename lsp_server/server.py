"""Hold what one client's session consists of: its profile, settings, documents and the engine.

One server object per connection; nothing here is global. Everything runs on the event loop.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, Final, NamedTuple

from lsprotocol import types
from pygls.lsp.server import LanguageServer

from inference import Completion, CompletionRequest, Engine, EngineState, EngineStatus, FinishReason
from lsp_server.convert import completion_request, document_name
from lsp_server.decoding import decode
from lsp_server.documents import Document, Documents
from lsp_server.ignored import IgnoreFiles
from lsp_server.insight.feedback import Feedback
from lsp_server.insight.journal import Journal
from lsp_server.insight.records import (
    Accepted,
    Event,
    Learned,
    PartlyAccepted,
    Record,
    Rejected,
)
from lsp_server.lifecycle import Lifecycle
from lsp_server.lines import Lines
from lsp_server.other_texts import OtherTexts
from lsp_server.policy.gate import Silence, Trigger, silence
from lsp_server.policy.judge import Judge, Verdict
from lsp_server.policy.prior import Habit, within_bounds
from lsp_server.profiles import ClientProfile
from lsp_server.protocol import InklingProtocol, described
from lsp_server.settings import Reach, Settings
from lsp_server.sources import Sources
from lsp_server.transport import Connection, Link
from lsp_server.virtual_documents import VirtualDocuments

log = logging.getLogger(__name__)

LEAVING_SECONDS: Final = 0.8
"""How long the engine may take to close at the end; it kills its process after half a second."""


class Feature(NamedTuple):
    """An LSP method, how it is advertised, and its handler: `handler(ls, params)`.

    A request's handler is a coroutine function, so that it can be cancelled; a notification's is a
    plain function, so that it has run before the next message is seen.
    """

    method: str
    options: object | None
    handler: Callable[..., object]


class InklingServer(LanguageServer):
    """The session of one client. `engine` and `journal` are closed when the session ends."""

    protocol: InklingProtocol

    def __init__(self, engine: Engine, journal: Journal) -> None:
        super().__init__("inkling", "", protocol_cls=InklingProtocol)
        self.engine = engine
        self.journal = journal
        self.client = ClientProfile()
        self.settings = Settings()
        self.sources = Sources()
        self.pull: asyncio.Task[None] | None = None
        self.workspace_folders: Mapping[str, str] = {}
        self.virtual_documents = VirtualDocuments()
        self.cancellable: dict[str | int, asyncio.Task[Any]] = {}
        self.documents = Documents()
        self.protocol.on_lost = self._forget
        self.on_status: Callable[[EngineStatus], None] = lambda _status: None
        self.feedback = Feedback(self._remember, self.lines_of)
        self.judge = Judge()
        self.ignored = IgnoreFiles()
        self.other_texts = OtherTexts(engine.remember, self.may_be_seen, self.spawn)
        self._num_characters: dict[str, int] = {}  # by document, when it was asked at last
        self._background: set[asyncio.Task[None]] = set()
        self._shown: set[str] = set()
        self._told_model = ""

    @property
    def lifecycle(self) -> Lifecycle:
        return self.protocol.lifecycle

    def register(self, features: Sequence[Feature]) -> None:
        for method, options, handler in features:
            self.feature(method, options)(handler)

    def lines_of(self, uri: str) -> Lines | None:
        """Return what an open document holds."""
        document = self.documents.get(uri)
        return document.lines if document is not None else None

    def silence_in(self, document: Document, trigger: Trigger) -> Silence | None:
        """Return the reason to answer nothing in a document, None to go on."""
        reason = silence(self.settings, document, trigger)
        if reason is None and self.ignored.names(document.uri, self.workspace_folders):
            return Silence.IGNORED
        return reason

    def judged(
        self,
        trigger: Trigger,
        request: CompletionRequest,
        completion: Completion,
        *,
        is_shorter: bool,
    ) -> Verdict:
        """Say whether a completion is shown; behind a deletion only what was shown before is."""
        verdict = self.judge.judge(
            self.settings,
            trigger,
            request,
            completion,
            model_bytes=self.engine.status().model_bytes,
        )
        is_new = trigger is Trigger.AUTOMATIC and completion.origin != "cache"
        if is_shorter and is_new and verdict.silence is None:
            return Verdict(Silence.AFTER_DELETION, verdict.probability)
        return verdict

    def closed(self, uri: str) -> None:
        """Remember nothing of a document that was closed but what others may follow."""
        self.other_texts.closed(uri)
        if (document := self.documents.get(uri)) is not None:
            self.engine.leave(document_name(document))
        self.documents.close(uri)
        self.feedback.closed(uri)
        self._num_characters.pop(uri, None)

    def has_shrunk(self, uri: str, document: Document) -> bool:
        """Say whether a document is shorter than when it was asked for last."""
        before = self._num_characters.get(uri, 0)
        self._num_characters[uri] = document.lines.num_characters
        return document.lines.num_characters < before

    def _remember(self, record: Record) -> None:
        self.journal.record(record)
        match record:
            case Accepted() | PartlyAccepted() | Rejected(reason="typed through"):
                self._learn(record, is_accepted=True)
            case Rejected(reason="typed over"):
                self._learn(record, is_accepted=False)
            case _:
                pass

    def _learn(self, event: Event, *, is_accepted: bool) -> None:
        before = self.judge.habit
        self.judge.decided(event.ordinal, is_accepted=is_accepted)
        habit = self.judge.habit
        if habit != before:
            learned = Learned(
                time=event.time, leaning=habit.leaning, num_decisions=habit.num_decisions
            )
            self.journal.record(learned)

    async def complete(self, request: CompletionRequest) -> Completion:
        """Ask the engine, which knows of each document's latest request; report its failure."""
        completion = await self.engine.complete(request)
        self.on_status(self.engine.status())
        if completion.finish_reason in (FinishReason.UNAVAILABLE, FinishReason.FAILED):
            self._show_failure(self.engine.status())
        else:
            self._tell_model(self.engine.status())
        return completion

    def _forget(self, uri: str | None) -> None:
        for lost in self.documents.uris if uri is None else [uri]:
            self.documents.forget(lost)

    def read_ahead(self, uri: str) -> None:
        """Have the model read a document that was opened, from where it begins."""
        document, settings = self.documents.get(uri), self.settings
        if document is None or self.silence_in(document, Trigger.AUTOMATIC) is not None:
            return
        request = completion_request(
            document,
            0,
            max_tokens=settings.max_tokens,
            first_text_ms=settings.first_text_ms,
            deadline_ms=settings.deadline_ms,
        )
        self.engine.warm(request)

    def may_be_seen(self, uri: str) -> Document | None:
        """Return an open document that others may follow, None where it is to be left alone."""
        document = self.documents.get(uri)
        if document is None or self.silence_in(document, Trigger.INVOKED) is not None:
            return None
        return document

    def survey(self) -> None:
        """Have the engine know the other texts that the settings let it, from now on."""
        match self.settings.other_texts:
            case Reach.NONE:
                self.other_texts.forget_all()
            case Reach.OPEN:
                self.other_texts.forget_all()  # what was read in the workspace
                for uri in self.documents.uris:
                    self.other_texts.changed(uri)
            case Reach.WORKSPACE:
                self.other_texts.survey(self.workspace_folders)

    def changed(self, uri: str) -> None:
        """Have others follow what a document holds now, where that is wanted."""
        if self.settings.other_texts is not Reach.NONE:
            self.other_texts.changed(uri)

    def start_engine(self) -> None:
        """Load the model in the background; should that fail, say so."""
        self.on_status(self.engine.status())
        self.spawn(self._watch_engine())
        self.spawn(self._recall())

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run what nobody waits for; where it fails, the log says so."""
        task = asyncio.ensure_future(work)
        self._background.add(task)
        task.add_done_callback(self._finish)
        return task

    def _finish(self, task: asyncio.Task[None]) -> None:
        self._background.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("in the background: %s", described(error))

    def show_once(self, kind: types.MessageType, message: str) -> None:
        """Show a message to the user unless it was shown before in this session."""
        if message and message not in self._shown:
            self._shown.add(message)
            self.window_show_message(types.ShowMessageParams(kind, f"Inkling: {message}"))

    async def _recall(self) -> None:
        """Know what was learned of the user; `initialize` does not wait for that."""
        self.judge.habit = _habit(await asyncio.to_thread(self.journal.learned))

    async def _watch_engine(self) -> None:
        try:
            status = await self.engine.wait_ready()
        except Exception as error:  # the boundary: the server lives without an engine
            log.error("the engine failed to start: %s", described(error))  # noqa: TRY400
        else:
            log.info("the engine is %s", status.state)
            self.on_status(status)
            self._show_failure(status)
            self._tell_model(status)
            self.survey()
            for uri in self.documents.uris:  # those that were opened while it was loading
                self.read_ahead(uri)

    def _tell_model(self, status: EngineStatus) -> None:
        """Write which model answers into the client's log, now and when another one does."""
        if status.state is EngineState.READY and status.model != self._told_model:
            self._told_model = status.model
            message = f"Inkling: {status.model} completes"
            self.window_log_message(types.LogMessageParams(types.MessageType.Info, message))

    def _show_failure(self, status: EngineStatus) -> None:
        if status.state is EngineState.FAILED:
            self.show_once(types.MessageType.Error, status.message)


def _habit(learned: Learned | None) -> Habit:
    """Return what was learned of the user before, as far as it makes sense."""
    if learned is None:
        return Habit()
    return Habit(leaning=within_bounds(learned.leaning), num_decisions=learned.num_decisions)


async def serve(server: InklingServer, read_fd: int, write_fd: int) -> int:
    """Speak LSP over two descriptors until the client leaves; return the exit code."""
    return await converse(server, Connection(read_fd, write_fd, decode, server.protocol))


async def converse(server: InklingServer, link: Link) -> int:
    """Speak LSP over a link until the client leaves; return the exit code."""
    asyncio.get_running_loop().set_exception_handler(_report)
    protocol, lifecycle = server.protocol, server.lifecycle
    protocol.set_writer(link)
    link.start()
    await lifecycle.wait_ended()
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(server.engine.close(), LEAVING_SECONDS)
    link.close()
    server.journal.close()
    return lifecycle.exit_code


def _report(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Log what the loop could not hand to anyone, without its values."""
    error = context.get("exception")
    what = described(error) if isinstance(error, BaseException) else context.get("message")
    log.error("in the event loop: %s", what)
