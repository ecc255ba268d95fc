"""From a request to the text that is shown."""

from collections.abc import Sequence

import msgspec
import numpy as np
import pytest

from inference.cancellation import CancelToken
from inference.chat import ChatTemplate, Message
from inference.completion import (
    Completion,
    CompletionRequest,
    FinishReason,
    InstructionRequest,
    Scope,
    SyntaxCheck,
)
from inference.decoding.completer import Completer
from inference.decoding.pool import max_sessions
from inference.decoding.writer import NUM_JUDGED
from inference.errors import InvalidRequestError, RequestCancelledError
from inference.package.store import embedded_folder
from inference.runtime.language_model import KvCache, Logits
from inference.serving.local import load_package
from tests.support.answers import answered
from tests.support.byte_tokenizer import VOCAB_SIZE
from tests.support.scripted_model import CHAT, END, FIM, NextToken, ScriptedModel, loaded, playing


def complete(
    model: ScriptedModel, request: CompletionRequest, *, is_expired: bool = False
) -> Completion:
    return answered(Completer(loaded(model)), request, is_expired=is_expired)


def check(
    source: str,
    *,
    model: str,
    shows: str,
    because: FinishReason,
    scope: Scope = "block",
    max_tokens: int = 64,
) -> None:
    """`source` holds the cursor as <|>; the model would write `model` and end."""
    prefix, suffix = source.split("<|>")
    request = CompletionRequest(
        document="a.py",
        language="python",
        prefix=prefix,
        suffix=suffix,
        scope=scope,
        max_tokens=max_tokens,
    )
    completion = complete(ScriptedModel(playing(model)), request)
    assert (completion.text, completion.finish_reason) == (shows, because)


def test_it_shows_what_the_model_writes() -> None:
    check("x = <|>", model="1 + 2", shows="1 + 2", because=FinishReason.END_TOKEN)


def test_a_line_ends_at_its_break() -> None:
    check("x = <|>", model="1\ny = 2", shows="1", because=FinishReason.LINE, scope="line")


def test_a_block_ends_where_the_code_does() -> None:
    check(
        "def f():\n    <|>\n", model="return 1\n\nx", shows="return 1", because=FinishReason.BLOCK
    )


def test_it_writes_no_more_than_it_may() -> None:
    check("<|>", model="abcdef", shows="abc", because=FinishReason.LENGTH, max_tokens=3)


def test_a_model_that_ends_at_once_shows_nothing() -> None:
    check("x<|>", model="", shows="", because=FinishReason.EMPTY)


def test_white_space_alone_is_nothing() -> None:
    check("x<|>", model="  \n  ", shows="", because=FinishReason.EMPTY)


def test_white_space_at_the_end_is_not_shown() -> None:
    check("x<|>", model="= 1  \n", shows="= 1", because=FinishReason.END_TOKEN)


def test_characters_of_several_tokens_arrive_whole() -> None:
    check("<|>", model="é🦑", shows="é🦑", because=FinishReason.END_TOKEN)


def test_half_a_character_is_never_shown() -> None:
    check("<|>", model="a🦑", shows="a", because=FinishReason.LENGTH, max_tokens=3)


def test_text_that_spells_a_special_token_is_text() -> None:
    model = ScriptedModel(playing("b"))
    prefix = "a<|endoftext|>"
    complete(model, CompletionRequest(document="a", prefix=prefix))
    assert model.num_tokens_read == len(prefix) + FIM.num_special_tokens + len("b")


class BreaksFirst(ScriptedModel):
    """It likes a line end best, and then what it is given."""

    def forward(
        self, token_ids: Sequence[int], cache: KvCache, *, num_logits: int, cancel: CancelToken
    ) -> Logits:
        logits = super().forward(token_ids, cache, num_logits=num_logits, cancel=cancel)
        logits[:, ord("\n")] = 2
        return logits


@pytest.mark.parametrize("prefix", ["f()\n", "f()\r\n", "if a:\n    ", ""])
def test_at_the_start_of_a_line_a_line_is_written(prefix: str) -> None:
    request = CompletionRequest(document="a", prefix=prefix, scope="line")
    assert complete(BreaksFirst(playing("x")), request).text == "x"


def test_behind_code_a_line_may_end_at_once() -> None:
    request = CompletionRequest(document="a", prefix="f()", scope="line")
    assert complete(BreaksFirst(playing("x")), request).text == ""


