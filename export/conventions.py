"""Read from a tokenizer what the engine must know of it: which tokens mean what.

A fill-in-the-middle convention is a spelling of special tokens. Whoever trained a model chose one;
the tokenizer shows which. Files are read as data: no tokenizer runs here.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from export.config import Config, read_config, read_json
from export.errors import CheckpointError, UnsupportedError
from inference.fim import FimOrder, FimTemplate
from inference.manifest import TOKENIZER_FILE

GENERATION_FILE: Final = "generation_config.json"
MAX_TOKENIZER_BYTES: Final = 32 << 20


class Convention(msgspec.Struct, frozen=True, kw_only=True):
    """How a family of models spells a hole. The first three must all be there."""

    name: str
    prefix: str
    suffix: str
    middle: str
    pad: str
    repo_name: str
    file_separator: str


CONVENTIONS: Final = (
    Convention(
        name="qwen",
        prefix="<|fim_prefix|>",
        suffix="<|fim_suffix|>",
        middle="<|fim_middle|>",
        pad="<|fim_pad|>",
        repo_name="<|repo_name|>",
        file_separator="<|file_sep|>",
    ),
)


class _AddedToken(msgspec.Struct):
    id: int
    content: str


class _TokenizerModel(msgspec.Struct):
    """`vocab` is a table of ids, or a list of pieces in the order of their ids."""

    vocab: dict[str, int] | list[Any]


class _Tokenizer(msgspec.Struct):
    model: _TokenizerModel
    added_tokens: list[_AddedToken] = []


def read_special_tokens(folder: Path, *, vocab_size: int) -> dict[str, int]:
    """Return the ids of the tokens that stand outside the vocabulary's own spelling.

    Raises CheckpointError where there is no tokenizer or one that is larger than the embedding.
    """
    path = folder / TOKENIZER_FILE
    if not path.is_file():
        raise CheckpointError(
            f"no {TOKENIZER_FILE} in {folder}; save the tokenizer in that format with transformers"
        )
    tokenizer = read_json(path, _Tokenizer, max_bytes=MAX_TOKENIZER_BYTES)
    added = {token.content: token.id for token in tokenizer.added_tokens}
    vocab = tokenizer.model.vocab
    ids = vocab.values() if isinstance(vocab, dict) else range(len(vocab))
    largest = max([*added.values(), *ids], default=0)
    if largest >= vocab_size:
        raise CheckpointError(
            f"{path} has a token {largest}, yet config.json says vocab_size = {vocab_size}"
        )
    return added


def find_fim_template(tokens: Mapping[str, int], order: FimOrder | None) -> FimTemplate | None:
    """Return the template of the first convention whose tokens are all there, if any is.

    `order` None means prefix-suffix-middle, which nearly every model was trained on.
    Raises UnsupportedError where an order was asked of a model without such tokens.
    """
    for convention in CONVENTIONS:
        if {convention.prefix, convention.suffix, convention.middle} <= tokens.keys():
            return FimTemplate(
                order=order or "psm",
                prefix_token_id=tokens[convention.prefix],
                suffix_token_id=tokens[convention.suffix],
                middle_token_id=tokens[convention.middle],
                pad_token_id=tokens.get(convention.pad),
                repo_name_token_id=tokens.get(convention.repo_name),
                file_separator_token_id=tokens.get(convention.file_separator),
            )
    if order is not None:
        names = ", ".join(convention.name for convention in CONVENTIONS)
        raise UnsupportedError(
            f"{TOKENIZER_FILE} has no fill-in-the-middle tokens of a known convention ({names}), "
            f"so there is nothing to put in {order} order; leave the order out"
        )
    return None


def read_eos_token_ids(folder: Path, config: Config, *, vocab_size: int) -> tuple[int, ...]:
    """Return the tokens that end a text, from the generation config or else the model's.

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
    return tuple(sorted(set(found)))
