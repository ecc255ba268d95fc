"""Windowed layers: whatever a session read, went back over or broke off, one run says the same.

The one run is that of a fresh cache, whose buffers still begin at the first token, so that the
operator's own mask is what the sliding buffers are held against; test_families compares such runs
with the oracle. Contexts are 10 to 25 windows long.
"""

import functools
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.package.manifest import Full, Heads, Windowed
from inference.runtime.onnx import OnnxModel
from tests.support.exported import export_tiny, greedy_tokens, read_tokens
from tests.support.histories import CAPACITY, HISTORIES, check_history
from tests.support.tiny_families import FAMILY_MODELS

SLIDING = {
    model.name: model
    for model in FAMILY_MODELS
    if model.full_config.get("sliding_window") in range(1, 16)
}

windowed = pytest.mark.parametrize("name", SLIDING)


@functools.cache
def loaded(name: str) -> OnnxModel:
    with TemporaryDirectory() as folder:
        return export_tiny(Path(folder), SLIDING[name]).load()


@windowed
@given(history=HISTORIES, seed=st.integers(0, 1_000))
@settings(deadline=None, max_examples=12)
def test_any_history_gives_the_logits_of_one_run(
    name: str, history: Sequence[tuple[str, int]], seed: int
) -> None:
    check_history(loaded(name), history, seed)


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
    assert {kind.window for kind in kinds if isinstance(kind, Windowed)} == {window}
    assert all(isinstance(kind, Full | Windowed) for kind in kinds)


def test_the_manifest_says_which_layers_have_heads_of_their_own() -> None:
    architecture = loaded("gemma4_text").manifest.architecture
    assert (architecture.num_key_value_heads, architecture.head_dim) == (2, 32)
    assert architecture.cache_kinds == (Windowed(5), Full(Heads(number=1, size=64)))


def test_a_graph_whose_layers_all_see_a_window_has_no_other_lengths() -> None:
    parts = loaded("mistral-windowed").create_cache().parts
    names = {name for part in parts for name in part.inputs(1)}
    assert names == {"position_ids", "window_seqlens_k", "window_total_sequence_length"}
