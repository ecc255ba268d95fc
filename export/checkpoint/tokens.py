"""Read from a checkpoint's small files what its tokens mean; files are data, no tokenizer runs.

The tokenizer itself is held against the engine's own check, so that no package is made whose
tokenizer the engine would refuse.
"""

import json
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from export.checkpoint.config import Config, read_config, read_json, read_object
from export.errors import CheckpointError, UnsupportedError
from inference.package.manifest import TOKENIZER_FILE
from inference.package.tokenizer_check import check_tokenizer

GENERATION_FILE: Final = "generation_config.json"
TOKENIZER_CONFIG_FILE: Final = "tokenizer_config.json"
CHAT_TEMPLATE_FILE: Final = "chat_template.jinja"
MAX_TOKENIZER_BYTES: Final = 32 << 20
MAX_CHAT_TEMPLATE_BYTES: Final = 1 << 20


class _AddedToken(msgspec.Struct):
    id: int
    content: str


class _TokenizerModel(msgspec.Struct):
    """`vocab` is a table of ids, or a list of pieces in the order of their ids."""

    vocab: dict[str, int] | list[Any]


class _Tokenizer(msgspec.Struct):
    model: _TokenizerModel
    added_tokens: list[_AddedToken] = []
    post_processor: dict[str, Any] | None = None


class Tokens(msgspec.Struct, frozen=True, kw_only=True):
    """`special` are the ids of the tokens that stand outside the vocabulary's own spelling.

    `leading` are those that every text begins with. `beyond` were added to the tokenizer and not to
    the model: the embedding has no row for them.
    """

    special: dict[str, int]
    leading: tuple[int, ...]
    beyond: dict[str, int] = {}


def read_tokens(folder: Path, *, vocab_size: int) -> Tokens:
    """Read tokenizer.json and, where it is there, tokenizer_config.json.

    Raises CheckpointError where there is no tokenizer or a vocabulary larger than the embedding,
    UnsupportedError where the engine would refuse it.
    """
    path = folder / TOKENIZER_FILE
    if not path.is_file():
        raise CheckpointError(
            f"no {TOKENIZER_FILE} in {folder}; save the tokenizer in that format with transformers"
        )
    tokenizer = read_json(path, _Tokenizer, max_bytes=MAX_TOKENIZER_BYTES)
    _check(path)
    added = {token.content: token.id for token in tokenizer.added_tokens}
    special = {token: token_id for token, token_id in added.items() if token_id < vocab_size}
    vocab = tokenizer.model.vocab
    if isinstance(vocab, dict):
        ids = [token_id for token, token_id in vocab.items() if token not in added]
    else:
        ids = range(len(vocab))
    largest = max([*ids, *special.values()], default=0)
    if largest >= vocab_size:
        raise CheckpointError(
            f"{path} has a token {largest}, yet config.json says vocab_size = {vocab_size}"
        )
    leading = tuple(_leading(tokenizer.post_processor or {}, special))
    return Tokens(
        special=special,
        leading=leading or _configured_leading(folder, special),
        beyond={token: added[token] for token in added.keys() - special.keys()},
    )


def without_tokens(folder: Path, beyond: Collection[str]) -> bytes:
    """Return tokenizer.json without some of the tokens that were added to it.

    A text that spells one is then cut as any other text.
    """
    tokenizer = read_object(folder / TOKENIZER_FILE, max_bytes=MAX_TOKENIZER_BYTES)
    added = [token for token in tokenizer["added_tokens"] if token["content"] not in beyond]
    model = tokenizer["model"]
    if isinstance(model["vocab"], dict):  # some programs write added tokens there as well
        vocab = {token: index for token, index in model["vocab"].items() if token not in beyond}
        model = model | {"vocab": vocab}
    changed = tokenizer | {"added_tokens": added, "model": model}
    return json.dumps(changed, ensure_ascii=False).encode()


def read_eos_token_ids(
    folder: Path, config: Config, *, vocab_size: int, more: Iterable[int] = ()
) -> tuple[int, ...]:
    """Return the tokens that end a text: the generation config's or else the model's, and `more`.

    Raises CheckpointError where neither names one, or one that is outside the vocabulary.
    """
    path = folder / GENERATION_FILE
    generation = read_config(path) if path.is_file() else Config({}, path.name)
    found = generation.integers("eos_token_id") or config.integers("eos_token_id")
    if not found:
        raise CheckpointError(f"neither {path} nor config.json has an eos_token_id; add one")
    outside = [token_id for token_id in found if not 0 <= token_id < vocab_size]
    if outside:
        raise CheckpointError(
            f"eos_token_id {outside[0]} is outside the vocabulary of {vocab_size} tokens"
        )
    return tuple(sorted({*found, *more}))


def read_chat_template(folder: Path) -> str | None:
    """Return the template of conversations, as text that nothing here runs.

    It is a file of its own or, in older checkpoints, a value of tokenizer_config.json.
    """
    path = folder / CHAT_TEMPLATE_FILE
    if path.is_file():
        if path.stat().st_size > MAX_CHAT_TEMPLATE_BYTES:
            raise CheckpointError(f"{path} has more than {MAX_CHAT_TEMPLATE_BYTES} bytes")
        return path.read_text("utf-8", errors="replace")
    found: object = _tokenizer_config(folder).get("chat_template")
    return found if isinstance(found, str) else None


def _check(path: Path) -> None:
    try:
        check_tokenizer(path.read_bytes())
    except ValueError as error:
        raise UnsupportedError(
            f"{path} would not be loaded: {error}; export a checkpoint with another tokenizer"
        ) from error


def _leading(processor: Mapping[str, Any], special: Mapping[str, int]) -> list[int]:
    """Return what a template of tokenizer.json puts in front of a single text."""
    match processor:
        case {"type": "TemplateProcessing", "single": [*pieces]}:
            found: list[int] = []
            for piece in pieces:
                match piece:
                    case {"SpecialToken": {"id": str(name)}} if name in special:
                        found.append(special[name])
                    case _:
                        break
            return found
        case {"type": "Sequence", "processors": [*steps]}:
            return [token_id for step in steps for token_id in _leading(step, special)]
        case _:
            return []


def _configured_leading(folder: Path, special: Mapping[str, int]) -> tuple[int, ...]:
    values = _tokenizer_config(folder)
    if values.get("add_bos_token") is not True:
        return ()
    match values.get("bos_token"):
        case str(name) | {"content": str(name)} if name in special:
            return (special[name],)
        case _:
            return ()


def _tokenizer_config(folder: Path) -> dict[str, Any]:
    path = folder / TOKENIZER_CONFIG_FILE
    return read_json(path, dict[str, Any]) if path.is_file() else {}
