"""On a graph of f32 the greedy text is the same with and without guesses, whatever layers keep."""

import functools
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.cancellation import CancelToken
from inference.decoding.drafting import Draft, Drafter, Guesses, PromptLookup, Speculation, TokenIds
from inference.decoding.generate import generate
from inference.decoding.session import Session
from inference.runtime.onnx import OnnxModel
from tests.support.exported import export_tiny
from tests.support.tiny_checkpoints import TINY_MODELS, VOCAB_SIZE, TinyModel
from tests.support.tiny_families import FAMILY_MODELS

NUM_WRITTEN: Final = 40


def first_with(key: str) -> TinyModel:
    return next(model for model in FAMILY_MODELS if model.full_config.get(key) in range(1, 16))


KINDS = {
    "full": TINY_MODELS[0],
    "windowed": first_with("sliding_window"),
    "recurrent": first_with("linear_num_key_heads"),
}


@functools.cache
def loaded(kind: str) -> OnnxModel:
    with TemporaryDirectory() as folder:
        return export_tiny(Path(folder), KINDS[kind]).load()


class HalfKnowing:
    """Guesses what was written without it, with mistakes where `mistakes` has them."""

    name = "half knowing"

    def __init__(self, known: Sequence[int], mistakes: Sequence[int]) -> None:
        self._known = known
        self._mistakes = mistakes

    def draft(self, token_ids: TokenIds, max_tokens: int) -> Draft | None:
        guess = list(self._known[len(token_ids) : len(token_ids) + max_tokens])
        for place in self._mistakes:
            if place - len(token_ids) in range(len(guess)):
                guess[place - len(token_ids)] = (guess[place - len(token_ids)] + 1) % VOCAB_SIZE
        return Draft(guess, 6, self.name) if guess else None


def written(model: OnnxModel, prompt: Sequence[int], *drafters: Drafter) -> list[int]:
    session, cancel = Session(model), CancelToken()
    logits, _ = session.prefill(prompt, cancel)
    guesses = Guesses(Speculation(), drafters, frozenset(), lambda _: False)
    choose = lambda row: int(np.argmax(row))  # noqa: E731
    following = generate(session, logits, choose, frozenset(), cancel, guesses)
    return list(islice(following, NUM_WRITTEN))


@pytest.mark.parametrize("kind", KINDS)
@given(
    prompt=st.lists(st.integers(0, VOCAB_SIZE - 1), min_size=1, max_size=20),
    mistakes=st.lists(st.integers(1, NUM_WRITTEN + 20), max_size=12),
)
@settings(deadline=None, max_examples=12)
def test_the_text_is_the_same(kind: str, prompt: list[int], mistakes: list[int]) -> None:
    model = loaded(kind)
    alone = written(model, prompt)
    assert written(model, prompt, HalfKnowing([*prompt, *alone], mistakes)) == alone
    assert written(model, prompt, PromptLookup()) == alone
