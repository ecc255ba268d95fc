"""Make a tokenizer.json of a GGUF file's metadata, as the engine reads it.

Two kinds are known: `gpt2`, byte-level BPE, whose cutting into words has a name under
`tokenizer.ggml.pre`, and `llama`, SentencePiece's BPE, whose merges follow from the scores.
The expressions are those of llama.cpp (src/llama-vocab.cpp) and of the tokenizers that they stand
for. Token types are llama.cpp's: 1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 byte.
What such a file says is held against the rest of it before it is believed: the library that reads
a tokenizer.json stops at the first fault, and says less.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from export.checkpoint.config import Config
from export.checkpoint.gguf.alphabets import CASED
from export.checkpoint.gguf.layout import under
from export.errors import CheckpointError, UnsupportedError
from inference.package.tokenizer_check import MAX_ADDED_TOKENS, MAX_MERGES, MAX_TOKENS

_NORMAL, _UNKNOWN, _CONTROL, _USER_DEFINED, _UNUSED, _BYTE = range(1, 7)

_KEPT: Final = (_NORMAL, _UNKNOWN, _CONTROL, _USER_DEFINED, _BYTE)

MAX_TOKEN_LENGTH: Final = 1024
"""Characters: each place where a piece may be cut is looked at. Runs of 256 blanks exist."""

_CONTRACTIONS: Final = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_GPT_2: Final = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"


def _words(digits: str) -> str:
    """Words as GPT-4's vocabulary cuts them, with so many digits together."""
    return (
        rf"{_CONTRACTIONS}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|{digits}| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*"
        r"|\s*[\r\n]+|\s+(?!\S)|\s+"
    )


class Cutting(msgspec.Struct, frozen=True):
    """Expressions that cut a text, one after the other, and whether it is composed first (NFC).

    `takes_words`: a word that is a token is taken whole. `begins`: a text begins with a token of
    its own, unless the file says otherwise. `knows_letters`: capitals and small letters of all
    scripts are told apart and marks stand with them, where llama.cpp knows those of ASCII alone.
    `knows_blanks`: those beyond ASCII are in the ranges that span them, where llama.cpp takes all
    of them for one blank.
    """

    expressions: tuple[str, ...]
    is_composed: bool = False
    takes_words: bool = False
    begins: bool = False
    knows_letters: bool = False
    knows_blanks: bool = False


