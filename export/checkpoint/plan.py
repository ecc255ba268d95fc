"""Decide which tensors of a checkpoint fill which slots of a spec, each exactly once.

A family is a table of Rules. Planning looks at names alone; it opens no file.

Invariant 18: every tensor is used exactly once and every slot is filled, or planning fails and
names the first difference.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from itertools import chain
from typing import Any, Final, TypeVar

import msgspec
import numpy as np
import numpy.typing as npt

from export.errors import CheckpointError
from export.spec.slot import Slot

Array = npt.NDArray[np.floating[Any]]
Scalar = TypeVar("Scalar", bound=np.generic)

_FIELD: Final = re.compile(r"\{(\w+)\}")


UNIT_EPSILON: Final = 1e-7


class Share(msgspec.Struct, frozen=True, kw_only=True):
    """One of the parts that a tensor has along one axis of its slot: the `index`th of `sizes`.

    `sizes` are relative to each other. The parts lie behind each other once, or again and again in
    `num_groups` groups; None means in as many as there are entries for.
    """

    axis: int
    index: int
    sizes: tuple[int, ...] = (1, 1)
    num_groups: int | None = 1


class Rule(msgspec.Struct, frozen=True):
    """Tensors named like `pattern` fill the slots named like `slot`.

    `{layer}` and the like stand for one number each. `stack` names the number by which several
    tensors are stacked, in order, into one slot; "" means one tensor a slot. A tensor may be
    `transposed`, its last two axes exchanged, and several slots may have a `share` of it each.
    It may be stored with a first axis of size one, which the slot lacks. With `unit_columns` those
    of a matrix are brought to length one, divided by it plus UNIT_EPSILON.
    """

    pattern: str
    slot: str
    stack: str = ""
    share: Share | None = None
    transposed: bool = False
    has_leading_one: bool = False
    unit_columns: bool = False


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """The slot that gives a tensor back, and the place in its stack; None where it is whole."""

    slot: str
    index: int | None
    rule: Rule


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """`parts`: for each slot its tensors in stacking order, of which there is one without a stack.

    `copies`: tensors that must equal the slot beside them and are otherwise not needed.
    `rules`: for each slot the rule that filled it.
    """

    parts: dict[str, tuple[str, ...]]
    copies: dict[str, str]
    rules: dict[str, Rule] = msgspec.field(default_factory=dict[str, Rule])

    @property
    def names(self) -> frozenset[str]:
        """The tensors of the checkpoint that have a place."""
        return frozenset(chain(self.copies, *self.parts.values()))


def plan(
    rules: Sequence[Rule],
    names: Collection[str],
    slots: Mapping[str, Slot],
    *,
    aliases: Mapping[str, str],
) -> Plan:
    """Assign every tensor name to a slot.

    `aliases` names slots that the spec does not have because another one serves in their place: a
    head tied to the embedding. Checkpoints may store such a tensor twice.
    Raises CheckpointError naming a tensor without a place, or a slot without its tensors.
    """
    matchers = [(compiled(rule.pattern), rule) for rule in rules]
    found: dict[str, dict[int, str]] = {}
    copies: dict[str, str] = {}
    used: dict[str, Rule] = {}
    for name in sorted(names):
        for slot, index, rule in _places(name, matchers):
            used[slot] = rule
            if slot in aliases:
                copies[name] = aliases[slot]
            elif slot not in slots:
                raise CheckpointError(f"the checkpoint's tensor {name} has no place in this model")
            elif found.setdefault(slot, {}).setdefault(index, name) != name:
                first = found[slot][index]
                raise CheckpointError(f"the tensors {first} and {name} are the same one")
    parts = {
        slot: _ordered(slot, slots[slot], found, _rules_of(slot, used, rules)) for slot in slots
    }
    return Plan(parts=parts, copies=copies, rules=used)


def unplaced(rules: Sequence[Rule], names: Collection[str], slots: Collection[str]) -> list[str]:
    """Return the tensors that no rule assigns to one of the slots."""
    matchers = [(compiled(rule.pattern), rule) for rule in rules]
    return [
        name
        for name in sorted(names)
        if not any(
            rule.slot.format_map(match.groupdict()) in slots
            for matcher, rule in matchers
            if (match := matcher.fullmatch(name)) is not None
        )
    ]


def compiled(pattern: str) -> re.Pattern[str]:
    """Return what finds names like a pattern, with its numbers by their names."""
    # Numbers are written without leading zeros, so that one index has one spelling.
    escaped = re.escape(pattern).replace(r"\{", "{").replace(r"\}", "}")
    return re.compile(_FIELD.sub(r"(?P<\1>0|[1-9][0-9]{0,5})", escaped))


def _places(
    name: str, matchers: Sequence[tuple[re.Pattern[str], Rule]]
) -> list[tuple[str, int, Rule]]:
    """Return each slot that a tensor fills or has a share in, and its place in the stack."""
    found = [
        (
            rule.slot.format_map(match.groupdict()),
            int(match[rule.stack]) if rule.stack else 0,
            rule,
        )
        for matcher, rule in matchers
        if (match := matcher.fullmatch(name)) is not None
    ]
    if not found:
        raise CheckpointError(f"the checkpoint's tensor {name} has no place in this model")
    return found


def _rules_of(slot: str, used: Mapping[str, Rule], rules: Sequence[Rule]) -> Sequence[Rule]:
    """Return the rule that filled a slot, or all that could have: some stack it, some do not."""
    if slot in used:
        return [used[slot]]
    return [rule for rule in rules if compiled(rule.slot).fullmatch(slot)]


def _ordered(
    slot: str, expected: Slot, found: Mapping[str, Mapping[int, str]], rules: Sequence[Rule]
) -> tuple[str, ...]:
    parts = found.get(slot, {})
    is_stacked = any(rule.stack for rule in rules)
    num_parts = expected.shape[0] if is_stacked else 1
    for index in range(num_parts):
        if index not in parts:
            which = f" (part {index} of {num_parts})" if is_stacked else ""
            raise CheckpointError(f"the checkpoint has no tensor for {slot}{which}")
    surplus = parts.keys() - set(range(num_parts))
    if surplus:
        raise CheckpointError(
            f"the checkpoint's tensor {parts[min(surplus)]} has no place in this model, "
            f"which takes {num_parts}"
        )
    return tuple(parts[index] for index in range(num_parts))


def stored_shape(rule: Rule | None, shape: Sequence[int]) -> tuple[int, ...]:
    """Return the shape of the tensor that fills a slot, or a place of a stack, of `shape`."""
    stored = list(shape)
    if rule is None:
        return tuple(stored)
    if rule.share is not None:
        sizes = rule.share.sizes
        stored[rule.share.axis] = stored[rule.share.axis] * sum(sizes) // sizes[rule.share.index]
    if rule.transposed:
        stored[-2:] = reversed(stored[-2:])
    return (1, *stored) if rule.has_leading_one else tuple(stored)


def taken(rule: Rule | None, values: npt.NDArray[Scalar]) -> npt.NDArray[Scalar]:
    """Return what a slot takes of a tensor, all of it without a rule."""
    if rule is None:
        return values
    if rule.has_leading_one:
        values = values[0]
    if rule.transposed:
        values = np.swapaxes(values, -1, -2)
    if rule.unit_columns:
        lengths = np.sqrt(np.sum(np.square(values), axis=-2, keepdims=True))
        values = values / (lengths + values.dtype.type(UNIT_EPSILON))
    if rule.share is None:
        return values
    part = _part(rule.share, values)
    axis = rule.share.axis
    return part.reshape(*values.shape[:axis], -1, *values.shape[axis + 1 :])


def _part(share: Share, values: npt.NDArray[Scalar]) -> npt.NDArray[Scalar]:
    """Return a view of one part, whose axis is two: its groups, and what is in each of them."""
    axis, size, total = share.axis, values.shape[share.axis], sum(share.sizes)
    num_groups = size // total if share.num_groups is None else share.num_groups
    grouped = values.reshape(*values.shape[:axis], num_groups, -1, *values.shape[axis + 1 :])
    unit = grouped.shape[axis + 1] // total
    begin = sum(share.sizes[: share.index]) * unit
    end = begin + share.sizes[share.index] * unit
    return grouped[(slice(None),) * (axis + 1) + (slice(begin, end),)]


def origins(rules: Sequence[Rule], slots: Mapping[str, Slot]) -> dict[str, list[Origin]]:
    """Read the rules backwards: return each tensor of a checkpoint and the slots it is made of.

    Where a family knows several spellings, the first one is written.
    """
    matchers = [(compiled(rule.slot), rule) for rule in rules]
    found: dict[str, list[Origin]] = {}
    for slot, shape in ((name, slot.shape) for name, slot in slots.items()):
        matched = next(
            (
                (match.groupdict(), rule)
                for matcher, rule in matchers
                if (match := matcher.fullmatch(slot)) is not None
            ),
            None,
        )
        if matched is None:
            raise CheckpointError(f"no tensor of this family's checkpoints is {slot}")
        fields, rule = matched
        for index in range(shape[0]) if rule.stack else [None]:
            name = rule.pattern.format_map(fields | {rule.stack: str(index)})
            found.setdefault(name, []).append(Origin(slot=slot, index=index, rule=rule))
    return found


def given_back(rule: Rule, parts: Sequence[tuple[Rule, Array]]) -> Array:
    """Undo `taken`: put the shares of several slots, or the whole of one, into one tensor."""
    whole = parts[0][1] if rule.share is None else _joined(rule.share, parts)
    if len(parts) != (1 if rule.share is None else len(rule.share.sizes)):
        raise CheckpointError(f"only {len(parts)} parts of {rule.pattern} are in this model")
    whole = np.swapaxes(whole, -1, -2) if rule.transposed else whole
    return whole[None] if rule.has_leading_one else whole


def _joined(share: Share, parts: Sequence[tuple[Rule, Array]]) -> Array:
    first = parts[0][1]
    shape = list(first.shape)
    shape[share.axis] = sum(values.shape[share.axis] for _, values in parts)
    whole = np.empty(shape, first.dtype)
    for rule, values in parts:
        assert rule.share is not None
        part = _part(rule.share, whole)
        part[...] = values.reshape(part.shape)
    return whole
