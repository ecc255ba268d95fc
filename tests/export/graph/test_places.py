"""Where tokens stand in the whole text: what looks that up is right whatever a session did before.

Learned positions, queries that grow behind long texts, and rotations outside of the operator.
"""

import functools
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from export.spec.attention import QueryScale, query_scales
from export.spec.oracle import forward
from inference.runtime.onnx import OnnxModel
from tests.support.exported import TOKEN_IDS, export_tiny, read_tokens
from tests.support.histories import EXACT, HISTORIES, check_history
from tests.support.tiny_checkpoints import TinyModel
from tests.support.tiny_families import model_named

MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "learned": ("gpt_bigcode", {}),
    "growing": ("ministral3", {}),
    "growing in windows": ("ministral3", {"sliding_window": 5}),
    "rotated before": ("hunyuan_v1_dense", {}),
}

every_model = pytest.mark.parametrize("name", MODELS)


@functools.cache
def loaded(name: str) -> tuple[OnnxModel, np.ndarray[Any, Any]]:
    """Return a model, and the oracle's logits after each of TOKEN_IDS."""
    original, changes = MODELS[name]
    model = model_named(original)
    changed = TinyModel(model.name, model.seed, {**model.config, **changes}, model.base)
    with TemporaryDirectory() as folder:
        exported = export_tiny(Path(folder), changed)
        return exported.load(), forward(exported.spec, exported.weights, TOKEN_IDS)


@every_model
@given(history=HISTORIES, seed=st.integers(0, 1_000))
@settings(deadline=None, max_examples=8)
def test_any_history_gives_the_logits_of_one_run(
    name: str, history: Sequence[tuple[str, int]], seed: int
) -> None:
    check_history(loaded(name)[0], history, seed)


@every_model
def test_pieces_of_every_size_equal_the_oracle(name: str) -> None:
    model, expected = loaded(name)
    cache, logits = model.create_cache(), []
    for start, end in ((0, 1), (1, 2), (2, 9), (9, 10), (10, 24)):
        logits.append(read_tokens(model, cache, TOKEN_IDS[start:end]))
    np.testing.assert_allclose(np.concatenate(logits), expected, rtol=0, atol=EXACT)


def test_queries_grow_in_steps() -> None:
    found = query_scales(QueryScale(beta=0.5, period=4), 9)
    np.testing.assert_allclose(found[:4], 1.0)
    np.testing.assert_allclose(found[4:8], 1.0 + 0.5 * np.log(2.0))
    np.testing.assert_allclose(found[8], 1.0 + 0.5 * np.log(3.0))
