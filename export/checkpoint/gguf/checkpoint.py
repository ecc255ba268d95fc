"""A GGUF file as a checkpoint: its small files, and its tensors by their family's names."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np

from export.checkpoint.config import Config
from export.checkpoint.gguf.architectures import find_architecture, read_values
from export.checkpoint.gguf.blocks import (
    FLOATS,
    READ,
    Bytes,
    Float32,
    as_integers,
    block_size_in,
    mapped_rows,
    widened,
)
from export.checkpoint.gguf.layout import Layout, TensorHeader, read_layout
from export.checkpoint.gguf.names import Place, places
from export.checkpoint.gguf.vocabulary import end_token_ids, tokenizer_config, tokenizer_json
from export.checkpoint.stored import Integers
from export.errors import CheckpointError, UnsupportedError

EMBEDDING: Final = "token_embd.weight"
HEAD: Final = "output.weight"
_COMPARED_ROWS: Final = 512

_LARGEST_DIFFERENCE: Final = 0.2
"""How far two roundings of one matrix may lie apart, relative to its size. Q4_0 alone differs by
0.1 from what it was made of, and two matrices that were trained apart differ by more than 1."""


class GgufTensor(msgspec.Struct, frozen=True, kw_only=True):
    """One tensor of the file, or an expert's part; rows are put in order where `num_heads` says."""

    header: TensorHeader
    shape: tuple[int, ...]
    expert: int | None = None
    num_heads: int | None = None

    @property
    def is_rounded(self) -> bool:
        return self.header.kind not in FLOATS

    @property
    def stored_as(self) -> str:
        return self.header.kind.name


class GgufCheckpoint(msgspec.Struct, frozen=True, kw_only=True):
    path: Path
    tensors: dict[str, GgufTensor]
    remarks: tuple[str, ...] = ()

    def read(self, name: str) -> Float32:
        """Widen one tensor; see export.checkpoint.stored.Checkpoint."""
        tensor = self.tensors[name]
        values = widened(self._rows(tensor), tensor.header.kind).reshape(tensor.shape)
        if not np.isfinite(values).all():
            raise CheckpointError(f"{self.path}: {name} has numbers that are not finite")
        return values

    def integers(self, name: str, *, bits: int, block_size: int) -> Integers | None:
        """Take one matrix over; see export.checkpoint.stored.Checkpoint."""
        tensor = self.tensors[name]
        kind = tensor.header.kind
        found = as_integers(self._rows(tensor), kind, bits=bits, block_size=block_size)
        if found is not None and not np.isfinite(found.scales).all():
            raise CheckpointError(f"{self.path}: {name} has scales that are not finite")
        return found

    def stored_block_size(self, bits: int) -> int | None:
        """Return the blocks in which most matrices can be taken over in so many bits, if any."""
        kinds = [tensor.header.kind for tensor in self.tensors.values() if len(tensor.shape) > 1]
        return block_size_in(kinds, bits)

    def _rows(self, tensor: GgufTensor) -> Bytes:
        rows = mapped_rows(self.path, tensor.header)
        if tensor.expert is not None:
            num_rows = len(rows) // tensor.header.shape[0]
            rows = rows[tensor.expert * num_rows : (tensor.expert + 1) * num_rows]
        if tensor.num_heads is None:
            return rows
        # A bias is one row, whose numbers are put in order.
        lines = rows if len(rows) > 1 else rows.reshape(tensor.shape[0], -1)
        return _in_order(lines, tensor.num_heads).reshape(rows.shape)


class GgufSource(msgspec.Struct, frozen=True, kw_only=True):
    """`small_files` are what a folder would hold beside the weights, by name."""

    checkpoint: GgufCheckpoint
    small_files: dict[str, dict[str, Any]]


