"""decoder: the graph that onnxruntime runs computes what the numpy oracle computes.

Tolerances. f32: 1e-4 on logits of standard deviation 1.2; 7e-6 was seen. Rounded weights are
compared with the oracle on the very values they stand for, in two ways: with float32 activations
the packing alone is judged, to 1e-4; as shipped, activations are rounded to 8 bits as well, which
moves random logits by 0.03 of their size, and by up to 0.1 where a token changes its expert.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from export.graph.data_file import DATA_FILE
from export.quality.self_check import relative_error
from export.spec.oracle import forward
from inference.package.manifest import MODEL_FILE, Precision
from tests.support.exported import (
    TOKEN_IDS,
    Exported,
    compute_with_float_activations,
    export_tiny,
    read_tokens,
)
from tests.support.golden import ROWS, load_golden
from tests.support.tiny_checkpoints import TINY_MODELS, TinyModel

EXACT = 1e-4
INT8_ACTIVATIONS = 0.2

every_model = pytest.mark.parametrize("model", TINY_MODELS, ids=lambda model: model.name)
every_kind = pytest.mark.parametrize(
    "model",
    [model for model in TINY_MODELS if model.name in {"tied", "unnormalized", "dense_first"}],
    ids=lambda model: model.name,
)
every_rounding = pytest.mark.parametrize("precision", ["int8", "int4"])


def check(exported: Exported, *, relative: float) -> None:
    model = exported.load()
    found = read_tokens(model, model.create_cache(), TOKEN_IDS)
    expected = forward(exported.spec, exported.weights, TOKEN_IDS)
    assert relative_error(found, expected) <= relative


@every_model
def test_the_f32_graph_equals_the_oracle_and_transformers(model: TinyModel, tmp_path: Path) -> None:
    exported = export_tiny(tmp_path, model)
    loaded = exported.load()
    found = read_tokens(loaded, loaded.create_cache(), TOKEN_IDS)
    expected = forward(exported.spec, exported.weights, TOKEN_IDS)
    np.testing.assert_allclose(found, expected, rtol=0, atol=EXACT)
    np.testing.assert_allclose(found[ROWS], load_golden(model), rtol=0, atol=EXACT)


@every_kind
def test_a_f16_graph_computes_in_float32_with_the_weights_it_holds(
    model: TinyModel, tmp_path: Path
) -> None:
    exported = export_tiny(tmp_path, model, "f16")
    check(exported, relative=EXACT)
    as_float32 = export_tiny(tmp_path / "f32", model, "f32").manifest.files[DATA_FILE].size
    assert exported.manifest.files[DATA_FILE].size < 0.7 * as_float32


@every_kind
@every_rounding
def test_a_rounded_graph_stays_near_the_oracle_on_its_weights(
    model: TinyModel, precision: Precision, tmp_path: Path
) -> None:
    check(export_tiny(tmp_path, model, precision), relative=INT8_ACTIVATIONS)


@every_kind
@every_rounding
def test_with_float_activations_a_rounded_graph_equals_the_oracle_on_its_weights(
    model: TinyModel, precision: Precision, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exported = export_tiny(tmp_path, model, precision)
    compute_with_float_activations(exported.folder / MODEL_FILE)
    if precision == "int8":  # whose experts have no such kernel, only a slow path that widens
        monkeypatch.setenv("ORT_QMOE_CPU_QNBIT_GEMM", "0")
    check(exported, relative=EXACT)


@pytest.mark.parametrize("block_size", [32, 64])
def test_every_block_size_is_packed_right(block_size: int, tmp_path: Path) -> None:
    model = TinyModel("blocks", 11, {"moe_intermediate_size": 64, "intermediate_size": 64})
    exported = export_tiny(tmp_path, model, "int4", block_size=block_size)
    compute_with_float_activations(exported.folder / MODEL_FILE)
    check(exported, relative=EXACT)


@every_kind
def test_zero_points_are_packed_right(model: TinyModel, tmp_path: Path) -> None:
    exported = export_tiny(tmp_path, model, "int4", zero_points=True)
    compute_with_float_activations(exported.folder / MODEL_FILE)
    check(exported, relative=EXACT)


def test_tensors_of_both_widths_beside_each_other(tmp_path: Path) -> None:
    exported = export_tiny(tmp_path, TINY_MODELS[3], "int4-quality")
    assert exported.manifest.quality["raised_to_int8"]
    check(exported, relative=INT8_ACTIVATIONS)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    return export_tiny(tmp_path_factory.mktemp("plain"), TINY_MODELS[0])


@given(lengths=st.lists(st.integers(1, 6), min_size=1, max_size=4))
@settings(
    deadline=None, max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_reading_in_pieces_equals_reading_at_once(plain: Exported, lengths: list[int]) -> None:
    """Invariant 12: what the cache holds does not depend on how it came there."""
    model = plain.load()
    cache = model.create_cache()
    found = [read_tokens(model, cache, piece) for piece in pieces(lengths)]
    at_once = read_tokens(model, model.create_cache(), TOKEN_IDS[: sum(lengths)])
    np.testing.assert_allclose(np.concatenate(found), at_once, rtol=0, atol=EXACT)


def pieces(lengths: Sequence[int]) -> list[tuple[int, ...]]:
    token_ids = TOKEN_IDS[: sum(lengths)]
    ends = np.cumsum(lengths)
    return [token_ids[end - length : end] for end, length in zip(ends, lengths, strict=True)]


def test_a_rewound_cache_equals_one_that_never_went_further(plain: Exported) -> None:
    model = plain.load()
    cache = model.create_cache()
    read_tokens(model, cache, TOKEN_IDS[:10])
    read_tokens(model, cache, (7,) * 9)
    cache.rewind(10)
    found = read_tokens(model, cache, TOKEN_IDS[10:])
    at_once = read_tokens(model, model.create_cache(), TOKEN_IDS)
    np.testing.assert_allclose(found, at_once[10:], rtol=0, atol=EXACT)


def test_the_last_position_of_the_context_can_be_used(plain: Exported) -> None:
    model = plain.load()
    token_ids = (TOKEN_IDS * 6)[: plain.manifest.context_length]
    assert len(token_ids) == plain.manifest.context_length
    found = read_tokens(model, model.create_cache(), token_ids)
    expected = forward(plain.spec, plain.weights, token_ids)
    np.testing.assert_allclose(found, expected, rtol=0, atol=EXACT)


def test_tied_embeddings_are_stored_once(tmp_path: Path) -> None:
    sizes = {
        name: export_tiny(tmp_path / name, TinyModel(name, 1, {"tie_word_embeddings": tied}))
        .manifest.files["model.onnx.data"]
        .size
        for name, tied in (("tied", True), ("untied", False))
    }
    embedding_bytes = 272 * 64 * 4
    assert sizes["untied"] - sizes["tied"] >= embedding_bytes


@every_rounding
def test_tied_rounded_embeddings_are_stored_once(precision: Precision, tmp_path: Path) -> None:
    tied = export_tiny(tmp_path, TINY_MODELS[1], precision)
    graph = ir.load(tied.folder / MODEL_FILE).graph
    tables = [node for node in graph if node.op_type == "GatherBlockQuantized"]
    heads = [node for node in graph if node.outputs[0].name == "logits"]
    stored = [node.inputs[index].const_value for node, index in ((tables[0], 0), (heads[0], 1))]
    assert stored[0].offset == stored[1].offset
    assert stored[0].length == stored[1].length
