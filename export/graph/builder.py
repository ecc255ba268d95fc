"""Build an ONNX graph value by value, and write its weights to disk as they come.

The sole user of onnx_ir. Layer functions take and return Values; names are for people who look at
the graph, come from `scope`, and are read by nothing.

Weights go straight to the data file, so only one is in memory at a time. The same calls write the
same bytes.
"""

import contextlib
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, cast

import msgspec
import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from export.errors import UnsupportedError
from export.graph.data_file import DataFile, Place
from export.graph.targets import CPU, Target

Value = ir.Value
AttributeValue = int | float | str
Dimension = int | str

MICROSOFT: Final = "com.microsoft"

ACCURACY_LEVEL: Final = "accuracy_level"
"""The attribute of rounded operators that says what they multiply weights by."""

_FLOAT_ACTIVATIONS: Final = 1
_OPSETS: Final = {"": 21, MICROSOFT: 1}
_IR_VERSION: Final = 10
_FLOATS: Final = (np.dtype(np.float32), np.dtype(np.float16))


class StoredWeight(msgspec.Struct, frozen=True):
    """Some bytes of the data file of a graph."""

    offset: int
    dtype: np.dtype[Any]
    num_values: int


def stored_weights(path: Path) -> list[StoredWeight]:
    """Return what a graph reads from its data file, in the order in which it was written."""
    found: dict[int, StoredWeight] = {}
    model = ir.load(path)  # pyright: ignore[reportUnknownMemberType] - its path type is open
    for value in model.graph.initializers.values():
        tensor = value.const_value
        if isinstance(tensor, ir.ExternalTensor) and tensor.offset is not None:
            dtype = tensor.dtype.numpy()
            found[tensor.offset] = StoredWeight(tensor.offset, dtype, tensor.size)
    return [found[offset] for offset in sorted(found)]


def write_with_float_activations(source: Path, target: Path) -> None:
    """Copy a graph, its rounded operators made to multiply floats where they have such a kernel."""
    model = ir.load(source)  # pyright: ignore[reportUnknownMemberType] - its path type is open
    for node in model.graph:
        if ACCURACY_LEVEL in node.attributes:
            node.attributes[ACCURACY_LEVEL] = ir.AttrInt64(ACCURACY_LEVEL, _FLOAT_ACTIVATIONS)
    target.write_bytes(ir.to_proto(model).SerializeToString(deterministic=True))


class Piece(msgspec.Struct, frozen=True):
    """Consecutive nodes of a graph, and the names of what flows into them and out of them."""

    graph: ir.Graph
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    def encoded(self, dtypes: Mapping[str, npt.DTypeLike]) -> bytes:
        """Return it as a graph of its own; its weights stay in the file that they are in."""
        part = ir.convenience.extract(self.graph, self.inputs, self.outputs)
        for value in part.inputs:
            assert value.name is not None
            value.type = ir.TensorType(_data_type(dtypes[value.name]))
        model = ir.Model(part, ir_version=_IR_VERSION, producer_name="inkling")
        return ir.to_proto(model).SerializeToString(deterministic=True)


def cut(path: Path, *, max_bytes: int) -> list[Piece]:
    """Cut a graph into pieces whose weights take `max_bytes`, or more where one node's alone do."""
    graph = ir.load(path).graph  # pyright: ignore[reportUnknownMemberType] - its path type is open
    groups: list[list[ir.Node]] = [[]]
    num_bytes = 0
    for node in graph:
        added = sum(
            value.const_value.nbytes for value in node.inputs if value and value.const_value
        )
        if num_bytes and num_bytes + added > max_bytes:
            groups.append([])
            num_bytes = 0
        groups[-1].append(node)
        num_bytes += added
    return [_bounded(graph, group) for group in groups]


def _bounded(graph: ir.Graph, nodes: Sequence[ir.Node]) -> Piece:
    inside = set(nodes)
    made = [output for node in nodes for output in node.outputs]
    read = [value for node in nodes for value in node.inputs if value is not None]
    outer = [value for value in read if value.producer() not in inside and not value.const_value]
    wanted = [value for value in made if value.is_graph_output() or {*value.consumers()} - inside]
    return Piece(graph, _names(outer), _names(wanted))


def _names(values: Sequence[ir.Value]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(value.name for value in values if value.name))


