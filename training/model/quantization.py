"""Train with the weights that int4 serving will have: rounded forward, not rounded backward.

`rounded` is the exporter's `quantize` and `dequantize` (export/quantization/blockwise.py) in torch,
operation by operation, so that it runs on any device; a test holds the two together. Which tensor
gets how many bits is read from the exporter's own table.

The straight-through estimator (Bengio et al. 2013, arXiv:1308.3432) needs no code of its own:
gradients are taken at the rounded weights and applied to the unrounded ones.
"""

import functools
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final

import torch
from torch import Tensor, nn

from export.quantization.blockwise import NUM_REFINEMENTS, candidate_divisors, pack
from export.quantization.scheme import BITS
from export.spec.slot import SlotRole
from training.model.packed import BLOCK_SIZE

_CPU: Final = torch.device("cpu")

_ROLES: Final[Mapping[str, SlotRole]] = {
    "embed_tokens": "embedding",
    "q_proj": "projection",
    "k_proj": "projection",
    "v_proj": "projection",
    "o_proj": "projection",
    "gate_proj": "expert",
    "up_proj": "expert",
    "down_proj": "expert",
}


def bits_of(name: str) -> int | None:
    """Return how many bits the exporter's int4 scheme gives a parameter; None for all of them."""
    role = _ROLES.get(name.rpartition(".")[2])
    return None if role is None else BITS["int4"].get(role)


class Rounding:
    """Keeps each block's scale between steps: a full search is 20 times the work of using one."""

    def __init__(self, *, search_every: int, device: torch.device = _CPU) -> None:
        self._device = device
        self._search_every = search_every
        self._scales: dict[int, Tensor] = {}
        self._num_uses = 0

    @contextmanager
    def rounded_weights(self, parameters: Mapping[str, nn.Parameter]) -> Generator[None]:
        """Within it the parameters hold their rounded values; behind it, what they held before."""
        kept = {name: p.detach().clone() for name, p in parameters.items() if bits_of(name)}
        is_search = self._num_uses % self._search_every == 0 or not self._scales
        self._num_uses += 1
        try:
            for bits in sorted(set(BITS["int4"].values())):
                chosen = [parameters[name] for name in kept if bits_of(name) == bits]
                self._round(chosen, bits, is_search=is_search)
            yield
        finally:
            for name, values in kept.items():
                parameters[name].data.copy_(values)

    def state(self) -> dict[str, Tensor]:
        """Return what `load_state` needs; empty as long as nothing was rounded."""
        scales = {f"scales.{bits}": scale for bits, scale in self._scales.items()}
        return {**scales, "num_uses": torch.tensor(self._num_uses)}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        self._num_uses = int(state["num_uses"])
        for bits in set(BITS["int4"].values()):
            if f"scales.{bits}" in state:
                self._scales[bits] = state[f"scales.{bits}"].to(self._device)

    def _round(self, parameters: Sequence[nn.Parameter], bits: int, *, is_search: bool) -> None:
        # all blocks together: some operations on one tensor, not on a hundred
        blocks = torch.cat([parameter.data.reshape(-1, BLOCK_SIZE) for parameter in parameters])
        scale = search_scales(blocks, bits) if is_search else self._scales[bits]
        self._scales[bits] = scale
        values = _to_integers(blocks, scale, bits) * scale[:, None]
        parts = values.split([parameter.numel() // BLOCK_SIZE for parameter in parameters])
        for parameter, part in zip(parameters, parts, strict=True):
            parameter.data.copy_(part.reshape(parameter.shape))


def rounded(weight: Tensor, bits: int) -> Tensor:
    """Return what the exported package computes with in place of a weight [..., columns]."""
    integers, scale = _integers_and_scales(weight, bits)
    return (integers * scale[:, None]).reshape(weight.shape)


def packed(matrix: Tensor, bits: int) -> tuple[Tensor, Tensor]:
    """Return the integers and the scales of what `rounded` gives, laid out as packed.py says."""
    integers, scale = _integers_and_scales(matrix, bits)
    unsigned = (integers + 2 ** (bits - 1)).to(torch.uint8).reshape(matrix.shape)
    data = torch.from_numpy(pack(unsigned.cpu().numpy(), bits=bits))
    return data, scale.reshape(*matrix.shape[:-1], -1)


def _integers_and_scales(weight: Tensor, bits: int) -> tuple[Tensor, Tensor]:
    blocks = weight.detach().float().reshape(-1, BLOCK_SIZE)
    scale = search_scales(blocks, bits)
    return _to_integers(blocks, scale, bits), scale


def search_scales(blocks: Tensor, bits: int) -> Tensor:
    """Return the scale of least squared error for each of [num_blocks, block_size]."""
    extreme = blocks.gather(1, blocks.abs().argmax(dim=1, keepdim=True))[:, 0]
    plain = extreme / -(2 ** (bits - 1))
    best_scale = plain
    best_gain = torch.full_like(best_scale, -torch.inf)
    for divisor in torch.from_numpy(candidate_divisors(bits)).to(blocks.device):
        scale, gain = _fitted(blocks, extreme / divisor, bits)
        is_better = gain > best_gain
        best_scale = torch.where(is_better, scale, best_scale)
        best_gain = torch.where(is_better, gain, best_gain)
    for _ in range(NUM_REFINEMENTS):
        best_scale, _ = _fitted(blocks, best_scale, bits)
    is_worse = _squared_error(blocks, best_scale, bits) > _squared_error(blocks, plain, bits)
    return torch.where(is_worse, plain, best_scale)


def _fitted(blocks: Tensor, scale: Tensor, bits: int) -> tuple[Tensor, Tensor]:
    integers = _to_integers(blocks, scale, bits)
    product = _sum(blocks * integers)
    square = _sum(integers * integers)
    fitted = torch.where(square > 0, product / square.clamp(min=1), scale)
    return fitted, product * fitted


def _squared_error(blocks: Tensor, scale: Tensor, bits: int) -> Tensor:
    difference = _to_integers(blocks, scale, bits) * scale[:, None] - blocks
    return _sum(difference * difference)


def _sum(blocks: Tensor) -> Tensor:
    """Add up [num_blocks, BLOCK_SIZE] in numpy's order: eight sums side by side, then a tree.

    Of two scales that explain a block equally well the last bit of a sum chooses.
    """
    lanes = blocks.reshape(-1, BLOCK_SIZE // 8, 8).unbind(1)
    total = functools.reduce(torch.add, lanes)
    while total.shape[1] > 1:
        total = total[:, 0::2] + total[:, 1::2]
    return total[:, 0]


def _to_integers(blocks: Tensor, scale: Tensor, bits: int) -> Tensor:
    inverse = torch.where(scale != 0, 1 / scale, 0.0)
    limit = 2 ** (bits - 1)
    return (blocks * inverse[:, None]).round().clamp(-limit, limit - 1)
