"""cuda_graph: types, shapes and arithmetic of graphs for CUDA, none of which needs a GPU.

Their arithmetic runs on the CPU in float16, where it has kernels, against the oracle: a token is
0.0006 to 0.005 of its logits' size away, and one in twenty-four may have changed its expert, which
moves it by up to 0.4 (seen in 2 of 74 graphs).
"""

import io
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
import pytest

from export.architectures import read_architecture
from export.checkpoint.config import Config
from export.errors import UnsupportedError
from export.graph.builder import GraphBuilder
from export.graph.cuda import check_cuda, cuda_scheme, slow_on_cuda
from export.graph.data_file import CUDA_DATA_FILE, DATA_FILE, DataFile
from export.graph.targets import CUDA
from export.pipeline import export_checkpoint
from export.quality.self_check import relative_error
from export.quantization.scheme import Preset, find_scheme
from export.spec.decoder import DecoderSpec
from export.spec.oracle import forward
from inference.package.manifest import CUDA_MODEL_FILE, MODEL_FILE, read_manifest
from tests.support.cuda_graphs import (
    RUNS_ON_CPU,
    element_types,
    load_on_cpu,
    read_graph,
    run_on_cpu,
    write_for_cuda,
)
from tests.support.exported import TOKEN_IDS, export_tiny, no_progress, tiny_options
from tests.support.tiny_checkpoints import TINY_MODELS, TinyModel, write_tiny_checkpoint
from tests.support.tiny_families import FAMILY_MODELS

FLOAT, HALF = onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16
GROK = next(model for model in FAMILY_MODELS if model.name == "grok-1")
NEXT = next(model for model in FAMILY_MODELS if model.name == "qwen3_next")
NOT_ON_CUDA = {
    "gemma4_text",
    "granitemoehybrid",
    "grok-1",
    "lfm2",
    "lfm2_moe",
    "nemotron_h",
    "qwen3_5_moe_text",
    "qwen3_5_text",
    "qwen3_next",
}
MODELS = tuple(
    model
    for model in (*TINY_MODELS, *FAMILY_MODELS)
    if model.full_config["model_type"] not in NOT_ON_CUDA
)
WHOLE_TILES = TinyModel("tiles", 1, {"moe_intermediate_size": 64})

NEAR = 0.01
ANOTHER_EXPERT = 0.05
MAX_CHANGED = 2

# What computes in float32 beside routers and logits would be slow, or have no kernel at all.
FLOAT_OPS = {
    *("Cast", "FusedMatMul", "Reshape", "Softmax", "Sigmoid", "Add", "Sub", "Mul", "Div", "Log"),
    *("Max", "Abs", "Tanh", "TopK", "ReduceSum", "ReduceMin", "Where", "GatherElements", "Split"),
    *("ScatterElements", "Concat", "Greater", "GreaterOrEqual", "Shape"),
}

some_models = pytest.mark.parametrize(
    "model",
    [model for model in MODELS if model.name in {"plain", "tied", "qwen2_moe", "gpt_oss"}],
    ids=lambda model: model.name,
)


def check_near(folder: Path, model: TinyModel, precision: Preset) -> None:
    spec, weights = write_for_cuda(folder, model, precision, RUNS_ON_CPU)
    found = run_on_cpu(folder, spec, TOKEN_IDS)
    expected = forward(spec, weights, TOKEN_IDS)
    errors = np.array([relative_error(*rows) for rows in zip(found, expected, strict=True)])
    assert np.median(errors) < NEAR
    assert np.sum(errors > ANOTHER_EXPERT) <= MAX_CHANGED


def check_types(graph: onnx.GraphProto) -> None:
    types = element_types(graph)
    for node in graph.node:
        float_inputs = {types[name] for name in node.input if name} & {FLOAT, HALF}
        if FLOAT in float_inputs:
            assert node.op_type in FLOAT_OPS, node.name
        assert len(float_inputs) < 2, node.name
    caches = [value for value in graph.output if value.name.startswith("present_")]
    assert {value.type.tensor_type.elem_type for value in caches} == {HALF}
    assert types["logits"] == FLOAT


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_each_node_has_a_kernel_of_its_type_and_computes_what_the_oracle_does(
    model: TinyModel, tmp_path: Path
) -> None:
    check_near(tmp_path, model, "int4")
    check_types(read_graph(tmp_path))


