"""What is published around a language model changes none of its weights, and each thing is told."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from export.architectures import read_architecture
from export.checkpoint.config import Config as JsonObject
from export.checkpoint.naming import Spelling, name_tensors
from export.errors import CheckpointError, ExportError
from export.inspection import in_words, inspect_checkpoint
from export.options import ExportOptions
from export.original import OpenedSlots, open_slots, read_original
from export.package.to_checkpoint import write_checkpoint
from export.pipeline import export_checkpoint
from export.spec.decoder import GroupedQuery, num_parameters
from export.spec.oracle import forward
from inference.package.manifest import TOKENIZER_FILE, read_manifest
from inference.runtime.tokenizer import Tokenizer
from tests.support.exported import TOKEN_IDS, no_progress, tiny_options
from tests.support.golden import ALL_MODELS
from tests.support.tiny_checkpoints import (
    VOCAB_SIZE,
    TinyModel,
    write_json,
    write_tiny_checkpoint,
)

Array = np.ndarray[Any, Any]
Tensors = dict[str, Array]
Config = dict[str, Any]

MODELS = {model.name: model for model in ALL_MODELS}
QWEN3 = MODELS["qwen3"]

VISION: Tensors = {
    "patch_embed.proj.weight": np.ones((4, 3), np.float32),
    "embeddings.position_ids": np.arange(4, dtype=np.int64),
}
ANGLES = np.ones(8, np.float32)


def wrapped(config: Mapping[str, Any], text_type: str, **around: Any) -> Config:
    """Put a language model's config into the `text_config` of a model that also sees."""
    text = {key: value for key, value in config.items() if key != "architectures"}
    return {
        "architectures": ["SeeingForConditionalGeneration"],
        "model_type": "seeing",
        "text_config": text | {"model_type": text_type},
        "vision_config": {"hidden_size": 4},
        "image_token_id": 3,
        "tie_word_embeddings": config["tie_word_embeddings"],
        "eos_token_id": 0,
        **around,
    }


def beside(prefix: str, tensors: Mapping[str, Array]) -> Tensors:
    return {f"{prefix}.{name}": values for name, values in tensors.items()}


def behind(tensors: Mapping[str, Array], root: str, headed: bool = True) -> Tensors:
    """Call what is in `model.` by another root, and the head too where it is `headed`."""
    names = {
        name: name.replace("model.", f"{root}.", 1)
        if name.startswith("model.")
        else f"{root.removesuffix('.model')}.{name}"
        if headed
        else name
        for name in tensors
    }
    return {names[name]: values for name, values in tensors.items()}


def older(config: Config, tensors: Tensors) -> tuple[Config, Tensors]:
    stored = behind(tensors, "language_model.model") | beside("vision_tower", VISION)
    projector = {"multi_modal_projector.linear_1.weight": np.ones((2, 2), np.float32)}
    return wrapped(config, "qwen3"), stored | projector


def newer(config: Config, tensors: Tensors) -> tuple[Config, Tensors]:
    stored = behind(tensors, "model.language_model", headed=False)
    changed = wrapped(config, "qwen3_vl_text", vocab_size=config["vocab_size"])
    changed["text_config"]["rope_scaling"] = {
        "mrope_interleaved": True,
        "mrope_section": [4, 2, 2],
        "rope_type": "default",
    }
    return changed, stored | beside("model.visual", VISION)


def flat(config: Config, tensors: Tensors) -> tuple[Config, Tensors]:
    """As Qwen2.5-VL is published: the language model's keys and names, and others beside them."""
    around = {
        "architectures": ["Qwen2_5_VLForConditionalGeneration"],
        "model_type": "qwen2_5_vl",
        "rope_scaling": {"type": "mrope", "mrope_section": [4, 2, 2]},
        "vision_config": {"depth": 2},
        "vision_start_token_id": 3,
    }
    return config | around, tensors | beside("visual", VISION)


def other_spelling(config: Config, tensors: Tensors) -> tuple[Config, Tensors]:
    changed = wrapped(config, "qwen3")
    changed["llm_config"] = changed.pop("text_config")
    return changed, behind(tensors, "language_model.model")


