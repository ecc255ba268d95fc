"""Packages whose graph takes a tensor from a file of the test's choice, and is otherwise a graph.

The tensor stands wherever ONNX lets one stand. All hashes and sizes of the package are right.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

import onnx
from msgspec.structs import replace
from onnx import TensorProto, helper

from inference.package.manifest import MODEL_FILE, ModelManifest, file_entry, write_manifest
from tests.faults.packages import sign, write_package

NUM_VALUES = 4
DATA = bytes(range(4 * NUM_VALUES))
INPUTS = {
    "input_ids": TensorProto.INT64,
    "seqlens_k": TensorProto.INT32,
    "total_sequence_length": TensorProto.INT32,
    "logit_rows": TensorProto.INT64,
    "past_key.0": TensorProto.FLOAT,
    "past_value.0": TensorProto.FLOAT,
}


def external_tensor(location: str, *, name: str = "w") -> onnx.TensorProto:
    tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=[NUM_VALUES])
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in {"location": location, "offset": "0", "length": str(len(DATA))}.items():
        entry = tensor.external_data.add()
        entry.key, entry.value = key, value
    return tensor


def sparse_tensor(location: str) -> onnx.SparseTensorProto:
    indices = helper.make_tensor("i", TensorProto.INT64, [NUM_VALUES], range(NUM_VALUES))
    return helper.make_sparse_tensor(external_tensor(location), indices, [NUM_VALUES])


def initializer(location: str) -> onnx.ModelProto:
    return _model(initializer=[external_tensor(location)])


def constant(location: str) -> onnx.ModelProto:
    return _model(helper.make_node("Constant", [], ["w"], value=external_tensor(location)))


def sparse_initializer(location: str) -> onnx.ModelProto:
    return _model(sparse_initializer=[sparse_tensor(location)])


def sparse_constant(location: str) -> onnx.ModelProto:
    return _model(helper.make_node("Constant", [], ["w"], sparse_value=sparse_tensor(location)))


def subgraph(location: str) -> onnx.ModelProto:
    output = helper.make_tensor_value_info("b", TensorProto.FLOAT, [NUM_VALUES])
    node = helper.make_node("Constant", [], ["b"], value=external_tensor(location))
    branch = helper.make_graph([node], "branch", [], [output])
    truth = helper.make_tensor("t", TensorProto.BOOL, [], [True])
    return _model(
        helper.make_node("Constant", [], ["condition"], value=truth),
        helper.make_node("If", ["condition"], ["w"], then_branch=branch, else_branch=branch),
    )


POSITIONS: Mapping[str, Callable[[str], onnx.ModelProto]] = {
    "initializer": initializer,
    "constant": constant,
    "sparse initializer": sparse_initializer,
    "sparse constant": sparse_constant,
    "subgraph": subgraph,
}


def write_hostile_package(folder: Path, model: onnx.ModelProto, *named: str) -> ModelManifest:
    """Write a package with this graph; the manifest also vouches for the files `named`."""
    folder.mkdir(exist_ok=True)
    write_package(folder)
    (folder / MODEL_FILE).write_bytes(model.SerializeToString())
    manifest = sign(folder)
    files = manifest.files | {name: file_entry(folder / name) for name in named}
    manifest = replace(manifest, files=files)
    write_manifest(manifest, folder)
    return manifest


def _model(
    *nodes: onnx.NodeProto,
    initializer: list[onnx.TensorProto] | None = None,
    sparse_initializer: list[onnx.SparseTensorProto] | None = None,
) -> onnx.ModelProto:
    graph = helper.make_graph(
        [*nodes, helper.make_node("Identity", ["w"], ["logits"])],
        "hostile",
        [helper.make_tensor_value_info(name, kind, None) for name, kind in INPUTS.items()],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [NUM_VALUES])],
        initializer=initializer,
        sparse_initializer=sparse_initializer,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
