"""Choose which tensors of a 4-bit model get 8 bits: those whose rounding costs most for its size.

For each group of tensors that share an operator, the model reads calibration text with that group
alone rounded. What this moves the next token's distribution, per byte that 8 bits would add, ranks
the groups; they are raised in that order until a fifth of the 4-bit weights is.
"""

from collections import ChainMap
from collections.abc import Mapping, Sequence
from math import prod
from typing import Final

import numpy as np

from export.quantization.blockwise import Quantized, dequantize
from export.quantization.scheme import Scheme, apply_scheme
from export.spec.decoder import DecoderSpec, Slot, slots
from export.spec.oracle import Array, Slots, embed, run_layer, score
from export.texts import Text
from inference.decoding.probabilities import log_probabilities

RAISED_SHARE: Final = 0.2
"""How much of the 4-bit weights is raised; the package grows by as much of their size."""

NUM_TOKENS: Final = 1024

_FUSED: Final = ({"query", "key", "value"}, {"gate", "up"})
"""Tensors that lie in one matrix of the graph, and so have the same number of bits."""


def raise_sensitive(
    scheme: Scheme, spec: DecoderSpec, weights: Mapping[str, Array], text: Text
) -> frozenset[str]:
    """Return the slots that get 8 bits. `weights` are all slots in full precision."""
    needed = slots(spec)
    groups = _groups(scheme, needed)
    losses = _losses(scheme, spec, weights, text, groups)
    sizes = {name: sum(prod(needed[slot].shape) for slot in groups[name]) for name in groups}
    budget = RAISED_SHARE * sum(sizes.values())
    raised: list[str] = []
    for name in sorted(groups, key=lambda name: (-losses[name] / sizes[name], name)):
        if sizes[name] <= budget:
            budget -= sizes[name]
            raised += groups[name]
    return frozenset(raised)


def _groups(scheme: Scheme, needed: Mapping[str, Slot]) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = {}
    for name, slot in needed.items():
        grid = scheme.grid(name, slot)
        if grid is not None and grid.bits == 4:
            groups.setdefault(_group(name, slot), []).append(name)
    return groups


def _group(name: str, slot: Slot) -> str:
    prefix, _, last = name.rpartition(".")
    if slot.role == "expert":  # one operator for all matrices of the experts
        return prefix
    fused = [names for names in _FUSED if last in names]
    return f"{prefix}.{'_'.join(sorted(fused[0]))}" if fused else name


def _losses(
    scheme: Scheme,
    spec: DecoderSpec,
    weights: Mapping[str, Array],
    text: Text,
    groups: Mapping[str, Sequence[str]],
) -> dict[str, float]:
    """Return by group how far rounding it alone moves the distribution, in nats a token.

    In two digits, so that the last bits of sums do not choose.
    """
    states = [embed(spec, Slots(weights, np.float32), text.token_ids, window=text.window)]
    for index in range(len(spec.layers)):
        slots_of_layer = Slots(weights, np.float32)
        states.append(run_layer(spec, slots_of_layer, index, states[-1], window=text.window))
    original = log_probabilities(score(spec, Slots(weights, np.float32), states[-1]))
    losses: dict[str, float] = {}
    for name, members in groups.items():
        changed = Slots(ChainMap(_rounded(scheme, spec, weights, members), weights), np.float32)  # pyright: ignore[reportArgumentType] - read only
        first = int(name.split(".")[1])
        x = states[first]
        for index in range(first, len(spec.layers)):
            x = run_layer(spec, changed, index, x, window=text.window)
        found = log_probabilities(score(spec, changed, x))
        divergence = (np.exp(original) * (original - found)).sum(axis=1).mean()
        losses[name] = float(f"{divergence:.2g}")
    return losses


def _rounded(
    scheme: Scheme, spec: DecoderSpec, weights: Mapping[str, Array], names: Sequence[str]
) -> dict[str, Array]:
    needed = slots(spec)
    rounded: dict[str, Array] = {}
    for name in names:
        values = weights[name].astype(np.float32, copy=False)
        weight = apply_scheme(scheme, name, needed[name], values)
        assert isinstance(weight, Quantized)
        rounded[name] = dequantize(weight)
    return rounded
