"""Weights by slot name, made when they are asked for and then forgotten.

Three steps stand between a checkpoint and the graph, and each is a mapping: the checkpoint's
tensors in slots, those rounded, those widened again for the oracle. So one tensor at a time is in
memory, or one small layer, whatever the size of the checkpoint.
"""

from collections.abc import Callable, Iterator, Mapping
from itertools import chain
from typing import Final, Generic, TypeVar

import numpy as np

from export.checkpoint.plan import Plan, Rule, stored_shape, taken
from export.checkpoint.stored import Checkpoint, Float32, Integers
from export.errors import CheckpointError
from export.quantization.blockwise import (
    Float,
    Quantized,
    Weight,
    dequantize,
    pack,
    rounding_error,
    stacked,
)
from export.quantization.rounding import Grid
from export.quantization.scheme import (
    FindMoments,
    Scheme,
    apply_scheme,
    no_moments,
    scheme_slots,
    source_slot,
)
from export.spec.slot import Slot, SlotRole

Made = TypeVar("Made")


class OnDemand(Mapping[str, Made], Generic[Made]):
    """A mapping whose values are made at each access; none is kept."""

    def __init__(self, names: Mapping[str, object], make: Callable[[str], Made]) -> None:
        self._names = names
        self._make = make

    def __getitem__(self, name: str) -> Made:
        if name not in self._names:
            raise KeyError(name)
        return self._make(name)

    def __contains__(self, name: object) -> bool:
        return name in self._names  # the inherited one would make the value

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def under(values: Mapping[str, Made], prefix: str) -> Mapping[str, Made]:
    """Return the part whose names begin with `prefix`, named without it."""
    names = {name.removeprefix(prefix): name for name in values if name.startswith(prefix)}
    return OnDemand(names, lambda name: values[names[name]])


def slot_values(
    checkpoint: Checkpoint, plan: Plan, slots: Mapping[str, Slot]
) -> Mapping[str, Float32]:
    """Read a slot's tensors, stacked where it has several.

    Raises CheckpointError where their shape is not the slot's.
    """

    def read(name: str) -> Float32:
        rule, shape = plan.rules.get(name), slots[name].shape
        parts = (taken(rule, checkpoint.read(part)) for part in plan.parts[name])
        first = next(parts)
        # One tensor may be a whole slot or the only part of a stacked one.
        if first.ndim == len(shape):
            return np.ascontiguousarray(first)
        stack = np.empty(shape, np.float32)
        for index, part in enumerate(chain([first], parts)):  # one part at a time in memory
            stack[index] = part
        return stack

    _check_shapes(checkpoint, plan, slots)
    return OnDemand(plan.parts, read)


def check_copies(checkpoint: Checkpoint, plan: Plan) -> None:
    """Check that a tensor stored beside the one it is tied to is the same.

    Raises CheckpointError where it differs, since only one of them can be used.
    """
    for name, slot in plan.copies.items():
        original = plan.parts[slot][0]
        if not np.array_equal(checkpoint.read(name), checkpoint.read(original)):
            raise CheckpointError(
                f"{name} differs from {original}, yet config.json ties them; "
                "set tie_word_embeddings to false"
            )


FindStored = Callable[[str, Grid], Quantized | None]
"""Returns a slot that the checkpoint stores on a grid already, as it is stored."""


def nothing_stored(name: str, grid: Grid) -> None:
    """Know no slot that is rounded already."""


class StoredBlocks:
    """Take over what a checkpoint stores rounded, bit for bit, where its groups are our blocks.

    That is where they lie in order, in as many bits and as large as the scheme wants them, and
    where a slot takes whole rows. What was asked for is counted: `taken` so, `rounded` again.
    """

    def __init__(self, checkpoint: Checkpoint, plan: Plan, slots: Mapping[str, Slot]) -> None:
        self._checkpoint = checkpoint
        self._plan = plan
        self._slots = slots
        self.taken: set[str] = set()
        self.rounded: set[str] = set()

    def find(self, name: str, grid: Grid) -> Quantized | None:
        entries = [self._checkpoint.tensors[part] for part in self._plan.parts[name]]
        if not any(entry.is_rounded for entry in entries):
            return None
        found = self._read(name, grid) if self._takes_rows(name) else None
        (self.rounded if found is None else self.taken).add(name)
        return found

    def _takes_rows(self, name: str) -> bool:
        rule = self._plan.rules.get(name)
        if rule is None:
            return True
        takes_columns = rule.share is not None and rule.share.axis != 0
        is_changed = rule.transposed or rule.has_leading_one or rule.unit_columns
        return not (is_changed or takes_columns)

    def _read(self, name: str, grid: Grid) -> Quantized | None:
        rule, shape = self._plan.rules.get(name), self._slots[name].shape
        parts: list[Quantized] = []
        for part in self._plan.parts[name]:
            integers = self._checkpoint.integers(part, bits=grid.bits, block_size=grid.block_size)
            if integers is None:
                return None
            parts.append(_as_blocks(integers, grid.block_size, rule))
        return stacked(parts) if parts[0].data.ndim < len(shape) else parts[0]