@pytest.mark.parametrize(
    ("prefix", "text"),
    [
        ("import os\r\n", "import shutil"),
        ("import os\nimport sys\n", "import warnings"),
        ('"""Read a file."""\n', "from __future__ import annotations"),
    ],
)
def test_the_shipped_model_answers_behind_a_line_end(prefix: str, text: str) -> None:
    completer = Completer(load_package(embedded_folder()))
    request = CompletionRequest(
        document="a", language="python", prefix=prefix, scope="line", max_tokens=16
    )
    assert answered(completer, request).text == text


def test_it_counts_what_it_read_and_wrote() -> None:
    completer = Completer(loaded(ScriptedModel(playing("yz"))))
    request = CompletionRequest(document="a", prefix="abc", suffix="d")
    tokens = answered(completer, request).tokens
    # "c" is held back and written first
    assert (tokens.prompt, tokens.reused, tokens.generated) == (6, 0, 3)


def test_typing_on_reuses_the_prompt_and_what_was_written() -> None:
    completer = Completer(loaded(ScriptedModel(playing("yz"))))
    first = CompletionRequest(document="a", prefix="abc", suffix="d")
    typed = CompletionRequest(document="a", prefix="abcyz", suffix="d")
    answered(completer, first)
    tokens = answered(completer, typed).tokens
    assert (tokens.prompt, tokens.reused) == (8, 7)


def test_the_token_at_the_cursor_is_written_again_and_not_shown_twice() -> None:
    check("re<|>", model="turn", shows="turn", because=FinishReason.END_TOKEN)


def test_in_a_small_context_writing_is_cut_and_reading_keeps_three_quarters() -> None:
    model = ScriptedModel(lambda token_ids: ord("a") + len(token_ids) % 26, context_length=40)
    completion = complete(model, CompletionRequest(document="a", prefix="b" * 99, max_tokens=64))
    assert completion.finish_reason is FinishReason.LENGTH
    # One of thirty is held back and written again.
    assert (completion.tokens.prompt, completion.tokens.generated) == (29, 11)


class LargeModel(ScriptedModel):
    num_cache_bytes = 90 << 20
    vocab_size = 400


class LargeVocabularyModel(LargeModel):
    vocab_size = 13_500_000  # sixteen rows of logits take four fifths of the memory


@pytest.mark.parametrize(("model", "number"), [(LargeModel, 11), (LargeVocabularyModel, 2)])
def test_what_is_kept_warm_leaves_room_for_logits(model: type[ScriptedModel], number: int) -> None:
    assert max_sessions(model(playing("b"))) == number


def cancelling_at(run: int, writes: str) -> tuple[ScriptedModel, CancelToken]:
    token = CancelToken()
    next_token: NextToken = playing(writes)
    return ScriptedModel(next_token, on_forward=lambda n: token.set() if n == run else None), token


@pytest.mark.parametrize("run", [1, 3])
def test_a_cancelled_request_shows_nothing(run: int) -> None:
    model, token = cancelling_at(run, "abcdef")
    with pytest.raises(RequestCancelledError):
        answered(Completer(loaded(model)), CompletionRequest(document="a", prefix="x"), token)


def test_at_the_deadline_it_shows_what_is_there() -> None:
    model, token = cancelling_at(4, "abcdef")
    completion = answered(
        Completer(loaded(model)),
        CompletionRequest(document="a", prefix="x"),
        token,
        is_expired=True,
    )
    assert (completion.text, completion.finish_reason) == ("ab", FinishReason.DEADLINE)


def test_after_a_cancellation_the_next_answer_is_right() -> None:
    model, token = cancelling_at(4, "abcdef")
    completer = Completer(loaded(model))
    request = CompletionRequest(document="a", prefix="x")
    with pytest.raises(RequestCancelledError):
        answered(completer, request, token)
    assert answered(completer, request).text == "abcdef"


def test_without_a_template_it_writes_on_from_the_prefix() -> None:
    completer = Completer(loaded(ScriptedModel(playing("b")), fim=None))
    request = CompletionRequest(document="a", prefix="a", suffix="c")
    assert answered(completer, request).text == "b"


def test_without_a_template_an_empty_prefix_has_no_answer() -> None:
    completer = Completer(loaded(ScriptedModel(playing("b")), fim=None))
    request = CompletionRequest(document="a", prefix="")
    completion = answered(completer, request)
    assert completion.finish_reason is FinishReason.EMPTY


