"""What the kernels of a device ask of a graph, as data that the graph builder and layers read.

CPU (onnxruntime 1.31, measured): float32 throughout, since products of float16 are widened there;
8-bit activations in rounded products; attention refuses to normalize heads itself.

CUDA (read in the operators' own documentation, which names these limits): the experts' operator has
no float32 kernel, and a node without a kernel would move to the CPU without a word; so activations
are float16. `weights_prepacked=0` has it read the very bytes that the CPU reads. Attention
normalizes heads before it rotates them.
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec
import numpy as np

from inference.package.manifest import Device

INT8_ACTIVATIONS: Final = 4
"""`accuracy_level` of the rounded operators: products of 8-bit integers, 1.5 to 2 times as fast as
float32 ones on CPU (measured)."""


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """`activations` is the type of all that flows from the embedding to the head.

    Routers and logits are float32 everywhere: a router that picks another expert changes more than
    any rounding. `rounded` and `rounded_experts` are attributes of MatMulNBits and QMoE.
    `normalizes_heads`: attention has inputs for the weights of query and key norms.
    `keeps_windows`: a layer that sees a window reads a buffer of that size, because attention looks
    at all that it is given; on CUDA it passes over what lies outside.
    `states_the_middle`: lookups in rounded tables are given the zero point that the CPU takes for
    granted, because some releases of the runtime take zero for it on CUDA.
    """

    device: Device
    activations: np.dtype[Any]
    normalizes_heads: bool
    keeps_windows: bool
    states_the_middle: bool
    rounded: Mapping[str, int]
    rounded_experts: Mapping[str, int]


CPU: Final = Target(
    device="cpu",
    activations=np.dtype(np.float32),
    normalizes_heads=False,
    keeps_windows=True,
    states_the_middle=False,
    rounded={"accuracy_level": INT8_ACTIVATIONS},
    rounded_experts={"accuracy_level": INT8_ACTIVATIONS},
)

CUDA: Final = Target(
    device="cuda",
    activations=np.dtype(np.float16),
    normalizes_heads=True,
    keeps_windows=False,
    states_the_middle=True,
    rounded={},
    rounded_experts={"weights_prepacked": 0},
)
