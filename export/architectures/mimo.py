"""MiMo 7B: Qwen2's layers, and some behind the last one that predict further tokens.

Source: MiMo (arXiv:2505.07608) and the code published with its checkpoints.
"""

from typing import Final

from export.architectures import qwen2
from export.architectures.common.family import Family
from export.architectures.common.keys import UNUSED_WINDOW_KEYS
from export.checkpoint.config import Config
from export.spec.decoder import DecoderSpec


def read_spec(config: Config) -> DecoderSpec:
    # It is that of queries, keys and values, which Qwen2 always has.
    config.require("attention_bias", True)
    return qwen2.read_spec(config)


FAMILY: Final = Family(
    model_type="mimo",
    class_names=("MiMoForCausalLM",),
    read_spec=read_spec,
    rules=qwen2.FAMILY.rules,
    # The layers that predict further tokens are left out.
    ignored=UNUSED_WINDOW_KEYS | {"num_nextn_predict_layers"},
    unused=("model.mtp_layers.",),
)