def headless(config: Config, tensors: Tensors) -> tuple[Config, Tensors]:
    return config, {name.removeprefix("model."): values for name, values in tensors.items()}


def with_buffers(config: Config, tensors: Tensors) -> tuple[Config, Tensors]:
    angles = {f"model.layers.{layer}.self_attn.rotary_emb.inv_freq": ANGLES for layer in (0, 1)}
    mask = np.ones((1, 1, 4, 4), np.bool_)
    return config, tensors | angles | {"model.layers.0.attn.bias": mask}


def with_scales(config: Config, tensors: Tensors) -> tuple[Config, Tensors]:
    scale = np.ones(1, np.float32)
    names = ("self_attn.k_scale", "self_attn.v_scale")
    return config, tensors | {f"model.layers.0.{name}": scale for name in names}


def with_zero_biases(config: Config, tensors: Tensors) -> tuple[Config, Tensors]:
    matrices = [name for name in tensors if name.endswith("_proj.weight")]
    zeros = {
        name.removesuffix("weight") + "bias": np.zeros(len(tensors[name]), np.float32)
        for name in matrices
    }
    return config, tensors | zeros


LEFT_OUT = "left out as no part of the language model"
FOLLOWS = "left out since they follow from the config"
CASES: dict[str, tuple[Callable[[Config, Tensors], tuple[Config, Tensors]], list[str]]] = {
    "a seeing model of older make": (
        older,
        [
            "read as the language model: 24 tensors of language_model",
            f"{LEFT_OUT}: 1 tensor of multi_modal_projector",
            f"{LEFT_OUT}: 2 tensors of vision_tower",
        ],
    ),
    "a seeing model of newer make": (
        newer,
        [
            "read as the language model: 24 tensors of model.language_model",
            f"{LEFT_OUT}: 2 tensors of visual",
        ],
    ),
    "a language model by another key": (
        other_spelling,
        ["read as the language model: 24 tensors of language_model"],
    ),
    "names without the model": (headless, ["read as those of model: 24 tensors without its name"]),
    "angles and masks": (
        with_buffers,
        [f"{FOLLOWS}: 1 tensor of attn.bias", f"{FOLLOWS}: 2 tensors of rotary_emb.inv_freq"],
    ),
    "scales of keys and values": (
        with_scales,
        [
            "left out since keys and values are not stored: 1 tensor of k_scale",
            "left out since keys and values are not stored: 1 tensor of v_scale",
        ],
    ),
    "biases that are zero": (with_zero_biases, ["left out as they are zero: 14 biases"]),
}