def open_gguf(path: Path) -> GgufSource:
    """Check a file and read its metadata; no weight is read, but for two matrices compared.

    Raises CheckpointError where it is damaged, UnsupportedError for what is not implemented.
    """
    layout = read_layout(path)
    if Config(layout.metadata, "the metadata").integer("split.count", default=1, minimum=0) > 1:
        raise UnsupportedError(
            f"{path} is one of several files; join them first with llama-gguf-split --merge"
        )
    architecture, metadata = find_architecture(layout.metadata)
    values = read_values(architecture, metadata)
    _check_sizes(layout, metadata, values)
    shapes = {name: header.shape for name, header in layout.tensors.items()}
    num_experts = values.get("num_experts", values.get("num_local_experts", 0))
    placed = places(shapes, architecture.names, num_experts=num_experts)
    tied = _dropped_copy(layout)
    tensors = {
        name: _tensor(layout, place, values if architecture.is_permuted else {})
        for name, place in placed.items()
        if place.name != tied
    }
    if tied == EMBEDDING:  # the head is the better one, and serves as both
        tensors["model.embed_tokens.weight"] = tensors.pop("lm_head.weight")
    config = {
        **values,
        **({"attention_bias": True} if _has_biases(layout, architecture.model_type) else {}),
        "eos_token_id": end_token_ids(layout.metadata),
        "tie_word_embeddings": tied is not None or HEAD not in layout.tensors,
        "vocab_size": layout.tensors[EMBEDDING].shape[0],
    }
    return GgufSource(
        checkpoint=GgufCheckpoint(path=path, tensors=tensors),
        small_files={
            "config.json": config,
            "tokenizer.json": tokenizer_json(layout.metadata),
            "tokenizer_config.json": tokenizer_config(layout.metadata),
        },
    )


def _check_sizes(layout: Layout, metadata: Config, values: Mapping[str, Any]) -> None:
    """Refuse counts that the tensors do not bear out, before anything is made of so many."""
    if EMBEDDING not in layout.tensors:
        raise CheckpointError(f"{layout.path} has no {EMBEDDING}; download it again")
    num_layers, num_rows = values["num_hidden_layers"], layout.tensors[EMBEDDING].shape[0]
    if num_layers > len(layout.tensors):
        raise CheckpointError(
            f"{layout.path} says block_count = {num_layers} and has {len(layout.tensors)} tensors"
        )
    vocab_size = metadata.integer("vocab_size", default=num_rows)
    tokens = Config(layout.metadata, "the metadata").texts("tokenizer.ggml.tokens")
    if vocab_size != num_rows or len(tokens) > num_rows:
        raise CheckpointError(
            f"{layout.path} says vocab_size = {vocab_size}, spells {len(tokens)} tokens and has an "
            f"embedding of {num_rows}"
        )


def _tensor(layout: Layout, place: Place, values: Mapping[str, Any]) -> GgufTensor:
    header = layout.tensors[place.name]
    if header.kind not in (READ if header.shape[1:] else FLOATS):
        raise UnsupportedError(
            f"{layout.path} stores {place.name} as {header.kind.name}, which is not implemented; "
            "take a file in Q4_K_M, Q8_0 or F16"
        )
    heads = {"attn_q": "num_attention_heads", "attn_k": "num_key_value_heads"}
    key = next((key for part, key in heads.items() if f".{part}." in place.name), None)
    num_heads = values.get(key) if key is not None else None
    if num_heads is not None and header.shape[0] % (2 * num_heads):
        raise CheckpointError(
            f"{layout.path}: {place.name} has shape {list(header.shape)} for {num_heads} heads"
        )
    return GgufTensor(
        header=header,
        shape=header.shape if place.expert is None else header.shape[1:],
        expert=place.expert,
        num_heads=num_heads,
    )


def _in_order(rows: Bytes, num_heads: int) -> Bytes:
    """Put rows that lie as pairs of a rotation back into halves.

    llama.cpp rotates neighbours, transformers one half of a head with the other
    (convert_hf_to_gguf.py, `LlamaModel.permute`).
    """
    pairs = rows.reshape(num_heads, -1, 2, rows.shape[1])
    return pairs.swapaxes(1, 2).reshape(rows.shape)


def _has_biases(layout: Layout, model_type: str) -> bool:
    """Say whether a model whose family leaves it open has biases on attention."""
    return model_type == "llama" and "blk.0.attn_q.bias" in layout.tensors


def _dropped_copy(layout: Layout) -> str | None:
    """Return which of embedding and head is left out because both are one matrix.

    Tied matrices are often stored twice, rounded differently; the one of more bits is kept.
    """
    if HEAD not in layout.tensors:
        return None
    pair = [layout.tensors[name] for name in (EMBEDDING, HEAD)]
    if pair[0].shape != pair[1].shape or any(header.kind not in READ for header in pair):
        return None
    step = max(1, pair[0].shape[0] // _COMPARED_ROWS)
    first, second = (
        widened(np.ascontiguousarray(mapped_rows(layout.path, header)[::step]), header.kind)
        for header in pair
    )
    with np.errstate(all="ignore"):  # where numbers are none, no difference is small
        size = max(float(np.linalg.norm(second)), 1e-30)
        difference = float(np.linalg.norm(first - second)) / size
    if not difference <= _LARGEST_DIFFERENCE:
        return None
    return EMBEDDING if pair[1].size >= pair[0].size else HEAD
