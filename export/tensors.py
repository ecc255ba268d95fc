"""Decide which tensors of a checkpoint fill which slots of a spec, each exactly once.

A family is a table of Rules. Planning looks at names alone; it opens no file.

Invariant 18: every tensor is used exactly once and every slot is filled, or planning fails and
names the first difference.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Final

import msgspec

from export.errors import CheckpointError
from export.spec import Slot

_FIELD: Final = re.compile(r"\{(\w+)\}")


class Rule(msgspec.Struct, frozen=True):
    """Tensors named like `pattern` fill the slots named like `slot`.

    `{layer}` and the like stand for one number each. `stack` names the number by which several
    tensors are stacked, in order, into one slot; "" means one tensor a slot.
    """

    pattern: str
    slot: str
    stack: str = ""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """`parts`: for each slot its tensors in stacking order, of which there is one without a stack.

    `copies`: tensors that must equal the slot beside them and are otherwise not needed.
    """

    parts: dict[str, tuple[str, ...]]
    copies: dict[str, str]


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
    matchers = [(_compiled(rule.pattern), rule) for rule in rules]
    found: dict[str, dict[int, str]] = {}
    copies: dict[str, str] = {}
    for name in sorted(names):
        slot, index = _place(name, matchers)
        if slot in aliases:
            copies[name] = aliases[slot]
        elif slot not in slots:
            raise CheckpointError(f"the checkpoint's tensor {name} has no place in this model")
        elif found.setdefault(slot, {}).setdefault(index, name) != name:
            raise CheckpointError(f"the tensors {found[slot][index]} and {name} are the same one")
    return Plan(
        parts={slot: _ordered(slot, slots[slot], found, rules) for slot in slots}, copies=copies
    )


def _compiled(pattern: str) -> re.Pattern[str]:
    # Numbers are written without leading zeros, so that one index has one spelling.
    escaped = re.escape(pattern).replace(r"\{", "{").replace(r"\}", "}")
    return re.compile(_FIELD.sub(r"(?P<\1>0|[1-9][0-9]{0,5})", escaped))


def _place(name: str, matchers: Sequence[tuple[re.Pattern[str], Rule]]) -> tuple[str, int]:
    for matcher, rule in matchers:
        match = matcher.fullmatch(name)
        if match is not None:
            return rule.slot.format_map(match.groupdict()), int(
                match[rule.stack] if rule.stack else 0
            )
    raise CheckpointError(f"the checkpoint's tensor {name} has no place in this model")


def _ordered(
    slot: str, expected: Slot, found: Mapping[str, Mapping[int, str]], rules: Sequence[Rule]
) -> tuple[str, ...]:
    parts = found.get(slot, {})
    is_stacked = any(rule.stack and _compiled(rule.slot).fullmatch(slot) for rule in rules)
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
