"""What GGUF calls the tensors of a decoder, and which slots of a spec they fill.

The names are those of llama.cpp (gguf-py/gguf/constants.py), which are the same for all families,
as the slots are. Where llama.cpp's converters have changed how they store a part, the older way is
named here, and `tensors` brings the newer one back to it.
"""

from collections.abc import Mapping
from typing import Any, Final

from export.checkpoint.plan import Rule, Share

_OUTSIDE: Final = {
    "token_embd.weight": "embedding",
    "output_norm.weight": "norm",
    "output_norm.bias": "norm_bias",
    "token_embd_norm.weight": "norm",  # as LFM2's files of before January 2026 call it
    "position_embd.weight": "positions",
    "output.weight": "head",
    "output.bias": "head_bias",
}

_LAYER: Final = {
    "attn_norm.weight": "attention_norm",
    "attn_norm.bias": "attention_norm_bias",
    "ffn_norm.weight": "feed_forward_norm",
    "ffn_norm.bias": "feed_forward_norm_bias",
    # Behind a part of a layer, before it is added to the stream.
    "attn_output_norm.weight": "attention_output_norm",
    "layer_output_norm.weight": "feed_forward_output_norm",
    "post_ffw_norm.weight": "feed_forward_output_norm",
    **{
        f"attn_{part}.{kind}": f"attention.{slot}{suffix}"
        for part, slot in (("q", "query"), ("k", "key"), ("v", "value"), ("output", "output"))
        for kind, suffix in (("weight", ""), ("bias", "_bias"))
    },
    "attn_q_norm.weight": "attention.query_norm",
    "attn_k_norm.weight": "attention.key_norm",
    "attn_sinks.weight": "attention.sinks",
    # Latent attention.
    "attn_q_a.weight": "attention.query_down",
    "attn_q_a_norm.weight": "attention.query_norm",
    "attn_q_b.weight": "attention.query_up",
    "attn_kv_a_mqa.weight": "attention.key_value_down",
    "attn_kv_a_norm.weight": "attention.key_value_norm",
    "attn_kv_b.weight": "attention.key_value_up",
    # The gated delta rule.
    "ssm_in.weight": "attention.query_key_value_gate",
    "ssm_ba.weight": "attention.rate_decay",
    "ssm_conv1d.weight": "attention.convolution",
    "ssm_a": "attention.decay_log",
    "ssm_dt.bias": "attention.decay_bias",
    "ssm_norm.weight": "attention.state_norm",
    "ssm_out.weight": "attention.state_output",
    # Short convolutions.
    "shortconv.in_proj.weight": "attention.gates_channels",
    "shortconv.conv.weight": "attention.convolution",
    "shortconv.out_proj.weight": "attention.state_output",
    # The part behind attention, dense or of experts.
    "ffn_gate.weight": "mlp.gate",
    "ffn_up.weight": "mlp.up",
    "ffn_up.bias": "mlp.up_bias",
    "ffn_down.weight": "mlp.down",
    "ffn_down.bias": "mlp.down_bias",
    "ffn_gate_inp.weight": "moe.router",
    "ffn_gate_inp.bias": "moe.router_bias",
    "exp_probs_b.bias": "moe.router_correction",
    "ffn_gate_inp_shexp.weight": "moe.shared.router",
    **{f"ffn_{part}_shexp.weight": f"moe.shared.{part}" for part in ("gate", "up", "down")},
    **{f"ffn_{part}_exps.bias": f"moe.{part}_bias" for part in ("gate", "up", "down")},
    # Gemma 4's, whose experts are given another norm of the stream than what is beside them.
    "layer_output_scale.weight": "output_scale",
    "ffn_gate_inp.scale": "moe.router_norm",
    "ffn_down_exps.scale": "moe.router_scale",
    "pre_ffw_norm_2.weight": "moe.input_norm",
    "post_ffw_norm_1.weight": "moe.shared.output_norm",
    "post_ffw_norm_2.weight": "moe.output_norm",
}

_EXPERTS: Final = (
    *(
        Rule(
            f"blk.{{layer}}.ffn_{part}.{{expert}}.weight",
            f"layers.{{layer}}.moe.{part}",
            stack="expert",
        )
        for part in ("gate", "up", "down")
    ),
    *(
        Rule(
            "blk.{layer}.ffn_gate_up.{expert}.weight",
            f"layers.{{layer}}.moe.{part}",
            stack="expert",
            share=Share(axis=0, index=index),
        )
        for index, part in enumerate(("gate", "up"))
    ),
)


