"""graph: weights lie where the runtime can map them, and nothing is stored twice."""

import io
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

from export.graph.builder import GraphBuilder
from export.graph.data_file import DATA_FILE, DataFile
from inference.package.manifest import MODEL_FILE
from tests.support.exported import Exported, export_tiny
from tests.support.tiny_checkpoints import TINY_MODELS

PAGE = 4096


@pytest.fixture
def data() -> io.BytesIO:
    return io.BytesIO()


@pytest.fixture
def graph(data: io.BytesIO) -> GraphBuilder:
    return GraphBuilder(DataFile(data))


def stored(value: ir.Value) -> ir.ExternalTensor:
    assert isinstance(value.const_value, ir.ExternalTensor)
    return value.const_value


def test_each_weight_begins_a_page(graph: GraphBuilder, data: io.BytesIO) -> None:
    arrays = [np.arange(n, dtype=np.float32) for n in (3, 5000, 7)]
    places = [stored(graph.weight(array)) for array in arrays]
    assert [place.offset for place in places] == [0, PAGE, 6 * PAGE]
    for place, array in zip(places, arrays, strict=True):
        assert place.offset is not None
        assert place.length == array.nbytes
        assert data.getvalue()[place.offset :][: array.nbytes] == array.tobytes()


def test_a_weight_that_is_not_contiguous_is_written_in_its_order(
    graph: GraphBuilder, data: io.BytesIO
) -> None:
    matrix = np.arange(6, dtype=np.float32).reshape(2, 3)
    graph.weight(matrix.T)
    assert data.getvalue() == matrix.T.tobytes()


def test_another_shape_is_the_same_bytes(graph: GraphBuilder, data: io.BytesIO) -> None:
    weight = graph.weight(np.zeros((4, 6), np.uint8))
    again = graph.reshaped_weight(weight, (4, 2, 3))
    assert stored(again).offset == stored(weight).offset
    assert tuple(stored(again).shape) == (4, 2, 3)
    assert again.name != weight.name
    assert len(data.getvalue()) == 24


def test_equal_constants_are_one(graph: GraphBuilder) -> None:
    first = graph.constant(np.array([1, 2], np.int64))
    assert graph.constant(np.array([1, 2], np.int64)) is first
    assert graph.constant(np.array([1, 2], np.int32)) is not first
    assert graph.constant(np.array([[1, 2]], np.int64)) is not first


def test_scopes_are_for_people(graph: GraphBuilder) -> None:
    x = graph.input("x", np.float32, ["n"])
    with graph.scope("layers.3"):
        inside = graph.op("Relu", x)
    assert inside.name is not None
    assert inside.name.startswith("layers.3.Relu.")
    assert not (graph.op("Relu", x).name or "").startswith("layers.3")


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    return export_tiny(tmp_path_factory.mktemp("graph"), TINY_MODELS[0], "int4")


def test_the_graph_has_the_inputs_and_outputs_that_the_engine_binds(exported: Exported) -> None:
    graph = ir.load(exported.folder / MODEL_FILE).graph
    caches = [f"{kind}.{layer}" for layer in range(2) for kind in ("key", "value")]
    assert {value.name: value.dtype for value in graph.inputs} == {
        "input_ids": ir.DataType.INT64,
        "seqlens_k": ir.DataType.INT32,
        "total_sequence_length": ir.DataType.INT32,
        "logit_rows": ir.DataType.INT64,
        **{f"past_{name}": ir.DataType.FLOAT for name in caches},
    }
    outputs = {value.name for value in graph.outputs}
    assert outputs == {"logits", *(f"present_{name}" for name in caches)}


def test_every_weight_lies_inside_the_one_data_file(exported: Exported) -> None:
    size = (exported.folder / DATA_FILE).stat().st_size
    graph = ir.load(exported.folder / MODEL_FILE).graph
    external = [
        value.const_value
        for value in graph.initializers.values()
        if isinstance(value.const_value, ir.ExternalTensor)
    ]
    assert external
    for tensor in external:
        assert tensor.location == DATA_FILE
        assert tensor.offset is not None
        assert tensor.length is not None
        assert tensor.offset % PAGE == 0
        assert tensor.offset + tensor.length <= size


def test_names_are_unique(exported: Exported) -> None:
    graph = ir.load(exported.folder / MODEL_FILE).graph
    names = [output.name for node in graph for output in node.outputs if output.name]
    names += [*graph.initializers, *(value.name for value in graph.inputs)]
    assert len(names) == len(set(names))


def test_the_graph_carries_no_path_of_the_machine(exported: Exported) -> None:
    parts = {part.encode() for part in Path(exported.folder).parts if len(part) > 3}
    content = (exported.folder / MODEL_FILE).read_bytes()
    assert not [part for part in parts if part in content]
