"""InternLM2: Llama's layers by other names, with each key head's projections beside each other.

Source: InternLM2 (arXiv:2403.17297) and the code published with its checkpoints.
"""

from typing import Final

from export.architectures.common.family import Family
from export.architectures.common.fused import query_key_value_rules
from export.architectures.common.keys import read_attention, read_dense_decoder
from export.checkpoint.config import Config
from export.checkpoint.plan import Rule
from export.spec.decoder import DecoderSpec


def read_spec(config: Config) -> DecoderSpec:
    config.require("bias", False)
    return read_dense_decoder(config, read_attention(config, default_theta=10_000.0))


def _further_rules(config: Config, spec: DecoderSpec) -> tuple[Rule, ...]:
    return query_key_value_rules(spec, "model.layers.{layer}.attention.wqkv", order="by_key_head")


FAMILY: Final = Family(
    model_type="internlm2",
    class_names=("InternLM2ForCausalLM",),
    read_spec=read_spec,
    rules=(
        Rule("model.tok_embeddings.weight", "embedding"),
        *(
            Rule(f"model.layers.{{layer}}.{name}.weight", f"layers.{{layer}}.{slot}")
            for name, slot in (
                ("attention_norm", "attention_norm"),
                ("attention.wo", "attention.output"),
                ("ffn_norm", "feed_forward_norm"),
                ("feed_forward.w1", "mlp.gate"),
                ("feed_forward.w3", "mlp.up"),
                ("feed_forward.w2", "mlp.down"),
            )
        ),
        Rule("model.norm.weight", "norm"),
        Rule("output.weight", "head"),
    ),
    further_rules=_further_rules,
)
