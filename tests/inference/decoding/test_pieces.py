"""What is shown is exactly what stands between prefix and suffix, for every kind of tokenizer."""

from collections.abc import Sequence

import pytest

from inference.completion import CompletionRequest, Scope
from inference.decoding.completer import Completer
from inference.decoding.loaded import LoadedModel
from inference.fim import FimTemplate
from inference.runtime.tokenizer import Tokenizer
from tests.support.answers import answered
from tests.support.piece_tokenizers import BLANK, KINDS, added, content
from tests.support.scripted_model import ScriptedModel

LAYOUT = ("<PRE>", "<SUF>", "<MID>", "<EOT>")


class Scripted(ScriptedModel):
    """Writes given tokens behind any prompt, and remembers what it was shown."""

    def __init__(self, script: Sequence[int], vocab_size: int) -> None:
        super().__init__(self._next)
        self._script = script
        self._num_tokens = vocab_size
        self.prompt: list[int] = []

    @property
    def vocab_size(self) -> int:
        return self._num_tokens

    def _next(self, token_ids: Sequence[int]) -> int:
        self.prompt = self.prompt or list(token_ids)
        return self._script[len(token_ids) - len(self.prompt)]


def check(
    kind: str, source: str, *, writes: str, shows: str | None = None, scope: Scope = "block"
) -> list[int]:
    """`source` holds the cursor as <|>; the model spells the prefix's last token and `writes`.

    Returns the tokens of the suffix as they were read.
    """
    size = len(KINDS[kind]["model"]["vocab"])
    layout = [added(token, size + index) for index, token in enumerate(LAYOUT)]
    tokenizer = Tokenizer(content(KINDS[kind], *layout))
    fim = FimTemplate(
        order="psm", prefix_token_id=size, suffix_token_id=size + 1, middle_token_id=size + 2
    )
    prefix, suffix = source.split("<|>")
    held_back = tokenizer.encode(prefix, is_beginning=True)[-1:]
    model = Scripted([*held_back, *tokenizer.encode(writes), size + 3], size + len(LAYOUT))
    loaded = LoadedModel(
        name="scripted",
        model=model,
        tokenizer=tokenizer,
        fim=fim,
        end_token_ids=tokenizer.control_token_ids,
    )
    request = CompletionRequest(document="a", prefix=prefix, suffix=suffix, scope=scope)
    completion = answered(Completer(loaded), request)
    assert completion.text == (writes if shows is None else shows)
    return model.prompt[model.prompt.index(size + 1) + 1 : -1]


@pytest.mark.parametrize("kind", KINDS)
def test_a_blank_behind_the_cursor_is_shown(kind: str) -> None:
    check(kind, "    return<|>\n", writes=" value, y")


@pytest.mark.parametrize("kind", KINDS)
def test_no_blank_is_shown_that_was_not_written(kind: str) -> None:
    check(kind, "value(<|>)", writes="x, y")


@pytest.mark.parametrize("kind", KINDS)
def test_at_the_beginning_of_a_document_no_blank_is_shown(kind: str) -> None:
    check(kind, "<|>\n", writes="def value(x):")


@pytest.mark.parametrize("kind", KINDS)
def test_characters_of_several_bytes_are_shown_whole(kind: str) -> None:
    check(kind, "print(<|>)", writes='"naïve 🦑"')


@pytest.mark.parametrize("kind", KINDS)
def test_a_line_behind_a_line_end_that_is_a_byte(kind: str) -> None:
    check(kind, "return x\n<|>", writes="if value:\n    y", shows="if value:", scope="line")


@pytest.mark.parametrize("kind", KINDS)
def test_a_suffix_is_read_as_it_stands(kind: str) -> None:
    tokenizer = Tokenizer(content(KINDS[kind]))
    read = check(kind, "value(<|>)", writes="x")
    assert tokenizer.decode(read) == ")"
    assert BLANK not in KINDS[kind]["model"]["vocab"] or len(read) == 1
