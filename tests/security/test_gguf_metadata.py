"""What GGUF files of single families say beside the common things, changed: refused with a reason.

And models in several files of which one is not what it should be.
"""

import math
import shutil
import struct
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest

from export.errors import ExportError
from export.inspection import inspect_checkpoint
from export.original import open_original
from tests.support.exported import tiny_options
from tests.support.gguf_files import write_gguf_file
from tests.support.gguf_models import GGUF_MODELS
from tests.support.raw_gguf import ARRAY, BOOL, F32, I32, STRING, U32, RawGguf, taken_apart
from tests.support.tiny_checkpoints import write_tiny_checkpoint

Change = Callable[[RawGguf], object]
BY_NAME = {model.name: model for model in GGUF_MODELS}


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Good files by the name of their model, each written once."""

    @cache
    def write(name: str) -> Path:
        folder = tmp_path_factory.mktemp(name)
        checkpoint = write_tiny_checkpoint(folder / "checkpoint", BY_NAME[name])
        return write_gguf_file(folder / "model.gguf", checkpoint)

    return write


def read_all(path: Path) -> None:
    inspect_checkpoint(str(path), tiny_options())
    _, values = open_original(str(path))
    for name in values:
        assert np.isfinite(values[name]).all()


def check(path: Path, because: str) -> None:
    with pytest.raises(ExportError, match=because):
        read_all(path)


def says(name: str, value: object, *types: int) -> Change:
    return lambda parts: parts.set(name, value, *types)


def without(name: str) -> Change:
    return lambda parts: parts.remove(name)


def of(tensor: str, **changes: Any) -> Change:
    def change(parts: RawGguf) -> None:
        header = parts.header(tensor)
        for field, value in changes.items():
            setattr(header, field, value)

    return change


def begins_with(tensor: str, number: float) -> Change:
    """Overwrite the first number of a tensor of float32."""

    def change(parts: RawGguf) -> None:
        at = parts.header(tensor).offset
        parts.data = parts.data[:at] + struct.pack("<f", number) + parts.data[at + 4 :]

    return change


METADATA: dict[str, tuple[str, Change, str]] = {
    "no size of states": ("qwen3_next", without("qwen3next.ssm.state_size"), "no ssm.state_size"),
    "states that do not divide": (
        "qwen3_next",
        says("qwen3next.ssm.inner_size", 130),
        "ssm.inner_size = 130 of 4 heads",
    ),
    "heads of states without end": (
        "qwen3_next",
        says("qwen3next.ssm.group_count", 2**31 - 1),
        "attn_qkv|multiple",
    ),
    "a decay that grows": ("qwen3_next", begins_with("blk.0.ssm_a", 1.0), "not below zero"),
    "a decay that is none": ("qwen3_next", begins_with("blk.0.ssm_a", math.nan), "not finite"),
    "a gate that is missing": (
        "qwen3_next",
        of("blk.0.attn_gate.weight", name="blk.9.attn_gate.weight"),
        "has no place",
    ),
    "turns of no layers": (
        "qwen3_next",
        says("qwen3next.full_attention_interval", 0),
        "between 1",
    ),
    "kinds of too few layers": (
        "qwen3_next",
        says("qwen3next.attention.recurrent_layers", [True, False], ARRAY, BOOL),
        "of 2 for 4 layers",
    ),
    "kinds of layers in words": (
        "qwen3_next",
        says("qwen3next.attention.recurrent_layers", ["yes"] * 4, ARRAY, STRING),
        "not a list of integers",
    ),
    "heads that are all rotated": (
        "deepseek_v3",
        says("deepseek2.attention.key_length_mla", 16),
        "of which 16 are rotated",
    ),
    "no rank of latents": ("deepseek_v3", without("deepseek2.attention.kv_lora_rank"), "no att"),
    "another rank of latents": (
        "deepseek_v3",
        says("deepseek2.attention.kv_lora_rank", 31),
        "key_length = 48",
    ),
    "latents in words": (
        "deepseek_v3",
        says("deepseek2.attention.q_lora_rank", "32", STRING),
        "not an integer",
    ),
    "keys of other heads": (
        "deepseek_v3",
        of("blk.0.attn_k_b.weight", sizes=[32, 16, 8]),
        "which are not 4 heads",
    ),
    "keys in two dimensions": (
        "deepseek_v3",
        of("blk.0.attn_k_b.weight", sizes=[32, 32 * 4]),
        "which are not 4 heads",
    ),
    "a matrix whole and in two": (
        "deepseek_v3",
        of("blk.0.attn_output.weight", name="blk.0.attn_kv_b.weight"),
        "whole and in two",
    ),
    "scores of no function": (
        "deepseek_v3",
        says("deepseek2.expert_gating_func", 7),
        "expert_gating_func = 7",
    ),
    "groups that do not divide": (
        "deepseek_v3",
        says("deepseek2.expert_group_count", 3),
        "n_group = 3",
    ),
    "a stretch that scores know nothing of": (
        "deepseek_v3",
        without("deepseek2.rope.scaling.yarn_log_multiplier"),
        "no rope.scaling.yarn_log_multiplier",
    ),
    "more layers that predict than there are": (
        "glm4_moe",
        says("glm4moe.nextn_predict_layers", 2),
        "nextn_predict_layers = 2 of 2 layers",
    ),
    "layers that predict without end": (
        "glm4_moe",
        says("glm4moe.nextn_predict_layers", 2**32 - 1),
        "between 0",
    ),
    "dense layers beyond the last one": (
        "glm4_moe",
        says("glm4moe.leading_dense_block_count", 9),
        "no tensor for|no place",
    ),
    "a scale that is none": (
        "glm4_moe",
        says("glm4moe.expert_weights_scale", math.nan),
        "finite and above zero",
    ),
    "a pattern of too many layers": (
        "mellum",
        says("mellum.attention.sliding_window_pattern", [True] * 9, ARRAY, BOOL),
        "of 9 for 3 layers",
    ),
    "a window below zero": (
        "gpt_oss",
        says("gpt-oss.attention.sliding_window", -5, I32),
        "between 0",
    ),
    "a blend of no factor": (
        "gpt_oss",
        without("gpt-oss.rope.scaling.factor"),
        "no rope.scaling.factor",
    ),
    "half of the factors": (
        "phimoe-long",
        of("rope_factors_long.weight", name="rope_factors_lang.weight"),
        "or by half of one",
    ),
    "a factor of nothing": (
        "phimoe-long",
        begins_with("rope_factors_short.weight", 0.0),
        "not above zero",
    ),
    "a factor that is none": (
        "phimoe-long",
        begins_with("rope_factors_long.weight", math.nan),
        "not above zero",
    ),
    "factors of another rotation": (
        "llama-frequencies",
        says("llama.rope.scaling.type", "linear", STRING),
        "no rope.scaling.factor|more than one way",
    ),
    "factors below zero": (
        "llama-frequencies",
        begins_with("rope_freqs.weight", -1.0),
        "not above zero",
    ),
    "no step of sparse layers": (
        "ernie4_5_moe",
        without("ernie4_5-moe.interleave_moe_layer_step"),
        "no interleave",
    ),
    "a step of none": (
        "ernie4_5_moe",
        says("ernie4_5-moe.interleave_moe_layer_step", 0),
        "between 1",
    ),
    "no scale of logits": ("granite", without("granite.logit_scale"), "no logit_scale"),
    "nothing rotated": (
        "granite",
        says("granite.rope.scaling.finetuned", False, BOOL),
        "finetuned = False",
    ),
    "a cap of nothing": ("gemma2", says("gemma2.attn_logit_softcapping", 0.0), "above zero"),
    "what only a later model has": (
        "grok-1",
        says("grok.final_logit_softcapping", 30.0, F32),
        "final_logit_softcapping, which is not",
    ),
    "no norm's epsilon": (
        "starcoder2",
        without("starcoder2.attention.layer_norm_epsilon"),
        "no attention.layer_norm_epsilon",
    ),
    "a shared expert without end": (
        "granitemoeshared",
        says("granitemoe.expert_shared_feed_forward_length", 2**32 - 1, U32),
        "between 0",
    ),
}


@pytest.mark.parametrize("name", METADATA)
def test_metadata_of_a_family(name: str, good: Callable[[str], Path], tmp_path: Path) -> None:
    model, change, because = METADATA[name]
    parts = taken_apart(good(model))
    change(parts)
    (tmp_path / "changed.gguf").write_bytes(parts.encoded())
    check(tmp_path / "changed.gguf", because)


NUM_PARTS = 3


def parts_of(path: Path, folder: Path) -> list[Path]:
    """Cut a file in parts as llama-gguf-split does: only the first one has its metadata."""
    whole = taken_apart(path)
    reader = gguf.GGUFReader(path)
    found: list[Path] = []
    for index in range(NUM_PARTS):
        part = RawGguf(values=list(whole.values) if index == 0 else [], headers=[], data=b"")
        part.set("split.no", index, 2)
        part.set("split.count", NUM_PARTS, 2)
        part.set("split.tensors.count", len(whole.headers), I32)
        for tensor in reader.tensors[index::NUM_PARTS]:
            header = whole.header(tensor.name)
            header.offset = len(part.data)
            content = tensor.data.tobytes()
            part.data += content + b"\0" * (-len(content) % 32)
            part.headers.append(header)
        found.append(folder / f"model-{index + 1:05d}-of-{NUM_PARTS:05d}.gguf")
        found[-1].write_bytes(part.encoded())
    return found


def rewritten(path: Path, change: Change) -> None:
    parts = taken_apart(path)
    change(parts)
    path.write_bytes(parts.encoded())


def test_a_model_in_several_files(good: Callable[[str], Path], tmp_path: Path) -> None:
    first, *_ = parts_of(good("mixtral"), tmp_path)
    _, expected = open_original(str(good("mixtral")))
    _, found = open_original(str(first))
    assert found.keys() == expected.keys()
    for name in expected:
        np.testing.assert_array_equal(found[name], expected[name])
    assert inspect_checkpoint(str(first), tiny_options()).name == "model"


PARTS: dict[str, tuple[Callable[[list[Path]], object], str]] = {
    "missing": (lambda paths: paths[1].unlink(), "00002-of-00003.gguf is missing, part 2 of 3"),
    "of another number": (
        lambda paths: shutil.copy(paths[2], paths[1]),
        "says that it is part 3 of 3, which is not what its name says",
    ),
    "of another model": (
        lambda paths: rewritten(paths[2], says("split.count", 4)),
        "part 3 of 4",
    ),
    "that holds the same again": (
        lambda paths: rewritten(paths[2], lambda parts: setattr(parts.headers[0], "name", EMBD)),
        "both hold token_embd.weight",
    ),
    "with a tensor less": (
        lambda paths: rewritten(paths[0], says("split.tensors.count", 99)),
        "instead of 99",
    ),
    "that says nothing of parts": (
        lambda paths: rewritten(paths[1], without("split.count")),
        "part 2 of 0",
    ),
    "that is cut off": (
        lambda paths: paths[2].write_bytes(paths[2].read_bytes()[:-64]),
        "truncated or damaged",
    ),
    "that is no GGUF": (lambda paths: paths[1].write_bytes(b"x" * 99), "no GGUF file"),
    "beside a first one of another name": (
        lambda paths: paths[0].rename(paths[0].with_name("model.gguf")),
        "one of 3 parts, which is not what its name says",
    ),
}
EMBD = "token_embd.weight"


@pytest.mark.parametrize("name", PARTS)
def test_a_part(name: str, good: Callable[[str], Path], tmp_path: Path) -> None:
    change, because = PARTS[name]
    first, *_ = paths = parts_of(good("llama"), tmp_path)
    change(paths)
    check(first if first.exists() else tmp_path / "model.gguf", because)


def test_another_part_than_the_first(good: Callable[[str], Path], tmp_path: Path) -> None:
    _, second, _ = parts_of(good("llama"), tmp_path)
    check(second, "part 2 of 3; give the first one, model-00001-of-00003.gguf")
