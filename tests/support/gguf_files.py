"""Write GGUF files from checkpoints as llama.cpp's own converter does, with its own library.

The names are those of `gguf.get_tensor_name_map`, which the exporter's tables are held against;
rows of query and key are put in pairs where llama.cpp rotates neighbours. Matrices are stored as
asked for, vectors and routers as float32.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import gguf
import numpy as np
import numpy.typing as npt
from gguf.constants import GGMLQuantizationType as Kind
from safetensors.numpy import load_file  # pyright: ignore[reportUnknownVariableType]

from tests.support.gguf_conversions import CONVERSIONS, NAMES_OF

Float32 = npt.NDArray[np.float32]
Tensors = dict[str, Float32]

KEPT: Final = ("_inp.", "ssm_conv1d", "shortconv.conv", "_exps.bias")
"""What llama.cpp leaves in float32 beside vectors."""

SCALINGS: Final = {
    "linear": gguf.RopeScalingType.LINEAR,
    "yarn": gguf.RopeScalingType.YARN,
    "longrope": gguf.RopeScalingType.LONGROPE,
}


def write_gguf_file(
    path: Path,
    checkpoint: Path,
    kind: Kind = Kind.F32,
    *,
    are_experts_apart: bool = False,
    pre: str = "qwen2",
    head: Kind | None = None,
    change: Callable[[Tensors], Tensors] = dict,
) -> Path:
    """Write a checkpoint's folder as one file; `are_experts_apart` as until April 2024.

    A tied `head` is written beside the embedding, in a kind of its own. `change` is for tensors
    that other versions of the converter write.
    """
    config = json.loads((checkpoint / "config.json").read_text("utf-8"))
    tensors = load_file(checkpoint / "model.safetensors")
    found = change(named(config, tensors, are_experts_apart=are_experts_apart))
    writer = gguf.GGUFWriter(path, CONVERSIONS[config["model_type"]][0])
    write_shape(writer, config)
    tokenizer = json.loads((checkpoint / "tokenizer.json").read_text("utf-8"))
    write_vocabulary(writer, tokenizer, pre, num_tokens=config["vocab_size"])
    for name, values in found.items():
        add(writer, name, values, kind)
    if head is not None:
        add(writer, "output.weight", found["token_embd.weight"], head)
    return finished(writer, path)


def finished(writer: gguf.GGUFWriter, path: Path) -> Path:
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def add(writer: gguf.GGUFWriter, name: str, values: Float32, kind: Kind) -> None:
    is_matrix = values.ndim > 1 and not any(part in name for part in KEPT)
    if not is_matrix or kind == Kind.F32:
        writer.add_tensor(name, np.ascontiguousarray(values))
    else:
        writer.add_tensor(name, gguf.quantize(values, kind), raw_dtype=kind)


def named(config: Mapping[str, Any], tensors: Tensors, *, are_experts_apart: bool) -> Tensors:
    """Return the tensors by the names and in the order of rows that llama.cpp knows."""
    architecture, modify, _ = CONVERSIONS[config["model_type"]]
    known = NAMES_OF.get(architecture, architecture)
    number = next(key for key, name in gguf.MODEL_ARCH_NAMES.items() if name == known)
    names = gguf.get_tensor_name_map(number, config.get("num_hidden_layers", config.get("n_layer")))
    modified = {
        changed: part
        for name, values in tensors.items()
        for changed, part in modify(
            config, re.sub("correction_bias$|expert_bias$", _as_a_bias, name), values
        )
    }
    found: Tensors = {}
    for name, values in _with_stacks(modified, are_experts_apart=are_experts_apart):
        stem, _, suffix = name.rpartition(".")
        base, _, expert = stem.partition("#")
        given = base if base.startswith("blk.") else names.get_name(base)
        if given is None:  # a number of its own, without a suffix
            given = names.get_name(name)
            assert given is not None, name
            found[given] = values
            continue
        given = f"{given.removesuffix('_exps')}.{expert}" if expert else given
        found[f"{given}.{suffix}"] = values
    return found


def _as_a_bias(found: re.Match[str]) -> str:
    return found[0] + ".bias" if found[0] == "expert_bias" else "correction.bias"


def _with_stacks(tensors: Tensors, *, are_experts_apart: bool) -> Iterator[tuple[str, Float32]]:
    """Yield the tensors, those of experts in one, or named `stem#expert` where they are apart."""
    stacks: dict[str, list[Float32]] = {}
    for name, values in sorted(tensors.items(), key=lambda item: _by_number(item[0])):
        parts = name.split(".")
        if not re.search(r"\.experts\.\d", name):
            yield name, values
            continue
        expert = parts.pop(parts.index("experts") + 1)
        if are_experts_apart:
            yield ".".join([*parts[:-1]]) + f"#{expert}.{parts[-1]}", values
        else:
            stacks.setdefault(".".join(parts), []).append(values)
    for name, stack in stacks.items():
        yield name, np.stack(stack)


def _by_number(name: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (-1, part) for part in name.split(".")]


def write_shape(writer: gguf.GGUFWriter, config: Mapping[str, Any]) -> None:
    """Write what `TextModel.set_gguf_parameters` does, and then what is the family's own."""
    given = {
        "num_hidden_layers": writer.add_block_count,
        "max_position_embeddings": writer.add_context_length,
        "hidden_size": writer.add_embedding_length,
        "intermediate_size": writer.add_feed_forward_length,
        "num_attention_heads": writer.add_head_count,
        "num_key_value_heads": writer.add_head_count_kv,
        "rope_theta": writer.add_rope_freq_base,
        "rms_norm_eps": writer.add_layer_norm_rms_eps,
        "norm_epsilon": writer.add_layer_norm_eps,
        "num_experts": writer.add_expert_count,
        "num_local_experts": writer.add_expert_count,
        "num_experts_per_tok": writer.add_expert_used_count,
        "n_group": writer.add_expert_group_count,
        "topk_group": writer.add_expert_group_used_count,
        "head_dim": writer.add_key_length,
    }
    parameters = config.get("rope_parameters") or {}
    parameters = parameters.get("full_attention", parameters)
    values = {**config, **parameters}
    if CONVERSIONS[config["model_type"]][0] == "deepseek2":
        values["num_key_value_heads"] = 1
    for key, add in given.items():
        if values.get(key) is not None:
            add(values[key])
    if "head_dim" in config:
        writer.add_value_length(config["head_dim"])
    _write_scaling(writer, config.get("rope_scaling") or parameters)
    _, _, write_more = CONVERSIONS[config["model_type"]]
    write_more(writer, config)


