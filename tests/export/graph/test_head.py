"""head: a coarse head whose best tokens are scored again chooses what the whole head would.

With float activations both heads multiply the same numbers, so the best scores are the oracle's
digit for digit; as shipped, the whole head rounds what it multiplies to 8 bits and the best scores
of a refined one do not.
"""

from pathlib import Path

import msgspec
import numpy as np
import onnx_ir as ir
import pytest

from export.graph.cuda import cuda_scheme
from export.graph.layers.head import NUM_SCORED_AGAIN
from export.quantization.rounding import Grid
from export.quantization.scheme import COARSE_HEAD, Preset, scheme_of, scheme_slots
from export.spec.decoder import slots
from export.spec.oracle import forward
from export.spec.slot import Slot
from inference.package.manifest import MODEL_FILE
from tests.support.exported import (
    TOKEN_IDS,
    Exported,
    compute_with_float_activations,
    export_tiny,
    read_tokens,
)
from tests.support.tiny_checkpoints import TINY_MODELS, VOCAB_SIZE, TinyModel
from tests.support.tiny_families import FAMILY_MODELS

EXACT = 1e-4
BIASED = next(model for model in FAMILY_MODELS if model.name == "phimoe")
CAPPED = next(model for model in FAMILY_MODELS if model.name == "gemma2")
every_kind = pytest.mark.parametrize(
    "model",
    [*(model for model in TINY_MODELS if model.name in {"tied", "unnormalized"}), CAPPED],
    ids=lambda model: model.name,
)


def check(exported: Exported, *, atol: float) -> None:
    """The best tokens have the whole head's scores, in its order; all others lie below them."""
    model = exported.load()
    found = read_tokens(model, model.create_cache(), TOKEN_IDS)
    expected = forward(exported.spec, exported.weights, TOKEN_IDS)
    assert found.shape == (len(TOKEN_IDS), VOCAB_SIZE)
    assert np.isfinite(found).all()
    rows = np.arange(len(TOKEN_IDS))
    best = expected.argmax(axis=1)
    np.testing.assert_array_equal(found.argmax(axis=1), best)
    np.testing.assert_allclose(found[rows, best], expected[rows, best], rtol=0, atol=atol)


@every_kind
@pytest.mark.parametrize("precision", ["int8", "int4"])
def test_the_best_tokens_are_scored_as_the_whole_head_does(
    model: TinyModel, precision: Preset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exported = export_tiny(tmp_path, model, precision, head="refined")
    compute_with_float_activations(exported.folder / MODEL_FILE)
    monkeypatch.setenv("ORT_QMOE_CPU_QNBIT_GEMM", "0")  # 8-bit experts have no other such kernel
    check(exported, atol=EXACT)


@every_kind
def test_only_so_many_scores_differ_from_the_coarse_ones(model: TinyModel, tmp_path: Path) -> None:
    exported = export_tiny(tmp_path, model, "int4", head="refined")
    compute_with_float_activations(exported.folder / MODEL_FILE)
    loaded = exported.load()
    found = read_tokens(loaded, loaded.create_cache(), TOKEN_IDS)
    untied = msgspec.structs.replace(exported.spec, tie_word_embeddings=False)
    coarse = {**exported.weights, "head": exported.weights[COARSE_HEAD]}
    expected = forward(untied, coarse, TOKEN_IDS)
    num_refined = (np.abs(found - expected) > EXACT).sum(axis=1)
    assert num_refined.max() <= NUM_SCORED_AGAIN
    assert num_refined.min() > NUM_SCORED_AGAIN // 2


def test_the_rows_of_a_tied_head_lie_in_the_package_once(tmp_path: Path) -> None:
    tied = next(model for model in TINY_MODELS if model.name == "tied")
    exported = export_tiny(tmp_path, tied, "int4", head="refined")
    graph = ir.load(exported.folder / MODEL_FILE).graph
    looked_up, scored = (node for node in graph if node.op_type == "GatherBlockQuantized")
    assert looked_up.inputs[0] is scored.inputs[0]
    assert not any(
        node.op_type == "MatMulNBits" and node.inputs[1].const_value.shape[0] == VOCAB_SIZE
        for node in graph
        if node.attributes.get_int("bits", 0) == 8
    )
    assert exported.manifest.quality["coarse_head"] == 64


def test_a_head_with_a_bias_stays_whole(tmp_path: Path) -> None:
    exported = export_tiny(tmp_path, BIASED, "int4", head="refined")
    assert "coarse_head" not in exported.manifest.quality


def test_what_is_not_rounded_has_no_coarse_head(tmp_path: Path) -> None:
    exported = export_tiny(tmp_path, TINY_MODELS[0], "f32", head="refined")
    assert "coarse_head" not in exported.manifest.quality


def test_it_has_no_zero_points_and_is_not_for_cuda(tmp_path: Path) -> None:
    exported = export_tiny(tmp_path, TINY_MODELS[0], "int4", zero_points=True, head="refined")
    scheme = scheme_of(exported.manifest)
    slot = scheme_slots(scheme, slots(exported.spec))[COARSE_HEAD]
    assert scheme.grid("head", Slot(shape=(1, 64), role="projection")).has_zero_points  # pyright: ignore[reportOptionalMemberAccess]
    assert scheme.grid(COARSE_HEAD, slot) == Grid(bits=4, block_size=64, num_candidates=1)
    assert cuda_scheme(scheme).coarse_head is None