class GraphBuilder:
    """Nodes and weights in the order they were added. Every value belongs to this one graph."""

    def __init__(self, data: DataFile, target: Target = CPU) -> None:
        self.target = target
        self._data = data
        self._tape = ir.tape.Tape()
        self._inputs: list[ir.Value] = []
        self._outputs: list[ir.Value] = []
        self._constants: dict[tuple[str, tuple[int, ...], bytes], ir.Value] = {}
        self._scopes: list[str] = []
        self._num_names = 0

    @contextlib.contextmanager
    def scope(self, name: str) -> Generator[None]:
        """Put `name` before the names of everything added in the block."""
        self._scopes.append(name)
        try:
            yield
        finally:
            self._scopes.pop()

    def input(self, name: str, dtype: npt.DTypeLike, shape: Sequence[Dimension]) -> Value:
        value = _declared(name, dtype, shape)
        self._inputs.append(value)
        return value

    def output(
        self, name: str, value: Value, dtype: npt.DTypeLike, shape: Sequence[Dimension]
    ) -> None:
        value.name = name
        value.shape = ir.Shape(shape)
        value.type = ir.TensorType(_data_type(dtype))
        self._outputs.append(value)

    def op(self, op_type: str, *inputs: Value | None, domain: str = "", **attributes: Any) -> Value:  # noqa: ANN401 - an operator's own attributes
        """Add a node with one output."""
        return self.ops(op_type, inputs, num_outputs=1, domain=domain, attributes=attributes)[0]

    def ops(
        self,
        op_type: str,
        inputs: Sequence[Value | None],
        *,
        num_outputs: int,
        attributes: Mapping[str, AttributeValue],
        domain: str = "",
    ) -> Sequence[Value]:
        """Add a node with several outputs."""
        name = self._next_name(op_type)
        outputs = self._tape.op_multi_out(
            op_type, inputs, attributes, num_outputs=num_outputs, domain=domain, name=name
        )
        for index, output in enumerate(outputs):
            output.name = f"{name}:{index}"
        return outputs

    def constant(self, array: npt.NDArray[Any]) -> Value:
        """Add a small array to the graph itself, once for equal arrays."""
        key = (str(array.dtype), array.shape, array.tobytes())
        if key not in self._constants:
            name = f"constant.{len(self._constants)}"
            self._constants[key] = self._tape.initializer(ir.tensor(array, name=name))
        return self._constants[key]

    def number(self, number: float) -> Value:
        """Add a number of the activations' type."""
        return self.constant(np.array(number, self.target.activations))

    def weight(self, array: npt.NDArray[Any]) -> Value:
        """Write an array to the data file and return it as a value of the array's own type."""
        place = self._data.place(array)
        return self._stored(place, ir.DataType.from_numpy(array.dtype), array.shape)

    def floats(self, array: npt.NDArray[Any]) -> Value:
        """Write an array to the data file and return it as a value of the activations' type.

        Raises UnsupportedError where a value is too large for that type.
        """
        stored = self.narrowed(array)
        return self.converted(self.weight(stored), stored.dtype)

    def narrowed(self, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return an array as it is stored: never wider than activations are.

        What is narrower stays so on disk, and is widened once when the graph is loaded. Integers
        stay what they are.
        """
        activations = self.target.activations
        if array.dtype not in _FLOATS or array.dtype.itemsize <= activations.itemsize:
            return array
        with np.errstate(over="ignore"):
            narrowed = array.astype(activations)
        if not np.isfinite(narrowed).all():
            raise UnsupportedError(
                f"{'.'.join(self._scopes) or 'the model'} has weights of up to "
                f"{np.abs(array).max():.3g}, beyond {activations}; use --device cpu"
            )
        return narrowed

    def converted(self, x: Value, dtype: npt.DTypeLike) -> Value:
        """Return a value of type `dtype` in the activations' type."""
        is_other = np.dtype(dtype) in _FLOATS and np.dtype(dtype) != self.target.activations
        return self.cast(x, self.target.activations) if is_other else x

    def widened(self, x: Value) -> Value:
        """Return a value of the activations' type in float32."""
        is_float32 = self.target.activations == np.float32
        return x if is_float32 else self.cast(x, np.float32)

    def cast(self, x: Value, dtype: npt.DTypeLike) -> Value:
        return self.op("Cast", x, to=int(_data_type(dtype)))

    def reshaped_weight(self, weight: Value, shape: Sequence[int]) -> Value:
        """Return the same bytes of the data file under another shape."""
        stored = weight.const_value
        assert isinstance(stored, ir.ExternalTensor)
        assert stored.offset is not None
        assert stored.length is not None
        location = cast("str", stored.location)  # pyright: ignore[reportUnknownMemberType] - ours
        place = Place(location, stored.offset, stored.length)
        return self._stored(place, stored.dtype, shape)

    def save(self, path: Path) -> None:
        """Write the graph; its weights lie in files beside it."""
        graph = ir.Graph(
            self._inputs,
            self._outputs,
            nodes=self._tape.nodes,
            initializers=self._tape.initializers,
            opset_imports=dict(_OPSETS),
            name="decoder",
        )
        model = ir.Model(graph, ir_version=_IR_VERSION, producer_name="inkling")
        path.write_bytes(ir.to_proto(model).SerializeToString(deterministic=True))

    def _stored(self, place: Place, dtype: ir.DataType, shape: Sequence[int]) -> ir.Value:
        tensor = ir.ExternalTensor(
            place.file,
            place.offset,
            place.length,
            dtype,
            shape=ir.Shape(shape),
            name=self._next_name("weight"),
        )
        return self._tape.initializer(tensor)

    def _next_name(self, kind: str) -> str:
        self._num_names += 1
        return ".".join([*self._scopes, f"{kind}.{self._num_names}"])


def _declared(name: str, dtype: npt.DTypeLike, shape: Sequence[Dimension]) -> ir.Value:
    return ir.Value(name=name, shape=ir.Shape(shape), type=ir.TensorType(_data_type(dtype)))


def _data_type(dtype: npt.DTypeLike) -> ir.DataType:
    return ir.DataType.from_numpy(np.dtype(dtype))