@some_models
@pytest.mark.parametrize("precision", ["f16", "int8"])
def test_in_other_precisions_too(
    model: TinyModel, precision: Preset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Experts of 8 bits are multiplied by 8-bit activations on CPU, but on the path that widens.
    monkeypatch.setenv("ORT_QMOE_CPU_QNBIT_GEMM", "0")
    check_near(tmp_path, model, precision)
    check_types(read_graph(tmp_path))


def test_with_the_norms_of_heads_inside_attention(tmp_path: Path) -> None:
    """No CPU kernel computes them; but the runtime agrees with all types and shapes."""
    write_for_cuda(tmp_path, TINY_MODELS[0], "int4")
    load_on_cpu(tmp_path)
    check_types(read_graph(tmp_path))


def nodes(folder: Path, model: TinyModel, op_type: str) -> list[tuple[Any, dict[str, Any]]]:
    write_for_cuda(folder, model, "int4")
    return [
        (node, {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute})
        for node in read_graph(folder).node
        if node.op_type == op_type
    ]


def test_experts_are_read_as_they_lie_there_and_have_no_zero_points(tmp_path: Path) -> None:
    for node, attributes in nodes(tmp_path, TINY_MODELS[0], "QMoE"):
        assert attributes["weights_prepacked"] == 0
        assert "accuracy_level" not in attributes
        assert not any(node.input[11:14])


def test_lookups_are_told_the_middle(tmp_path: Path) -> None:
    """Which is what they take for granted on the CPU, where the arithmetic was compared."""
    [(node, attributes)] = nodes(tmp_path, TINY_MODELS[0], "GatherBlockQuantized")
    assert attributes["bits"] == 8
    spec, _ = write_for_cuda(tmp_path, TINY_MODELS[0], "int4", RUNS_ON_CPU)
    stated = run_on_cpu(tmp_path, spec, TOKEN_IDS)
    target = msgspec.structs.replace(RUNS_ON_CPU, states_the_middle=False)
    write_for_cuda(tmp_path, TINY_MODELS[0], "int4", target)
    assert len(node.input) == 4
    np.testing.assert_array_equal(run_on_cpu(tmp_path, spec, TOKEN_IDS), stated)


def test_attention_normalizes_heads_itself(tmp_path: Path) -> None:
    for node, attributes in nodes(tmp_path, TINY_MODELS[0], "GroupQueryAttention"):
        assert all(node.input[14:16])
        assert attributes["qk_norm_epsilon"] == pytest.approx(1e-6)


def test_attention_does_not_normalize_whole_projections(tmp_path: Path) -> None:
    olmoe = next(model for model in FAMILY_MODELS if model.name == "olmoe")
    for node, _ in nodes(tmp_path, olmoe, "GroupQueryAttention"):
        assert len(node.input) == 9


def exported_for_cuda(folder: Path, precision: Preset, **options: Any) -> Path:
    checkpoint = write_tiny_checkpoint(folder / "tiny", WHOLE_TILES)
    chosen = tiny_options(precision=precision, device="cuda", block_size=64, **options)
    export_checkpoint(str(checkpoint), folder / "package", chosen, progress=no_progress)
    return folder / "package"


def locations(graph: onnx.GraphProto, op_type: str, inputs: tuple[int, ...]) -> Counter[str]:
    names = {node.input[i] for node in graph.node if node.op_type == op_type for i in inputs}
    entries = [
        {entry.key: entry.value for entry in tensor.external_data}
        for tensor in graph.initializer
        if tensor.name in names
    ]
    return Counter(entry["location"] for entry in entries)


@pytest.mark.parametrize(
    ("precision", "op_type", "inputs"),
    [("int4", "QMoE", (2, 5)), ("int8", "QMoE", (2, 5)), ("f16", "MoE", (2, 4))],
)
def test_both_graphs_of_a_package_share_the_experts(
    precision: Preset, op_type: str, inputs: tuple[int, ...], tmp_path: Path
) -> None:
    package = exported_for_cuda(tmp_path, precision)
    graph = read_graph(package)
    assert locations(graph, op_type, inputs) == {DATA_FILE: 4}
    manifest = read_manifest(package)
    assert manifest.devices == ("cpu", "cuda")
    assert {MODEL_FILE, DATA_FILE, CUDA_MODEL_FILE, CUDA_DATA_FILE} < set(manifest.files)


def test_all_float16_matrices_are_shared(tmp_path: Path) -> None:
    manifest = read_manifest(exported_for_cuda(tmp_path, "f16"))
    assert manifest.files[CUDA_DATA_FILE].size < 0.2 * manifest.files[DATA_FILE].size


def test_what_is_no_expert_has_its_own_blocks(tmp_path: Path) -> None:
    package = exported_for_cuda(tmp_path, "int4")
    graph = read_graph(package)
    found = {
        node.op_type: next(a.i for a in node.attribute if a.name == "block_size")
        for node in graph.node
        if any(a.name == "block_size" for a in node.attribute)
    }
    assert found == {"GatherBlockQuantized": 32, "MatMulNBits": 32, "QMoE": 64}
    assert read_manifest(package).quality["cuda"]["dense_block_size"] == 32


@pytest.mark.parametrize("rounding", ["nearest", "gptq"])
def test_the_second_graph_computes_what_the_first_does(rounding: str, tmp_path: Path) -> None:
    """Other blocks round anew, which costs no more than 4 bits cost in the first place."""
    olmoe = next(model for model in FAMILY_MODELS if model.name == "olmoe")  # norms stay outside
    larger = TinyModel("larger", 5, {**olmoe.config, "intermediate_size": 64}, olmoe.base)
    checkpoint = write_tiny_checkpoint(tmp_path / "tiny", larger)
    options = tiny_options(precision="int8", device="cuda", block_size=64, rounding=rounding)
    package = tmp_path / "package"
    manifest = export_checkpoint(str(checkpoint), package, options, progress=no_progress)
    exported = export_tiny(tmp_path / "exact", larger, "f32")
    found = run_on_cpu(package, exported.spec, TOKEN_IDS)
    expected = forward(exported.spec, exported.weights, TOKEN_IDS)
    errors = np.array([relative_error(*rows) for rows in zip(found, expected, strict=True)])
    assert np.median(errors) < 0.05
    assert manifest.quality["rounding"] == rounding


def spec_of(model: TinyModel) -> DecoderSpec:
    return read_architecture(Config(model.full_config, "config.json")).spec


def check_refused(because: str, precision: Preset = "int4", **config: Any) -> None:
    model = TinyModel("refused", 1, {"moe_intermediate_size": 64} | config)
    with pytest.raises(UnsupportedError, match=because):
        check_cuda(spec_of(model), find_scheme(precision, 32))


def test_float32_has_no_graph_for_cuda() -> None:
    check_refused("f32 has no graph for CUDA.*; use --precision f16, int8", "f32")


def test_zero_points() -> None:
    scheme = find_scheme("int4", 32, has_zero_points=True)
    with pytest.raises(UnsupportedError, match="zero points have no fast kernels on CUDA"):
        check_cuda(spec_of(WHOLE_TILES), scheme)


def test_heads_that_are_too_wide() -> None:
    because = "layer 0 has heads of 320, .* up to 256; use --device cpu"
    check_refused(because, head_dim=320)


def test_experts_that_fill_no_tile() -> None:
    because = "layer 0 has experts of 64 by 96, and those of int4 on CUDA take multiples of 64"
    check_refused(because, moe_intermediate_size=96)


@pytest.mark.parametrize("block_size", [None, 128])
def test_a_block_that_fits_does_not_make_experts_fill_a_tile(
    block_size: int | None, tmp_path: Path
) -> None:
    model = TinyModel("refused", 1, {"moe_intermediate_size": 96})
    checkpoint = write_tiny_checkpoint(tmp_path / "tiny", model)
    options = tiny_options(device="cuda", block_size=block_size)
    with pytest.raises(UnsupportedError, match=r"experts of 64 by 96, .* multiples of 64"):
        export_checkpoint(str(checkpoint), tmp_path / "p", options, progress=no_progress)


def test_experts_gated_otherwise() -> None:
    with pytest.raises(UnsupportedError, match=r"layer 0 has experts gated by gelu, .* --device"):
        check_cuda(spec_of(GROK), find_scheme("int4", 32))


def test_layers_that_keep_a_state() -> None:
    with pytest.raises(UnsupportedError, match="layer 0 has GatedDelta for attention, which has"):
        check_cuda(spec_of(NEXT), find_scheme("int4", 32))


def test_a_refused_export_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match="no graph for CUDA"):
        exported_for_cuda(tmp_path, "f32")
    assert [path.name for path in tmp_path.iterdir()] == ["tiny"]


