"""Which of a checkpoint's tensors are a language model's, and what its family calls them.

Three things that people publish change names and nothing else: a model that also sees or hears
keeps its language model under a name of its own, beside its other parts; the model without its head
is saved without the first part of all names; and what follows from the config is stored though
nobody needs it. All of it is told by names and shapes alone, and said in a line each; whatever else
has no place in the model stays where it is and is refused there.
"""

import re
from collections import Counter
from collections.abc import Mapping
from typing import Final

import msgspec

from export.errors import CheckpointError

Shape = tuple[int, ...]

_LANGUAGE: Final = (
    # Older checkpoints put a whole model with its head there, newer ones what is in its `model`.
    ("language_model.", ""),
    ("model.language_model.", "model."),
    ("model.text_model.", "model."),
    ("llm.", ""),
    ("language.", ""),
)
"""How the language model's names begin beside other parts, and what that stands for."""

_OTHER_PARTS: Final = re.compile(
    r"(?:model\.)?("
    r"visual|vision_tower|vision_model|vision_encoder|vision_embed_tokens|vit"
    r"|audio_tower|audio_model|audio_encoder|speech_encoder"
    r"|multi_modal_projector|mm_projector|mlp1|projector|connector|vision_adapter"
    r"|embed_vision|embed_audio|image_newline|view_separator|visual_tokenizer|vte"
    r")(?:\..+)?"
)
"""What sees and hears, and hands its embeddings to the language model."""

_FOLLOWING: Final = re.compile(
    r".*\.(rotary_emb\.(?:\w*inv_freq|cos_cached|sin_cached)|position_ids)|position_ids"
)
"""Angles and positions, which follow from the config."""

_OF_ACTIVATIONS: Final = re.compile(r".*\.self_attn\.([qkv]_(?:scale|zero_point))")
"""How keys and values were rounded, which is ours to say."""

_MASKS: Final = re.compile(r".*\.attn\.(bias|masked_bias)")


class Spelling(msgspec.Struct, frozen=True, kw_only=True):
    """What a family's names begin with: `root`, and what may follow it, each up to a dot."""

    root: str
    followers: frozenset[str]


class Naming(msgspec.Struct, frozen=True, kw_only=True):
    """The stored names that are taken, by the names they go by, and `remarks` on all others."""

    taken: dict[str, str]
    remarks: tuple[str, ...]


def name_tensors(shapes: Mapping[str, Shape], spelling: Spelling) -> Naming:
    """Name the tensors of a language model as its family does.

    Raises CheckpointError where two tensors would have one name.
    """
    left_out: Counter[str] = Counter()
    renamed: Counter[str] = Counter()
    taken: dict[str, str] = {}
    for stored, shape in shapes.items():
        reason = _reason_to_leave(stored, shape)
        if reason is not None:
            left_out[reason] += 1
            continue
        name, change = _renamed(stored, spelling)
        if change:
            renamed[change] += 1
        if name in taken:
            raise CheckpointError(f"the tensors {taken[name]} and {stored} are the same one")
        taken[name] = stored
    return Naming(taken=taken, remarks=(*_remarks(renamed), *_remarks(left_out)))


def _reason_to_leave(name: str, shape: Shape) -> str | None:
    if (part := _OTHER_PARTS.fullmatch(name)) is not None:
        return f"left out as no part of the language model: {{}} of {part[1]}"
    if (buffer := _FOLLOWING.fullmatch(name)) is not None:
        return f"left out since they follow from the config: {{}} of {buffer[1] or name}"
    if (scale := _OF_ACTIVATIONS.fullmatch(name)) is not None:
        return f"left out since keys and values are not stored: {{}} of {scale[1]}"
    # Masks of what came before have two sizes of one and one size twice; biases have one.
    is_mask = shape == () or (shape[:2] == (1, 1) and len(shape) == 4 and shape[2] == shape[3])
    if (mask := _MASKS.fullmatch(name)) is not None and is_mask:
        return f"left out since they follow from the config: {{}} of attn.{mask[1]}"
    return None


def _renamed(name: str, spelling: Spelling) -> tuple[str, str]:
    """Return what a tensor is called here, and the line that says so where it is another name."""
    for prefix, replacement in _LANGUAGE:
        if name.startswith(prefix):
            inner, _ = _renamed(replacement + name.removeprefix(prefix), spelling)
            return inner, f"read as the language model: {{}} of {prefix.removesuffix('.')}"
    if name.partition(".")[0] in spelling.followers:
        return f"{spelling.root}.{name}", f"read as those of {spelling.root}: {{}} without its name"
    return name, ""


def _remarks(counts: Mapping[str, int]) -> list[str]:
    return [
        line.format("1 tensor" if count == 1 else f"{count} tensors")
        for line, count in sorted(counts.items())
    ]
