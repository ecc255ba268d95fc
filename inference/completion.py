"""The words that every part of the engine shares: a request, and its answer.

A request carries all that is needed to answer it (invariant 7). Its bounds are checked where it
is decoded, before any value reaches native code.
"""

import re
from enum import StrEnum
from typing import Annotated, Final, Literal, TypeVar

import msgspec

from inference.chat import Message
from inference.errors import InvalidRequestError
from inference.timing import Timings

MAX_TEXT_CHARACTERS: Final = 65_536
"""The most of a prefix and of a suffix: a second of tokenizing in the worst case measured."""

MAX_REMEMBERED_CHARACTERS: Final = 400_000
"""The most of a text that is remembered; longer ones are tables, or were generated."""

Text = Annotated[str, msgspec.Meta(max_length=MAX_TEXT_CHARACTERS)]
Name = Annotated[str, msgspec.Meta(max_length=4096)]

OWNER_END: Final = "\0"
"""Ends the owner in the name of a document that has one; no path and no URI holds it."""

Unit = Literal["word", "line", "statement", "block"]
"""How much to write: to the end of what, that the cursor stands in or at the beginning of."""

Scope = Literal["auto", "word", "line", "statement", "block"]
"""A unit, or the one that is due where the cursor stands, see `decoding/stopping.py`."""


class FinishReason(StrEnum):
    """Why a completion ends where it does. The last four come with empty text."""

    END_TOKEN = "end_token"  # noqa: S105 - a kind of ending, no secret
    WORD = "word"
    LINE = "line"
    STATEMENT = "statement"
    BLOCK = "block"
    REPETITION = "repetition"
    LENGTH = "length"
    DEADLINE = "deadline"
    EMPTY = "empty"
    SUPERSEDED = "superseded"
    UNAVAILABLE = "unavailable"
    FAILED = "failed"


class CompletionRequest(msgspec.Struct, frozen=True, kw_only=True, tag="hole"):
    """Fill the hole between `prefix` and `suffix`.

    `document` names what is edited, in whatever spelling the caller likes: a newer request with
    the same name supersedes an older one. Where several people's requests come together, `owned`
    says whose it is. What the engine shows a model of a long text it decides
    itself; a caller cuts only to MAX_TEXT_CHARACTERS, and `num_skipped` says how many characters
    of the document stand before `prefix` then. `language` is a key of languages.toml; an unknown
    one is treated as plain text. `deadline_ms` counts from the moment the engine receives the
    request; what is written by then is the answer.

    `first_text_ms` is the time in which a first text was promised: no more is read for it than fits
    in, and what is not all there after a part of it is answered line by line, as lines stand. With
    it the answer depends on what was read and answered before. Without it all is read, and the same
    is answered always.

    `num_candidates` asks for as many texts as that to choose from, as far as there is time.
    """

    document: Name
    prefix: Text
    suffix: Text = ""
    num_skipped: Annotated[int, msgspec.Meta(ge=0)] = 0
    language: Name = "plaintext"
    scope: Scope = "auto"
    max_tokens: Annotated[int, msgspec.Meta(ge=1, le=512)] = 64
    deadline_ms: Annotated[int, msgspec.Meta(ge=1, le=600_000)] = 10_000
    first_text_ms: Annotated[int, msgspec.Meta(ge=1, le=600_000)] | None = None
    num_candidates: Annotated[int, msgspec.Meta(ge=1, le=4)] = 1


class InstructionRequest(msgspec.Struct, frozen=True, kw_only=True, tag="instruction"):
    """Say what an instructed model answers to `messages`; it has no text for one that is not.

    Nothing supersedes it: it is written while no completion is asked for, and begun again where one
    came between. What is not all there by the deadline is no answer.
    """

    document: Name
    messages: Annotated[tuple[Message, ...], msgspec.Meta(min_length=1, max_length=16)]
    max_tokens: Annotated[int, msgspec.Meta(ge=1, le=1024)] = 256
    deadline_ms: Annotated[int, msgspec.Meta(ge=1, le=600_000)] = 30_000


