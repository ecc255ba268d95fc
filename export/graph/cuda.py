"""The second graph of a package, for an NVIDIA GPU: what it cannot hold, and how it is written.

It computes in float16 and points at the experts that the first graph holds, byte for byte. What is
not an expert is rounded again in the blocks that kernels there are made for.

No GPU was at hand when this was written: the limits are those of the operators' documentation
(docs/contrib_ops/cuda of onnxruntime), and tests hold the graph's types, shapes and arithmetic.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from export.checkpoint.safetensors import Float32
from export.errors import UnsupportedError
from export.graph.builder import GraphBuilder
from export.graph.data_file import CUDA_DATA_FILE, DataFile, Place
from export.graph.decoder import build_decoder
from export.graph.targets import CUDA, Target
from export.graph.weights import OnDemand, scheme_weights
from export.graph.weights_back import package_weights
from export.quantization.blockwise import Weight
from export.quantization.scheme import (
    CUDA_DENSE_BLOCK_SIZE,
    FindMoments,
    Scheme,
    check_scheme,
)
from export.spec.decoder import (
    Attention,
    DecoderSpec,
    GatedDelta,
    GroupedQuery,
    Latent,
    ShortConvolution,
    SparseMoE,
    StateSpace,
    slots,
)
from inference.package.manifest import CUDA_MODEL_FILE

MAX_HEAD_DIM: Final = 256
_EXPERT_STEPS: Final = {"f16": 8, "int8": 64, "int4": 64}
"""What an expert's sizes are multiples of: 16 bytes of float16, or one tile of packed integers."""

_FAST_SIZE: Final = 512
_FAST_ROWS: Final = 8
"""Limits of the kernels that read the experts of one token: rows and columns, and experts."""


def cuda_scheme(scheme: Scheme) -> Scheme:
    """Return how the same weights are rounded for CUDA: experts as they are, the head once."""
    scheme = msgspec.structs.replace(scheme, coarse_head=None)
    if not scheme.has_blocks or scheme.block_size == CUDA_DENSE_BLOCK_SIZE:
        return scheme
    return msgspec.structs.replace(scheme, dense_block_size=CUDA_DENSE_BLOCK_SIZE)


def check_cuda(spec: DecoderSpec, scheme: Scheme) -> None:
    """Raise UnsupportedError naming what has no kernel on CUDA, and what to do instead."""
    if scheme.precision == "f32":
        raise UnsupportedError(
            "precision f32 has no graph for CUDA, whose experts compute in float16; "
            "use --precision f16, int8 or int4"
        )
    if scheme.has_zero_points:
        raise UnsupportedError(
            "zero points have no fast kernels on CUDA; leave --zero-points out, or --device cuda"
        )
    check_scheme(cuda_scheme(scheme), slots(spec))
    for index, layer in enumerate(spec.layers):
        problem = _attention_problem(layer.attention)
        if problem is None and isinstance(layer.feed_forward, SparseMoE):
            problem = _expert_problem(layer.feed_forward, spec.hidden_size, scheme)
        if problem is not None:
            raise UnsupportedError(f"layer {index} has {problem}; use --device cpu")


def slow_on_cuda(spec: DecoderSpec) -> str | None:
    """Say why experts would be read by slower kernels while decoding; None where they are not."""
    experts = [layer.feed_forward for layer in spec.layers]
    for part in experts:
        if not isinstance(part, SparseMoE):
            continue
        smallest = min(spec.hidden_size, part.moe_intermediate_size)
        if smallest < _FAST_SIZE:
            return (
                f"experts of {spec.hidden_size} by {part.moe_intermediate_size} are below "
                f"{_FAST_SIZE} on a side, so the fast kernels for single tokens pass them over"
            )
        if part.router.num_experts_per_tok > _FAST_ROWS:
            return (
                f"{part.router.num_experts_per_tok} experts a token are more than {_FAST_ROWS}, "
                "so the fast kernels for single tokens pass them over"
            )
    return None


def write_cuda_graph(
    folder: Path,
    spec: DecoderSpec,
    weights: Mapping[str, Weight],
    known: Mapping[bytes, Place],
    *,
    context_length: int,
    target: Target = CUDA,
) -> None:
    """Write the graph and those of its weights that no other file of the package holds."""
    with (folder / CUDA_DATA_FILE).open("wb") as data:
        graph = GraphBuilder(DataFile(data, CUDA_DATA_FILE, known=known), target)
        build_decoder(graph, spec, weights, context_length=context_length)
    graph.save(folder / CUDA_MODEL_FILE)


def cuda_weights(
    folder: Path,
    spec: DecoderSpec,
    scheme: Scheme,
    values: Mapping[str, Float32],
    find_moments: FindMoments,
) -> Mapping[str, Weight]:
    """Return weights as CUDA reads them: those of the package, but where blocks differ anew.

    `values` are the slots in full precision, `folder` holds the first graph.
    """
    needed, own = slots(spec), cuda_scheme(scheme)
    written = package_weights(folder, spec, scheme)
    rounded = scheme_weights(own, needed, values, find_moments=find_moments)

    def find(name: str) -> Weight:
        slot = needed[name]
        return (written if own.grid(name, slot) == scheme.grid(name, slot) else rounded)[name]

    return OnDemand(needed, find)


def _attention_problem(attention: Attention) -> str | None:
    match attention:
        case GroupedQuery(head_dim=head_dim) | Latent(head_dim=head_dim):
            if head_dim > MAX_HEAD_DIM:
                return f"heads of {head_dim}, and attention on CUDA takes up to {MAX_HEAD_DIM}"
            return None
        case GatedDelta() | ShortConvolution() | StateSpace():
            kind = type(attention).__name__
            return f"{kind} for attention, which has no graph for CUDA"


def _expert_problem(moe: SparseMoE, hidden_size: int, scheme: Scheme) -> str | None:
    if moe.activation in {"gelu", "gelu_tanh"}:
        return "experts gated by gelu, which no operator on CUDA is known to compute"
    if not moe.gated:
        return "experts without a gate, which no operator on CUDA is known to compute"
    step = _EXPERT_STEPS[scheme.precision]
    sizes = hidden_size, moe.moe_intermediate_size
    if not any(size % step for size in sizes):
        return None
    return (
        f"experts of {sizes[0]} by {sizes[1]}, and those of {scheme.precision} on CUDA take "
        f"multiples of {step}"
    )
