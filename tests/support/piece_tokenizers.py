"""Small real tokenizers of every kind that code models have, as tokenizer.json.

They are trained on a few lines, so that tokens are longer than a character, and know every byte.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

import tokenizers
from tokenizers import models, pre_tokenizers, trainers

Json = dict[str, Any]

BLANK: Final = "\u2581"
BYTES: Final = [f"<0x{byte:02X}>" for byte in range(256)]
CONTROLS: Final = ("<unk>", "<s>", "</s>")
LINES: Final = [
    "def value(x, y):",
    "    return value, y",
    "        return x",
    "if value: return y",
    "for x in value(y):",
    "    print(value, x)",
] * 3

METASPACE: Final = {"type": "Metaspace", "replacement": BLANK, "split": False}
BYTE_LEVEL: Final = {"type": "ByteLevel", "trim_offsets": True, "use_regex": True}


def sequence(kind: str, *steps: Json) -> Json:
    return {"type": "Sequence", kind: list(steps)}


def replace(before: str, after: str) -> Json:
    return {"type": "Replace", "pattern": {"String": before}, "content": after}


BLANKS_FOR_PIECES: Final = replace(" ", BLANK)
BYTES_AND_BLANKS: Final = (replace(BLANK, " "), {"type": "ByteFallback"}, {"type": "Fuse"})
STRIP: Final = {"type": "Strip", "content": " ", "start": 1, "stop": 0}
STRIPPING: Final = sequence("decoders", *BYTES_AND_BLANKS, STRIP)
KEEPING: Final = sequence("decoders", *BYTES_AND_BLANKS)
BLANKS_LAST: Final = ({"type": "ByteFallback"}, METASPACE | {"prepend_scheme": "always"})


def added(content: str, token_id: int, **flags: bool) -> Json:
    """Return an entry of `added_tokens`; what `flags` leave out is false."""
    usual = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized", "special"), False)
    return {"id": token_id, "content": content, **usual, **flags}


def merged_pieces(**parts: Json | None) -> Json:
    """Return a tokenizer that merges characters and falls back to bytes, with these parts."""
    vocab, merges = _trained([line.replace(" ", BLANK) for line in LINES])
    pieces = dict.fromkeys([*CONTROLS, *BYTES, *vocab])
    model: Json = {
        "type": "BPE",
        "unk_token": "<unk>",
        "fuse_unk": True,
        "byte_fallback": True,
        "vocab": {piece: index for index, piece in enumerate(pieces)},
        "merges": merges,
    }
    return _tokenizer(model, parts)


def likely_pieces(**parts: Json | None) -> Json:
    """Return a tokenizer that chooses among all pieces, control tokens and bytes included."""
    vocab, _ = _trained([line.replace(" ", BLANK) for line in LINES])
    scores = [*((piece, 0.0) for piece in CONTROLS), *((piece, -9.0) for piece in BYTES)]
    scores += [(piece, -2.0) for piece in vocab if piece not in BYTES]
    model: Json = {"type": "Unigram", "unk_id": 0, "byte_fallback": True, "vocab": scores}
    return _tokenizer(model, parts)


def byte_level(*, add_prefix_space: bool) -> Json:
    tokenizer = tokenizers.Tokenizer(models.BPE())
    part = BYTE_LEVEL | {"add_prefix_space": add_prefix_space}
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=300, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(LINES, trainer)
    model = json.loads(tokenizer.to_str())["model"]
    return _tokenizer(model, {"pre_tokenizer": part, "decoder": part}, controls=())


def _tokenizer(
    model: Json, parts: Mapping[str, Json | None], *, controls: Sequence[str] = CONTROLS
) -> Json:
    flagged = [added(token, index, special=True) for index, token in enumerate(controls)]
    return {"version": "1.0", "added_tokens": flagged, "model": model, **parts}


def _trained(lines: Sequence[str]) -> tuple[list[str], list[Any]]:
    tokenizer = tokenizers.Tokenizer(models.BPE())
    tokenizer.train_from_iterator(
        lines, trainers.BpeTrainer(vocab_size=150, show_progress=False, initial_alphabet=["<", ">"])
    )
    model = json.loads(tokenizer.to_str())["model"]
    return sorted(model["vocab"], key=model["vocab"].__getitem__), model["merges"]


KINDS: Final[dict[str, Json]] = {
    "bytes": byte_level(add_prefix_space=False),
    "bytes behind a blank": byte_level(add_prefix_space=True),
    "prepended": merged_pieces(
        normalizer=sequence(
            "normalizers", {"type": "Prepend", "prepend": BLANK}, BLANKS_FOR_PIECES
        ),
        decoder=STRIPPING,
    ),
    "metaspace first": merged_pieces(
        pre_tokenizer=METASPACE | {"prepend_scheme": "first"}, decoder=STRIPPING
    ),
    "metaspace always": merged_pieces(
        pre_tokenizer=METASPACE | {"prepend_scheme": "always"},
        decoder=sequence("decoders", *BLANKS_LAST),
    ),
    "metaspace as older files have it": merged_pieces(
        pre_tokenizer={"type": "Metaspace", "replacement": BLANK, "add_prefix_space": True},
        decoder=STRIPPING,
    ),
    "metaspace never": merged_pieces(
        pre_tokenizer=METASPACE | {"prepend_scheme": "never"}, decoder=KEEPING
    ),
    "replaced": merged_pieces(
        normalizer=BLANKS_FOR_PIECES,
        pre_tokenizer={
            "type": "Split",
            "pattern": {"String": " "},
            "behavior": "MergedWithPrevious",
            "invert": False,
        },
        decoder=KEEPING,
    ),
    "likely": likely_pieces(
        pre_tokenizer=METASPACE | {"prepend_scheme": "first"}, decoder=STRIPPING
    ),
}
LEADING: Final = {kind: not kind.endswith(("never", "replaced", "bytes")) for kind in KINDS}
"""Whether a document begins with a blank that it does not have."""


def content(tokenizer: Json, *more: Json) -> bytes:
    """Return a file's content, with more added tokens."""
    tokens = [*tokenizer["added_tokens"], *more]
    return json.dumps(tokenizer | {"added_tokens": tokens}).encode()
