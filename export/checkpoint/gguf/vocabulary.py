"""Make a tokenizer.json of a GGUF file's metadata, as the engine reads it.

Two kinds are known: `gpt2`, byte-level BPE, whose cutting into words has a name under
`tokenizer.ggml.pre`, and `llama`, SentencePiece's BPE, whose merges follow from the scores.
The expressions are those of llama.cpp (src/llama-vocab.cpp) and of the tokenizers that they stand
for. Token types are llama.cpp's: 1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 byte.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from export.checkpoint.config import Config
from export.errors import CheckpointError, UnsupportedError

_NORMAL, _UNKNOWN, _CONTROL, _USER_DEFINED, _UNUSED, _BYTE = range(1, 7)

_CONTRACTIONS: Final = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_GPT_2: Final = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"


def _words(digits: str) -> str:
    """Words as GPT-4's vocabulary cuts them, with so many digits together."""
    return (
        rf"{_CONTRACTIONS}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|{digits}| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*"
        r"|\s*[\r\n]+|\s+(?!\S)|\s+"
    )


class Cutting(msgspec.Struct, frozen=True):
    """Expressions that cut a text, one after the other, and whether it is composed first (NFC)."""

    expressions: tuple[str, ...]
    is_composed: bool = False


_LLAMA_3: Final = Cutting((_words(r"\p{N}{1,3}"),))
_SINGLE_DIGITS: Final = Cutting((r"\p{N}", _GPT_2))

CUTTINGS: Final[Mapping[str, Cutting]] = {
    "gpt-2": Cutting((_GPT_2,)),
    "qwen2": Cutting((_words(r"\p{N}"),), is_composed=True),
    "llama-bpe": _LLAMA_3,
    "llama3": _LLAMA_3,
    "smaug-bpe": _LLAMA_3,
    "smollm": _SINGLE_DIGITS,
    "starcoder": _SINGLE_DIGITS,
    "codeshell": _SINGLE_DIGITS,
    "refact": _SINGLE_DIGITS,
    "command-r": _SINGLE_DIGITS,
}


class Vocabulary(msgspec.Struct, frozen=True, kw_only=True):
    """`tokens` in the order of their ids; `merges` are empty where scores stand for them."""

    tokens: Sequence[str]
    types: Sequence[int]
    merges: Sequence[str]
    scores: Sequence[float]

    def ids(self, *types: int) -> list[int]:
        return [token_id for token_id, kind in enumerate(self.types) if kind in types]


def tokenizer_json(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return the tokenizer of a file as the value of a tokenizer.json.

    Raises UnsupportedError for a kind that is not known, CheckpointError where parts are missing.
    """
    config = _section(metadata)
    vocabulary = _vocabulary(config)
    kind = config.text("model")
    match kind:
        case "gpt2":
            parts = _byte_level(config, vocabulary)
        case "llama":
            parts = _sentence_pieces(config, vocabulary)
        case _:
            raise UnsupportedError(
                f"tokenizer.ggml.model = {kind!r} is not implemented; there are gpt2 and llama"
            )
    leading = _leading(config, vocabulary, default=kind == "llama")
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": _added(vocabulary),
        **parts,
        "post_processor": _post_processor(leading, vocabulary),
    }


def tokenizer_config(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a tokenizer_config.json says beside: the template of conversations."""
    template = metadata.get("tokenizer.chat_template")
    return {"chat_template": template} if isinstance(template, str) else {}


def end_token_ids(metadata: Mapping[str, Any]) -> list[int]:
    """Return the tokens that end a text or a turn."""
    config = _section(metadata)
    names = ("eos_token_id", "eot_token_id", "eom_token_id")
    return sorted({config.integer(name, minimum=0) for name in names if config.has(name)})


def _section(metadata: Mapping[str, Any]) -> Config:
    prefix = "tokenizer.ggml."
    values = {
        key.removeprefix(prefix): value for key, value in metadata.items() if key.startswith(prefix)
    }
    return Config(values, "tokenizer.ggml in the metadata")


def _vocabulary(config: Config) -> Vocabulary:
    tokens = config.texts("tokens")
    types = config.integers("token_type") or (_NORMAL,) * len(tokens)
    scores = config.values("scores")
    if not tokens or len(types) != len(tokens) or (scores and len(scores) != len(tokens)):
        raise CheckpointError(
            f"the file has {len(tokens)} tokens, {len(types)} types and {len(scores)} scores of "
            "them; download it again"
        )
    if len(set(tokens)) != len(tokens):
        raise CheckpointError("the file spells two tokens alike; convert it again")
    return Vocabulary(tokens=tokens, types=types, merges=config.texts("merges"), scores=scores)


def _added(vocabulary: Vocabulary) -> list[dict[str, Any]]:
    return [
        {
            "id": token_id,
            "content": vocabulary.tokens[token_id],
            "single_word": False,
            "lstrip": False,
            "rstrip": False,
            "normalized": False,
            "special": vocabulary.types[token_id] != _USER_DEFINED,
        }
        for token_id in vocabulary.ids(_UNKNOWN, _CONTROL, _USER_DEFINED)
    ]


def _byte_level(config: Config, vocabulary: Vocabulary) -> dict[str, Any]:
    name = config.text("pre", default="gpt-2")
    cutting = CUTTINGS.get("gpt-2" if name == "default" else name)
    if cutting is None:
        raise UnsupportedError(
            f"tokenizer.ggml.pre = {name!r} is not implemented; there are {', '.join(CUTTINGS)}"
        )
    splits = [
        {
            "type": "Split",
            "pattern": {"Regex": expression},
            "behavior": "Isolated",
            "invert": False,
        }
        for expression in cutting.expressions
    ]
    bytes_only = {
        "type": "ByteLevel",
        "add_prefix_space": False,
        "trim_offsets": False,
        "use_regex": False,
    }
    return {
        "normalizer": {"type": "NFC"} if cutting.is_composed else None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [*splits, bytes_only]},
        "decoder": bytes_only,
        "model": _bpe(vocabulary, [merge.split(" ") for merge in vocabulary.merges]),
    }


