"""How each kind of endpoint is asked to fill a hole, and how its answer is read.

Pure. A way is what an endpoint was found to understand (probe.py); what is sent and what comes back
is here and nowhere else. Sources:

    own           our own service, which knows all that a request says (own.py)
    suffix        OpenAI's legacy completions with `suffix`
    infill        llama.cpp, tools/server/README.md, "POST /infill"
    insert, raw   Ollama, docs/api.md, "Generate a completion"
    prompt        OpenAI's legacy completions, the hole spelled by us (vLLM, LM Studio and others)
    onward        the same without the text behind the cursor: the last thing left
"""

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import Any, Final, Protocol, TypeVar

import msgspec

from inference.completion import CompletionRequest, TokenCounts
from inference.decoding.line_ends import with_line_feeds
from inference.serving.remote.endpoint import Layout
from inference.serving.remote.trouble import TroubleError

MAX_BEFORE: Final = 12_000
MAX_BEHIND: Final = 4_000
"""Characters around the cursor that a foreign endpoint is shown: about 4,000 tokens."""

STEP: Final = 2_000
"""A cut moves by so many characters at once, so that what an endpoint has read stays the same."""

MAX_STOPS: Final = 4
"""OpenAI takes no more."""

COMPLETIONS: Final = "/v1/completions"
INFILL: Final = "/infill"


class Way(StrEnum):
    OWN = "own"
    SUFFIX = "suffix"
    INFILL = "infill"
    INSERT = "insert"
    RAW = "raw"
    PROMPT = "prompt"
    ONWARD = "onward"


class Neighbour(msgspec.Struct, frozen=True):
    """Another text of the user's; `filename` is the last part of its name."""

    filename: str
    text: str


class Question(msgspec.Struct, frozen=True):
    route: str
    body: Mapping[str, Any]


class Piece(msgspec.Struct, frozen=True, kw_only=True):
    """A part of an answer; `ended` says in the endpoint's words why it is the last one."""

    text: str = ""
    ended: str = ""
    tokens: TokenCounts | None = None


def question(
    way: Way,
    request: CompletionRequest,
    model: str,
    layout: Layout | None = None,
    *,
    stop: Sequence[str] = (),
    neighbours: Sequence[Neighbour] = (),
) -> Question:
    """Return what is sent. A layout is needed where we spell the hole ourselves."""
    if way is Way.OWN:
        return Question(COMPLETIONS, _own(request, model, neighbours))
    before, behind = shown(request)
    if way in (Way.RAW, Way.PROMPT):
        assert layout is not None
        before = layout.arrange(before, behind)
    stop = [*stop, *(layout.ends if layout else ())][:MAX_STOPS]
    match way:
        case Way.INFILL:
            body = _infill(request, stop, neighbours)
            return Question(INFILL, body | {"input_prefix": before, "input_suffix": behind})
        case Way.INSERT | Way.RAW:
            body = _ollama(model, before, request.max_tokens, stop)
            more = {"raw": True} if way is Way.RAW else {"suffix": behind}
            return Question("/api/generate", body | more)
        case _:
            body = _openai(model, before, request.max_tokens, stop)
            return Question(COMPLETIONS, body | ({"suffix": behind} if way is Way.SUFFIX else {}))


def warming(request: CompletionRequest, neighbours: Sequence[Neighbour]) -> Question:
    """Return what has our own service read a text that nobody asks about yet."""
    asked = _own(request, "", neighbours)
    body = {"input_prefix": request.prefix, "input_suffix": request.suffix, "n_predict": 0}
    return Question(INFILL, body | {"inkling": asked["inkling"]})


