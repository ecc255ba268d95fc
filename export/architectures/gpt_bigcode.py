"""SantaCoder and StarCoderBase: learned positions, one key head for all queries, layer norms.

Source: SantaCoder (arXiv:2301.03988), StarCoder (arXiv:2305.06161) and the model type `gpt_bigcode`
of transformers.
"""

from typing import Final

from export.architectures.common.family import Family
from export.architectures.common.fused import query_key_value_rules
from export.checkpoint.config import Config
from export.checkpoint.plan import Rule
from export.errors import CheckpointError
from export.spec.decoder import (
    Activation,
    DecoderSpec,
    GroupedQuery,
    Layer,
    LayerNorm,
    Ungated,
)

ACTIVATIONS: Final[dict[str, Activation]] = {
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu": "gelu",
}


def read_spec(config: Config) -> DecoderSpec:
    hidden_size = config.integer("n_embd")
    norm = LayerNorm(epsilon=config.number("layer_norm_epsilon", default=1e-5))
    layer = Layer(
        attention=_attention(config, hidden_size),
        feed_forward=Ungated(
            intermediate_size=config.integer("n_inner", default=4 * hidden_size),
            activation=_activation(config),
            bias=True,
        ),
        norm=norm,
    )
    return DecoderSpec(
        vocab_size=config.integer("vocab_size"),
        hidden_size=hidden_size,
        layers=(layer,) * config.integer("n_layer"),
        norm=norm,
        tie_word_embeddings=config.boolean("tie_word_embeddings", default=True),
        max_position_embeddings=config.integer("n_positions"),
        learned_positions=True,
    )


def _attention(config: Config, hidden_size: int) -> GroupedQuery:
    num_heads = config.integer("n_head")
    if hidden_size % num_heads:
        raise CheckpointError(
            f"config.json says n_embd = {hidden_size}, which is no multiple of n_head = {num_heads}"
        )
    return GroupedQuery(
        num_attention_heads=num_heads,
        num_key_value_heads=1 if config.boolean("multi_query", default=True) else num_heads,
        head_dim=hidden_size // num_heads,
        rope=None,
        input_bias=True,
        output_bias=True,
    )


def _activation(config: Config) -> Activation:
    config.require("activation_function", *ACTIVATIONS)
    return ACTIVATIONS[config.text("activation_function", default=next(iter(ACTIVATIONS)))]


def _further_rules(config: Config, spec: DecoderSpec) -> tuple[Rule, ...]:
    """Cut a layer's three projections: those of one key head for all, or of one for each."""
    return query_key_value_rules(
        spec,
        "transformer.h.{layer}.attn.c_attn",
        order="by_key_head",
        kinds=("weight", "bias"),
    )


FAMILY: Final = Family(
    model_type="gpt_bigcode",
    class_names=("GPTBigCodeForCausalLM", "GPTBigCodeLMHeadModel"),
    read_spec=read_spec,
    rules=(
        Rule("transformer.wte.weight", "embedding"),
        Rule("transformer.wpe.weight", "positions"),
        *(
            Rule(f"transformer.h.{{layer}}.{name}.{kind}", f"layers.{{layer}}.{slot}{suffix}")
            for name, slot in (
                ("ln_1", "attention_norm"),
                ("attn.c_proj", "attention.output"),
                ("ln_2", "feed_forward_norm"),
                ("mlp.c_fc", "mlp.up"),
                ("mlp.c_proj", "mlp.down"),
            )
            for kind, suffix in (("weight", ""), ("bias", "_bias"))
        ),
        Rule("transformer.ln_f.weight", "norm"),
        Rule("transformer.ln_f.bias", "norm_bias"),
        Rule("lm_head.weight", "head"),
    ),
    further_rules=_further_rules,
    # How its own server ran the model, and heads of other tasks.
    ignored=frozenset(
        {
            *("inference_runner", "max_batch_size", "max_sequence_length", "pad_key_length"),
            *("pre_allocate_kv_cache", "validate_runner_input", "end_token_id"),
            *("summary_activation", "summary_first_dropout", "summary_proj_to_labels"),
            *("summary_type", "summary_use_proj"),
        }
    ),
)
