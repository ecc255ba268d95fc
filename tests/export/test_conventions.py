"""conventions: which tokens mean what, read from the tokenizer and the generation config."""

import json
from pathlib import Path
from typing import Any

import pytest

from export.config import Config
from export.conventions import find_fim_template, read_eos_token_ids, read_special_tokens
from export.errors import CheckpointError, UnsupportedError
from inference.fim import FimTemplate
from tests.support.tiny_checkpoints import SPECIAL_TOKENS, VOCAB_SIZE, byte_tokenizer, write_json

TOKENS = {token: index for index, token in enumerate(SPECIAL_TOKENS)}


def special_tokens(folder: Path, tokenizer: dict[str, Any], vocab_size: int) -> dict[str, int]:
    write_json(folder / "tokenizer.json", tokenizer)
    return read_special_tokens(folder, vocab_size=vocab_size)


def test_the_special_tokens(tmp_path: Path) -> None:
    assert special_tokens(tmp_path, byte_tokenizer(), VOCAB_SIZE) == TOKENS


def test_no_tokenizer(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no tokenizer\.json in .*save the tokenizer"):
        read_special_tokens(tmp_path, vocab_size=VOCAB_SIZE)


def test_a_tokenizer_larger_than_the_embedding(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"has a token 262, yet .* vocab_size = 262"):
        special_tokens(tmp_path, byte_tokenizer(), 262)


def test_an_added_token_outside_the_embedding(tmp_path: Path) -> None:
    tokenizer = byte_tokenizer()
    tokenizer["added_tokens"][0]["id"] = 9999
    with pytest.raises(CheckpointError, match="has a token 9999"):
        special_tokens(tmp_path, tokenizer, VOCAB_SIZE)


def test_a_vocabulary_that_is_a_list(tmp_path: Path) -> None:
    tokenizer = {"model": {"vocab": [["a", -1.0], ["b", -2.0]]}}
    assert special_tokens(tmp_path, tokenizer, 2) == {}
    with pytest.raises(CheckpointError, match="has a token 1"):
        special_tokens(tmp_path, tokenizer, 1)


@pytest.mark.parametrize("content", [{}, {"model": 3}, {"model": {"vocab": {"a": "b"}}}], ids=repr)
def test_something_else_than_a_tokenizer(content: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"tokenizer\.json is not what it should be"):
        special_tokens(tmp_path, content, VOCAB_SIZE)


def test_the_template_of_a_known_convention() -> None:
    assert find_fim_template(TOKENS, None) == FimTemplate(
        order="psm",
        prefix_token_id=1,
        suffix_token_id=3,
        middle_token_id=2,
        pad_token_id=4,
        repo_name_token_id=5,
        file_separator_token_id=6,
    )


def test_the_order_is_the_callers() -> None:
    template = find_fim_template(TOKENS, "spm")
    assert template is not None
    assert template.order == "spm"


def test_separators_may_be_missing() -> None:
    tokens = {"<|fim_prefix|>": 7, "<|fim_suffix|>": 8, "<|fim_middle|>": 9}
    template = find_fim_template(tokens, None)
    assert template is not None
    assert template.special_token_ids == {7, 8, 9}


def test_a_model_without_holes() -> None:
    assert find_fim_template({"<|endoftext|>": 0, "<|fim_prefix|>": 1}, None) is None


def test_an_order_for_a_model_without_holes() -> None:
    with pytest.raises(UnsupportedError, match=r"no fill-in-the-middle tokens .* spm order"):
        find_fim_template({}, "spm")


def eos(folder: Path, config: dict[str, Any], generation: dict[str, Any] | None) -> tuple[int, ...]:
    if generation is not None:
        write_json(folder / "generation_config.json", generation)
    return read_eos_token_ids(folder, Config(config, "config.json"), vocab_size=10)


def test_the_generation_config_decides_where_texts_end(tmp_path: Path) -> None:
    assert eos(tmp_path, {"eos_token_id": 1}, {"eos_token_id": [5, 3, 5]}) == (3, 5)


def test_the_config_decides_where_there_is_no_other(tmp_path: Path) -> None:
    assert eos(tmp_path, {"eos_token_id": 1}, None) == (1,)


def test_the_config_decides_where_the_other_is_silent(tmp_path: Path) -> None:
    assert eos(tmp_path, {"eos_token_id": [2]}, {"temperature": 0.7}) == (2,)


def test_texts_that_never_end(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="has an eos_token_id; add one"):
        eos(tmp_path, {}, {})


@pytest.mark.parametrize("token_id", [-1, 10])
def test_an_end_outside_the_vocabulary(token_id: int, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=f"eos_token_id {token_id} is outside"):
        eos(tmp_path, {"eos_token_id": token_id}, None)


def test_the_tokenizer_made_for_tests_has_one_token_a_byte() -> None:
    vocabulary = json.loads(json.dumps(byte_tokenizer()))["model"]["vocab"]
    assert sorted(vocabulary.values()) == list(range(256 + len(SPECIAL_TOKENS)))