def shown(request: CompletionRequest) -> tuple[str, str]:
    """Return as much of what stands around the cursor as a foreign endpoint is shown."""
    before, behind = with_line_feeds(request.prefix), with_line_feeds(request.suffix)
    over = len(before) - MAX_BEFORE
    if over > 0:
        # Counted from where the document begins, so that it stands still while the user types.
        start = -(-(request.num_skipped + over) // STEP) * STEP
        before = before[start - request.num_skipped :]
    return before, behind[:MAX_BEHIND]


def data_of(line: bytes) -> bytes:
    """Return what a line of server-sent events holds, or of JSON by itself; b"" for nothing."""
    data = line.strip()
    if data.startswith(b"data:"):
        return data[len(b"data:") :].strip()
    return b"" if data.startswith((b":", b"event:", b"id:", b"retry:")) else data


def read_piece(way: Way, line: bytes) -> Piece | None:
    """Return what a line of a foreign endpoint's answer holds, None where it holds nothing.

    Lines are those of server-sent events, or JSON each; an answer that is not streamed is one.
    Raises TroubleError where it makes no sense, or says that something went wrong.
    """
    data = data_of(line)
    if not data:
        return None
    if data == b"[DONE]":
        return Piece(ended="stop")
    return _READERS[way](data)


class _Choice(msgspec.Struct):
    text: str = ""
    finish_reason: str | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: int = 0
    completion_tokens: int = 0


class _Completions(msgspec.Struct):
    choices: list[_Choice] = []
    usage: _Usage | None = None
    error: Any = None


class _Infilled(msgspec.Struct):
    content: str = ""
    stop: bool = False
    stop_type: str = ""
    tokens_evaluated: int = 0
    tokens_predicted: int = 0
    error: Any = None


class _Generated(msgspec.Struct):
    response: str = ""
    done: bool = False
    done_reason: str = ""
    prompt_eval_count: int = 0
    eval_count: int = 0
    error: Any = None


class Said(Protocol):
    error: Any


_Said = TypeVar("_Said", bound=Said)


def _read_completions(data: bytes) -> Piece:
    said = decoded(data, _Completions)
    usage = said.usage
    tokens = usage and TokenCounts(prompt=usage.prompt_tokens, generated=usage.completion_tokens)
    if not said.choices and usage is None:
        raise TroubleError("it answers without a choice", is_refusal=True)
    choice = said.choices[0] if said.choices else _Choice()
    return Piece(text=choice.text, ended=choice.finish_reason or "", tokens=tokens)


def _read_infilled(data: bytes) -> Piece:
    said = decoded(data, _Infilled)
    tokens = TokenCounts(prompt=said.tokens_evaluated, generated=said.tokens_predicted)
    is_cut = said.stop_type == "limit"
    ended = ("length" if is_cut else "stop") if said.stop else ""
    return Piece(text=said.content, ended=ended, tokens=tokens)


def _read_generated(data: bytes) -> Piece:
    said = decoded(data, _Generated)
    tokens = TokenCounts(prompt=said.prompt_eval_count, generated=said.eval_count)
    ended = (said.done_reason or "stop") if said.done else ""
    return Piece(text=said.response, ended=ended, tokens=tokens if said.done else None)


_READERS: Final[Mapping[Way, Callable[[bytes], Piece]]] = {
    Way.SUFFIX: _read_completions,
    Way.PROMPT: _read_completions,
    Way.ONWARD: _read_completions,
    Way.INFILL: _read_infilled,
    Way.INSERT: _read_generated,
    Way.RAW: _read_generated,
}


def decoded(data: bytes, kind: type[_Said]) -> _Said:
    """Return what an endpoint says. Raises TroubleError."""
    try:
        said = msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise TroubleError("it answers in words that are not understood") from error
    if said.error is not None:  # what it says may quote the document
        raise TroubleError("it answers that something is wrong", is_refusal=True)
    return said


def _own(request: CompletionRequest, model: str, neighbours: Sequence[Neighbour]) -> dict[str, Any]:
    """Say all that a request says but for the document's name; our service does all the rest."""
    about = {
        "language": request.language,
        "scope": request.scope,
        "deadline_ms": request.deadline_ms,
        "first_text_ms": request.first_text_ms,
        "num_skipped": request.num_skipped,
        "extra": _extra(neighbours),
    }
    body = _openai(model, request.prefix, request.max_tokens, ())
    return body | {"suffix": request.suffix, "n": request.num_candidates, "inkling": about}


def _openai(model: str, prompt: str, max_tokens: int, stop: Sequence[str]) -> dict[str, Any]:
    body: dict[str, Any] = {
        "model": model,
        "prompt": prompt,
        "max_tokens": max_tokens,
        "temperature": 0,
        "stream": True,
    }
    return body | ({"stop": list(stop)} if stop else {})


def _infill(
    request: CompletionRequest, stop: Sequence[str], neighbours: Sequence[Neighbour]
) -> dict[str, Any]:
    return {
        "input_extra": _extra(neighbours),
        "prompt": "",
        "n_predict": request.max_tokens,
        "temperature": 0,
        "samplers": ["top_k"],
        "top_k": 1,
        "cache_prompt": True,
        "stop": list(stop),
        "stream": True,
    }


def _ollama(model: str, prompt: str, max_tokens: int, stop: Sequence[str]) -> dict[str, Any]:
    options = {"num_predict": max_tokens, "temperature": 0, "stop": list(stop)}
    return {"model": model, "prompt": prompt, "stream": True, "options": options}


def _extra(neighbours: Sequence[Neighbour]) -> list[dict[str, str]]:
    return [{"filename": one.filename, "text": one.text} for one in neighbours]
