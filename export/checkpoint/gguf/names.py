"""What each architecture of GGUF calls its tensors, and what a checkpoint's family calls them.

The names on the left are those of llama.cpp (gguf-py/gguf/constants.py), `{layer}` and `{expert}`
stand for one number each, and what follows them, `weight` or `bias`, is the same on both sides.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

import msgspec

from export.checkpoint.plan import compiled
from export.errors import CheckpointError, UnsupportedError

DECODER: Final = {
    "token_embd": "model.embed_tokens",
    "output_norm": "model.norm",
    "output": "lm_head",
    "blk.{layer}.attn_norm": "model.layers.{layer}.input_layernorm",
    "blk.{layer}.ffn_norm": "model.layers.{layer}.post_attention_layernorm",
    "blk.{layer}.attn_q": "model.layers.{layer}.self_attn.q_proj",
    "blk.{layer}.attn_k": "model.layers.{layer}.self_attn.k_proj",
    "blk.{layer}.attn_v": "model.layers.{layer}.self_attn.v_proj",
    "blk.{layer}.attn_output": "model.layers.{layer}.self_attn.o_proj",
}
HEAD_NORMS: Final = {
    "blk.{layer}.attn_q_norm": "model.layers.{layer}.self_attn.q_norm",
    "blk.{layer}.attn_k_norm": "model.layers.{layer}.self_attn.k_norm",
}
MLP: Final = {
    "blk.{layer}.ffn_gate": "model.layers.{layer}.mlp.gate_proj",
    "blk.{layer}.ffn_up": "model.layers.{layer}.mlp.up_proj",
    "blk.{layer}.ffn_down": "model.layers.{layer}.mlp.down_proj",
}
EXPERTS: Final = {
    "blk.{layer}.ffn_gate_inp": "model.layers.{layer}.mlp.gate",
    "blk.{layer}.ffn_gate_exps": "model.layers.{layer}.mlp.experts.{expert}.gate_proj",
    "blk.{layer}.ffn_up_exps": "model.layers.{layer}.mlp.experts.{expert}.up_proj",
    "blk.{layer}.ffn_down_exps": "model.layers.{layer}.mlp.experts.{expert}.down_proj",
}
UNNAMED_EXPERTS: Final = {
    "blk.{layer}.ffn_gate_inp": "model.layers.{layer}.block_sparse_moe.gate",
    "blk.{layer}.ffn_gate_exps": "model.layers.{layer}.block_sparse_moe.experts.{expert}.w1",
    "blk.{layer}.ffn_up_exps": "model.layers.{layer}.block_sparse_moe.experts.{expert}.w3",
    "blk.{layer}.ffn_down_exps": "model.layers.{layer}.block_sparse_moe.experts.{expert}.w2",
    # As files of before April 2024 have them, each expert by itself.
    "blk.{layer}.ffn_gate.{expert}": "model.layers.{layer}.block_sparse_moe.experts.{expert}.w1",
    "blk.{layer}.ffn_up.{expert}": "model.layers.{layer}.block_sparse_moe.experts.{expert}.w3",
    "blk.{layer}.ffn_down.{expert}": "model.layers.{layer}.block_sparse_moe.experts.{expert}.w2",
}

_SUFFIXES: Final = ("weight", "bias")
_REASONS: Final[Mapping[str, str]] = {
    "rope_freqs.weight": (
        "the file scales the rotation by factors of its own (rope_freqs.weight, as Llama 3.1 and "
        "later do), which is not implemented; give the checkpoint in safetensors"
    )
}


class Place(msgspec.Struct, frozen=True):
    """Where a tensor of the checkpoint lies: a tensor of the file, or one expert's part of it."""

    name: str
    expert: int | None = None


def places(
    tensors: Mapping[str, tuple[int, ...]], table: Mapping[str, str], *, num_experts: int
) -> dict[str, Place]:
    """Return the checkpoint's tensors by the names that its family knows.

    `tensors` are the file's shapes, `num_experts` how many parts a tensor of all experts has.
    Raises UnsupportedError for a tensor that the table does not name, CheckpointError where two are
    the same one or where one has not as many parts.
    """
    matchers = [(compiled(pattern), wanted) for pattern, wanted in table.items()]
    found: dict[str, Place] = {}
    for name, shape in tensors.items():
        for wanted, place in _places_of(name, shape, matchers, num_experts):
            if wanted in found:
                raise CheckpointError(f"the tensors {found[wanted].name} and {name} are the same")
            found[wanted] = place
    return found


def _places_of(
    name: str,
    shape: tuple[int, ...],
    matchers: Iterable[tuple[re.Pattern[str], str]],
    num_experts: int,
) -> Iterator[tuple[str, Place]]:
    stem, _, suffix = name.rpartition(".")
    for matcher, wanted in matchers if suffix in _SUFFIXES else ():
        match = matcher.fullmatch(stem)
        if match is None:
            continue
        fields = match.groupdict()
        if "{expert}" not in wanted or "expert" in fields:
            yield f"{wanted.format_map(fields)}.{suffix}", Place(name)
            return
        if len(shape) != 3 or shape[0] != num_experts:
            raise CheckpointError(
                f"{name} has shape {list(shape)} where the metadata says {num_experts} experts"
            )
        for expert in range(num_experts):
            yield f"{wanted.format_map(fields | {'expert': expert})}.{suffix}", Place(name, expert)
        return
    raise UnsupportedError(_REASONS.get(name, f"the file's tensor {name} is not implemented"))