Request = CompletionRequest | InstructionRequest
AnyRequest = TypeVar("AnyRequest", CompletionRequest, InstructionRequest, Request)


def owned(owner: str, document: str) -> str:
    """Name a document of somebody's: nothing that is read or remembered of it serves another."""
    return f"{owner}{OWNER_END}{document}" if owner else document


def owner_of(document: str) -> str:
    """Return whose a document is by its name; nobody's in particular is ""."""
    return document.partition(OWNER_END)[0] if OWNER_END in document else ""


def file_name(document: str) -> str:
    """Return the last part of a document's name: where it lies is nobody's business."""
    return re.split(r"[/\\]", document.rpartition(OWNER_END)[2].rstrip("/\\"))[-1][:200]


def line_before(prefix: str) -> str:
    """Return what stands on the cursor's line before it; a lone carriage return ends a line, too.

    See LSP 3.18, "Text Documents". Costs what the line holds, not what the text does.
    """
    return prefix[max(prefix.rfind("\n"), prefix.rfind("\r")) + 1 :]


def line_behind(suffix: str) -> str:
    """Return what stands on the cursor's line behind it, without the line's end."""
    return suffix.partition("\n")[0].partition("\r")[0]


def within_bounds(prefix: str, suffix: str) -> tuple[str, str, int]:
    """Cut a document's two sides to what a request may hold; return `num_skipped` with them."""
    num_skipped = max(0, len(prefix) - MAX_TEXT_CHARACTERS)
    return prefix[num_skipped:], suffix[:MAX_TEXT_CHARACTERS], num_skipped


def checked(request: AnyRequest) -> AnyRequest:
    """Return the request as it is, or raise InvalidRequestError naming what is out of bounds."""
    try:
        encoded = msgspec.msgpack.encode(request)
        return msgspec.msgpack.decode(encoded, type=type(request))
    except (msgspec.ValidationError, OverflowError) as error:
        raise InvalidRequestError(f"the request is out of bounds: {error}") from error
    except UnicodeEncodeError as error:  # Python and JSON may hold it; no tokenizer accepts it
        raise InvalidRequestError(
            "the request's text holds half a surrogate pair; replace it"
        ) from error


Origin = Literal["model", "cache", "joined"]
"""Who knew a completion: the model wrote it for this request, an earlier one had it, or a request
that was being answered took this one along."""


class TokenCounts(msgspec.Struct, frozen=True, kw_only=True):
    """`reused` of the prompt's tokens were already in the cache; the others were read."""

    prompt: int = 0
    reused: int = 0
    generated: int = 0


SyntaxScope = Literal["code", "comment", "string", "docstring"]


class SyntaxCheck(msgspec.Struct, frozen=True, kw_only=True):
    """What a cursor stands in, and the syntax errors near it without and with the completion.

    In a text that is being written there are errors before: what counts is what is added.
    """

    scope: SyntaxScope
    num_errors_before: int
    num_errors_after: int


class Completion(msgspec.Struct, frozen=True, kw_only=True):
    """Text to insert between prefix and suffix; empty text is a valid answer.

    `alternatives` are other texts for the same place, the likelier beginning first.
    `log_probabilities` are natural logarithms, one for each of the first tokens that the model
    chose, its end token among them: how sure it was. They are those of the whole completion, also
    where some of it was typed since. `syntax` is None where no grammar is known. `num_documents`
    are those that were shown for it, other files' snippets among them.
    """

    text: str
    finish_reason: FinishReason
    tokens: TokenCounts = TokenCounts()
    timings: Timings = msgspec.field(default_factory=Timings)
    origin: Origin = "model"
    alternatives: tuple[str, ...] = ()
    log_probabilities: tuple[float, ...] = ()
    syntax: SyntaxCheck | None = None
    num_documents: int = 1

    @classmethod
    def nothing(cls, finish_reason: FinishReason) -> "Completion":
        return cls(text="", finish_reason=finish_reason)
