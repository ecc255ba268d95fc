"""Tensors that hold queries, keys and values of all heads, and where each lies in them."""

from collections.abc import Iterator
from typing import Literal

from export.checkpoint.plan import Rule, Share
from export.errors import UnsupportedError
from export.spec.decoder import DecoderSpec, GroupedQuery

Order = Literal["behind", "by_key_head"]
"""All queries, then keys, then values; or for each key head its queries, its key, its value."""


def query_key_value_rules(
    spec: DecoderSpec, pattern: str, *, order: Order, kinds: tuple[str, ...] = ("weight",)
) -> tuple[Rule, ...]:
    """Cut tensors `pattern.KIND` as the spec's heads say; a `bias` fills the slots of biases."""
    num_heads, num_key_heads = _heads(spec)
    group = num_heads // num_key_heads
    sizes = (num_heads, num_key_heads, num_key_heads) if order == "behind" else (group, 1, 1)
    return tuple(
        Rule(
            f"{pattern}.{kind}",
            f"layers.{{layer}}.attention.{name}{'_bias' if kind == 'bias' else ''}",
            share=Share(
                axis=0,
                index=index,
                sizes=sizes,
                num_groups=1 if order == "behind" else num_key_heads,
            ),
        )
        for kind in kinds
        for index, name in enumerate(("query", "key", "value"))
    )


def _heads(spec: DecoderSpec) -> tuple[int, int]:
    """Return how many query heads and key heads each layer has."""
    found = {(part.num_attention_heads, part.num_key_value_heads) for part in _grouped(spec)}
    if len(found) != 1:
        raise UnsupportedError("layers with different numbers of heads in one tensor")
    return found.pop()


def _grouped(spec: DecoderSpec) -> Iterator[GroupedQuery]:
    return (layer.attention for layer in spec.layers if isinstance(layer.attention, GroupedQuery))
