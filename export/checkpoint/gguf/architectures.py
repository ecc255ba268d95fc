"""The architectures of GGUF that are read: their metadata as a config.json, and their names.

The keys are those of ggml's docs/gguf.md and of llama.cpp's loader; what they become is read by the
same family file as a published config.json. A key that nobody read may change what the model
computes, so it is refused by name.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec
import numpy as np

from export.checkpoint.config import Config
from export.checkpoint.gguf.layout import under
from export.checkpoint.gguf.names import DECODER, EXPERTS, HEAD_NORMS, MLP, UNNAMED_EXPERTS
from export.errors import UnsupportedError

_HARMLESS: Final = frozenset({"vocab_size", "tensor_data_layout"})
"""Told by the tensors, against which it is held; how a file was made."""

_NO_EXPERTS: Final = frozenset({"expert_count", "expert_used_count"})
"""Files of dense models say zero here."""


class GgufArchitecture(msgspec.Struct, frozen=True, kw_only=True):
    """`read` turns the metadata under the architecture's name into a config.json.

    `is_permuted`: rows of query and key lie as llama.cpp rotates them, pairs side by side.
    """

    model_type: str
    class_name: str
    names: Mapping[str, str]
    read: Callable[[Config], dict[str, Any]]
    is_permuted: bool = False


def _decoder(config: Config) -> dict[str, Any]:
    num_heads = config.integer("attention.head_count")
    hidden_size = config.integer("embedding_length")
    read: dict[str, Any] = {
        "hidden_act": "silu",
        "hidden_size": hidden_size,
        "intermediate_size": config.integer("feed_forward_length"),
        "max_position_embeddings": config.integer("context_length"),
        "num_attention_heads": num_heads,
        "num_hidden_layers": config.integer("block_count"),
        "num_key_value_heads": config.integer("attention.head_count_kv", default=num_heads),
        "rms_norm_eps": _shortest(config.number("attention.layer_norm_rms_epsilon")),
        "rope_theta": _shortest(config.number("rope.freq_base", default=10_000.0)),
    }
    head_dim = config.integer("attention.key_length", default=hidden_size // num_heads)
    config.require("attention.value_length", head_dim)
    config.require("rope.dimension_count", head_dim)
    config.require("attention.causal", True)
    config.require("expert_group_count", 0, 1)
    return {**read, "head_dim": head_dim, **_scaling(config)}


def _scaling(config: Config) -> dict[str, Any]:
    config.require("rope.scaling.type", "none", "linear", "yarn")
    kind = config.text("rope.scaling.type", default="none")
    if kind == "none":
        return {}
    scaling: dict[str, Any] = {
        "rope_type": kind,
        "factor": _shortest(config.number("rope.scaling.factor")),
    }
    if kind == "yarn":
        original = config.integer("rope.scaling.original_context_length")
        scaling["original_max_position_embeddings"] = original
    config.require("rope.scaling.finetuned", True, False)
    return {"rope_scaling": scaling}


def _sparse(config: Config) -> dict[str, Any]:
    return {
        **_decoder(config),
        "decoder_sparse_step": 1,
        "mlp_only_layers": [],
        "moe_intermediate_size": config.integer("expert_feed_forward_length"),
        "norm_topk_prob": True,
        "num_experts": config.integer("expert_count"),
        "num_experts_per_tok": config.integer("expert_used_count"),
    }


def _unnamed_sparse(config: Config) -> dict[str, Any]:
    return {
        **_decoder(config),
        "num_local_experts": config.integer("expert_count"),
        "num_experts_per_tok": config.integer("expert_used_count"),
    }


_LLAMA: Final = GgufArchitecture(
    model_type="llama",
    class_name="LlamaForCausalLM",
    names=DECODER | MLP,
    read=_decoder,
    is_permuted=True,
)
# The mixture that llama.cpp's `llama` also is; its rotation is cut the same way.
_MIXTRAL: Final = GgufArchitecture(
    model_type="mixtral",
    class_name="MixtralForCausalLM",
    names=DECODER | UNNAMED_EXPERTS,
    read=_unnamed_sparse,
    is_permuted=True,
)

ARCHITECTURES: Final[Mapping[str, GgufArchitecture]] = {
    "qwen2": GgufArchitecture(
        model_type="qwen2", class_name="Qwen2ForCausalLM", names=DECODER | MLP, read=_decoder
    ),
    "qwen3": GgufArchitecture(
        model_type="qwen3",
        class_name="Qwen3ForCausalLM",
        names=DECODER | HEAD_NORMS | MLP,
        read=_decoder,
    ),
    "qwen3moe": GgufArchitecture(
        model_type="qwen3_moe",
        class_name="Qwen3MoeForCausalLM",
        names=DECODER | HEAD_NORMS | EXPERTS,
        read=_sparse,
    ),
    "llama": _LLAMA,
}


def find_architecture(metadata: Mapping[str, Any]) -> tuple[GgufArchitecture, Config]:
    """Return the architecture of a file's metadata, and what is said under its name.

    Raises UnsupportedError where it is not implemented.
    """
    name = metadata.get("general.architecture")
    architecture = ARCHITECTURES.get(name) if isinstance(name, str) else None
    if architecture is None:
        raise UnsupportedError(
            f"general.architecture = {name!r} is not implemented; there are "
            f"{', '.join(ARCHITECTURES)}, or give the checkpoint in safetensors"
        )
    values = under(metadata, f"{name}.")
    if architecture is _LLAMA and values.get("expert_count"):
        architecture = _MIXTRAL
    elif not values.get("expert_count"):
        values = {key: value for key, value in values.items() if key not in _NO_EXPERTS}
    return architecture, Config(values, f"{name} in the metadata")


def read_values(architecture: GgufArchitecture, config: Config) -> dict[str, Any]:
    """Return the values of a config.json. Raises UnsupportedError for a key that nobody reads."""
    values = architecture.read(config)
    for key in config.unread():
        if key not in _HARMLESS:
            raise UnsupportedError(
                f"the metadata says {key}, which is not implemented; give the checkpoint in "
                "safetensors"
            )
    return {"model_type": architecture.model_type, "architectures": [architecture.class_name]} | (
        values
    )


def _shortest(value: float) -> float:
    """Return the number that somebody wrote before it was stored as float32: 1e-6, not 9.99e-7."""
    with np.errstate(over="ignore"):
        found = float(str(np.float32(value)))
    return found if 0.0 < found < float("inf") else value
