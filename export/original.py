"""A checkpoint as its family reads it: what it is, and its slots in full precision.

Reading the small files refuses what cannot be exported before any weight is looked at.
"""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Final

import msgspec

from export.architectures import CheckpointArchitecture, read_architecture
from export.architectures.common.wrapper import language_config
from export.checkpoint.config import Config, read_config
from export.checkpoint.plan import Plan
from export.checkpoint.recognition import CONFIG_FILE, refuse_folder
from export.checkpoint.source import CheckpointSource, find_source, with_small_file
from export.checkpoint.stored import Checkpoint, Float32
from export.checkpoint.tokens import (
    Tokens,
    read_chat_template,
    read_eos_token_ids,
    read_tokens,
    without_tokens,
)
from export.errors import CheckpointError, UnsupportedError
from export.graph.weights import StoredBlocks, check_copies, layer_kept, slot_values
from export.options import ExportOptions
from export.package.chat_conventions import find_chat_template
from export.package.fim_conventions import (
    AUTOMATIC,
    end_token_ids,
    fim_template,
    find_convention,
    rivalry_words,
    rivals_of,
)
from export.package.manifest import Identity
from export.spec.decoder import DecoderSpec, slots
from inference.fim import FimTemplate
from inference.package.manifest import TOKENIZER_FILE, Source

MAX_DEFAULT_CONTEXT: Final = 32_768
MAX_SHOWN_TOKENS: Final = 8


class Original(msgspec.Struct, frozen=True, kw_only=True):
    """What the small files of a checkpoint say, and `remarks` on what was left out or guessed.

    `fim_rivals` are holes of other conventions that are spelled as the identity's.
    """

    source: CheckpointSource
    architecture: CheckpointArchitecture
    identity: Identity
    fim_rivals: tuple[FimTemplate, ...] = ()
    remarks: tuple[str, ...] = ()

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
    refuse_folder(found.folder)
    config = read_config(found.folder / CONFIG_FILE, ignored=options.ignore_config)
    architecture = _architecture(found, config)
    config.refuse_needless()
    vocab_size = architecture.spec.vocab_size
    tokens = read_tokens(found.folder, vocab_size=vocab_size)
    if tokens.beyond:
        content = without_tokens(found.folder, tokens.beyond)
        found = with_small_file(found, TOKENIZER_FILE, content)
    hints = architecture.family.model_type, found.name
    holes = _find_holes(tokens, options, hints)
    identity = Identity(
        name=options.name or found.name.rpartition("/")[2],
        source=Source(name=found.name, revision=found.revision),
        model_type=architecture.family.model_type,
        context_length=_context_length(architecture.spec, options.context_length),
        eos_token_ids=read_eos_token_ids(
            found.folder, language_config(config), vocab_size=vocab_size, more=holes.end_token_ids
        ),
        fim=holes.template,
        chat=find_chat_template(read_chat_template(found.folder), tokens.special),
        leading_token_ids=tokens.leading,
    )
    return Original(
        source=found,
        architecture=architecture,
        identity=identity,
        fim_rivals=holes.rivals,
        remarks=(*found.remarks, *_words_of_beyond(tokens), *holes.remarks),
    )


class _Holes(msgspec.Struct, frozen=True, kw_only=True):
    template: FimTemplate | None
    rivals: tuple[FimTemplate, ...]
    end_token_ids: set[int]
    remarks: tuple[str, ...]


def _find_holes(tokens: Tokens, options: ExportOptions, hints: tuple[str, str]) -> _Holes:
    layout = options.fim_order
    chosen = find_convention(tokens.special, options.fim, layout=layout, hints=hints)
    is_guess = options.fim == AUTOMATIC and layout is None
    rivals = rivals_of(chosen, tokens.special) if is_guess else ()
    templates = [fim_template(rival, tokens.special, None) for rival in rivals]
    ends = [end_token_ids(convention, tokens.special) for convention in (chosen, *rivals)]
    remarks = () if chosen is None or not rivals else (rivalry_words(chosen, rivals),)
    return _Holes(
        template=fim_template(chosen, tokens.special, layout),
        rivals=tuple(template for template in templates if template is not None),
        end_token_ids=set[int]().union(*ends),
        remarks=remarks,
    )


def _words_of_beyond(tokens: Tokens) -> list[str]:
    """Say which tokens the model has no row for, and whether holes were spelled with them."""
    if not tokens.beyond:
        return []
    names = ", ".join(sorted(tokens.beyond, key=tokens.beyond.__getitem__)[:MAX_SHOWN_TOKENS])
    count = len(tokens.beyond)
    what = f"left out as the embedding has no row for it: {count} added token{'s' * (count > 1)}, "
    all_of_them = tokens.special | tokens.beyond
    has_holes = find_convention(tokens.special) is not None
    lost = not has_holes and find_convention(all_of_them) is not None
    return [f"{what}{names}" + (", so holes cannot be filled" if lost else "")]


