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
from inference.completion import CompletionRequest
from inference.decoding.completer import Completer
from inference.decoding.drafting import (
    PREDICTED,
    Draft,
    Drafter,
    Guesses,
    PromptLookup,
    Speculation,
    TokenIds,
)
from inference.decoding.generate import generate
from inference.decoding.session import Session
from inference.runtime.language_model import KvCache, Predictor
from inference.runtime.onnx import OnnxModel
from inference.runtime.predictor import load_predictor
from inference.serving.local import load_package
from inference.timing import now_ms
from tests.support.exported import export_tiny
from tests.support.predictors import PREDICTING, export_predicting
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
def with_predictor(name: str) -> tuple[OnnxModel, Predictor]:
    with TemporaryDirectory() as folder:
        package, manifest = export_predicting(Path(folder), PREDICTING[name])
        predictor = load_predictor(package, manifest)
        assert predictor is not None
        return OnnxModel.load(package, manifest), predictor


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


def written(
    model: OnnxModel,
    prompt: Sequence[int],
    *drafters: Drafter,
    predictor: Predictor | None = None,
    session: Session | None = None,
) -> list[int]:
    session, cancel = session or Session(model), CancelToken()
    logits, _ = session.prefill(prompt, cancel)
    guesses = Guesses(eager(), drafters, frozenset(), lambda _: False, predictor)
    choose = lambda row: int(np.argmax(row))  # noqa: E731
    following = generate(session, logits, choose, frozenset(), cancel, guesses)
    return list(islice(following, NUM_WRITTEN))


def eager() -> Speculation:
    """Believe for long that guesses are right, and that they take no time: random ones are not."""
    speculation = Speculation()
    for _ in range(200):
        speculation.rates.note(PREDICTED, is_right=True)
    return speculation


class Watched:
    """A predictor that is asked as often as the one within, whose guesses are kept."""

    def __init__(self, predictor: Predictor, told: Sequence[Sequence[int]] = ()) -> None:
        self._predictor = predictor
        self._told = list(told)
        self.guesses: list[tuple[list[int], list[int]]] = []

    def rest(self) -> None:
        self._predictor.rest()

    def guess(
        self, token_ids: Sequence[int], cache: KvCache, *, num_tokens: int, cancel: CancelToken
    ) -> Sequence[int]:
        found = self._predictor.guess(token_ids, cache, num_tokens=num_tokens, cancel=cancel)
        assert len(found) == num_tokens
        self.guesses.append((list(token_ids), list(found)))
        return self._told.pop()[:num_tokens] if self._told else found


@pytest.mark.parametrize("name", ["mellum", "deepseek_v3", "mimo"])
@given(
    prompts=st.lists(
        st.lists(st.integers(0, VOCAB_SIZE - 1), min_size=1, max_size=20), min_size=1, max_size=3
    ),
    told=st.lists(st.lists(st.integers(0, VOCAB_SIZE - 1), max_size=8), max_size=6),
)
@settings(deadline=None, max_examples=12)
def test_a_predictor_changes_no_text_and_guesses_as_it_would_anew(
    name: str, prompts: list[list[int]], told: list[list[int]]
) -> None:
    """One session after the other's prompts, as when somebody types: what is kept must be right."""
    model, predictor = with_predictor(name)
    session, watched = Session(model), Watched(predictor, told)
    for prompt in prompts:
        alone = written(model, prompt)
        assert written(model, prompt, predictor=watched, session=session) == alone
    assert watched.guesses
    token_ids, found = watched.guesses[-1]
    fresh, cancel = Session(model), CancelToken()
    fresh.prefill(token_ids[:-1], cancel)
    anew = fresh.guess(predictor, token_ids[-1], num_tokens=len(found), cancel=cancel)
    assert list(anew) == found


def test_a_package_is_loaded_with_its_predictor(tmp_path: Path) -> None:
    package, _ = export_predicting(tmp_path, PREDICTING["mellum"])
    loaded = load_package(package)
    assert loaded.predictor is not None
    completer = Completer(loaded, eager())
    request = CompletionRequest(document="a.py", prefix="def f(x):\n    ", suffix="", max_tokens=24)

    def complete(completer: Completer) -> str:
        return completer.complete(
            request, CancelToken(), received_ms=now_ms(), publish=lambda _: None
        ).text

    assert complete(completer) == complete(Completer(loaded))


def test_a_model_that_keeps_states_asks_for_no_predictor(tmp_path: Path) -> None:
    package, manifest = export_predicting(tmp_path, PREDICTING["qwen3_next"])
    assert manifest.architecture.predictor is not None
    assert load_predictor(package, manifest) is None
    model = OnnxModel.load(package, manifest)
    assert model.create_cache().hidden is None
    assert len(written(model, [1, 2, 3])) == NUM_WRITTEN


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
