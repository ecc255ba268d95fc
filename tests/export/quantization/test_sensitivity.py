"""sensitivity: what costs most per byte is raised, in whole groups, within the budget."""

from math import prod
from pathlib import Path

import numpy as np

from export.quantization.scheme import find_scheme
from export.quantization.sensitivity import RAISED_SHARE, raise_sensitive
from export.spec.decoder import slots
from export.texts import Text
from tests.support.exported import TOKEN_IDS, read_values
from tests.support.tiny_checkpoints import TINY_MODELS, write_tiny_checkpoint

TEXT = Text(token_ids=TOKEN_IDS, window=12)
DENSE_FIRST = TINY_MODELS[3]


def test_matrices_of_one_operator_are_raised_together_and_within_the_budget(tmp_path: Path) -> None:
    spec, values = read_values(write_tiny_checkpoint(tmp_path, DENSE_FIRST))
    raised = raise_sensitive(find_scheme("int4-quality", 32), spec, values, TEXT)
    assert raised
    for layer in range(len(spec.layers)):
        for fused in (
            [f"attention.{name}" for name in ("query", "key", "value")],
            [f"mlp.{name}" for name in ("gate", "up")],
            [f"moe.{name}" for name in ("gate", "up", "down")],
        ):
            assert len(raised & {f"layers.{layer}.{name}" for name in fused}) in {0, len(fused)}
    sizes = {
        name: prod(slot.shape)
        for name, slot in slots(spec).items()
        if slot.role in {"projection", "expert"}
    }
    assert sum(sizes[name] for name in raised) <= RAISED_SHARE * sum(sizes.values())


def test_a_matrix_of_outliers_is_raised(tmp_path: Path) -> None:
    spec, values = read_values(write_tiny_checkpoint(tmp_path, DENSE_FIRST))
    sensitive = dict(values)
    name = "layers.0.attention.output"
    sensitive[name] = sensitive[name].copy()
    sensitive[name][:, ::32] *= 60  # one of them in each block leaves the others no steps
    raised = raise_sensitive(find_scheme("int4-quality", 32), spec, sensitive, TEXT)
    assert name in raised
    assert not np.array_equal(sensitive[name], values[name])
