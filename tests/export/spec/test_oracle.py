"""reference: the oracle computes what transformers computed, to 1e-4 on logits of size 1.2."""

from pathlib import Path

import numpy as np
import pytest

from export.spec.oracle import Slots, embed, forward, run_layer, score
from tests.support.exported import TOKEN_IDS, Array, read_values
from tests.support.golden import ROWS, load_golden
from tests.support.tiny_checkpoints import TINY_MODELS, TinyModel, write_tiny_checkpoint
from tests.support.tiny_families import model_named

every_model = pytest.mark.parametrize("model", TINY_MODELS, ids=lambda model: model.name)


def check(model: TinyModel, folder: Path, *, dtype: type[np.floating]) -> None:
    spec, values = read_values(write_tiny_checkpoint(folder, model))
    logits = forward(spec, values, TOKEN_IDS, dtype=dtype)
    assert logits.dtype == dtype
    np.testing.assert_allclose(logits[ROWS], load_golden(model), rtol=0, atol=1e-4)


@every_model
def test_in_double_precision(model: TinyModel, tmp_path: Path) -> None:
    check(model, tmp_path, dtype=np.float64)


@every_model
def test_in_single_precision(model: TinyModel, tmp_path: Path) -> None:
    check(model, tmp_path, dtype=np.float32)


def test_the_golden_logits_tell_the_models_apart() -> None:
    flattened = [load_golden(model).ravel() for model in TINY_MODELS]
    for index, logits in enumerate(flattened):
        for other in flattened[:index]:
            assert np.abs(logits - other).mean() > 0.1


def test_a_later_token_changes_no_earlier_logits(tmp_path: Path) -> None:
    spec, values = read_values(write_tiny_checkpoint(tmp_path))
    logits = forward(spec, values, TOKEN_IDS)
    changed = forward(spec, values, (*TOKEN_IDS[:-1], (TOKEN_IDS[-1] + 1) % spec.vocab_size))
    np.testing.assert_array_equal(logits[:-1], changed[:-1])
    assert np.abs(logits[-1] - changed[-1]).max() > 0.1


@pytest.mark.parametrize("name", ["plain", "gpt_bigcode"])
def test_texts_read_together_see_nothing_of_each_other(name: str, tmp_path: Path) -> None:
    model = model_named(name)
    spec, values = read_values(write_tiny_checkpoint(tmp_path, model))
    slots = Slots(values, np.float64)
    x = embed(spec, slots, TOKEN_IDS, window=10)
    for index in range(len(spec.layers)):
        x = run_layer(spec, slots, index, x, window=10)
    alone = [forward(spec, values, TOKEN_IDS[start : start + 10]) for start in (0, 10, 20)]
    np.testing.assert_allclose(score(spec, slots, x), np.concatenate(alone), atol=1e-12)


def test_the_observer_sees_what_each_expert_multiplies(tmp_path: Path) -> None:
    spec, values = read_values(write_tiny_checkpoint(tmp_path))
    seen: dict[tuple[str, int | None], int] = {}

    def observe(slot: str, expert: int | None, x: Array) -> None:
        assert x.shape[1] == values[slot].shape[-1]
        seen[slot, expert] = len(x)

    slots = Slots(values, np.float64, observe=observe)
    run_layer(spec, slots, 0, embed(spec, slots, TOKEN_IDS))
    names = ("query", "key", "value", "output")
    assert {slot for slot, expert in seen if expert is None} == {
        "layers.0.moe.router",
        *(f"layers.0.attention.{name}" for name in names),
    }
    for name in ("gate", "up", "down"):  # each token goes to two experts
        counts = [seen[f"layers.0.moe.{name}", expert] for expert in range(4)]
        assert sum(counts) == 2 * len(TOKEN_IDS)
