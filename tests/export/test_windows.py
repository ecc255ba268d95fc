"""Windowed layers: whatever a session read, went back over or broke off, one run says the same.

The one run is that of a fresh cache, whose buffers still begin at the first token, so that the
operator's own mask is what the sliding buffers are held against; test_families compares such runs
with the oracle. Contexts are 10 to 25 windows long.
"""

import functools
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.cancellation import CancelToken
from inference.errors import RequestCancelledError
from inference.manifest import Full, Windowed
from inference.runtime import OnnxCache, OnnxModel
from tests.support.exported import export_tiny, greedy_tokens, read_tokens
from tests.support.tiny_checkpoints import VOCAB_SIZE
from tests.support.tiny_families import FAMILY_MODELS

CAPACITY = 128
EXACT = 1e-4

SLIDING = {
    model.name: model
    for model in FAMILY_MODELS
    if model.full_config.get("sliding_window") in range(1, 16)
}

windowed = pytest.mark.parametrize("name", SLIDING)
actions = st.lists(
    st.one_of(
        st.tuples(st.just("read"), st.integers(1, 40)),
        st.tuples(st.just("write"), st.integers(1, 12)),
        st.tuples(st.just("rewind"), st.integers(0, 60)),
        st.tuples(st.just("cancel"), st.integers(1, 40)),
    ),
    min_size=4,
    max_size=12,
)


@functools.cache
def loaded(name: str) -> OnnxModel:
    with TemporaryDirectory() as folder:
        return export_tiny(Path(folder), SLIDING[name]).load()


class CancelsInside(CancelToken):
    """Cancels itself once the runtime listens, which is in the run and no sooner."""

    def calling(self, callback):
        context = super().calling(callback)
        self.set()
        return context


def act(model: OnnxModel, cache: OnnxCache, held: list[int], action: str, token_ids: list[int]):
    """Do one thing to a cache that holds `held`, and keep `held` true."""
    match action:
        case "read":
            read_tokens(model, cache, token_ids)
            held += token_ids
        case "write":
            for token_id in token_ids:
                read_tokens(model, cache, [token_id])
            held += token_ids
        case "cancel":
            with pytest.raises(RequestCancelledError):
                model.forward(token_ids, cache, num_logits=1, cancel=CancelsInside())
        case "rewind":
            assert cache.rewind(max(0, len(held) - len(token_ids))) == cache.length
            del held[cache.length :]


@windowed
@given(history=actions, seed=st.integers(0, 1_000))
@settings(deadline=None, max_examples=12)
def test_any_history_gives_the_logits_of_one_run(
    name: str, history: Sequence[tuple[str, int]], seed: int
) -> None:
    onnx_model, random = loaded(name), np.random.default_rng(seed)
    cache, held = onnx_model.create_cache(), list[int]()
    for action, number in history:
        room = CAPACITY - 1 - len(held)
        num_tokens = number if action == "rewind" else min(number, room)
        if num_tokens:
            token_ids = random.integers(0, VOCAB_SIZE, num_tokens).tolist()
            act(onnx_model, cache, held, action, token_ids)
        assert cache.length == len(held)
    last = random.integers(0, VOCAB_SIZE, CAPACITY - len(held)).tolist()
    found = read_tokens(onnx_model, cache, last)
    expected = read_tokens(onnx_model, onnx_model.create_cache(), [*held, *last])[len(held) :]
    np.testing.assert_allclose(found, expected, rtol=0, atol=EXACT)


@windowed
def test_tokens_written_over_many_windows_are_those_of_one_run(name: str) -> None:
    onnx_model = loaded(name)
    prompt = list(range(1, 8))
    written = greedy_tokens(onnx_model, prompt, CAPACITY - len(prompt))
    at_once = read_tokens(onnx_model, onnx_model.create_cache(), [*prompt, *written[:-1]])
    assert at_once[len(prompt) - 1 :].argmax(axis=-1).tolist() == written


@windowed
def test_the_manifest_says_what_each_layer_sees(name: str) -> None:
    architecture = loaded(name).manifest.architecture
    window = SLIDING[name].full_config["sliding_window"]
    kinds = architecture.cache_kinds
    assert len(kinds) == architecture.num_hidden_layers
    assert Windowed(window) in kinds
    assert set(kinds) <= {Full(), Windowed(window)}


def test_a_graph_whose_layers_all_see_a_window_has_no_other_lengths() -> None:
    parts = loaded("mistral-windowed").create_cache().parts
    names = {name for part in parts for name in part.inputs(1)}
    assert names == {"position_ids", "window_seqlens_k", "window_total_sequence_length"}
