"""The config keys and tensor names that most families of transformers have in common."""

from typing import Final

from export.config import Config
from export.spec import Rope
from export.tensors import Rule

DECODER_RULES: Final = (
    Rule("model.embed_tokens.weight", "embedding"),
    Rule("model.layers.{layer}.input_layernorm.weight", "layers.{layer}.attention_norm"),
    Rule("model.layers.{layer}.self_attn.q_proj.weight", "layers.{layer}.attention.query"),
    Rule("model.layers.{layer}.self_attn.k_proj.weight", "layers.{layer}.attention.key"),
    Rule("model.layers.{layer}.self_attn.v_proj.weight", "layers.{layer}.attention.value"),
    Rule("model.layers.{layer}.self_attn.o_proj.weight", "layers.{layer}.attention.output"),
    Rule(
        "model.layers.{layer}.post_attention_layernorm.weight", "layers.{layer}.feed_forward_norm"
    ),
    Rule("model.norm.weight", "norm"),
    Rule("lm_head.weight", "head"),
)

HEAD_NORM_RULES: Final = (
    Rule("model.layers.{layer}.self_attn.q_norm.weight", "layers.{layer}.attention.query_norm"),
    Rule("model.layers.{layer}.self_attn.k_norm.weight", "layers.{layer}.attention.key_norm"),
)

GATED_MLP_RULES: Final = (
    Rule("model.layers.{layer}.mlp.gate_proj.weight", "layers.{layer}.mlp.gate"),
    Rule("model.layers.{layer}.mlp.up_proj.weight", "layers.{layer}.mlp.up"),
    Rule("model.layers.{layer}.mlp.down_proj.weight", "layers.{layer}.mlp.down"),
)

HARMLESS_KEYS: Final = frozenset(
    {
        # How the checkpoint was made or stored; what a caller of transformers gets back.
        "architectures",
        "attention_dropout",
        "dtype",
        "initializer_range",
        "model_type",
        "output_attentions",
        "output_hidden_states",
        "output_router_logits",
        "return_dict",
        "torch_dtype",
        "transformers_version",
        "use_cache",
        # Tokens, which are read from the tokenizer and the generation config.
        "bos_token_id",
        "eos_token_id",
        "pad_token_id",
    }
)


def read_rope(config: Config) -> Rope:
    """Read the rotation's base, spelled at the top or, by transformers 5, in `rope_parameters`."""
    config.require("partial_rotary_factor", 1.0)
    config.section("rope_scaling").refuse_unread()
    parameters = config.section("rope_parameters")
    parameters.require("rope_type", "default")
    at_the_top = config.has("rope_theta") or not parameters.has("rope_theta")
    theta = config.number("rope_theta") if at_the_top else parameters.number("rope_theta")
    parameters.refuse_unread(ignored={"rope_theta"})
    return Rope(theta=theta)
