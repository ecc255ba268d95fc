"""`POST /v1/completions`: OpenAI's request and answer, and what of ours goes along under `inkling`.

See the API reference of OpenAI, "Create completion". What is written is what the model finds
likeliest, whatever a request says of sampling: that is taken, bounded, and told as
`inkling.sampling`. With a `suffix`, or without one, the hole between both is filled; hole tokens in
a prompt are text like any other.
"""

import secrets
import time
from typing import Annotated, Final

import msgspec
from starlette.responses import Response

from inference import Completion, CompletionRequest, language_id_of
from team.wire import (
    CUT_OFF,
    MAX_WRITTEN_TOKENS,
    PLACE_CHARACTERS,
    Extension,
    LongText,
    Name,
    Neighbours,
    Refused,
    StopText,
    StopTexts,
    Temperature,
    answer,
    cut_at,
    events,
    told_of,
    within_bounds,
)

ROUTE: Final = "/v1/completions"

Prompts = Annotated[tuple[LongText, ...], msgspec.Meta(min_length=1, max_length=1)]


class CompletionBody(msgspec.Struct, frozen=True, kw_only=True):
    """What is not named here is passed over, as it changes nothing.

    More than MAX_WRITTEN_TOKENS may be asked for, and so many are written.
    """

    prompt: LongText | Prompts
    suffix: LongText | None = None
    max_tokens: Annotated[int, msgspec.Meta(ge=1, le=1 << 20)] | None = None
    temperature: Temperature | None = None
    top_p: Annotated[float, msgspec.Meta(ge=0, le=1)] | None = None
    seed: Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)] | None = None
    stop: StopText | StopTexts | None = None
    n: Annotated[int, msgspec.Meta(ge=1, le=4)] | None = None
    stream: bool | None = None
    echo: bool | None = None
    model: Name | None = None
    user: Name | None = None
    inkling: Extension = Extension()

    @property
    def stops(self) -> StopTexts:
        match self.stop:
            case None:
                return ()
            case str() as text:
                return (text,)
            case texts:
                return texts

    @property
    def neighbours(self) -> Neighbours:
        return self.inkling.extra

    @property
    def place(self) -> str:
        """Tell apart the documents of somebody who names no session."""
        return self.inkling.filepath or self._whole[:PLACE_CHARACTERS]

    @property
    def is_warming(self) -> bool:
        return False

    def request(self, document: str, deadline_ms: int) -> CompletionRequest:
        """Return what the engine is asked. Raises Refused."""
        if self.echo:
            raise Refused(422, "the prompt is not sent back; leave out `echo`")
        ours = self.inkling
        prefix, suffix, num_skipped = within_bounds(self._whole, self.suffix or "")
        language = ours.language or language_id_of(ours.filepath or "")
        return CompletionRequest(
            document=document,
            prefix=prefix,
            suffix=suffix,
            num_skipped=ours.num_skipped + num_skipped,
            language=language,
            scope=ours.scope,
            max_tokens=min(self.max_tokens or 64, MAX_WRITTEN_TOKENS),
            deadline_ms=ours.deadline_ms or deadline_ms,
            first_text_ms=ours.first_text_ms,
            num_candidates=self.n or 1,
        )

    @property
    def _whole(self) -> str:
        return self.prompt if isinstance(self.prompt, str) else self.prompt[0]

    def response(self, completion: Completion, model: str) -> Response:
        """Return what is answered, at once or as events."""
        texts = [completion.text, *completion.alternatives]
        cut = [cut_at(text, self.stops) for text in texts]
        is_cut_off = completion.finish_reason in CUT_OFF
        choices = [
            _choice(index, text, "length" if is_cut_off and not stop else "stop")
            for index, (text, stop) in enumerate(cut)
        ]
        head = {
            "id": f"cmpl-{secrets.token_hex(12)}",
            "object": "text_completion",
            "created": int(time.time()),
            "model": model,
        }
        told = {"usage": _usage(completion), "inkling": told_of(completion)}
        if not self.stream:
            return answer({**head, "choices": choices, **told})
        pieces = [
            {**head, "choices": [_choice(index, line, None)]}
            for index, (text, _) in enumerate(cut)
            for line in text.splitlines(keepends=True)
        ]
        ends = [{**choice, "text": ""} for choice in choices]
        return events(*pieces, {**head, "choices": ends, **told}, ends_with="[DONE]")


def _choice(index: int, text: str, finish_reason: str | None) -> dict[str, object]:
    return {"text": text, "index": index, "logprobs": None, "finish_reason": finish_reason}


def _usage(completion: Completion) -> dict[str, object]:
    tokens = completion.tokens
    return {
        "prompt_tokens": tokens.prompt,
        "completion_tokens": tokens.generated,
        "total_tokens": tokens.prompt + tokens.generated,
        "prompt_tokens_details": {"cached_tokens": tokens.reused},
    }
