"""What configs of the further families ask for and is not implemented: refused by key and value."""

from typing import Any

import pytest

from export.architectures import read_architecture
from export.checkpoint.config import Config
from export.errors import CheckpointError, ExportError, UnsupportedError
from tests.support.tiny_further_families import FURTHER_MODELS

MODELS = {model.name: model for model in FURTHER_MODELS}


def check(name: str, because: str, error: type[ExportError], changes: dict[str, Any]) -> None:
    with pytest.raises(error, match=because):
        read_architecture(Config(MODELS[name].full_config | changes, "config.json"))


@pytest.mark.parametrize(
    ("name", "key", "value"),
    [
        ("gemma", "hidden_act", "silu"),
        ("gemma", "use_bidirectional_attention", True),
        ("smollm3", "use_sliding_window", True),
        ("olmo2", "hidden_act", "gelu"),
        ("gpt_bigcode", "activation_function", "relu"),
        ("gpt_bigcode", "scale_attn_weights", False),
        ("stablelm", "use_parallel_residual", True),
        ("stablelm", "qk_layernorm", True),
        ("bailing_moe", "multi_gate", True),
        ("bailing_moe-second", "score_function", "softmax"),
        ("bailing_moe-second", "rotary_dim", 32),
        ("hunyuan_v1_dense", "use_qk_norm", False),
        ("hunyuan_v1_moe", "use_cla", True),
        ("hunyuan_v1_moe", "moe_layer_num_skipped", 1),
        ("minimax_m2", "attn_type_list", [0, 1]),
        ("minimax_m2", "qk_norm_type", "per_head"),
        ("minimax_m2", "scoring_func", "softmax"),
        ("internlm2", "bias", True),
        ("mimo", "attention_bias", False),
        ("phi3", "mlp_bias", True),
        ("lfm2", "conv_bias", True),
    ],
)
def test_a_value_that_is_not_implemented(name: str, key: str, value: object) -> None:
    check(name, f"{key} = ", UnsupportedError, {key: value})


@pytest.mark.parametrize(
    ("name", "because", "changes"),
    [
        ("smollm3", "no_rope_layers = .* not a one or a zero", {"no_rope_layers": [1, 2, 1]}),
        ("smollm3", "no_rope_layers = .* for each of 3", {"no_rope_layers": [1]}),
        ("gpt_bigcode", "n_embd = 64, which is no multiple of n_head = 5", {"n_head": 5}),
        ("hunyuan_v1_moe", "moe_topk = .* for each of 2 layers", {"moe_topk": [1, 2, 3]}),
        ("phi3-long", "12 numbers in short_factor", {"partial_rotary_factor": 0.5}),
        ("lfm2", "conv_L_cache = 1, which is not between 2", {"conv_L_cache": 1}),
    ],
)
def test_a_config_that_contradicts_itself(name: str, because: str, changes: dict[str, Any]) -> None:
    check(name, because, CheckpointError, changes)


def test_a_rotation_that_depends_on_the_length_without_alpha() -> None:
    scaling = {"type": "dynamic", "factor": 2.0}
    changes = {"rope_scaling": scaling}
    check("hunyuan_v1_dense", "type = 'dynamic'; only", UnsupportedError, changes)


def test_convolutions_without_attention() -> None:
    changes = {"layer_types": ["conv"] * 3}
    check("lfm2", "no layer of full_attention", UnsupportedError, changes)


@pytest.mark.parametrize(("name", "length"), [("phi3-long", 64), ("minicpm3", 64), ("phi3", 128)])
def test_a_rotation_that_changes_beyond_a_length_ends_the_context_there(
    name: str, length: int
) -> None:
    architecture = read_architecture(Config(MODELS[name].full_config, "config.json"))
    assert architecture.spec.max_position_embeddings == length


def test_a_package_of_ling_says_that_its_head_is_as_it_computes_with() -> None:
    config = MODELS["bailing_moe"].full_config
    by_default = read_architecture(Config(config, "config.json"))
    written_back = read_architecture(
        Config(config | dict(by_default.family.written_back), "config.json")
    )
    heads = [
        next(rule for rule in found.rules if rule.slot == "head")
        for found in (by_default, written_back)
    ]
    assert [rule.unit_columns for rule in heads] == [True, False]
