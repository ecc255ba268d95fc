"""Check a tokenizer.json before the library that runs it sees it.

The file is a program: a chain of replacements can grow a text a thousandfold at each step and not
come to an end, a pattern can backtrack for ever, and a type that nobody expects can do what nobody
thought of. So types, sizes, growth and patterns are checked on the JSON, against lists of what the
tokenizers of code models use.
"""

from collections.abc import Collection, Generator
from typing import Annotated, Any, Final

import msgspec

from inference.package.regex_check import why_unsafe

MAX_TOKENS: Final = 1 << 20
MAX_MERGES: Final = 1 << 21
MAX_ADDED_TOKENS: Final = 1 << 16
MAX_TOKEN_LENGTH: Final = 4096
MAX_COMPONENTS: Final = 16
MAX_GROWTH: Final = 16
"""How much longer a text may become by all replacements together."""

MODELS: Final = frozenset({"BPE", "Unigram", "WordLevel", "WordPiece"})
NORMALIZERS: Final = frozenset(
    {"Lowercase", "NFC", "NFD", "NFKC", "NFKD", "Prepend", "Replace", "Sequence", "Strip"}
)
PRE_TOKENIZERS: Final = frozenset(
    {
        *("ByteLevel", "Digits", "Metaspace", "Punctuation", "Sequence", "Split"),
        *("Whitespace", "WhitespaceSplit"),
    }
)
POST_PROCESSORS: Final = frozenset(
    {"BertProcessing", "ByteLevel", "RobertaProcessing", "Sequence", "TemplateProcessing"}
)
DECODERS: Final = frozenset(
    {"ByteFallback", "ByteLevel", "Fuse", "Metaspace", "Replace", "Sequence", "Strip"}
)
_PARTS: Final = (
    ("normalizer", NORMALIZERS),
    ("pre_tokenizer", PRE_TOKENIZERS),
    ("post_processor", POST_PROCESSORS),
    ("decoder", DECODERS),
)
_STEPS: Final = ("normalizers", "pretokenizers", "processors", "decoders")

Json = dict[str, Any]
Token = Annotated[str, msgspec.Meta(max_length=MAX_TOKEN_LENGTH)]
_Table = Annotated[dict[Token, int], msgspec.Meta(max_length=MAX_TOKENS)]
_Pieces = Annotated[list[tuple[Token, float]], msgspec.Meta(max_length=MAX_TOKENS)]


class _Model(msgspec.Struct):
    vocab: _Table | _Pieces
    type: str = "BPE"
    """Older files leave it out; all that are found so are of this type."""
    merges: Annotated[list[Any], msgspec.Meta(max_length=MAX_MERGES)] = []
    dropout: float | None = None


class _AddedToken(msgspec.Struct):
    content: Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_TOKEN_LENGTH)]


class _Tokenizer(msgspec.Struct):
    model: _Model
    added_tokens: Annotated[list[_AddedToken], msgspec.Meta(max_length=MAX_ADDED_TOKENS)] = []
    normalizer: Json | None = None
    pre_tokenizer: Json | None = None
    post_processor: Json | None = None
    decoder: Json | None = None


def check_tokenizer(content: bytes) -> None:
    """Raise ValueError saying what is wrong with a tokenizer.json."""
    try:
        tokenizer = msgspec.json.decode(content, type=_Tokenizer)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(str(error)) from error
    if tokenizer.model.type not in MODELS:
        raise ValueError(f"its model has the type {tokenizer.model.type!r}")
    if tokenizer.model.dropout:
        raise ValueError(f"its model has a dropout of {tokenizer.model.dropout}")
    for name, types in _PARTS:
        part: Json | None = getattr(tokenizer, name)
        if part is not None:
            _check_part(part, name, types)


def _check_part(part: Json, name: str, types: Collection[str]) -> None:
    growth = 1.0
    for index, component in enumerate(_components(part, name)):
        if component.get("type") not in types:
            raise ValueError(f"its {name} has the type {component.get('type')!r}")
        if index >= MAX_COMPONENTS:
            raise ValueError(f"its {name} has more than {MAX_COMPONENTS} parts")
        _check_pattern(component, name)
        growth *= _growth(component)
        if growth > MAX_GROWTH:
            raise ValueError(f"its {name} makes a text more than {MAX_GROWTH} times as long")


def _components(part: Json, name: str) -> Generator[Json]:
    """Yield a part and what it is composed of, however deep."""
    yield part
    for key in _STEPS:
        try:
            steps = msgspec.convert(part.get(key, []), list[Json])
        except msgspec.ValidationError:
            raise ValueError(f"its {name} has {key} that are none") from None
        for step in steps:
            yield from _components(step, name)


def _check_pattern(component: Json, name: str) -> None:
    expression = _pattern(component).get("Regex")
    if expression is not None:
        reason = why_unsafe(expression)
        if reason:
            raise ValueError(f"its {name} has a pattern that is not safe to run: {reason}")


def _growth(component: Json) -> float:
    """Return how many times longer a component can make a text of any length, in bytes.

    What is put in front of a text once is counted as if it were doubled by every 16 bytes.
    """
    added = len(str(component.get("content", component.get("prepend", ""))).encode())
    match component.get("type"):
        case "Replace":
            matched = _pattern(component).get("String", "")
            return max(1.0, added / len(matched.encode())) if matched else 1.0 + added
        case "Prepend":
            return 1.0 + added / MAX_GROWTH
        case _:
            return 1.0


def _pattern(component: Json) -> dict[str, str]:
    """Return what a component looks for: a `String` or a `Regex`."""
    try:
        return msgspec.convert(component.get("pattern", {}), dict[str, str])
    except msgspec.ValidationError:
        raise ValueError("it has a pattern that is none") from None
