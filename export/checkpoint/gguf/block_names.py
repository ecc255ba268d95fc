"""What Nemotron's tensors are called: a block of one part each, of which one or two are a layer."""

from collections.abc import Mapping
from typing import Any, Final

from export.checkpoint.gguf.names import OUTSIDE_RULES, state_spaces
from export.checkpoint.plan import Rule

MIXING: Final = frozenset({"mamba", "attention"})
"""Blocks in which tokens see others: each begins a layer."""

_ATTENTION: Final = {
    "attn_q.weight": "attention.query",
    "attn_k.weight": "attention.key",
    "attn_v.weight": "attention.value",
    "attn_output.weight": "attention.output",
}
_EXPERTS: Final = {
    "ffn_gate_inp.weight": "moe.router",
    "exp_probs_b.bias": "moe.router_correction",
    "ffn_latent_down.weight": "moe.latent_in",
    "ffn_latent_up.weight": "moe.latent_out",
    "ffn_up_shexp.weight": "moe.shared.up",
    "ffn_down_shexp.weight": "moe.shared.down",
}

BLOCK_RULES: Final = OUTSIDE_RULES
"""All but those of blocks."""


def blocks(values: Mapping[str, Any]) -> tuple[Rule, ...]:
    """Return what the tensors of each block fill."""
    rules: list[Rule] = []
    layer = -1
    for block, kind in enumerate(values["layers_block_type"]):
        layer += kind in MIXING
        part = "attention" if kind in MIXING else "feed_forward"
        name, slot = f"blk.{block}.", f"layers.{layer}."
        rules.append(Rule(f"{name}attn_norm.weight", f"{slot}{part}_norm"))
        rules += [
            Rule(
                rule.pattern.replace("blk.{layer}.", name),
                rule.slot.replace("layers.{layer}.", slot),
                stack=rule.stack,
                share=rule.share,
            )
            for rule in _of_kind(kind, values)
        ]
    return tuple(rules)


def _of_kind(kind: str, values: Mapping[str, Any]) -> tuple[Rule, ...]:
    if kind == "mamba":
        return state_spaces(
            {
                "mamba_n_heads": values["mamba_num_heads"],
                "mamba_n_groups": values["n_groups"],
                "mamba_d_head": values["mamba_head_dim"],
                "mamba_d_state": values["ssm_state_size"],
            }
        )
    names = _ATTENTION if kind == "attention" else _EXPERTS
    found = [Rule(f"blk.{{layer}}.{name}", f"layers.{{layer}}.{to}") for name, to in names.items()]
    if kind == "moe":
        found += [
            Rule(
                f"blk.{{layer}}.ffn_{part}.{{expert}}.weight",
                f"layers.{{layer}}.moe.{part}",
                stack="expert",
            )
            for part in ("up", "down")
        ]
    return tuple(found)
