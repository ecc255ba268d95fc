"""What chooses experts is found in a graph's bytes, and a copy gives it out: onnx_ir agrees."""

import onnx_ir as ir
import pytest

from inference.package.manifest import MODEL_FILE
from inference.package.routers import router_values, with_outputs
from inference.package.store import embedded_folder


def test_the_routers_of_a_mixture_are_found() -> None:
    model = (embedded_folder() / MODEL_FILE).read_bytes()
    nodes = [
        node for node in ir.load(embedded_folder() / MODEL_FILE).graph if "MoE" in node.op_type
    ]
    assert router_values(model) == [node.inputs[1].name for node in nodes]
    assert len(nodes) == 12


def test_a_graph_without_a_mixture_has_none() -> None:
    x = ir.Value(name="x", type=ir.TensorType(ir.DataType.FLOAT), shape=ir.Shape([1]))
    node = ir.node("Identity", [x])
    graph = ir.Graph([x], node.outputs, nodes=[node], opset_imports={"": 21})
    model = ir.to_proto(ir.Model(graph, ir_version=10)).SerializeToString()
    assert router_values(model) == []


def test_a_copy_has_the_old_outputs_and_the_new_ones(tmp_path) -> None:
    path = embedded_folder() / MODEL_FILE
    values = router_values(path.read_bytes())
    copy = tmp_path / "copy.onnx"
    copy.write_bytes(with_outputs(path.read_bytes(), values))
    before, after = ir.load(path).graph, ir.load(copy).graph
    names = [value.name for value in after.outputs]
    assert names == [*(value.name for value in before.outputs), *values]
    assert len(list(after)) == len(list(before))


@pytest.mark.parametrize("model", [b"\xff", b"\x3a\x7f", b"no model at all"])
def test_what_is_no_graph_is_an_error(model: bytes) -> None:
    with pytest.raises(ValueError, match=r"^it "):
        router_values(model)
