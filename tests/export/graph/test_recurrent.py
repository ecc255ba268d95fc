"""Recurrent layers: what a session went back over or broke off leaves nothing in their states."""

import functools
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from export.spec.oracle import forward
from inference.cancellation import CancelToken
from inference.decoding.session import NUM_LIKELY_CHANGED, Session
from inference.package.manifest import Full, Recurrent
from inference.runtime.caches.recurrent import NUM_STATES
from inference.runtime.onnx import OnnxModel
from tests.support.exported import TOKEN_IDS, Array, export_tiny, read_tokens
from tests.support.histories import CAPACITY, EXACT, HISTORIES, check_history
from tests.support.tiny_families import FAMILY_MODELS

DELTA = {
    model.name: model for model in FAMILY_MODELS if "linear_num_key_heads" in model.full_config
}
CONVOLUTION = {
    model.name: model
    for model in FAMILY_MODELS
    if "conv" in (model.full_config.get("layer_types") or ())
}
STATE_SPACE = {model.name: model for model in FAMILY_MODELS if model.name == "granitemoehybrid"}
RECURRENT = DELTA | CONVOLUTION | STATE_SPACE

recurrent = pytest.mark.parametrize("name", RECURRENT)


@functools.cache
def loaded(name: str) -> tuple[OnnxModel, Array]:
    """Return a model, and the oracle's logits after each of TOKEN_IDS."""
    with TemporaryDirectory() as folder:
        exported = export_tiny(Path(folder), RECURRENT[name])
        return exported.load(), forward(exported.spec, exported.weights, TOKEN_IDS)


@recurrent
@given(history=HISTORIES, seed=st.integers(0, 1_000))
@settings(deadline=None, max_examples=12)
def test_any_history_gives_the_logits_of_one_run(
    name: str, history: Sequence[tuple[str, int]], seed: int
) -> None:
    check_history(loaded(name)[0], history, seed)


@recurrent
def test_pieces_of_every_size_equal_the_oracle(name: str) -> None:
    """Also those that are shorter than the convolution looks back."""
    model, expected = loaded(name)
    cache, logits = model.create_cache(), []
    for start, end in ((0, 1), (1, 2), (2, 4), (4, 9), (9, 10), (10, 24)):
        logits.append(read_tokens(model, cache, TOKEN_IDS[start:end]))
    np.testing.assert_allclose(np.concatenate(logits), expected, rtol=0, atol=EXACT)


@recurrent
def test_a_session_that_goes_back_answers_as_a_fresh_one(name: str) -> None:
    model = loaded(name)[0]
    random = np.random.default_rng(4)
    first = random.integers(0, 256, CAPACITY - 20).tolist()
    session = Session(model)
    session.prefill(first, CancelToken())
    for token_id in range(3 * NUM_STATES):
        if session.cache_length < session.capacity:
            session.append([token_id], CancelToken())
    for length in (90, 100, 40, 41, 3):
        prompt = [*first[:length], 7, 8]
        warm, num_reused = session.prefill(prompt, CancelToken())
        warm = warm.copy()
        cold, _ = Session(model).prefill(prompt, CancelToken())
        np.testing.assert_allclose(warm, cold, rtol=0, atol=EXACT)
        assert num_reused <= length
        assert list(session.token_ids) == prompt


def test_a_keystroke_reads_no_more_than_a_few_tokens() -> None:
    session = Session(loaded("qwen3_next")[0])
    text = list(range(100))
    session.prefill([*text, 1], CancelToken())
    reused = [session.prefill([*text, 2 + typed], CancelToken())[1] for typed in range(3)]
    assert reused == [101 - NUM_LIKELY_CHANGED, 100, 100]


@pytest.mark.parametrize("name", DELTA)
def test_the_manifest_says_what_each_layer_keeps(name: str) -> None:
    config = RECURRENT[name].full_config
    kinds = loaded(name)[0].manifest.architecture.cache_kinds
    every = config.get("full_attention_interval", 4)
    assert [isinstance(kind, Full) for kind in kinds] == [
        (index + 1) % every == 0 for index in range(4)
    ]
    state = next(kind for kind in kinds if isinstance(kind, Recurrent))
    assert state.kernel_size == config["linear_conv_kernel_dim"]
    assert (state.num_heads, state.key_head_dim, state.value_head_dim) == (
        config["linear_num_value_heads"],
        config["linear_key_head_dim"],
        config["linear_value_head_dim"],
    )


def test_the_manifest_says_what_each_state_space_keeps() -> None:
    kinds = loaded("granitemoehybrid")[0].manifest.architecture.cache_kinds
    state = Recurrent(
        kernel_size=4,
        num_channels=4 * 32 + 2 * 2 * 16,
        num_heads=4,
        key_head_dim=16,
        value_head_dim=32,
    )
    assert kinds == (state, Full(), state, state)


@pytest.mark.parametrize("name", CONVOLUTION)
def test_the_manifest_says_what_each_convolution_keeps(name: str) -> None:
    kinds = loaded(name)[0].manifest.architecture.cache_kinds
    size = CONVOLUTION[name].full_config.get("conv_L_cache", 3)
    state = Recurrent(kernel_size=size, num_channels=64)
    assert kinds == (state, Full(), state)