OUTSIDE_RULES: Final = tuple(Rule(name, slot) for name, slot in _OUTSIDE.items())


def _rules(late_norm: str) -> tuple[Rule, ...]:
    layer = {**_LAYER, "post_attention_norm.weight": late_norm}
    inside = {f"blk.{{layer}}.{name}": f"layers.{{layer}}.{slot}" for name, slot in layer.items()}
    return (*(Rule(name, slot) for name, slot in (_OUTSIDE | inside).items()), *_EXPERTS)


RULES: Final = _rules("attention_output_norm")

LATE_NORM_RULES: Final = _rules("feed_forward_norm")
"""Where the norm before the second part of a layer is named by what stands before it."""

GATE_AND_UP_RULES: Final = (
    *(rule for rule in RULES if rule.slot != "layers.{layer}.mlp.up"),
    *(
        Rule(
            "blk.{layer}.ffn_up.weight",
            f"layers.{{layer}}.mlp.{part}",
            share=Share(axis=0, index=index),
        )
        for index, part in enumerate(("gate", "up"))
    ),
)
"""Where what is called up holds the gate too, before it."""


def joined_heads(values: Mapping[str, Any]) -> tuple[Rule, ...]:
    """Cut `attn_qkv`, in which all queries lie before all keys, and those before all values."""
    if "n_head" in values:  # GPT BigCode's spelling, with one key head for all
        sizes = (values["n_head"], 1, 1)
    else:
        num_keys = values["num_key_value_heads"]
        sizes = (values["num_attention_heads"], num_keys, num_keys)
    return tuple(
        Rule(
            f"blk.{{layer}}.attn_qkv.{kind}",
            f"layers.{{layer}}.attention.{part}{suffix}",
            share=Share(axis=0, index=index, sizes=sizes),
        )
        for kind, suffix in (("weight", ""), ("bias", "_bias"))
        for index, part in enumerate(("query", "key", "value"))
    )


def state_spaces(values: Mapping[str, Any]) -> tuple[Rule, ...]:
    """Return what Mamba 2's tensors fill; one holds gate, what is convolved, and steps."""
    num_heads, num_groups = values["mamba_n_heads"], values["mamba_n_groups"]
    inner = num_heads * values["mamba_d_head"]
    sizes = (inner, inner + 2 * num_groups * values["mamba_d_state"], num_heads)
    return (
        *(
            Rule(
                "blk.{layer}.ssm_in.weight",
                f"layers.{{layer}}.attention.{part}",
                share=Share(axis=0, index=index, sizes=sizes),
            )
            for index, part in enumerate(("gate", "value_key_query", "step"))
        ),
        *(
            Rule(f"blk.{{layer}}.{name}", f"layers.{{layer}}.attention.{slot}")
            for name, slot in (
                ("ssm_conv1d.weight", "convolution"),
                ("ssm_conv1d.bias", "convolution_bias"),
                ("ssm_dt.bias", "step_bias"),
                ("ssm_a", "decay_log"),
                ("ssm_d", "value_scale"),
                ("ssm_norm.weight", "state_norm"),
                ("ssm_out.weight", "state_output"),
            )
        ),
    )


APART_RULES: Final = (
    *LATE_NORM_RULES,
    *(
        Rule(f"blk.{{layer}}.{name}.weight", f"layers.{{layer}}.attention.{slot}")
        for name, slot in (
            ("attn_qkv", "query_key_value"),
            ("attn_gate", "gate"),
            ("ssm_beta", "rate"),
            ("ssm_alpha", "decay"),
        )
    ),
)
"""Where projections of the gated delta rule lie apart, as the model has them."""

_DENSE: Final = {f"blk.{{layer}}.ffn_{part}.weight": part for part in ("gate", "up", "down")}

BESIDE_RULES: Final = tuple(rule for rule in RULES if rule.pattern not in _DENSE)
"""All but those of what is a dense layer's, which `beside_experts` has."""


def beside_experts(values: Mapping[str, Any]) -> tuple[Rule, ...]:
    """Return what a dense part fills, which is the shared expert where there are others."""
    part = "moe.shared" if values.get("enable_moe_block") else "mlp"
    return tuple(Rule(name, f"layers.{{layer}}.{part}.{slot}") for name, slot in _DENSE.items())


STATELESS_RULES: Final = tuple(rule for rule in RULES if ".ssm_" not in rule.pattern)
"""All but those of states, which `state_spaces` has for another rule."""
