"""Say in a sentence what became of a request, and where its time went. Pure."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import msgspec

from inference import FinishReason
from lsp_server.insight.records import CANCELLED, FAULT, OUTDATED, SHOWN, RequestRecord
from lsp_server.policy.gate import Silence

REASONS: Final[Mapping[str, str]] = {
    CANCELLED: "the editor took the request back",
    FAULT: "a fault in the server; its log says where",
    OUTDATED: "the document had changed before the answer was there",
    FinishReason.SUPERSEDED: "a newer request for the document took its place",
    FinishReason.UNAVAILABLE: "no model was ready: it was loading, starting again, or failed",
    FinishReason.FAILED: "the model failed; the server's log says where",
    FinishReason.DEADLINE: "the time was over before a text was there",
    FinishReason.EMPTY: "the model had nothing to say that was not there already",
    FinishReason.END_TOKEN: "the model had nothing to add",
    FinishReason.REPETITION: "the model only repeated itself",
    FinishReason.WORD: "the word was complete as it was",
    FinishReason.LINE: "the line was complete as it was",
    FinishReason.STATEMENT: "the statement was complete as it was",
    FinishReason.BLOCK: "the block was complete as it was",
    FinishReason.LENGTH: "what was written fitted nowhere",
}
"""Why there was no text, for all that is no Silence."""

ORIGINS: Final[Mapping[str, str]] = {
    "model": "the model wrote it",
    "cache": "an earlier completion had it",
    "joined": "a request that was under way had it",
}

STAGES: Final = ("queue", "prompt", "prefill", "first_token", "decode", "total")
"""The stages of the engine's timings, in their order."""


def sentence(record: RequestRecord) -> str:
    """Say what became of a request, for people."""
    if record.outcome == SHOWN:
        origin = ORIGINS.get(record.origin, record.origin)
        return (
            f"shown: {record.characters} characters after {record.elapsed_ms:.0f} ms; {origin}"
            f"{f' ({record.model})' if record.model else ''}"
        )
    text = f"silent after {record.elapsed_ms:.0f} ms: {reason(record.outcome)}"
    if record.probability is not None:
        text += f"; acceptance was estimated at {record.probability:.0%}"
    return text


def reason(outcome: str) -> str:
    """Return what an outcome means; one that this version does not know is returned as it is."""
    names = {silence.name.lower(): silence.value for silence in Silence}
    return names.get(outcome) or REASONS.get(outcome, outcome)


def stages(record: RequestRecord) -> dict[str, float]:
    """Return the milliseconds of the stages that a request reached."""
    timings = {name: getattr(record.timings, f"{name}_ms") for name in STAGES}
    return {name: ms for name, ms in timings.items() if ms}


def as_json(record: RequestRecord) -> dict[str, Any]:
    """Return a record as plain JSON, with its sentence."""
    return {**msgspec.to_builtins(record), "sentence": sentence(record)}


def moment(seconds: float) -> str:
    """Return POSIX seconds as people read them, by their own clock."""
    return datetime.fromtimestamp(seconds).astimezone().strftime("%m-%d %H:%M:%S")


def cells(record: RequestRecord) -> tuple[str, ...]:
    """Return the columns of `inkling explain`."""
    tokens = record.tokens
    return (
        moment(record.time),
        record.language,
        record.trigger,
        record.outcome if record.outcome == SHOWN else reason(record.outcome),
        ORIGINS.get(record.origin, "") if record.outcome == SHOWN else "",
        f"{tokens.prompt}/{tokens.reused}/{tokens.generated}" if tokens.prompt else "",
        " ".join(f"{name} {ms:.0f}" for name, ms in stages(record).items()),
        f"{record.elapsed_ms:.0f}",
    )


COLUMNS: Final = (
    "time",
    "language",
    "trigger",
    "what became of it",
    "from",
    "tokens: prompt/reused/written",
    "stages in ms",
    "ms",
)
