"""Send each token to its experts, and compute all experts in few matrix products.

The rows of all chosen experts are sorted by expert into one buffer, every expert's rows starting at
a multiple of `alignment`. Its length does not depend on the routing, so nothing waits for the
device and shapes stay fixed for the compiler. Where torch has a grouped matrix product for the
device it does the work; elsewhere a loop over the experts does, with the same result.
"""

from collections.abc import Callable
from typing import NamedTuple, Protocol

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
    num_tokens, num_choices = chosen.shape
    gate, up, down = matrices
    places, ends = places_by_expert(chosen, len(gate), grouping.alignment)
    length = buffer_length(num_tokens * num_choices, len(gate), grouping.alignment)
    copies = x[:, None].expand(-1, num_choices, -1).reshape(-1, x.shape[1])
    rows = x.new_zeros(length, x.shape[1]).index_copy(0, places, copies)
    product = grouping.product
    hidden = functional.silu(product(rows, gate, ends)) * product(rows, up, ends)
    output = _rows_at(product(hidden, down, ends), places).view(num_tokens, num_choices, -1)
    return (output * weights[..., None].to(output.dtype)).sum(dim=1)


def buffer_length(num_choices: int, num_experts: int, alignment: int) -> int:
    """Return a multiple of `alignment` that has room for any routing."""
    most = num_choices + num_experts * (alignment - 1)
    return -(-most // alignment) * alignment


def places_by_expert(chosen: Tensor, num_experts: int, alignment: int) -> tuple[Tensor, Tensor]:
    """Lay the choices out expert by expert.

    Returns the row of each choice in the buffer, [num_tokens * num_experts_per_tok], and the row
    behind each expert's last, [num_experts]; for the last expert the end of the buffer.
    """
    experts = chosen.reshape(-1)
    numbers = torch.arange(num_experts, device=experts.device)
    counts = (experts[:, None] == numbers).sum(0)
    padded = (counts + alignment - 1) // alignment * alignment
    padding_before = padded.cumsum(0) - padded - (counts.cumsum(0) - counts)
    order = torch.argsort(experts, stable=True)
    ranks = torch.arange(len(experts), device=experts.device)
    places = torch.empty_like(order).index_copy(0, order, ranks + padding_before[experts[order]])
    ends = padded.cumsum(0)
    ends[-1] = buffer_length(len(experts), num_experts, alignment)
    return places, ends.to(torch.int32)


class _Context(Protocol):
    """What torch hands from forward to backward; its own class declares no attributes."""

    length: int
    saved_tensors: tuple[Tensor, ...]

    def save_for_backward(self, *tensors: Tensor) -> None: ...


class _RowsAt(torch.autograd.Function):
    """Rows at places that are all different: their gradients are copied, not added up.

    Adding up takes atomic operations on a GPU, which cost time and give other sums every time.
    """

    @staticmethod
    def forward(ctx: _Context, rows: Tensor, places: Tensor) -> Tensor:
        ctx.save_for_backward(places)
        ctx.length = len(rows)
        return rows[places]

    @staticmethod
    def backward(ctx: _Context, *grad_outputs: Tensor) -> tuple[Tensor, None]:
        (places,), (gradient,) = ctx.saved_tensors, grad_outputs
        zeros = gradient.new_zeros(ctx.length, gradient.shape[1])
        return zeros.index_copy(0, places, gradient), None


def _rows_at(rows: Tensor, places: Tensor) -> Tensor:
    return _RowsAt.apply(rows, places)


def _grouped(rows: Tensor, matrices: Tensor, ends: Tensor) -> Tensor:
    return functional.grouped_mm(rows, matrices.transpose(1, 2), offs=ends)


def _looped(rows: Tensor, matrices: Tensor, ends: Tensor) -> Tensor:
    parts = rows.split(ends.diff(prepend=ends.new_zeros(1)).tolist())
    products = [part @ matrix.T for part, matrix in zip(parts, matrices, strict=True)]
    return torch.cat(products)


LOOPED = Grouping(1, _looped)
GROUPED = Grouping(16, _grouped)
"""16 rows of two bytes are the 32 bytes that the kernel's loads want at least."""
