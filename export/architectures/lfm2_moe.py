"""LFM2 with experts: the first layers are dense, the others choose by corrected sigmoid scores.

Source: LFM2 (arXiv:2511.23404) and the model type `lfm2_moe` of transformers.
"""

from typing import Final

from export.architectures.common.family import Family
from export.architectures.lfm2 import IGNORED_KEYS, LFM_RULES, read_lfm
from export.checkpoint.config import Config
from export.checkpoint.plan import Rule
from export.spec.decoder import DecoderSpec, Dense, SparseMoE
from export.spec.routers import ScoredRouter


def read_spec(config: Config) -> DecoderSpec:
    dense = Dense(intermediate_size=config.integer("intermediate_size"))
    experts = SparseMoE(
        num_experts=config.integer("num_experts"),
        moe_intermediate_size=config.integer("moe_intermediate_size"),
        router=ScoredRouter(
            num_experts_per_tok=config.integer("num_experts_per_tok"),
            score="sigmoid",
            renormalize=config.boolean("norm_topk_prob", default=True),
            scale=config.number("routed_scaling_factor", default=1.0),
            correction=config.boolean("use_expert_bias", default=True),
            groups=None,
        ),
    )
    num_dense = config.integer("num_dense_layers", default=2, minimum=0)
    num_layers = config.integer("num_hidden_layers")
    return read_lfm(config, [dense if i < num_dense else experts for i in range(num_layers)])


FAMILY: Final = Family(
    model_type="lfm2_moe",
    class_names=("Lfm2MoeForCausalLM",),
    read_spec=read_spec,
    rules=(
        *LFM_RULES,
        Rule("model.layers.{layer}.feed_forward.gate.weight", "layers.{layer}.moe.router"),
        Rule(
            "model.layers.{layer}.feed_forward.expert_bias", "layers.{layer}.moe.router_correction"
        ),
        *(
            Rule(
                f"model.layers.{{layer}}.feed_forward.experts.{{expert}}.{name}.weight",
                f"layers.{{layer}}.moe.{slot}",
                stack="expert",
            )
            for name, slot in (("w1", "gate"), ("w3", "up"), ("w2", "down"))
        ),
    ),
    ignored=IGNORED_KEYS,
)
