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


def product_dtype(device: torch.device) -> torch.dtype:
    """Return what matrices are multiplied in: bf16, and float32 on a CPU that only emulates bf16.

    With AVX2 alone a product of 1,024 takes 85 to 100 times as long in bf16 as in float32
    (measured).
    """
    is_emulated = device.type == "cpu" and torch.backends.cpu.get_cpu_capability() == "AVX2"
    return torch.float32 if is_emulated else torch.bfloat16


@functools.cache
def matrix_rate(device: torch.device, dtype: torch.dtype) -> float:
    """Return the FLOP/s of a square matrix product, the median of ten timed ones.

    Measured once in a process.
    """
    size = 8192 if device.type == "cuda" else 1024
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
