"""Find in an ONNX file what chooses the experts, and have a copy of the graph give it out.

The operators of onnxruntime that hold all experts of a layer take as their second input a number
for each token and expert, and the largest ones are chosen. Field numbers are those of onnx.proto
(https://github.com/onnx/onnx). Two serialized messages one behind the other are read as one that
has the fields of both, repeated ones in a row: so outputs are added behind the file.
"""

from collections.abc import Iterable
from typing import Final

from inference.package.protobuf import field, fields

OPERATORS: Final = frozenset({b"MoE", b"QMoE"})

_GRAPH: Final = 7  # of a ModelProto
_NODE, _OUTPUT = 1, 12  # of a GraphProto
_INPUT, _OPERATOR = 1, 4  # of a NodeProto
_NAME: Final = 1  # of a ValueInfoProto
_CHOOSING: Final = 1


def router_values(model: bytes) -> list[str]:
    """Return the values that choose experts, in the order of the layers; none without a mixture.

    Raises ValueError where the bytes are no serialized ModelProto.
    """
    nodes = [
        list(fields(node))
        for number, graph in fields(memoryview(model))
        if number == _GRAPH
        for part, node in fields(graph)
        if part == _NODE
    ]
    return [
        str([bytes(content) for part, content in node if part == _INPUT][_CHOOSING], "utf-8")
        for node in nodes
        if any(part == _OPERATOR and bytes(content) in OPERATORS for part, content in node)
    ]


def with_outputs(model: bytes, values: Iterable[str]) -> bytes:
    """Return a model whose graph gives out these values, too."""
    outputs = (field(_OUTPUT, field(_NAME, value.encode())) for value in values)
    return model + field(_GRAPH, b"".join(outputs))