def published(
    folder: Path,
    change: Callable[[Config, Tensors], tuple[Config, Tensors]],
    model: TinyModel = QWEN3,
) -> Path:
    """Write a tiny checkpoint as somebody else would publish it."""
    write_tiny_checkpoint(folder, model)
    config = json.loads((folder / "config.json").read_text("utf-8"))
    config, tensors = change(config, load_file(folder / "model.safetensors"))
    write_json(folder / "config.json", config)
    stored = {name: np.ascontiguousarray(values) for name, values in tensors.items()}
    save_file(stored, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def opened(folder: Path) -> OpenedSlots:
    original = read_original(str(folder), ExportOptions())
    return open_slots(original.source, original.architecture)


def check(folder: Path, plain: Path, remarks: list[str]) -> None:
    """Both are the same model, slot by slot, and what differs is told."""
    expected, found = opened(plain), opened(folder)
    assert found.values.keys() == expected.values.keys()
    for name, values in expected.values.items():
        np.testing.assert_array_equal(found.values[name], values)
    assert list(found.remarks) == remarks


def check_refused(folder: Path, because: str) -> None:
    with pytest.raises(ExportError, match=because):
        opened(folder)


@pytest.mark.parametrize("case", CASES)
def test_what_is_harmless_is_told_and_changes_nothing(case: str, tmp_path: Path) -> None:
    change, remarks = CASES[case]
    folder = published(tmp_path / "published", change)
    check(folder, write_tiny_checkpoint(tmp_path / "plain", QWEN3), remarks)


def test_a_seeing_model_whose_parts_lie_side_by_side(tmp_path: Path) -> None:
    qwen2 = MODELS["qwen2"]
    folder = published(tmp_path / "published", flat, qwen2)
    told = [f"{LEFT_OUT}: 2 tensors of visual"]
    check(folder, write_tiny_checkpoint(tmp_path / "plain", qwen2), told)


def test_experts_of_a_seeing_model_lie_together_inputs_first(tmp_path: Path) -> None:
    def fused(config: Config, tensors: Tensors) -> tuple[Config, Tensors]:
        stored = {name: values for name, values in tensors.items() if ".experts." not in name}
        for layer in range(config["num_hidden_layers"]):
            start = f"model.layers.{layer}.mlp.experts."
            parts = {
                part: np.stack(
                    [
                        tensors[f"{start}{expert}.{part}_proj.weight"]
                        for expert in range(config["num_experts"])
                    ]
                ).swapaxes(1, 2)
                for part in ("gate", "up", "down")
            }
            stored[f"{start}gate_up_proj"] = np.concatenate([parts["gate"], parts["up"]], -1)
            stored[f"{start}down_proj"] = parts["down"]
        return (
            wrapped(config, "qwen3_vl_moe_text"),
            behind(stored, "model.language_model", headed=False),
        )

    plain = MODELS["plain"]
    folder = published(tmp_path / "published", fused, plain)
    told = ["read as the language model: 24 tensors of model.language_model"]
    check(folder, write_tiny_checkpoint(tmp_path / "plain", plain), told)


def test_the_export_and_the_inspection_tell_it(tmp_path: Path) -> None:
    folder = published(tmp_path / "c", older)
    said: list[str] = []
    package = tmp_path / "p"
    options = tiny_options(precision="f32")
    export_checkpoint(str(folder), package, options, progress=no_progress, remark=said.append)
    remarks = CASES["a seeing model of older make"][1]
    assert said == remarks
    told = inspect_checkpoint(str(folder), ExportOptions())
    assert told.tensors == "24 tensors of F32, each with its place"
    assert list(told.remarks) == remarks
    assert all(f"  note        {remark}\n" in in_words(told) + "\n" for remark in remarks)
    # The way back is the language model alone.
    write_checkpoint(package, tmp_path / "back")
    check(tmp_path / "back", write_tiny_checkpoint(tmp_path / "plain", QWEN3), [])


def test_a_bias_that_is_not_zero_is_none_to_leave_out(tmp_path: Path) -> None:
    def biased(config: Config, tensors: Tensors) -> tuple[Config, Tensors]:
        config, tensors = with_zero_biases(config, tensors)
        tensors["model.layers.1.mlp.up_proj.bias"][3] = 1e-20
        return config, tensors

    check_refused(published(tmp_path, biased), "up_proj.bias has no place in this model")


def test_a_missing_tensor_is_missing_whatever_lies_beside_it(tmp_path: Path) -> None:
    def without(config: Config, tensors: Tensors) -> tuple[Config, Tensors]:
        config, tensors = older(config, tensors)
        tensors.pop("language_model.model.norm.weight")
        return config, tensors

    check_refused(published(tmp_path, without), "has no tensor for norm")


@pytest.mark.parametrize(
    ("around", "because"),
    [
        ({"depth_of_thought": 2}, "config.json says depth_of_thought = 2, which is not implemen"),
        ({"architectures": ["SeeingForSequenceClassification"]}, "which write no text"),
        ({"vocab_size": 7}, "config.json says vocab_size = 7; only 272 is implemented"),
    ],
)
def test_what_is_not_known_around_a_language_model(
    around: Config, because: str, tmp_path: Path
) -> None:
    def change(config: Config, tensors: Tensors) -> tuple[Config, Tensors]:
        return wrapped(config, "qwen3", **around), behind(tensors, "language_model.model")

    check_refused(published(tmp_path, change), because)


def test_a_language_model_of_a_family_that_is_not_ours(tmp_path: Path) -> None:
    def change(config: Config, tensors: Tensors) -> tuple[Config, Tensors]:
        return wrapped(config, "mystery_text"), tensors

    check_refused(published(tmp_path, change), "text_config says model_type = 'mystery_text'; impl")


def test_a_key_within_can_be_passed_over_by_its_whole_name(tmp_path: Path) -> None:
    def change(config: Config, tensors: Tensors) -> tuple[Config, Tensors]:
        return wrapped(config | {"mystery": 1}, "qwen3"), behind(tensors, "language_model.model")

    folder = published(tmp_path, change)
    check_refused(folder, "--ignore-config text_config.mystery")
    read_original(str(folder), ExportOptions(ignore_config=("text_config.mystery",)))


def with_tokens(folder: Path, **spelled: str) -> list[str]:
    """Export a tiny model whose tokens are called otherwise or, as `beyond`, one more."""
    write_tiny_checkpoint(folder / "c")
    text = (folder / "c" / "tokenizer.json").read_text("utf-8")
    beyond = spelled.pop("beyond", None)
    for old, new in spelled.items():
        text = text.replace(f"<|{old}|>", new)
    tokenizer = json.loads(text)
    if beyond is not None:
        more = tokenizer["added_tokens"][1] | {"id": VOCAB_SIZE, "content": beyond}
        tokenizer["added_tokens"].append(more)
    write_json(folder / "c" / "tokenizer.json", tokenizer)
    said: list[str] = []
    options = tiny_options(precision="f32", fim_order=None)
    export_checkpoint(
        str(folder / "c"), folder / "p", options, progress=no_progress, remark=said.append
    )
    return said


def test_a_token_that_the_model_has_no_row_for_is_text_as_any_other(tmp_path: Path) -> None:
    said = with_tokens(tmp_path, beyond="<think>")
    assert said == ["left out as the embedding has no row for it: 1 added token, <think>"]
    assert read_manifest(tmp_path / "p").fim is not None
    token_ids = Tokenizer.load(tmp_path / "p" / TOKENIZER_FILE).encode("<think>")
    assert len(token_ids) == len("<think>")
    assert max(token_ids) < VOCAB_SIZE


def test_holes_that_are_spelled_with_such_a_token_cannot_be_filled(tmp_path: Path) -> None:
    said = with_tokens(tmp_path, fim_middle="<|unused|>", beyond="<|fim_middle|>")
    assert [line.partition(": ")[2] for line in said] == [
        "1 added token, <|fim_middle|>, so holes cannot be filled"
    ]
    assert read_manifest(tmp_path / "p").fim is None


def test_a_guess_of_how_holes_are_shown_is_said_and_measured(tmp_path: Path) -> None:
    marks = {name: f"<{name}>" for name in ("fim_prefix", "fim_suffix", "fim_middle")}
    said = with_tokens(tmp_path, **marks)
    assert [line.partition(",")[0] for line in said] == [
        "holes are spelled as starcoder and mellum spell them"
    ]
    measured = read_manifest(tmp_path / "p").quality["fim_bits_per_token"]
    assert measured.keys() == {"psm", "spm", "tail", "suffix_prefix", "left_to_right"}


def test_holes_without_a_token_for_the_middle_are_measured_in_their_order(tmp_path: Path) -> None:
    assert with_tokens(tmp_path, fim_prefix="[PREFIX]", fim_suffix="[SUFFIX]") == []
    manifest = read_manifest(tmp_path / "p")
    assert manifest.fim is not None
    assert manifest.fim.order == "suffix_prefix"
    assert manifest.quality["fim_bits_per_token"].keys() == {"suffix_prefix", "left_to_right"}


def test_a_text_config_that_is_silent_means_what_its_class_says() -> None:
    """As Gemma 3 4B is published, whose text has the sizes of no other model."""
    config = {
        "architectures": ["Gemma3ForConditionalGeneration"],
        "boi_token_index": 255999,
        "eoi_token_index": 256000,
        "eos_token_id": [1, 106],
        "image_token_index": 262144,
        "mm_tokens_per_image": 256,
        "model_type": "gemma3",
        "text_config": {
            "hidden_size": 2560,
            "intermediate_size": 10240,
            "model_type": "gemma3_text",
            "num_hidden_layers": 34,
            "rope_scaling": {"factor": 8.0, "rope_type": "linear"},
            "sliding_window": 1024,
        },
        "vision_config": {"hidden_size": 1152, "model_type": "siglip_vision_model"},
    }
    spec = read_architecture(JsonObject(config, "config.json")).spec
    assert num_parameters(spec) / 1e9 == pytest.approx(3.88, rel=0.001)
    assert spec.tie_word_embeddings
    full, local = spec.layers[5].attention, spec.layers[0].attention
    assert isinstance(full, GroupedQuery)
    assert isinstance(local, GroupedQuery)
    assert (full.window, local.window) == (None, 1024)
    assert (full.rope.theta, local.rope.theta) == (1_000_000.0, 10_000.0)
    assert (full.rope.scaling is None, local.rope.scaling) == (False, None)


SPELLING = Spelling(root="model", followers=frozenset({"layers", "norm", "embed_tokens"}))


@given(
    st.lists(st.sampled_from(["layers.0.a", "norm.weight", "embed_tokens.weight"]), unique=True),
    st.sampled_from(["", "model.", "model.language_model.", "language_model.model.", "llm.model."]),
)
def test_a_name_is_the_same_behind_any_prefix(names: list[str], prefix: str) -> None:
    named = name_tensors({prefix + name: (1,) for name in names}, SPELLING)
    assert named.taken == {f"model.{name}": prefix + name for name in names}
    assert bool(named.remarks) == (prefix != "model." and bool(names))


def test_two_spellings_of_one_tensor() -> None:
    with pytest.raises(CheckpointError, match=r"norm.weight and norm.weight are the same one"):
        name_tensors({"model.norm.weight": (1,), "norm.weight": (1,)}, SPELLING)


def test_what_nobody_knows_keeps_its_name() -> None:
    """A real bias of that name has one size, and an unknown part is refused by the plan."""
    shapes = {"model.layers.0.attn.bias": (8,), "mtp.layers.0.norm.weight": (8,)}
    assert name_tensors(shapes, SPELLING).taken == {name: name for name in shapes}


@pytest.mark.parity
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("name", ["qwen2_5_vl", "qwen3_vl", "qwen3_vl_moe"])
def test_a_seeing_model_writes_what_its_language_model_writes(name: str, tmp_path: Path) -> None:
    """transformers makes and reads the whole model, vision and all; we read the half of it."""
    import torch
    import transformers

    tiny = {"qwen2_5_vl": "qwen2", "qwen3_vl": "qwen3", "qwen3_vl_moe": "plain"}
    text = MODELS[tiny[name]].full_config
    text = {key: value for key, value in text.items() if key not in {"architectures", "model_type"}}
    rotation = {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [4, 2, 2]}
    config = transformers.AutoConfig.for_model(
        name,
        text_config=text | {"rope_parameters": rotation},
        vision_config={
            "depth": 1,
            "hidden_size": 32,
            "intermediate_size": 32,
            "num_heads": 2,
            "out_hidden_size": text["hidden_size"],
            "num_position_embeddings": 16,
            "deepstack_visual_indexes": [0],
        },
        tie_word_embeddings=text["tie_word_embeddings"],
        eos_token_id=0,
    )
    torch.manual_seed(1)
    whole = transformers.AutoModelForImageTextToText.from_config(config).eval()
    write_tiny_checkpoint(tmp_path, QWEN3)
    whole.save_pretrained(tmp_path)
    stored = load_file(tmp_path / "model.safetensors")
    for expert in (name for name in stored if ".experts." in name):
        # As the published ones have them; the installed version reads both and writes the other.
        stored[expert] = np.ascontiguousarray(stored[expert].swapaxes(1, 2))
    save_file(stored, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with torch.no_grad():
        logits = whole(input_ids=torch.tensor([TOKEN_IDS])).logits[0].numpy()
    slots = opened(tmp_path).values
    spec = read_original(str(tmp_path), ExportOptions()).spec
    np.testing.assert_allclose(forward(spec, slots, TOKEN_IDS), logits, rtol=0, atol=1e-4)
