"""architectures: a config becomes a spec, or is refused by key and value."""

from typing import Any

import pytest

from export.architectures import FAMILIES, read_architecture
from export.checkpoint.config import Config
from export.errors import ExportError
from export.spec.decoder import DecoderSpec, Dense, SparseMoE
from tests.support.tiny_checkpoints import BASE_CONFIG


def read(**changes: Any) -> DecoderSpec:
    """Read the base config with changes; None takes a key away."""
    values = {key: value for key, value in (BASE_CONFIG | changes).items() if value is not None}
    return read_architecture(Config(values, "config.json")).spec


def check_refused(because: str, **changes: Any) -> None:
    with pytest.raises(ExportError, match=because):
        read(**changes)


def sparse_layers(spec: DecoderSpec) -> list[int]:
    return [
        index
        for index, layer in enumerate(spec.layers)
        if isinstance(layer.feed_forward, SparseMoE)
    ]


def test_the_base_config() -> None:
    spec = read()
    attention = spec.layers[0].attention
    assert (spec.vocab_size, spec.hidden_size, len(spec.layers)) == (272, 64, 2)
    assert (attention.num_attention_heads, attention.num_key_value_heads) == (4, 2)
    assert (attention.head_dim, attention.rope.theta) == (16, 10000.0)


def test_every_family_is_named_once() -> None:
    names = [family.model_type for family in FAMILIES]
    assert len(names) == len(set(names))


def test_heads_divide_the_hidden_size_where_their_size_is_absent() -> None:
    assert read(head_dim=None).layers[0].attention.head_dim == 64 // 4


def test_every_layer_is_sparse_by_default() -> None:
    spec = read(num_hidden_layers=3, decoder_sparse_step=None, mlp_only_layers=None)
    assert sparse_layers(spec) == [0, 1, 2]


def test_listed_layers_are_dense() -> None:
    spec = read(num_hidden_layers=4, mlp_only_layers=[0, 2])
    assert sparse_layers(spec) == [1, 3]
    assert spec.layers[0].feed_forward == Dense(intermediate_size=96)


def test_a_step_makes_every_nth_layer_sparse_counted_from_one() -> None:
    assert sparse_layers(read(num_hidden_layers=6, decoder_sparse_step=3)) == [2, 5]


def test_the_newer_spelling_of_the_rotation() -> None:
    parameters = {"rope_theta": 5e6, "rope_type": "default"}
    spec = read(rope_theta=None, rope_parameters=parameters)
    assert spec.layers[0].attention.rope.theta == 5e6


def test_the_newer_spelling_of_the_expert_count() -> None:
    expert = read(num_experts=None, num_local_experts=6).layers[0].feed_forward
    assert isinstance(expert, SparseMoE)
    assert expert.num_experts == 6


def test_training_leftovers_are_harmless() -> None:
    assert read(router_aux_loss_coef=0.1, initializer_range=0.5, max_window_layers=3) == read()


def test_an_unknown_model_type() -> None:
    check_refused("model_type = 'mystery'; implemented are: qwen3_moe", model_type="mystery")


def test_no_model_type() -> None:
    check_refused("no model_type", model_type=None)


def test_code_in_the_checkpoint_is_passed_over() -> None:
    assert read(auto_map={"AutoModel": "modeling.Model"}) == read()


def test_another_head_than_language_modelling() -> None:
    check_refused(
        "Qwen3MoeForSequenceClassification", architectures=["Qwen3MoeForSequenceClassification"]
    )


def test_another_activation() -> None:
    check_refused("hidden_act = 'gelu'; only 'silu'", hidden_act="gelu")


def test_biases() -> None:
    check_refused("attention_bias = True", attention_bias=True)


def test_a_sliding_window() -> None:
    check_refused("use_sliding_window = True", use_sliding_window=True, sliding_window=128)


def test_a_scaled_rotation() -> None:
    scaling = {"type": "dynamic", "factor": 4.0}
    check_refused("rope_scaling says type = 'dynamic'; only 'default' or", rope_scaling=scaling)


def test_a_scaled_rotation_in_the_newer_spelling() -> None:
    parameters = {"rope_theta": 1e4, "rope_type": "dynamic", "factor": 4.0}
    check_refused("rope_type = 'dynamic'", rope_theta=None, rope_parameters=parameters)


def test_a_scale_of_a_scaled_rotation_that_nobody_knows() -> None:
    scaling = {
        "type": "yarn",
        "factor": 4.0,
        "original_max_position_embeddings": 32,
        "finetuned": 1,
    }
    check_refused("finetuned = 1", rope_scaling=scaling)


def test_a_rotation_of_half_a_head() -> None:
    check_refused("partial_rotary_factor = 0.5", partial_rotary_factor=0.5)


def test_a_key_that_nobody_knows() -> None:
    check_refused("final_logit_softcapping = 30.0", final_logit_softcapping=30.0)


def test_a_missing_size() -> None:
    check_refused("config.json has no hidden_size", hidden_size=None)


def test_heads_that_do_not_divide_into_groups() -> None:
    check_refused("num_attention_heads = 4, which is no multiple", num_key_value_heads=3)


def test_an_odd_head() -> None:
    check_refused("head_dim = 15", head_dim=15)


def test_more_experts_chosen_than_there_are() -> None:
    check_refused("num_experts_per_tok = 5 of 4", num_experts_per_tok=5)


def test_a_depth_that_would_fill_the_memory() -> None:
    check_refused("num_hidden_layers = 1024", num_hidden_layers=1 << 30)