_THREE_DIGITS: Final = Cutting((_words(r"\p{N}{1,3}"),))
_LLAMA_3: Final = msgspec.structs.replace(_THREE_DIGITS, takes_words=True, begins=True)
_WORDS_AND_DIGITS: Final = Cutting((_words(r"\p{N}"),))
_MARKED_WORDS: Final = (
    rf"{_CONTRACTIONS}|[^\r\n\p{{L}}\p{{N}}]?[\p{{L}}\p{{M}}]+|\p{{N}}"
    r"| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_SINGLE_DIGITS: Final = Cutting((r"\p{N}", _GPT_2))
_CAPITALS, _SMALL_LETTERS = r"\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}", r"\p{Ll}\p{Lm}\p{Lo}\p{M}"
_GPT_4O: Final = (
    rf"[^\r\n\p{{L}}\p{{N}}]?[{_CAPITALS}]*[{_SMALL_LETTERS}]+{_CONTRACTIONS}?"
    rf"|[^\r\n\p{{L}}\p{{N}}]?[{_CAPITALS}]+[{_SMALL_LETTERS}]*{_CONTRACTIONS}?"
    r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_DEEPSEEK_3: Final = (
    r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+"""
    r"|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_TEKKEN: Final = (
    rf"[^\r\n\p{{L}}\p{{N}}]?[{_CAPITALS}]*[{_SMALL_LETTERS}]+"
    rf"|[^\r\n\p{{L}}\p{{N}}]?[{_CAPITALS}]+[{_SMALL_LETTERS}]*"
    r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_EAST_ASIAN: Final = "[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+"
_DEEPSEEK_CODER: Final = (r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", _EAST_ASIAN, r"\p{N}")
_DEEPSEEK_LLM: Final = (
    r"[\r\n]",
    rf"\s?[{CASED}]+",
    "\\s?[!-/:-~\uff01-\uff0f\uff1a-\uff5e\u2018-\u201f\u3000-\u3002]+",
    r"\s+$",
    _EAST_ASIAN,
    r"\p{N}+",
)
_CHINESE_AND_JAPANESE: Final = "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+"

CUTTINGS: Final[Mapping[str, Cutting]] = {
    # What llama.cpp falls back to where it does not know better.
    "default": Cutting((r"[\p{P}\$\+<=>\^~\|]+", _GPT_2, r"\p{N}+", "[0-9][0-9][0-9]")),
    "gpt-2": Cutting((_GPT_2,)),
    "qwen2": msgspec.structs.replace(_WORDS_AND_DIGITS, is_composed=True),
    "qwen35": Cutting((_MARKED_WORDS,), is_composed=True),
    "hunyuan": _WORDS_AND_DIGITS,
    "stablelm2": _WORDS_AND_DIGITS,
    "bailingmoe": _WORDS_AND_DIGITS,
    "llama-bpe": _LLAMA_3,
    "llama3": _LLAMA_3,
    "lfm2": _LLAMA_3,
    "pixtral": _LLAMA_3,
    "smaug-bpe": _THREE_DIGITS,
    "smollm": _SINGLE_DIGITS,
    "starcoder": _SINGLE_DIGITS,
    "codeshell": _SINGLE_DIGITS,
    "refact": _SINGLE_DIGITS,
    "command-r": _SINGLE_DIGITS,
    "olmo": Cutting((_GPT_2,), is_composed=True),
    "mellum": Cutting((_GPT_2,)),
    "mellum2": _SINGLE_DIGITS,
    "dbrx": _THREE_DIGITS,
    "glm4": msgspec.structs.replace(_THREE_DIGITS, takes_words=True),
    "chatglm-bpe": _THREE_DIGITS,
    "gpt-4o": Cutting((_GPT_4O,), knows_letters=True),
    "minimax-m2": Cutting((_GPT_4O,), knows_letters=True),
    "tekken": Cutting((_TEKKEN,), takes_words=True, begins=True, knows_letters=True),
    "deepseek-llm": Cutting(_DEEPSEEK_LLM, knows_blanks=True),
    "deepseek-coder": Cutting(_DEEPSEEK_CODER, knows_blanks=True),
    "deepseek-v3": Cutting((r"\p{N}{1,3}", _CHINESE_AND_JAPANESE, _DEEPSEEK_3)),
    "hunyuan-dense": Cutting((r"\p{N}{1,3}", _CHINESE_AND_JAPANESE, _DEEPSEEK_3)),
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
            cutting = _cutting(config)
            parts, begins = _byte_level(cutting, vocabulary), cutting.begins
        case "llama":
            has_prefix = config.boolean("add_space_prefix", default=True)
            merges = _merges_of_scores(vocabulary)
            parts, begins = _pieces(vocabulary, merges, has_prefix=has_prefix), True
        case "gemma4":
            config.require("add_space_prefix", False)
            parts = _pieces(vocabulary, _pairs(vocabulary), has_prefix=False)
            parts, begins = {**parts, "pre_tokenizer": _split(r"\n+")}, True
        case _:
            raise UnsupportedError(
                f"tokenizer.ggml.model = {kind!r} is not implemented; there are gpt2, llama and "
                "gemma4"
            )
    leading = _leading(config, vocabulary, default=begins)
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
    return Config(under(metadata, "tokenizer.ggml."), "tokenizer.ggml in the metadata")


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
    if not all(1 <= len(token) <= MAX_TOKEN_LENGTH for token in tokens):
        raise CheckpointError(
            f"the file has tokens of none or more than {MAX_TOKEN_LENGTH} letters"
        )
    if not all(_NORMAL <= kind <= _BYTE for kind in types):
        raise CheckpointError("the file has tokens of a type that is none; convert it again")
    if not all(map(math.isfinite, scores)):
        raise CheckpointError(
            "the file has scores of tokens that are not finite; download it again"
        )
    found = Vocabulary(tokens=tokens, types=types, merges=config.texts("merges"), scores=scores)
    added = found.ids(_UNKNOWN, _CONTROL, _USER_DEFINED)
    if len(tokens) > MAX_TOKENS or len(found.merges) > MAX_MERGES or len(added) > MAX_ADDED_TOKENS:
        raise UnsupportedError(
            f"the file has {len(tokens)} tokens, {len(added)} of them added, and "
            f"{len(found.merges)} merges; at most {MAX_TOKENS}, {MAX_ADDED_TOKENS} and "
            f"{MAX_MERGES} are read"
        )
    return found


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


def _cutting(config: Config) -> Cutting:
    if not config.has("pre"):
        raise UnsupportedError(
            "the file does not say how texts are cut into words (tokenizer.ggml.pre), so it was "
            "made before May 2024; take a newer one"
        )
    name = config.text("pre")
    cutting = CUTTINGS.get(name)
    if cutting is None:
        raise UnsupportedError(
            f"tokenizer.ggml.pre = {name!r} is not implemented; there are {', '.join(CUTTINGS)}"
        )
    return cutting


def _split(expression: str) -> dict[str, Any]:
    pattern = {"Regex": expression}
    return {"type": "Split", "pattern": pattern, "behavior": "Isolated", "invert": False}


def _byte_level(cutting: Cutting, vocabulary: Vocabulary) -> dict[str, Any]:
    splits = [_split(expression) for expression in cutting.expressions]
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
        "model": {
            **_bpe(vocabulary, _pairs(vocabulary)),
            "ignore_merges": cutting.takes_words,
        },
    }


def _pairs(vocabulary: Vocabulary) -> list[list[str]]:
    """Return the two halves of each merge, both of which and their sum are tokens."""
    tokens = {vocabulary.tokens[token_id] for token_id in vocabulary.ids(*_KEPT)}
    pairs = [merge.split(" ") for merge in vocabulary.merges]
    for pair in pairs:
        if len(pair) != 2 or not tokens.issuperset({*pair, "".join(pair)}):
            raise CheckpointError(
                f"the file's merge {' '.join(pair)!r} does not make one token of two; convert it "
                "again"
            )
    return pairs


def _pieces(
    vocabulary: Vocabulary, merges: Sequence[Sequence[str]], *, has_prefix: bool
) -> dict[str, Any]:
    """Blanks are bars, one may stand in front, and what is no piece is spelled in bytes."""
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
            **_bpe(vocabulary, merges),
            "byte_fallback": True,
            "fuse_unk": True,
            "unk_token": next(
                (vocabulary.tokens[token_id] for token_id in vocabulary.ids(_UNKNOWN)), None
            ),
        },
    }


def _bpe(vocabulary: Vocabulary, merges: Sequence[Sequence[str]]) -> dict[str, Any]:
    kept = vocabulary.ids(*_KEPT)
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
    if token_id not in vocabulary.ids(_CONTROL, _UNKNOWN, _USER_DEFINED):
        raise CheckpointError(f"bos_token_id = {token_id} is no control token of the file")
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
