"""Choose which tensors of a 4-bit model get 8 bits: those whose rounding costs most for its size.

The model reads calibration text with one layer after another rounded, which moves the next token's
distribution. Of what a layer moves, each group of its tensors that share an operator has the share
that it moves the layer's own output by, alone (mean squares). What a group moves, per byte that 8
bits would add, ranks them; they are raised in that order until a fifth of the 4-bit weights is.
"""

from collections import ChainMap
from collections.abc import Mapping, Sequence
from math import prod
from typing import Final

import msgspec
import numpy as np

from export.quantization.blockwise import Quantized, dequantize
from export.quantization.scheme import Scheme, apply_scheme
from export.spec.decoder import DecoderSpec, Slot, slots
from export.spec.oracle import Array, Slots, embed, run_layer, score
from export.texts import Text
from inference.decoding.probabilities import log_probabilities

RAISED_SHARE: Final = 0.2
"""How much of the 4-bit weights is raised; the package grows by as much of their size."""

NUM_TOKENS: Final = 512

SCORED_EVERY: Final = 4
"""One token in so many: of a large vocabulary, scores cost more than all layers."""

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


class _Moved(msgspec.Struct):
    """What the text is after so many layers, where one of them was rounded.

    `shares` are by group what it moved that layer's output by, over what all of them did.
    """

    x: Array
    shares: Mapping[str, float]


class _Step(msgspec.Struct, frozen=True):
    """One layer: what it is given, and what it gives with its own weights."""

    spec: DecoderSpec
    weights: Mapping[str, Array]
    index: int
    x: Array
    after: Array
    window: int | None

    def run(self, *changed: Mapping[str, Array]) -> Array:
        """Return what it gives with other values in these slots."""
        values: ChainMap[str, Array] = ChainMap(*map(dict, changed), self.weights)  # pyright: ignore[reportArgumentType] - read only
        return run_layer(
            self.spec, Slots(values, np.float32), self.index, self.x, window=self.window
        )


def _losses(
    scheme: Scheme,
    spec: DecoderSpec,
    weights: Mapping[str, Array],
    text: Text,
    groups: Mapping[str, Sequence[str]],
) -> dict[str, float]:
    """Return by group how far rounding it moves the distribution, in nats a token.

    In two digits, so that the last bits of sums do not choose.
    """
    exact, moved = Slots(weights, np.float32), list[_Moved]()
    x = embed(spec, exact, text.token_ids, window=text.window)
    for index in range(len(spec.layers)):  # each layer's weights are read for all at once
        after = run_layer(spec, exact, index, x, window=text.window)
        for one in moved:
            one.x = run_layer(spec, exact, index, one.x, window=text.window)
        rounded = {
            name: _rounded(scheme, spec, weights, members)
            for name, members in groups.items()
            if int(name.split(".")[1]) == index
        }
        if rounded:
            moved.append(_moved(_Step(spec, weights, index, x, after, text.window), rounded))
        x = after
    original = log_probabilities(score(spec, exact, x[::SCORED_EVERY]))
    losses: dict[str, float] = {}
    for one in moved:
        found = log_probabilities(score(spec, exact, one.x[::SCORED_EVERY]))
        divergence = (np.exp(original) * (original - found)).sum(axis=1).mean()
        losses |= {name: float(f"{divergence * share:.2g}") for name, share in one.shares.items()}
    return losses


def _moved(step: _Step, rounded: Mapping[str, Mapping[str, Array]]) -> _Moved:
    """Run a layer with all of its groups rounded, and with each alone."""
    together = step.run(*rounded.values())
    whole = float(np.square(together - step.after).mean()) or 1.0
    shares = {
        name: float(np.square(step.run(part) - step.after).mean()) / whole
        for name, part in rounded.items()
    }
    return _Moved(together, shares)


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
