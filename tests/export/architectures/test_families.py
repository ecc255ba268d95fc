"""Every family: graph, oracle and transformers agree, and what is not implemented is refused.

Tolerances as in test_decoder. Greedy tokens are read through the cache, one at a time.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from export.architectures import FAMILIES, read_architecture
from export.checkpoint.config import Config
from export.errors import CheckpointError, UnsupportedError
from export.options import ExportOptions
from export.original import open_slots, read_original
from export.quality.self_check import relative_error
from export.spec.decoder import slots
from export.spec.oracle import forward
from inference.package.manifest import MODEL_FILE, Precision
from tests.support.exported import (
    TOKEN_IDS,
    Exported,
    compute_with_float_activations,
    export_tiny,
    greedy_tokens,
    read_tokens,
    read_values,
)
from tests.support.golden import ROWS, load_golden, load_greedy
from tests.support.tiny_checkpoints import TINY_MODELS, TinyModel, write_tiny_checkpoint
from tests.support.tiny_families import FAMILY_MODELS

EXACT = 1e-4
INT8_ACTIVATIONS = 0.2

every_model = pytest.mark.parametrize("model", FAMILY_MODELS, ids=lambda model: model.name)
every_rounding = pytest.mark.parametrize("precision", ["int8", "int4"])


def check_rounded(exported: Exported, *, relative: float) -> None:
    model = exported.load()
    found = read_tokens(model, model.create_cache(), TOKEN_IDS)
    expected = forward(exported.spec, exported.weights, TOKEN_IDS)
    assert relative_error(found, expected) <= relative


def check_refused(name: str, because: str, **changes: Any) -> None:
    with pytest.raises(UnsupportedError, match=because):
        read_architecture(Config(named(name).full_config | changes, "config.json"))


def check_contradicted(name: str, because: str, **changes: Any) -> None:
    with pytest.raises(CheckpointError, match=because):
        read_architecture(Config(named(name).full_config | changes, "config.json"))


def named(name: str) -> TinyModel:
    return next(model for model in FAMILY_MODELS if model.name == name)


def test_a_window_as_long_as_the_context_is_none() -> None:
    config = Config(named("phimoe").full_config, "config.json")
    assert config.integer("sliding_window") == config.integer("max_position_embeddings")
    assert read_architecture(config).spec.layers[0].attention.window is None


def test_a_rotation_that_changes_beyond_a_length_ends_the_context_there() -> None:
    config = Config(named("phimoe-long").full_config, "config.json")
    assert read_architecture(config).spec.max_position_embeddings == 64


def test_every_family_has_a_tiny_model() -> None:
    covered = {model.full_config["model_type"] for model in (*TINY_MODELS, *FAMILY_MODELS)}
    assert covered == {family.model_type for family in FAMILIES}


@every_model
def test_the_oracle_equals_the_original(model: TinyModel, tmp_path: Path) -> None:
    spec, values = read_values(write_tiny_checkpoint(tmp_path, model))
    logits = forward(spec, values, TOKEN_IDS)
    np.testing.assert_allclose(logits[ROWS], load_golden(model), rtol=0, atol=EXACT)


@every_model
def test_the_f32_graph_equals_the_oracle_and_writes_the_same_tokens(
    model: TinyModel, tmp_path: Path
) -> None:
    exported = export_tiny(tmp_path, model)
    loaded = exported.load()
    found = read_tokens(loaded, loaded.create_cache(), TOKEN_IDS)
    expected = forward(exported.spec, exported.weights, TOKEN_IDS)
    np.testing.assert_allclose(found, expected, rtol=0, atol=EXACT)
    assert greedy_tokens(loaded, TOKEN_IDS) == load_greedy(model)


@every_model
@every_rounding
def test_rounded_graphs_compute_with_the_weights_that_they_hold(
    model: TinyModel, precision: Precision, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exported = export_tiny(tmp_path, model, precision)
    check_rounded(exported, relative=INT8_ACTIVATIONS)
    compute_with_float_activations(exported.folder / MODEL_FILE)
    if precision == "int8":  # whose experts have no such kernel, only a slow path that widens
        monkeypatch.setenv("ORT_QMOE_CPU_QNBIT_GEMM", "0")
    check_rounded(exported, relative=EXACT)


def test_a_window_of_qwen2() -> None:
    check_refused("qwen2", "use_sliding_window = True", use_sliding_window=True)


def test_layers_of_another_kind() -> None:
    kinds = ["full_attention", "sliding_attention"]
    check_refused("qwen3", "layer_types = .*'sliding_attention'", layer_types=kinds)


def test_clipped_queries_of_olmoe() -> None:
    check_refused("olmoe", "clip_qkv = 8.0", clip_qkv=8.0)


def test_biased_queries_of_olmoe() -> None:
    check_refused("olmoe", "attention_bias = True", attention_bias=True)


def test_a_biased_feed_forward_of_llama() -> None:
    check_refused("llama", "mlp_bias = True", mlp_bias=True)


def test_more_than_two_experts_of_phimoe() -> None:
    check_refused("phimoe", "num_experts_per_tok = 4; only 2", num_experts_per_tok=4)


def test_a_factor_too_few_of_phimoe() -> None:
    scaling = named("phimoe-long").full_config["rope_scaling"] | {"short_factor": [1.0] * 7}
    check_contradicted("phimoe-long", "7 numbers in short_factor", rope_scaling=scaling)


def test_another_activation_of_starcoder2() -> None:
    check_refused("starcoder2", "hidden_act = 'gelu'; only 'gelu_py", hidden_act="gelu")


def test_attention_of_gemma_that_looks_ahead() -> None:
    check_refused(
        "gemma3_text", "use_bidirectional_attention = True", use_bidirectional_attention=True
    )


def test_capped_scores_of_gemma3_which_transformers_does_not_cap() -> None:
    check_refused("gemma3_text", "attn_logit_softcapping = 50.0", attn_logit_softcapping=50.0)


def test_another_activation() -> None:
    check_refused("mistral", "hidden_act = 'relu'", hidden_act="relu")


def test_a_rotation_that_depends_on_the_length() -> None:
    scaling = {"rope_type": "dynamic", "factor": 2.0}
    check_refused("llama", "rope_scaling says rope_type = 'dynamic'", rope_scaling=scaling)


def test_a_key_of_a_scaling_that_nobody_knows() -> None:
    scaling = {"rope_type": "linear", "factor": 2.0, "beta_fast": 32}
    check_refused("llama", "beta_fast = 32", rope_scaling=scaling)


def test_a_kind_of_layer_that_nobody_knows() -> None:
    kinds = ["linear_attention"] * 3
    check_refused("gpt_oss", "'linear_attention' among layer_types", layer_types=kinds)


def test_biased_attention_of_qwen3_next() -> None:
    check_refused("qwen3_next", "attention_bias = True", attention_bias=True)


def test_layers_that_keep_nothing_but_states() -> None:
    kinds = ["linear_attention"] * 4
    check_refused("qwen3_next", "no layer of full_attention", layer_types=kinds)


def test_a_window_among_states() -> None:
    kinds = ["linear_attention", "sliding_attention"] * 2
    check_refused("qwen3_next", "'sliding_attention' among layer_types", layer_types=kinds)


def test_value_heads_that_do_not_share_key_heads_equally() -> None:
    because = "linear_num_value_heads = 3, which is no multiple"
    check_contradicted("qwen3_next", because, linear_num_value_heads=3)


def test_a_convolution_that_does_not_look_back() -> None:
    because = "linear_conv_kernel_dim = 1, which is not between 2"
    check_contradicted("qwen3_next", because, linear_conv_kernel_dim=1)


def test_another_activation_of_gpt_oss() -> None:
    check_refused("gpt_oss", "hidden_act = 'gelu'", hidden_act="gelu")


def test_groups_that_experts_do_not_divide_into() -> None:
    check_contradicted("deepseek_v3", "n_group = 3 and topk_group = 2 for 8 experts", n_group=3)


def test_more_experts_than_the_chosen_groups_have() -> None:
    because = "num_experts_per_tok = 5, yet the chosen groups have 4"
    check_contradicted("deepseek_v3", because, num_experts_per_tok=5)


def test_another_way_to_score_experts() -> None:
    check_refused("deepseek_v3", "scoring_func = 'softmax'", scoring_func="softmax")


def test_biased_latents() -> None:
    check_refused("deepseek_v2", "attention_bias = True", attention_bias=True)


@pytest.mark.parametrize("size", [8, 24, 31])
def test_heads_of_a_size_that_attention_does_not_take(size: int) -> None:
    check_refused("llama", f"head_dim = {size}; only multiples of 16", head_dim=size)


def test_a_share_of_a_head_that_attention_does_not_rotate() -> None:
    check_refused("stablelm", "rotary_dim = 5; only multiples of 2", partial_rotary_factor=0.33)
    check_refused("deepseek_v2", "rotary_dim = 8", qk_rope_head_dim=8, qk_nope_head_dim=40)


def test_values_that_are_larger_than_a_head() -> None:
    check_refused("deepseek_v2", "v_head_dim = 64, more than", v_head_dim=64)


def test_the_smaller_gemma_4() -> None:
    """E2B and E4B have both."""
    check_refused(
        "gemma4_text",
        "num_kv_shared_layers = 1; attention to the keys and values of another layer",
        num_kv_shared_layers=1,
    )
    check_refused(
        "gemma4_text",
        "hidden_size_per_layer_input = 256; embeddings for each layer are not",
        hidden_size_per_layer_input=None,
    )


def test_what_gemma_4_says_of_its_layers() -> None:
    kinds = ["full_attention", "sliding_attention"]
    check_refused("gemma4_text", "a last layer that sees a window", layer_types=kinds)
    check_refused(
        "gemma4_text", "bidirectional_attention = 'all'", use_bidirectional_attention="all"
    )


def test_gates_of_laguna() -> None:
    check_refused("laguna", "gating = False; only True or 'per-head' or", gating=False)
    check_refused("laguna", "gating_types = ", gating_types=["per_element"] * 3)


def test_heads_of_too_few_layers_of_laguna() -> None:
    because = r"num_attention_heads_per_layer = \[4, 6\] for 3 layers"
    check_contradicted("laguna", because, num_attention_heads_per_layer=[4, 6])


def test_qwen3_5_without_a_gate() -> None:
    check_refused("qwen3_5_text", "attn_output_gate = False", attn_output_gate=False)
    check_refused("qwen3_5_text", "output_gate_type = 'sigmoid'", output_gate_type="sigmoid")


def test_a_share_of_a_head_that_is_said_twice() -> None:
    config = named("qwen3_5_text").full_config
    same = Config(config | {"partial_rotary_factor": 0.25}, "config.json")
    assert read_architecture(same).spec.layers[3].attention.rotary_dim == 16
    check_refused(
        "qwen3_5_text", "partial_rotary_factor = 0.25; only 0.5", partial_rotary_factor=0.5
    )


def test_states_of_granite_4_alone() -> None:
    check_refused("granitemoehybrid", "no layer that attends", layer_types=["mamba"] * 4)


def test_steps_of_granite_4_that_are_cut_off() -> None:
    check_refused("granitemoehybrid", "has a time_step_limit", time_step_limit=[0.001, 0.1])


def test_sizes_of_granite_4_that_contradict() -> None:
    check_refused("granitemoehybrid", "mamba_d_head = 16; only 'auto' or 32", mamba_d_head=16)
    because = "mamba_n_heads = 4, which is no multiple of mamba_n_groups = 3"
    check_contradicted("granitemoehybrid", because, mamba_n_groups=3)


def test_a_biased_ernie() -> None:
    check_refused("ernie4_5_moe", "use_bias = True", use_bias=True)


@pytest.mark.parametrize(
    ("name", "tensor"),
    [
        ("deepseek_v3", "model.layers.2.eh_proj.weight"),
        ("glm4_moe", "model.layers.2.self_attn.q_proj.weight"),
        ("glm4_moe_lite", "model.layers.3.eh_proj.weight"),
        ("mellum", "mtp.0.eh_proj.weight"),
        ("qwen3_next", "mtp.layers.0.self_attn.q_proj.weight"),
        ("qwen3_5_text", "mtp.fc.weight"),
        ("qwen3_5_moe_text", "mtp.layers.0.mlp.experts.gate_up_proj"),
        ("ernie4_5_moe", "model.mtp_block.0.mlp.up_proj.weight"),
    ],
)
def test_a_part_of_a_layer_that_predicts_further_tokens_is_left_out_and_told(
    name: str, tensor: str, tmp_path: Path
) -> None:
    checkpoint = write_tiny_checkpoint(tmp_path, named(name))
    tensors = load_file(checkpoint / "model.safetensors")
    further = {each: np.zeros((64, 128), np.float32) for each in (tensor, f"{tensor}_scale")}
    save_file(tensors | further, checkpoint / "model.safetensors")
    original = read_original(str(checkpoint), ExportOptions())
    opened = open_slots(original.source, original.architecture)
    assert set(opened.values) == set(slots(original.architecture.spec))
    (remark,) = opened.remarks
    assert remark.startswith("left out as they predict further tokens: 2 tensors")
    assert opened.predictor is None


def test_a_surplus_layer_of_a_family_that_has_none(tmp_path: Path) -> None:
    model = next(model for model in FAMILY_MODELS if model.name == "deepseek_v2")
    checkpoint = write_tiny_checkpoint(tmp_path, model)
    tensors = load_file(checkpoint / "model.safetensors")
    further = {"model.layers.2.eh_proj.weight": np.zeros((64, 128), np.float32)}
    save_file(tensors | further, checkpoint / "model.safetensors")
    with pytest.raises(CheckpointError, match="has no place in this model"):
        read_values(checkpoint)
