"""How fast the machine could be, and which share of that a run reaches.

The ceiling is measured, not read off a data sheet: a large matrix product of random numbers.
"""

import functools
import time
from typing import Final

import torch

from training.model.configuration import Shape

_REPEATS: Final = 10


def flops_per_token(shape: Shape, sequence_length: int) -> int:
    """Count multiplications and additions of a forward and a backward pass for one token.

    6 for each active parameter (Kaplan et al. 2020, arXiv:2001.08361, section 2.1), and causal
    attention over half a window on average.
    """
    attention = 6 * shape.num_hidden_layers * shape.num_attention_heads * shape.head_dim
    return 6 * shape.num_active_parameters + attention * sequence_length


@functools.cache
def matrix_rate(device: torch.device, dtype: torch.dtype) -> float:
    """Return the FLOP/s of a square matrix product, the median of ten timed ones.

    Measured once in a process. On a processor without instructions for bf16 a product of 1,024
    takes two seconds, so there it is a smaller one.
    """
    size = 8192 if device.type == "cuda" else 256
    left = torch.randn(size, size, device=device, dtype=dtype)
    right = torch.randn(size, size, device=device, dtype=dtype)
    seconds = [_seconds_of_product(left, right) for _ in range(3 + _REPEATS)][3:]
    return 2 * size**3 / sorted(seconds)[_REPEATS // 2]


def _seconds_of_product(left: torch.Tensor, right: torch.Tensor) -> float:
    synchronize(left.device)
    start = time.perf_counter()
    torch.mm(left, right)
    synchronize(left.device)
    return time.perf_counter() - start


def synchronize(device: torch.device) -> None:
    """Wait until the device has done what it was given; a CPU always has."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