def _write_scaling(writer: gguf.GGUFWriter, scaling: Mapping[str, Any]) -> None:
    kind = scaling.get("rope_type", scaling.get("type", "default"))
    if kind in SCALINGS:
        writer.add_rope_scaling_type(SCALINGS[kind])
    if kind in {"linear", "yarn"}:
        writer.add_rope_scaling_factor(scaling["factor"])
    if kind == "yarn":
        writer.add_rope_scaling_orig_ctx_len(scaling["original_max_position_embeddings"])
        if "attention_factor" in scaling:
            writer.add_rope_scaling_yarn_attn_factor(scaling["attention_factor"])
        if "beta_fast" in scaling:
            writer.add_rope_scaling_yarn_beta_fast(scaling["beta_fast"])
            writer.add_rope_scaling_yarn_beta_slow(scaling["beta_slow"])


def write_vocabulary(
    writer: gguf.GGUFWriter,
    tokenizer: Mapping[str, Any],
    pre: str,
    *,
    num_tokens: int,
    begins: bool | None = False,
) -> None:
    """Write byte-level BPE in the order of ids; flagged tokens are control ones.

    Where nothing is joined, one pair is, without which llama.cpp loads no file.
    """
    model = tokenizer["model"]
    added = {token["id"]: token for token in tokenizer["added_tokens"]}
    names = {token_id: name for name, token_id in model["vocab"].items()}
    names |= {token_id: token["content"] for token_id, token in added.items()}
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in model["merges"]]
    if not merges:
        names[len(names)] = "er"
        merges = ["e r"]
    kinds = [
        gguf.TokenType.NORMAL
        if token_id not in added
        else gguf.TokenType.CONTROL
        if added[token_id]["special"]
        else gguf.TokenType.USER_DEFINED
        for token_id in range(len(names))
    ]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    unused = [f"[PAD{token_id}]" for token_id in range(len(names), num_tokens)]
    writer.add_token_list([names[token_id] for token_id in range(len(names))] + unused)
    writer.add_token_types([*kinds, *[gguf.TokenType.UNUSED] * len(unused)])
    writer.add_token_merges(merges)
    if begins is not None:
        writer.add_add_bos_token(begins)
    writer.add_eos_token_id(0)