def _sentence_pieces(config: Config, vocabulary: Vocabulary) -> dict[str, Any]:
    """Blanks are bars, one stands in front, and what is no piece is spelled in bytes."""
    has_prefix = config.boolean("add_space_prefix", default=True)
    replace = {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"}
    prepend = [{"type": "Prepend", "prepend": "\u2581"}] if has_prefix else []
    strip = [{"type": "Strip", "content": " ", "start": 1, "stop": 0}] if has_prefix else []
    back = {"type": "Replace", "pattern": {"String": "\u2581"}, "content": " "}
    return {
        "normalizer": {"type": "Sequence", "normalizers": [*prepend, replace]},
        "pre_tokenizer": None,
        "decoder": {
            "type": "Sequence",
            "decoders": [back, {"type": "ByteFallback"}, {"type": "Fuse"}, *strip],
        },
        "model": {
            **_bpe(vocabulary, _merges_of_scores(vocabulary)),
            "byte_fallback": True,
            "fuse_unk": True,
            "unk_token": next(
                (vocabulary.tokens[token_id] for token_id in vocabulary.ids(_UNKNOWN)), None
            ),
        },
    }


def _bpe(vocabulary: Vocabulary, merges: Sequence[Sequence[str]]) -> dict[str, Any]:
    kept = vocabulary.ids(_NORMAL, _UNKNOWN, _CONTROL, _USER_DEFINED, _BYTE)
    return {
        "type": "BPE",
        "dropout": None,
        "unk_token": None,
        "continuing_subword_prefix": None,
        "end_of_word_suffix": None,
        "fuse_unk": False,
        "byte_fallback": False,
        "ignore_merges": False,
        "vocab": {vocabulary.tokens[token_id]: token_id for token_id in kept},
        "merges": [list(merge) for merge in merges],
    }


def _merges_of_scores(vocabulary: Vocabulary) -> list[list[str]]:
    """Return each way to cut a piece in two that are pieces, the best piece first.

    SentencePiece joins the neighbours whose piece has the best score; so does this order
    (transformers does the same for its own tokenizers).
    """
    pieces = {
        vocabulary.tokens[token_id]: token_id for token_id in vocabulary.ids(_NORMAL, _USER_DEFINED)
    }
    found: list[tuple[float, int, int, list[str]]] = []
    for piece, token_id in pieces.items():
        for cut in range(1, len(piece)):
            left, right = pieces.get(piece[:cut]), pieces.get(piece[cut:])
            if left is not None and right is not None:
                score = vocabulary.scores[token_id] if vocabulary.scores else -token_id
                found.append((-score, left, right, [piece[:cut], piece[cut:]]))
    return [merge for *_, merge in sorted(found, key=lambda one: one[:3])]


def _leading(config: Config, vocabulary: Vocabulary, *, default: bool) -> str | None:
    if not config.boolean("add_bos_token", default=default) or not config.has("bos_token_id"):
        return None
    token_id = config.integer("bos_token_id", minimum=0)
    if token_id >= len(vocabulary.tokens):
        raise CheckpointError(f"bos_token_id = {token_id} is no token of the file")
    return vocabulary.tokens[token_id]


def _post_processor(leading: str | None, vocabulary: Vocabulary) -> dict[str, Any] | None:
    if leading is None:
        return None
    token = {"SpecialToken": {"id": leading, "type_id": 0}}
    first, second = ({"Sequence": {"id": name, "type_id": 0}} for name in "AB")
    return {
        "type": "TemplateProcessing",
        "single": [token, first],
        "pair": [token, first, token, second],
        "special_tokens": {
            leading: {
                "id": leading,
                "ids": [vocabulary.tokens.index(leading)],
                "tokens": [leading],
            }
        },
    }