class OpenedSlots(msgspec.Struct, frozen=True, kw_only=True):
    """Where a checkpoint's tensors go: `values` reads a slot when it is asked for.

    `stored` are the slots that GPTQ or AWQ rounded already; `remarks` say what was left out.
    `predictor` is there where the checkpoint holds a layer that predicts further tokens.
    """

    checkpoint: Checkpoint
    plan: Plan
    values: Mapping[str, Float32]
    stored: StoredBlocks
    remarks: tuple[str, ...] = ()
    predictor: "OpenedPredictor | None" = None

    def check_copies(self) -> None:
        """Raise CheckpointError where a tensor differs from the one it is tied to."""
        check_copies(self.checkpoint, self.plan)


class OpenedPredictor(msgspec.Struct, frozen=True, kw_only=True):
    """A predictor's slots, as in OpenedSlots; embedding and head are the model's own."""

    spec: DecoderSpec
    values: Mapping[str, Float32]
    stored: StoredBlocks


def open_slots(found: CheckpointSource, architecture: CheckpointArchitecture) -> OpenedSlots:
    """Find each slot's tensors; a Hugging Face id fetches its weights first. None is read.

    Raises CheckpointError where a tensor has no place, a slot no tensor, or a shape is wrong.
    """
    checkpoint = found.open_weights(architecture.reading)
    zeros = _needless_biases(checkpoint, architecture)
    needed = slots(architecture.spec)
    assigned = architecture.plan(checkpoint.tensors.keys() - zeros)
    predictor, words = _open_predictor(checkpoint, architecture, assigned)
    left_out = [f"left out as they are zero: {len(zeros)} biases"] if zeros else []
    return OpenedSlots(
        checkpoint=checkpoint,
        plan=assigned,
        values=layer_kept(slot_values(checkpoint, assigned, needed)),
        stored=StoredBlocks(checkpoint, assigned, needed),
        remarks=(*checkpoint.remarks, *left_out, *words),
        predictor=predictor,
    )


def _open_predictor(
    checkpoint: Checkpoint, architecture: CheckpointArchitecture, model: Plan
) -> tuple[OpenedPredictor | None, list[str]]:
    """Find the predictor's tensors, and say what becomes of those that predict further tokens.

    Where they are not those of the predictor that is known they are left out: the model needs none.
    """
    further = architecture.family.left_out(checkpoint.tensors, architecture.spec)
    found = architecture.predictor
    own = [] if found is None else found.own(further)
    if found is None or not own:
        return None, _words_of_left_out(further)
    needed = slots(found.spec)
    try:
        assigned = architecture.plan_predictor(found, further, model)
        values = slot_values(checkpoint, assigned, needed)
    except CheckpointError as error:
        return None, [f"{line}; {error}" for line in _words_of_left_out(further)]
    opened = OpenedPredictor(
        spec=found.spec, values=values, stored=StoredBlocks(checkpoint, assigned, needed)
    )
    others = [name for name in further if name not in assigned.names and name not in found.copies]
    kept = f"kept to draft with, as they predict the token behind the next: {len(own)} tensors"
    return opened, [kept, *_words_of_left_out(others)]


def _words_of_left_out(further: Collection[str]) -> list[str]:
    count = len(further)
    return [f"left out as they predict further tokens: {count} tensors"] if further else []


def _needless_biases(checkpoint: Checkpoint, architecture: CheckpointArchitecture) -> set[str]:
    """Find biases that the model has no place for, beside matrices, and that add nothing.

    Programs that store matrices in few bits write one for each.
    """
    return {
        name
        for name in architecture.without_place(checkpoint.tensors)
        if name.endswith(".bias")
        and len(_shape(checkpoint, f"{name.removesuffix('bias')}weight")) == 2
        and len(_shape(checkpoint, name)) == 1
        and not checkpoint.read(name).any()
    }


def _shape(checkpoint: Checkpoint, name: str) -> tuple[int, ...]:
    return checkpoint.tensors[name].shape if name in checkpoint.tensors else ()


def open_original(
    source: str, *, ignored: Collection[str] = ()
) -> tuple[DecoderSpec, Mapping[str, Float32]]:
    """Return a checkpoint's spec and its slots in full precision, read when asked for.

    `ignored` are keys of its config that change nothing, as for an export.
    """
    found = find_source(source)
    refuse_folder(found.folder)
    config = read_config(found.folder / CONFIG_FILE, ignored=ignored)
    architecture = _architecture(found, config)
    opened = open_slots(found, architecture)
    opened.check_copies()
    return architecture.spec, opened.values


def _architecture(found: CheckpointSource, config: Config) -> CheckpointArchitecture:
    """Read the family's config; its tensors are called as the source calls them."""
    architecture = read_architecture(config)
    if not found.rules:
        return architecture
    family = msgspec.structs.replace(architecture.family, unused=())
    return msgspec.structs.replace(architecture, family=family, rules=found.rules)


def _context_length(spec: DecoderSpec, wanted: int | None) -> int:
    limit = spec.max_position_embeddings
    if wanted is not None and not 1 <= wanted <= limit:
        raise UnsupportedError(
            f"context length {wanted} is not between 1 and the model's "
            f"max_position_embeddings = {limit}"
        )
    return wanted or min(limit, MAX_DEFAULT_CONTEXT)
