"""A GGUF file as a checkpoint: its small files, and its tensors."""

from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np

from export.checkpoint.config import Config
from export.checkpoint.gguf.architectures import find_architecture, read_values
from export.checkpoint.gguf.assembly import assembled, beyond
from export.checkpoint.gguf.blocks import READ, Float32, block_size_in, mapped_rows, widened
from export.checkpoint.gguf.layout import Layout
from export.checkpoint.gguf.parts import model_name, read_parts
from export.checkpoint.gguf.rotation import FACTORS
from export.checkpoint.gguf.tensors import Tensor
from export.checkpoint.gguf.vocabulary import end_token_ids, tokenizer_config, tokenizer_json
from export.checkpoint.plan import Rule
from export.checkpoint.stored import Integers
from export.errors import CheckpointError, UnsupportedError

EMBEDDING: Final = "token_embd.weight"
HEAD: Final = "output.weight"
MAX_EXPERTS: Final = 4096
_COMPARED_ROWS: Final = 512

_LARGEST_DIFFERENCE: Final = 0.2
"""How far two roundings of one matrix may lie apart, relative to its size. Q4_0 alone differs by
0.1 from what it was made of, and two matrices that were trained apart differ by more than 1."""


class GgufCheckpoint(msgspec.Struct, frozen=True, kw_only=True):
    tensors: dict[str, Tensor]
    remarks: tuple[str, ...] = ()

    def read(self, name: str) -> Float32:
        """Widen one tensor; see export.checkpoint.stored.Checkpoint."""
        return self.tensors[name].read()

    def integers(self, name: str, *, bits: int, block_size: int) -> Integers | None:
        """Take one matrix over; see export.checkpoint.stored.Checkpoint."""
        return self.tensors[name].integers(bits=bits, block_size=block_size)

    def stored_block_size(self, bits: int) -> int | None:
        """Return the blocks in which most matrices can be taken over in so many bits, if any."""
        matrices = (tensor for tensor in self.tensors.values() if len(tensor.shape) > 1)
        return block_size_in([kind for tensor in matrices for kind in tensor.kinds], bits)


class GgufSource(msgspec.Struct, frozen=True, kw_only=True):
    """`small_files` are what a folder would hold beside the weights, by name.

    `rules` say which slots the tensors fill, whatever the family's own checkpoints call them.
    """

    name: str
    checkpoint: GgufCheckpoint
    rules: tuple[Rule, ...]
    small_files: dict[str, dict[str, Any]]


def open_gguf(path: Path) -> GgufSource:
    """Check a file and read its metadata; no weight is read, but for two matrices compared.

    Raises CheckpointError where it is damaged, UnsupportedError for what is not implemented.
    """
    layout = read_parts(path)
    architecture, metadata = find_architecture(layout.metadata)
    _check_counts(layout, metadata)
    num_further = metadata.integer("nextn_predict_layers", default=0, minimum=0)
    values = read_values(architecture, metadata, layout.tensors)
    _check_sizes(layout, metadata)
    tied = _dropped_copy(layout)
    unread = {*FACTORS, tied}
    if num_further:
        unread |= beyond(layout.tensors, values["num_hidden_layers"])
    tensors = assembled(
        {name: header for name, header in layout.tensors.items() if name not in unread},
        architecture,
        values,
        num_experts=metadata.integer("expert_count", default=0, minimum=0),
    )
    if tied == EMBEDDING:  # the head is the better one, and serves as both
        tensors[EMBEDDING] = tensors.pop(HEAD)
    config = {
        **values,
        "eos_token_id": end_token_ids(layout.metadata),
        "tie_word_embeddings": tied is not None or HEAD not in layout.tensors,
        "vocab_size": layout.tensors[EMBEDDING].shape[0],
    }
    return GgufSource(
        name=model_name(path),
        checkpoint=GgufCheckpoint(tensors=tensors),
        rules=(*architecture.rules, *architecture.further_rules(values)),
        small_files={
            "config.json": config,
            "tokenizer.json": tokenizer_json(layout.metadata),
            "tokenizer_config.json": tokenizer_config(layout.metadata),
        },
    )


def _check_counts(layout: Layout, metadata: Config) -> None:
    """Refuse counts that the tensors do not bear out, before anything is made of so many."""
    num_layers = metadata.integer("block_count")
    if num_layers > len(layout.tensors):
        raise CheckpointError(
            f"{layout.path} says block_count = {num_layers} and has {len(layout.tensors)} tensors"
        )
    num_experts = metadata.integer("expert_count", default=0, minimum=0)
    if num_experts > MAX_EXPERTS:
        raise UnsupportedError(
            f"{layout.path} says expert_count = {num_experts}; at most {MAX_EXPERTS} are read"
        )


def _check_sizes(layout: Layout, metadata: Config) -> None:
    if EMBEDDING not in layout.tensors:
        raise CheckpointError(f"{layout.path} has no {EMBEDDING}; download it again")
    num_rows = layout.tensors[EMBEDDING].shape[0]
    vocab_size = metadata.integer("vocab_size", default=num_rows)
    tokens = Config(layout.metadata, "the metadata").texts("tokenizer.ggml.tokens")
    if vocab_size != num_rows or len(tokens) > num_rows:
        raise CheckpointError(
            f"{layout.path} says vocab_size = {vocab_size}, spells {len(tokens)} tokens and has an "
            f"embedding of {num_rows}"
        )


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
        widened(np.ascontiguousarray(mapped_rows(header)[::step]), header.kind) for header in pair
    )
    with np.errstate(all="ignore"):  # where numbers are none, no difference is small
        size = max(float(np.linalg.norm(second)), 1e-30)
        difference = float(np.linalg.norm(first - second)) / size
    if not difference <= _LARGEST_DIFFERENCE:
        return None
    return EMBEDDING if pair[1].size >= pair[0].size else HEAD
