"""A checkpoint as its family reads it: what it is, and its slots in full precision.

Reading the small files refuses what cannot be exported before any weight is looked at.
"""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Final

import msgspec

from export.architectures import CheckpointArchitecture, read_architecture
from export.checkpoint.config import read_config
from export.checkpoint.plan import Plan
from export.checkpoint.source import CheckpointSource, find_source
from export.checkpoint.stored import Checkpoint, Float32
from export.checkpoint.tokens import read_chat_template, read_eos_token_ids, read_tokens
from export.errors import UnsupportedError
from export.graph.weights import StoredBlocks, check_copies, slot_values
from export.options import ExportOptions
from export.package.chat_conventions import find_chat_template
from export.package.fim_conventions import end_token_ids, fim_template, find_convention
from export.package.manifest import Identity
from export.spec.decoder import DecoderSpec, slots
from inference.package.manifest import Source

CONFIG_FILE: Final = "config.json"
MAX_DEFAULT_CONTEXT: Final = 32_768


class Original(msgspec.Struct, frozen=True, kw_only=True):
    """What the small files of a checkpoint say."""

    source: CheckpointSource
    architecture: CheckpointArchitecture
    identity: Identity

    @property
    def folder(self) -> Path:
        return self.source.folder

    @property
    def spec(self) -> DecoderSpec:
        return self.architecture.spec

    def stored_block_size(self, bits: int) -> int | None:
        """How many numbers share a scale where the checkpoint stores integers of so many bits."""
        grouping = self.architecture.grouping
        return self.source.stored_block_size(bits) if grouping is None else grouping.group_size


def read_original(source: str, options: ExportOptions) -> Original:
    """Read config and tokenizer of a folder or a Hugging Face id.

    Raises an ExportError naming what is not there, not valid or not implemented.
    """
    found = find_source(source, revision=options.revision)
    config = read_config(found.folder / CONFIG_FILE, ignored=options.ignore_config)
    architecture = read_architecture(config)
    config.refuse_needless()
    vocab_size = architecture.spec.vocab_size
    tokens = read_tokens(found.folder, vocab_size=vocab_size)
    hints = architecture.family.model_type, found.name
    convention = find_convention(tokens.special, options.fim, hints=hints)
    more = end_token_ids(convention, tokens.special)
    identity = Identity(
        name=options.name or found.name.rpartition("/")[2],
        source=Source(name=found.name, revision=found.revision),
        model_type=architecture.family.model_type,
        context_length=_context_length(architecture.spec, options.context_length),
        eos_token_ids=read_eos_token_ids(found.folder, config, vocab_size=vocab_size, more=more),
        fim=fim_template(convention, tokens.special, options.fim_order),
        chat=find_chat_template(read_chat_template(found.folder), tokens.special),
        leading_token_ids=tokens.leading,
    )
    return Original(source=found, architecture=architecture, identity=identity)


class OpenedSlots(msgspec.Struct, frozen=True, kw_only=True):
    """Where a checkpoint's tensors go: `values` reads a slot when it is asked for.

    `stored` are the slots that GPTQ or AWQ rounded already.
    """

    checkpoint: Checkpoint
    plan: Plan
    values: Mapping[str, Float32]
    stored: StoredBlocks

    def check_copies(self) -> None:
        """Raise CheckpointError where a tensor differs from the one it is tied to."""
        check_copies(self.checkpoint, self.plan)


def open_slots(found: CheckpointSource, architecture: CheckpointArchitecture) -> OpenedSlots:
    """Find each slot's tensors; a Hugging Face id fetches its weights first. None is read.

    Raises CheckpointError where a tensor has no place, a slot no tensor, or a shape is wrong.
    """
    checkpoint = found.open_weights(architecture.grouping)
    needed, assigned = slots(architecture.spec), architecture.plan(checkpoint.tensors)
    return OpenedSlots(
        checkpoint=checkpoint,
        plan=assigned,
        values=slot_values(checkpoint, assigned, needed),
        stored=StoredBlocks(checkpoint, assigned, needed),
    )


def open_original(
    source: str, *, ignored: Collection[str] = ()
) -> tuple[DecoderSpec, Mapping[str, Float32]]:
    """Return a checkpoint's spec and its slots in full precision, read when asked for.

    `ignored` are keys of its config that change nothing, as for an export.
    """
    found = find_source(source)
    architecture = read_architecture(read_config(found.folder / CONFIG_FILE, ignored=ignored))
    opened = open_slots(found, architecture)
    opened.check_copies()
    return architecture.spec, opened.values


def _context_length(spec: DecoderSpec, wanted: int | None) -> int:
    limit = spec.max_position_embeddings
    if wanted is not None and not 1 <= wanted <= limit:
        raise UnsupportedError(
            f"context length {wanted} is not between 1 and the model's "
            f"max_position_embeddings = {limit}"
        )
    return wanted or min(limit, MAX_DEFAULT_CONTEXT)