def test_weights_beyond_float16() -> None:
    graph = GraphBuilder(DataFile(io.BytesIO()), CUDA)
    with graph.scope("layers.3"), pytest.raises(UnsupportedError) as raised:
        graph.floats(np.array([1, 1e6], np.float32))
    assert str(raised.value) == (
        "layers.3 has weights of up to 1e+06, beyond float16; use --device cpu"
    )


def test_small_experts_are_told_of() -> None:
    told = slow_on_cuda(spec_of(WHOLE_TILES))
    assert told is not None
    assert told.startswith("experts of 64 by 64 are below 512 on a side")


def test_many_experts_a_token_are_told_of() -> None:
    sizes = {"hidden_size": 512, "moe_intermediate_size": 512, "vocab_size": 272}
    many = TinyModel("many", 1, {**sizes, "num_experts": 16, "num_experts_per_tok": 9})
    told = slow_on_cuda(spec_of(many))
    assert told is not None
    assert told.startswith("9 experts a token are more than 8")


def test_blocks_that_fit_both_devices_are_rounded_once() -> None:
    assert cuda_scheme(find_scheme("int4", 32)) == find_scheme("int4", 32)
    assert cuda_scheme(find_scheme("f16", 128)) == find_scheme("f16", 128)
    both = msgspec.structs.replace(find_scheme("int4", 128), dense_block_size=32)
    assert cuda_scheme(find_scheme("int4", 128)) == both
