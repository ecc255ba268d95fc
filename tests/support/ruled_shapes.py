"""The tensors that a family's own rules look for: its table read backwards.

A name that is wrong in the table is wrong here too, and then transformers does not find its tensor:
the golden logits of every family come from a load in which none was missing and none left over.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from export.architectures import read_architecture
from export.checkpoint.config import Config
from export.checkpoint.plan import Rule, stored_shape
from export.spec.decoder import Slot, slots

Shape = tuple[int, ...]


def ruled_shapes(config: Mapping[str, Any]) -> dict[str, Shape]:
    """Return every tensor of a checkpoint with this config by name."""
    architecture = read_architecture(Config(config, "config.json"))
    rules = architecture.family.rules
    return {
        name: shape
        for slot_name, slot in slots(architecture.spec).items()
        for name, shape in _tensors(rules, slot_name, slot)
    }


def _tensors(rules: Sequence[Rule], slot_name: str, slot: Slot) -> Iterator[tuple[str, Shape]]:
    rule, numbers = next(_matching(rules, slot_name))
    if not rule.stack:
        yield rule.pattern.format_map(numbers), stored_shape(rule, slot.shape)
        return
    for index in range(slot.shape[0]):
        yield rule.pattern.format_map(numbers | {rule.stack: index}), slot.shape[1:]


def _matching(rules: Sequence[Rule], slot_name: str) -> Iterator[tuple[Rule, dict[str, str | int]]]:
    for rule in rules:
        pattern = re.escape(rule.slot).replace(r"\{layer\}", r"(?P<layer>\d+)")
        match = re.fullmatch(pattern, slot_name)
        if match:
            yield rule, {**match.groupdict()}
