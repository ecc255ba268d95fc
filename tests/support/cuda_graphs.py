"""Graphs for CUDA on a machine without one: read their types, and run their arithmetic on a CPU.

The runtime infers every type and shape before it looks for kernels, so what it accepts here is
consistent; where the CPU has no kernel for float16, it widens, computes and narrows again.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec
import numpy as np
import onnx
import onnxruntime as ort

from export.graph.cuda import write_cuda_graph
from export.graph.targets import CUDA, Target
from export.graph.weights import dequantized, kept, scheme_weights
from export.quantization.scheme import Preset, find_scheme
from export.spec.decoder import DecoderSpec, slots
from inference.package.manifest import CUDA_MODEL_FILE
from tests.support.exported import Array, read_values
from tests.support.tiny_checkpoints import TinyModel, write_tiny_checkpoint

# Attention on CPU refuses to normalize heads; all else is the graph for CUDA.
RUNS_ON_CPU = msgspec.structs.replace(CUDA, normalizes_heads=False)

CONTEXT_LENGTH = 64
ERROR = 3


def write_for_cuda(
    folder: Path, model: TinyModel, precision: Preset, target: Target = CUDA
) -> tuple[DecoderSpec, Mapping[str, Array]]:
    """Write a graph alone; return its spec, and the slots with the values it computes with."""
    spec, values = read_values(write_tiny_checkpoint(folder / "checkpoint", model))
    weights = kept(scheme_weights(find_scheme(precision, 32), slots(spec), values))
    write_cuda_graph(folder, spec, weights, {}, context_length=CONTEXT_LENGTH, target=target)
    return spec, dequantized(weights)


def run_on_cpu(folder: Path, spec: DecoderSpec, token_ids: Sequence[int]) -> Array:
    """Return the logits of each token."""
    num_tokens = len(token_ids)
    feeds = {
        "input_ids": np.array([token_ids], np.int64),
        "seqlens_k": np.array([num_tokens - 1], np.int32),
        "total_sequence_length": np.array(num_tokens, np.int32),
        "logit_rows": np.arange(num_tokens, dtype=np.int64),
        **{name: np.zeros(shape, np.float16) for name, shape in _cache(spec, num_tokens)},
    }
    return load_on_cpu(folder).run(["logits"], feeds)[0]


def load_on_cpu(folder: Path) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.log_severity_level = ERROR
    options.intra_op_num_threads = 1
    return ort.InferenceSession(
        folder / CUDA_MODEL_FILE, options, providers=["CPUExecutionProvider"]
    )


def _cache(spec: DecoderSpec, capacity: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    for index, layer in enumerate(spec.layers):
        attention = layer.attention
        for kind in ("key", "value"):
            shape = (1, attention.num_key_value_heads, capacity, attention.head_dim)
            yield f"past_{kind}.{index}", shape


def read_graph(folder: Path) -> onnx.GraphProto:
    """Return a graph that ONNX's checker and strict shape inference accept.

    The runtime's own operators are no part of the standard, one of them by its name alone.
    """
    model = onnx.load(folder / CUDA_MODEL_FILE, load_external_data=False)
    for node in model.graph.node:
        if node.op_type == "SimplifiedLayerNormalization":
            node.domain = "com.microsoft"
    path = folder / f"checked_{CUDA_MODEL_FILE}"
    path.write_bytes(model.SerializeToString())
    onnx.checker.check_model(path, full_check=True)
    onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True)
    path.unlink()
    return model.graph


def element_types(graph: onnx.GraphProto) -> dict[str, int]:
    """Return the type of every value; the runtime holds operands of a node to each other's."""
    types = {tensor.name: tensor.data_type for tensor in graph.initializer}
    types |= {value.name: value.type.tensor_type.elem_type for value in graph.input}
    for node in graph.node:
        attributes = {attribute.name: attribute.i for attribute in node.attribute}
        match node.op_type:
            case "Cast":
                found = [attributes["to"]]
            case "GatherBlockQuantized":
                found = [types[node.input[2]]]
            case "Where":
                found = [types[node.input[1]]]
            case "Shape" | "NonZero":
                found = [onnx.TensorProto.INT64]
            case "Greater" | "GreaterOrEqual":
                found = [onnx.TensorProto.BOOL]
            case "TopK":
                found = [types[node.input[0]], onnx.TensorProto.INT64]
            case _:
                found = [types[node.input[0]]] * len(node.output)
        types |= dict(zip(node.output, found, strict=True))
    return types
