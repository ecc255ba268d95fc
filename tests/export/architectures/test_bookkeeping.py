"""bookkeeping: what changes nothing is passed over; what says more holds for one value only."""

from typing import Any

import pytest

from export.architectures import FAMILIES, read_architecture
from export.architectures.common.bookkeeping import BOOKKEEPING
from export.checkpoint.config import Config
from export.errors import UnsupportedError
from tests.support.tiny_checkpoints import TINY_MODELS
from tests.support.tiny_families import FAMILY_MODELS

MODELS = {model.full_config["model_type"]: model for model in (*FAMILY_MODELS, *TINY_MODELS)}


def check(family: str, refused: object = None, **changes: Any) -> None:
    """A family's config is read with these changes as without, or refused with these words."""
    config = MODELS[family].full_config
    changed = Config(config | changes, "config.json")
    if refused is None:
        before = read_architecture(Config(config, "config.json"))
        assert read_architecture(changed).spec == before.spec
        return
    with pytest.raises(UnsupportedError, match=f"says {refused}"):
        read_architecture(changed)


@pytest.mark.parametrize("family", [family.model_type for family in FAMILIES])
def test_bookkeeping_says_what_it_likes(family: str) -> None:
    free = BOOKKEEPING - {"architectures", "auto_map", "model_type"}
    mine = MODELS[family].full_config.keys() | {"router_jitter_noise"}  # which phimoe reads
    check(family, **dict.fromkeys(free - mine, "anything"))


def test_what_transformers_writes() -> None:
    written = {
        "_name_or_path": "owner/name",
        "chunk_size_feed_forward": 0,
        "id2label": {"0": "LABEL_0", "1": "LABEL_1"},
        "is_encoder_decoder": False,
        "max_length": 20,
        "pruned_heads": {},
        "temperature": 1.0,
        "tie_encoder_decoder": False,
        "tokenizer_class": "Qwen2Tokenizer",
        "torchscript": False,
        "unsloth_version": "2025.1.1",
    }
    check("llama", **written)


@pytest.mark.parity
def test_what_the_installed_transformers_writes() -> None:
    from transformers import PretrainedConfig

    written = PretrainedConfig().to_dict()
    check("llama", **{key: value for key, value in written.items() if key != "model_type"})


@pytest.mark.parametrize("key", ["is_encoder_decoder", "use_mrope", "rope_interleaved"])
def test_what_no_family_does(key: str) -> None:
    check("llama", **{key: False})
    check("llama", f"{key} = True; only False is implemented", **{key: True})


def test_the_user_knows_better_of_what_no_family_reads() -> None:
    config = MODELS["llama"].full_config | {"use_mrope": True}
    read_architecture(Config(config, "config.json", ignored=["use_mrope"]))


def test_a_shared_expert_of_a_family_that_has_none() -> None:
    check("qwen3_moe", shared_expert_intermediate_size=0)
    check("qwen3_moe", "shared_expert_inter.* = 64; only 0", shared_expert_intermediate_size=64)


def test_biases_are_what_the_layers_have() -> None:
    check("qwen3_moe", qkv_bias=False)
    check("qwen3_moe", "qkv_bias = True; only False", qkv_bias=True)
    check("qwen2", qkv_bias=True)
    check("qwen2", "qkv_bias = False; only True", qkv_bias=False)


def test_normalized_heads_are_what_the_layers_have() -> None:
    check("qwen3_moe", use_qk_norm=True)
    check("qwen3_moe", "use_qk_norm = False; only True", use_qk_norm=False)
    check("llama", use_qk_norm=False)
    check("llama", "use_qk_norm = True; only False", use_qk_norm=True)


def test_windows_are_what_the_layers_have() -> None:
    check("mellum", use_sliding_window=True, max_window_layers=0)
    check("mellum", "use_sliding_window = False; only True", use_sliding_window=False)
    check("mellum", "max_window_layers = 1; only 0", max_window_layers=1)
    check("llama", "use_sliding_window = True; only False", use_sliding_window=True)


def test_another_spelling_says_the_same() -> None:
    window = MODELS["gemma2"].full_config["sliding_window"]
    check("gemma2", sliding_window_size=window)
    check("gemma2", "sliding_window_size = 3; only", sliding_window_size=3)
    check("llama", "sliding_window_size = 3, which is not impl", sliding_window_size=3)
    check("llama", activation_function="silu")
    check("llama", "activation_function = 'gelu'; only 'silu'", activation_function="gelu")


def test_starcoder_keeps_the_activation_of_an_older_family() -> None:
    check("starcoder2", activation_function="gelu", scale_attn_weights=True)
    check("starcoder2", "activation_function = 'relu'", activation_function="relu")


def test_class_names() -> None:
    check("phimoe", architectures=["PhiMoEForCausalLM"])
    check("llama", r"architectures = \['OwnForCausalLM'\]", architectures=["OwnForCausalLM"])


def check_remote(class_name: str, refused: object = None) -> None:
    auto_map = {"AutoModelForCausalLM": f"owner/other--modeling_own.{class_name}"}
    check("llama", refused, architectures=[class_name], auto_map=auto_map)


def test_a_class_name_of_code_that_comes_with_a_checkpoint() -> None:
    check_remote("OwnForCausalLM")
    check_remote("OwnForSequenceClassification", "architectures = ")
