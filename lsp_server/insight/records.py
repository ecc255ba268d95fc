"""What is remembered of each request and of what became of each suggestion: figures, no text.

A record is one line of JSON in the journal, and `kind` says which one. Times are POSIX seconds. A
document is named by a hash that only this process can make, so the file tells nobody's paths.
"""

import hashlib
from collections.abc import Callable
from typing import Final

import msgspec

from inference import Completion, CompletionRequest, Timings, TokenCounts
from lsp_server.policy.gate import Silence

SHOWN: Final = "shown"
CANCELLED: Final = "cancelled"
FAULT: Final = "fault"
OUTDATED: Final = "outdated"


class Entry(msgspec.Struct, kw_only=True, tag_field="kind"):
    """`session` is one run of a server, `ordinal` counts its requests: together they name one.

    `model` is empty where no model was asked.
    """

    time: float
    session: str
    ordinal: int
    language: str
    model: str = ""


class RequestRecord(Entry, kw_only=True, tag="request"):
    """One request for a completion, and how it ended.

    `outcome` is "shown", "cancelled", "fault", "outdated", the name of a Silence in small letters,
    or the engine's finish reason where it answered without text. `read_before` and `read_after` are
    the characters around the cursor that went to the engine, `num_documents` how many documents
    they and the context came from. `probability` is that of acceptance, None where nobody estimated
    it. `elapsed_ms` is the server's own time from request to answer; `timings` are the engine's.
    """

    document: str
    trigger: str
    outcome: str = FAULT
    finish_reason: str = ""
    origin: str = ""
    elapsed_ms: float = 0.0
    timings: Timings = msgspec.field(default_factory=Timings)
    tokens: TokenCounts = TokenCounts()
    characters: int = 0
    lines: int = 0
    read_before: int = 0
    read_after: int = 0
    num_documents: int = 0
    probability: float | None = None

    def reads(self, request: CompletionRequest) -> None:
        """Take over how much of the document goes to the engine."""
        self.read_before, self.read_after = len(request.prefix), len(request.suffix)
        self.num_documents = 1

    def withhold(self, reason: Silence) -> None:
        """Take over why nothing is shown."""
        self.outcome = reason.name.lower()

    def answer(self, completion: Completion, model: str) -> None:
        """Take over what the engine says of its answer."""
        self.model = model
        self.finish_reason = completion.finish_reason.value
        self.origin = completion.origin
        self.timings, self.tokens = completion.timings, completion.tokens
        self.characters = len(completion.text)
        self.lines = completion.text.count("\n") + 1 if completion.text else 0
        self.num_documents += completion.num_documents - 1
        self.outcome = SHOWN if completion.text else self.finish_reason


class Event(Entry, kw_only=True):
    """What became of the suggestion that the request `ordinal` was answered with.

    `characters` are those that the event is about.
    """

    characters: int


class Shown(Event, kw_only=True, tag="shown"):
    """An answer with text went to the client."""


class Accepted(Event, kw_only=True, tag="accepted"):
    """All that was left of it was inserted at once, `visible_ms` after it was shown."""

    visible_ms: float


class PartlyAccepted(Event, kw_only=True, tag="partly"):
    """A beginning of it was inserted at once."""

    visible_ms: float


class Rejected(Event, kw_only=True, tag="rejected"):
    """It went away without being accepted; `reason` says how.

    "typed over": something else was written in its place; "typed through": it was typed by hand,
    letter by letter; "replaced": another suggestion came; "closed": the document was closed.
    """

    reason: str
    visible_ms: float


class Kept(Event, kw_only=True, tag="kept"):
    """`share`, from 0 to 1, of what was accepted stood there `after_seconds` later."""

    after_seconds: int
    share: float


class Learned(msgspec.Struct, kw_only=True, tag_field="kind", tag="learned"):
    """What a user's decisions say by now, see policy/prior.py: the newest one counts."""

    time: float
    leaning: float
    num_decisions: int


Record = RequestRecord | Shown | Accepted | PartlyAccepted | Rejected | Kept | Learned


def hasher(key: bytes) -> Callable[[str], str]:
    """Return a function from a document's URI to 12 hexadecimal digits that need `key` to make."""

    def name(uri: str) -> str:
        data = uri.encode("utf-8", "surrogatepass")
        return hashlib.blake2b(data, key=key, digest_size=6).hexdigest()

    return name


def encoded(record: Record) -> bytes:
    """Return one line, its end included."""
    return msgspec.json.encode(record) + b"\n"


def decoded(line: bytes) -> Record | None:
    """Return the record of a line, None for what is none: another version's, or a torn one."""
    try:
        return _DECODER.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


_DECODER: Final = msgspec.json.Decoder(Record)
