"""`POST /infill`: a hole as llama-server takes it, for llama.vim, llama.vscode and their like.

See llama.cpp, tools/server/README.md, "POST /infill". What the editor has before the cursor's line
is `input_prefix`, and what it has on that line is `prompt`. `response_fields` chooses what is
answered, by paths with slashes, which are the names there. Its clients send a request that writes
nothing (`n_predict` 0) to have texts read before they are needed: here they are remembered.

How long to write is told by `inkling.deadline_ms`: llama-server's `t_max_predict_ms` lets it finish
a line first, and would cut this engine's answer off before one.
"""

from collections import Counter
from typing import Annotated, Any, Final, cast

import msgspec
from starlette.responses import Response

from inference import Completion, CompletionRequest, FinishReason, language_id_of
from team.wire import (
    CUT_OFF,
    MAX_WRITTEN_TOKENS,
    PLACE_CHARACTERS,
    SAMPLING,
    Extension,
    LongText,
    Name,
    Neighbour,
    Neighbours,
    StopTexts,
    Temperature,
    answer,
    cut_at,
    events,
    told_of,
    within_bounds,
)

ROUTE: Final = "/infill"
PLAIN: Final = language_id_of("")
Count = Annotated[int, msgspec.Meta(ge=-1, le=1 << 20)]


class InfillBody(msgspec.Struct, frozen=True, kw_only=True):
    """What is not named here is passed over, as it changes nothing.

    `n_predict` of -1, or more than MAX_WRITTEN_TOKENS, asks for so many.
    """

    input_prefix: LongText = ""
    input_suffix: LongText = ""
    input_extra: Neighbours = ()
    prompt: LongText = ""
    n_predict: Count = 64
    n_indent: Count = 0
    temperature: Temperature | None = None
    top_k: Count | None = None
    top_p: Annotated[float, msgspec.Meta(ge=0, le=1)] | None = None
    stop: StopTexts = ()
    stream: bool = False
    t_max_prompt_ms: Annotated[int, msgspec.Meta(ge=-1, le=2**31)] | None = None
    t_max_predict_ms: Annotated[int, msgspec.Meta(ge=-1, le=2**31)] | None = None
    response_fields: Annotated[tuple[Name, ...], msgspec.Meta(max_length=64)] = ()
    model: Name | None = None
    inkling: Extension = Extension()

    @property
    def neighbours(self) -> Neighbours:
        return self.input_extra + self.inkling.extra

    @property
    def place(self) -> str:
        """Tell apart the documents of somebody who names no session."""
        return self.inkling.filepath or self._whole[:PLACE_CHARACTERS]

    @property
    def is_warming(self) -> bool:
        return self.n_predict == 0

    def request(self, document: str, deadline_ms: int) -> CompletionRequest:
        """Return what the engine is asked, or is to read for later."""
        ours = self.inkling
        prefix, suffix, num_skipped = within_bounds(self._whole, self.input_suffix)
        num_tokens = self.n_predict if self.n_predict > 0 else MAX_WRITTEN_TOKENS
        return CompletionRequest(
            document=document,
            prefix=prefix,
            suffix=suffix,
            num_skipped=ours.num_skipped + num_skipped,
            language=ours.language or _language(ours.filepath, self.neighbours),
            scope=ours.scope,
            max_tokens=min(num_tokens, MAX_WRITTEN_TOKENS),
            deadline_ms=ours.deadline_ms or deadline_ms,
            first_text_ms=ours.first_text_ms,
        )

    @property
    def _whole(self) -> str:
        return self.input_prefix + self.prompt

    def response(self, completion: Completion, model: str) -> Response:
        """Return what is answered, at once or as events."""
        text, stop = cut_at(completion.text, self.stop)
        whole = _answered(completion, text, stop, model)
        if not self.stream:
            return answer(self._chosen(whole))
        pieces: list[dict[str, Any]] = [
            {"index": 0, "content": line, "tokens": [], "stop": False, "id_slot": -1}
            for line in text.splitlines(keepends=True)
        ]
        return events(*pieces, self._chosen({**whole, "content": ""}))

    def _chosen(self, whole: dict[str, Any]) -> dict[str, Any]:
        if not self.response_fields:
            return whole
        found = ((path, _at(whole, path)) for path in self.response_fields)
        return {path: value for path, value in found if value is not None}


def _language(filepath: str | None, neighbours: Neighbours) -> str:
    """Return the language of a file, or the one that most of the texts beside it are in.

    These clients say nothing of the file itself, and what they send along is what its user edits.
    """
    if filepath:
        return language_id_of(filepath)
    languages = Counter(map(_language_of, neighbours))
    del languages[PLAIN]
    return languages.most_common(1)[0][0] if languages else PLAIN


def _language_of(neighbour: Neighbour) -> str:
    return language_id_of(neighbour.filename)


def _answered(completion: Completion, text: str, stop: str, model: str) -> dict[str, Any]:
    tokens, timings = completion.tokens, completion.timings
    return {
        "index": 0,
        "content": text,
        "tokens": [],
        "id_slot": -1,
        "stop": True,
        "model": model,
        "tokens_predicted": tokens.generated,
        "tokens_evaluated": tokens.prompt,
        "tokens_cached": tokens.reused,
        "generation_settings": {"model": model, "sampling": SAMPLING},
        "has_new_line": "\n" in text,
        "truncated": False,
        "stop_type": _stop_type(completion.finish_reason, stop),
        "stopping_word": stop,
        "timings": {
            **_rates("prompt", tokens.prompt - tokens.reused, timings.prefill_ms),
            **_rates("predicted", tokens.generated, timings.first_token_ms + timings.decode_ms),
        },
        "inkling": msgspec.to_builtins(told_of(completion)),
    }


def _stop_type(finish_reason: FinishReason, stop: str) -> str:
    if stop:
        return "word"
    return "limit" if finish_reason in CUT_OFF else "eos"


def _rates(name: str, num_tokens: int, milliseconds: float) -> dict[str, float]:
    """Return a number of tokens and its rates; never 0 ms, which its readers divide by."""
    milliseconds = max(milliseconds, 0.001)
    return {
        f"{name}_n": num_tokens,
        f"{name}_ms": milliseconds,
        f"{name}_per_token_ms": milliseconds / max(1, num_tokens),
        f"{name}_per_second": 1000 * num_tokens / milliseconds,
    }


def _at(whole: dict[str, Any], path: str) -> object:
    found: object = whole
    for name in path.split("/"):
        found = cast("dict[str, object]", found).get(name) if isinstance(found, dict) else None
    return found