def _as_blocks(integers: Integers, block_size: int, rule: Rule | None) -> Quantized:
    values, zeros = taken(rule, integers.values), taken(rule, integers.zeros)
    is_middle = bool((zeros == 2 ** (integers.bits - 1)).all())
    return Quantized(
        bits=integers.bits,
        block_size=block_size,
        data=np.ascontiguousarray(pack(values, bits=integers.bits)),
        scales=np.ascontiguousarray(taken(rule, integers.scales)),
        zero_points=None if is_middle else pack(zeros, bits=integers.bits),
    )


class RoundingErrors:
    """Add up how far rounding moved the weights of each role."""

    def __init__(self) -> None:
        self._squares: dict[SlotRole, tuple[float, float]] = {}

    def add(self, role: SlotRole, values: Float32, weight: Quantized) -> None:
        before = self._squares.get(role, (0.0, 0.0))
        error, size = rounding_error(values, weight)
        self._squares[role] = (before[0] + error, before[1] + size)

    def figures(self) -> dict[str, dict[str, float]]:
        """Return the relative root mean square error by role, in three digits.

        Fewer digits than were computed, so that a package's manifest is the same everywhere.
        """
        errors = {
            role: float(f"{np.sqrt(error / size):.3g}")
            for role, (error, size) in self._squares.items()
            if size > 0
        }
        return {"weight_error": errors} if errors else {}


def ignore_rounding(role: SlotRole, values: Float32, weight: Quantized) -> None:
    """Take no notice."""


def scheme_weights(
    scheme: Scheme,
    slots: Mapping[str, Slot],
    values: Mapping[str, Float32],
    *,
    find_stored: FindStored = nothing_stored,
    find_moments: FindMoments = no_moments,
    on_rounded: Callable[[SlotRole, Float32, Quantized], None] = ignore_rounding,
) -> Mapping[str, Weight]:
    """Round each slot as the scheme says, unless it is stored so, and report what was rounded."""
    needed = scheme_slots(scheme, slots)

    def make(name: str) -> Weight:
        slot, source = needed[name], source_slot(name, slots)
        grid = scheme.grid(name, slot)
        stored = None if grid is None else find_stored(source, grid)
        if stored is not None:
            return stored
        exact = values[source]
        weight = apply_scheme(scheme, name, slot, exact, find_moments=find_moments)
        if isinstance(weight, Quantized):
            on_rounded(slot.role, exact, weight)
        return weight

    return OnDemand(needed, make)


def dequantized(weights: Mapping[str, Weight]) -> Mapping[str, Float32]:
    """Return what the rounded weights stand for: the oracle's input."""

    def widen(name: str) -> Float32:
        match weights[name]:
            case Float(values):
                return values.astype(np.float32, copy=False)
            case Quantized() as weight:
                return dequantize(weight)

    return OnDemand(weights, widen)


MAX_LAYER_BYTES: Final = 1 << 28


def layer_kept(values: Mapping[str, Float32]) -> Mapping[str, Float32]:
    """Keep what was read last of one layer, up to MAX_LAYER_BYTES, until another one is asked for.

    A layer is read for each window of a text that it is given, and once more to be rounded.
    What is kept cannot be written to.
    """
    found: dict[str, Float32] = {}
    layers: list[str] = []

    def make(name: str) -> Float32:
        layer = ".".join(name.split(".")[:2])
        if layers != [layer]:
            found.clear()
            layers[:] = [layer]
        if name in found:
            return found[name]
        value = values[name]
        if value.nbytes + sum(one.nbytes for one in found.values()) <= MAX_LAYER_BYTES:
            value.flags.writeable = False
            found[name] = value
        return value

    return OnDemand(values, make)


def kept(values: Mapping[str, Made]) -> Mapping[str, Made]:
    """Keep what was made, for weights that are few and costly to make."""
    found: dict[str, Made] = {}

    def make(name: str) -> Made:
        if name not in found:
            found[name] = values[name]
        return found[name]

    return OnDemand(values, make)


def watched(values: Mapping[str, Made], on_access: Callable[[str], None]) -> Mapping[str, Made]:
    """Report each access before it is made."""

    def make(name: str) -> Made:
        on_access(name)
        return values[name]

    return OnDemand(values, make)


def _check_shapes(checkpoint: Checkpoint, plan: Plan, slots: Mapping[str, Slot]) -> None:
    for slot, parts in plan.parts.items():
        shape = slots[slot].shape
        for name in parts:
            found = checkpoint.tensors[name].shape
            is_stacked = slots[slot].role == "expert" and len(found) < 3
            expected = stored_shape(plan.rules.get(slot), shape[1:] if is_stacked else shape)
            if found != expected:
                raise CheckpointError(
                    f"{name} has shape {list(found)} where config.json needs {list(expected)}"
                )
