"""MiMo 7B: Qwen2's layers, and some behind the last one that predict further tokens.

Source: MiMo (arXiv:2505.07608) and the code published with its checkpoints; of the layer that
predicts, `mimo_mtp.py` of vLLM.
"""

from typing import Final

from export.architectures import qwen2
from export.architectures.common.family import Family
from export.architectures.common.keys import UNUSED_WINDOW_KEYS
from export.architectures.common.predicting import Predicting
from export.checkpoint.config import Config
from export.spec.decoder import DecoderSpec, Joining


def read_spec(config: Config) -> DecoderSpec:
    # It is that of queries, keys and values, which Qwen2 always has.
    config.require("attention_bias", True)
    return qwen2.read_spec(config)


FAMILY: Final = Family(
    model_type="mimo",
    class_names=("MiMoForCausalLM",),
    read_spec=read_spec,
    rules=qwen2.FAMILY.rules,
    ignored=UNUSED_WINDOW_KEYS | {"num_nextn_predict_layers"},
    unused=("model.mtp_layers.",),
    predicting=Predicting(
        layer="model.mtp_layers.0",
        tensors={
            "model.mtp_layers.0.token_layernorm.weight": "joining.token_norm",
            "model.mtp_layers.0.hidden_layernorm.weight": "joining.hidden_norm",
            "model.mtp_layers.0.input_proj.weight": "joining.projection",
            "model.mtp_layers.0.final_layernorm.weight": "norm",
        },
        joining=Joining(hidden_first=True, reads="stream"),
    ),
)
