"""Qwen3.5 with experts, and Qwen3.8: Qwen3.5's layers, with experts beside a shared one.

Source: the model type `qwen3_5_moe_text` of transformers.
"""

from typing import Final

import msgspec

from export.architectures.common.family import Family
from export.architectures.common.keys import EXPERT_RULES
from export.architectures.common.predicting import BESIDE_THE_MODEL
from export.architectures.granitemoe import gate_and_up_rules
from export.architectures.qwen2_moe import SHARED_EXPERT_RULES, read_shared_expert
from export.architectures.qwen3_5 import QWEN3_5_IGNORED, QWEN3_5_RULES, read_qwen3_5
from export.architectures.qwen3_moe import read_experts
from export.checkpoint.config import Config
from export.checkpoint.plan import Rule
from export.spec.decoder import DecoderSpec, SparseMoE


def read_spec(config: Config) -> DecoderSpec:
    return read_qwen3_5(config, lambda: _experts(config))


def _experts(config: Config) -> SparseMoE:
    # Whatever the config says of them, all layers have experts and the weights sum to one.
    config.require("decoder_sparse_step", 1)
    config.require("norm_topk_prob", True)
    experts = read_experts(config, default_norm_topk_prob=True)
    return msgspec.structs.replace(experts, shared=read_shared_expert(config))


FAMILY: Final = Family(
    model_type="qwen3_5_moe_text",
    class_names=("Qwen3_5MoeForCausalLM",),
    read_spec=read_spec,
    rules=(
        *QWEN3_5_RULES,
        *gate_and_up_rules(
            "model.layers.{layer}.mlp.experts.gate_up_proj", "layers.{layer}.moe", axis=1
        ),
        Rule("model.layers.{layer}.mlp.experts.down_proj", "layers.{layer}.moe.down"),
        # What stores weights in few bits keeps experts apart.
        *EXPERT_RULES,
        *SHARED_EXPERT_RULES,
    ),
    # That of dense layers, of which there are none.
    ignored=QWEN3_5_IGNORED | {"intermediate_size"},
    unused=("mtp.",),
    predicting=BESIDE_THE_MODEL,
)