def test_it_tells_how_sure_the_model_was_of_each_of_the_first_tokens() -> None:
    request = CompletionRequest(document="a.py", prefix="x = ", scope="line")
    completion = complete(ScriptedModel(playing("1 + 2")), request)
    held_back, *written = completion.log_probabilities  # the blank can be written in one way only
    assert held_back == 0
    # Its token has the logit 1 and all others 0; the last one ends the text.
    one = 1 - np.log(np.e + VOCAB_SIZE - 1)
    assert written == pytest.approx([one] * len("1 + 2."))


def test_it_tells_of_no_more_than_the_first_tokens() -> None:
    request = CompletionRequest(document="a.py", prefix="x = ", scope="line")
    completion = complete(ScriptedModel(playing("1" * 8 + "2" * 8 + "3" * 8)), request)
    assert len(completion.log_probabilities) == NUM_JUDGED


def test_it_tells_what_it_does_to_the_syntax() -> None:
    request = CompletionRequest(document="a.py", prefix="x = ", scope="line", language="python")
    completion = complete(ScriptedModel(playing("f(1))")), request)
    assert completion.syntax == SyntaxCheck(scope="code", num_errors_before=1, num_errors_after=1)


def followed(model: ScriptedModel, *, chat: ChatTemplate | None = CHAT) -> Completion:
    request = InstructionRequest(document="a.py", messages=(Message("user", "Why?"),), max_tokens=8)
    loaded_model = msgspec.structs.replace(loaded(model), chat=chat)
    return Completer(loaded_model).follow(request, CancelToken())


def test_an_instruction_is_answered_to_the_end() -> None:
    completion = followed(ScriptedModel(playing("because")))
    assert (completion.text, completion.finish_reason) == ("because", FinishReason.END_TOKEN)


def test_an_answer_that_is_too_long_says_so() -> None:
    completion = followed(ScriptedModel(playing("because of that")))
    assert (completion.text, completion.finish_reason) == ("because ", FinishReason.LENGTH)


def test_a_model_that_follows_nothing_answers_nothing() -> None:
    assert followed(ScriptedModel(playing("because")), chat=None).text == ""


def test_an_instruction_longer_than_the_context_is_refused() -> None:
    with pytest.raises(InvalidRequestError, match="more than the context of 16"):
        followed(ScriptedModel(playing("because"), context_length=16))


def test_others_begin_with_other_tokens() -> None:
    """The model holds every first letter for possible, in the order of the alphabet."""

    def logits_behind(token_ids: Sequence[int]) -> int:
        text = bytes(token for token in token_ids if token < 256).decode()
        last = text.rpartition("=")[2]
        return ord("!") if last.endswith(("a", "b", "c")) else END

    model = Ranked(logits_behind)
    request = CompletionRequest(
        document="a.py", prefix="x = ", scope="line", num_candidates=3, deadline_ms=60_000
    )
    completion = complete(model, request)
    assert (completion.text, completion.alternatives) == ("a!", ("b!", "c!"))


@pytest.mark.parametrize(
    ("suffix", "text"),
    [
        ("\n    a!\n", "b!"),
        ("\n    a!\n    b!\n", "b!"),
        ("\n    end\n", "a!"),
        ("    a!\n", "b!"),
        ("a!\n", "b!"),
    ],
    ids=[
        "the line below",
        "only what is nearest counts",
        "nothing of the kind below",
        "its own line end is taken away, too",
        "what follows on the line",
    ],
)
def test_an_empty_line_is_not_filled_with_the_line_below(suffix: str, text: str) -> None:
    """Where the likeliest text stands below already, the next likely one is tried."""

    def logits_behind(token_ids: Sequence[int]) -> int:
        return ord("!") if token_ids[-1] in b"abc" else END

    request = CompletionRequest(
        document="a.py", prefix="    ", suffix=suffix, scope="line", deadline_ms=60_000
    )
    completion = complete(Ranked(logits_behind), request)
    assert completion.text == text


class Ranked(ScriptedModel):
    """Behind a blank likes the letters of the alphabet, the first ones more."""

    def forward(
        self, token_ids: Sequence[int], cache: KvCache, *, num_logits: int, cancel: CancelToken
    ) -> Logits:
        logits = super().forward(token_ids, cache, num_logits=num_logits, cancel=cancel)
        letters = range(ord("a"), ord("z") + 1)
        for row, token_id in zip(logits, token_ids[-num_logits:], strict=True):
            if token_id in (ord(" "), ord("=")):
                row[:] = 0
                row[letters] = np.linspace(3, 2, len(letters))
                row[ord(" ")] = 4 if token_id == ord("=") else 0
        return logits
