"""Granite: Llama's dense layers with embeddings, scores, residuals and logits scaled.

Source: Granite 3.0 (https://github.com/ibm-granite/granite-3.0-language-models, the report) and
the model type `granite` of transformers.
"""

from typing import Final

from export.architectures import llama
from export.architectures.common.family import Family
from export.architectures.granitemoe import scaled
from export.checkpoint.config import Config
from export.spec.decoder import DecoderSpec


def read_spec(config: Config) -> DecoderSpec:
    return scaled(config, llama.read_spec(config))


FAMILY: Final = Family(
    model_type="granite",
    class_names=("GraniteForCausalLM",),
    read_spec=read_spec,
    rules=llama.FAMILY.rules,
)
