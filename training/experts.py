"""Send each token to its experts, and compute all experts in few matrix products.

The rows of all chosen experts are sorted by expert into one buffer, every expert's rows starting at
a multiple of `alignment`. Its length does not depend on the routing, so nothing waits for the
device and shapes stay fixed for the compiler. Where torch has a grouped matrix product for the
device it does the work; elsewhere a loop over the experts does, with the same result.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional


class Grouping(NamedTuple):
    """How rows sorted by expert are multiplied, and at which multiples an expert's rows start."""

    alignment: int
    product: Callable[[Tensor, Tensor, Tensor], Tensor]


def grouping_for(device: torch.device, dtype: torch.dtype) -> Grouping:
    """Choose torch's grouped product where it runs: bf16 on compute capability 8.0 and up."""
    is_bfloat16_on_cuda = device.type == "cuda" and dtype == torch.bfloat16
    if is_bfloat16_on_cuda and torch.cuda.get_device_capability(device) >= (8, 0):
        return GROUPED
    return LOOPED


def mixture_of_experts(
    x: Tensor,
    chosen: Tensor,
    weights: Tensor,
    matrices: tuple[Tensor, Tensor, Tensor],
    grouping: Grouping,
) -> Tensor:
    """Return the weighted sum of each token's experts, [num_tokens, hidden].

    `x` is [num_tokens, hidden], `chosen` and `weights` [num_tokens, num_experts_per_tok],
    `matrices` gate and up [num_experts, size, hidden] and down [num_experts, hidden, size].
    """
    num_tokens, num_experts_per_tok = chosen.shape
    gate, up, down = matrices
    order, places, ends = sort_by_expert(chosen, len(gate), grouping.alignment)
    length = num_tokens * num_experts_per_tok + len(gate) * (grouping.alignment - 1)
    tokens = order // num_experts_per_tok
    rows = x.new_zeros(length, x.shape[1]).index_copy(0, places, x[tokens])
    product = grouping.product
    hidden = functional.silu(product(rows, gate, ends)) * product(rows, up, ends)
    output = product(hidden, down, ends)[places]
    scaled = output * weights.reshape(-1)[order, None].to(output.dtype)
    return torch.zeros_like(x).index_add(0, tokens, scaled)


def sort_by_expert(
    chosen: Tensor, num_experts: int, alignment: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Return how to lay out the choices by expert.

    `order` [num_choices] lists choices expert by expert, `places` [num_choices] the row of each in
    the buffer, `ends` [num_experts] the row behind each expert's last, the end of the buffer for
    the last one.
    """
    experts = chosen.reshape(-1)
    order = torch.argsort(experts, stable=True)
    numbers = torch.arange(num_experts, device=experts.device)
    counts = (experts[:, None] == numbers).sum(0)
    padded = (counts + alignment - 1) // alignment * alignment
    padding_before = padded.cumsum(0) - padded - (counts.cumsum(0) - counts)
    index = torch.arange(len(experts), device=experts.device)
    places = index + padding_before[experts[order]]
    ends = padded.cumsum(0)
    ends[-1] = len(experts) + num_experts * (alignment - 1)
    return order, places, ends.to(torch.int32)


def _grouped(rows: Tensor, matrices: Tensor, ends: Tensor) -> Tensor:
    return functional.grouped_mm(rows, matrices.transpose(1, 2), offs=ends)


def _looped(rows: Tensor, matrices: Tensor, ends: Tensor) -> Tensor:
    parts = rows.split(ends.diff(prepend=ends.new_zeros(1)).tolist())
    products = [part @ matrix.T for part, matrix in zip(parts, matrices, strict=True)]
    return torch.cat(products)


LOOPED = Grouping(1, _looped)
GROUPED = Grouping(16, _grouped)
"""16 rows of two bytes are the 32 bytes that the kernel's loads want at least."""
