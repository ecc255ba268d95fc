"""tokens: which tokens mean what, read from the tokenizer and the generation config."""

import json
from pathlib import Path
from typing import Any

import pytest

from export.checkpoint.config import Config
from export.checkpoint.tokens import (
    read_chat_template,
    read_eos_token_ids,
    read_tokens,
    without_tokens,
)
from export.errors import CheckpointError, UnsupportedError
from tests.support.tiny_checkpoints import SPECIAL_TOKENS, VOCAB_SIZE, byte_tokenizer, write_json

TOKENS = {token: index for index, token in enumerate(SPECIAL_TOKENS)}


def special_tokens(folder: Path, tokenizer: dict[str, Any], vocab_size: int) -> dict[str, int]:
    write_json(folder / "tokenizer.json", tokenizer)
    return read_tokens(folder, vocab_size=vocab_size).special


def test_the_special_tokens(tmp_path: Path) -> None:
    assert special_tokens(tmp_path, byte_tokenizer(), VOCAB_SIZE) == TOKENS


def test_no_tokenizer(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no tokenizer\.json in .*save the tokenizer"):
        read_tokens(tmp_path, vocab_size=VOCAB_SIZE)


def test_a_tokenizer_larger_than_the_embedding(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"has a token 262, yet .* vocab_size = 262"):
        special_tokens(tmp_path, byte_tokenizer(), 262)


@pytest.mark.parametrize("is_in_vocab", [True, False])
def test_an_added_token_beyond_the_embedding_is_none_of_the_model(
    is_in_vocab: bool, tmp_path: Path
) -> None:
    tokenizer = byte_tokenizer()
    tokenizer["added_tokens"].append(tokenizer["added_tokens"][1] | {"id": 9999, "content": "<x>"})
    if is_in_vocab:
        tokenizer["model"]["vocab"]["<x>"] = 9999
    expected = special_tokens(tmp_path, byte_tokenizer(), VOCAB_SIZE)
    assert special_tokens(tmp_path, tokenizer, VOCAB_SIZE) == expected
    assert read_tokens(tmp_path, vocab_size=VOCAB_SIZE).beyond == {"<x>": 9999}
    assert json.loads(without_tokens(tmp_path, {"<x>"})) == byte_tokenizer()


def test_a_vocabulary_that_is_a_list(tmp_path: Path) -> None:
    tokenizer = {"model": {"type": "Unigram", "vocab": [["a", -1.0], ["b", -2.0]]}}
    assert special_tokens(tmp_path, tokenizer, 2) == {}
    with pytest.raises(CheckpointError, match="has a token 1"):
        special_tokens(tmp_path, tokenizer, 1)


@pytest.mark.parametrize("content", [{}, {"model": 3}, {"model": {"vocab": {"a": "b"}}}], ids=repr)
def test_something_else_than_a_tokenizer(content: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"tokenizer\.json is not what it should be"):
        special_tokens(tmp_path, content, VOCAB_SIZE)


def test_a_tokenizer_that_the_engine_would_refuse(tmp_path: Path) -> None:
    tokenizer = byte_tokenizer() | {"normalizer": {"type": "Precompiled"}}
    with pytest.raises(UnsupportedError, match=r"would not be loaded: .* type 'Precompiled'"):
        special_tokens(tmp_path, tokenizer, VOCAB_SIZE)


def leading(folder: Path, processor: dict[str, Any] | None, **config: Any) -> tuple[int, ...]:
    write_json(folder / "tokenizer.json", byte_tokenizer() | {"post_processor": processor})
    write_json(folder / "tokenizer_config.json", config)
    return read_tokens(folder, vocab_size=VOCAB_SIZE).leading


def template(*names: str) -> dict[str, Any]:
    pieces: list[dict[str, Any]] = [{"SpecialToken": {"id": name, "type_id": 0}} for name in names]
    pieces.insert(1, {"Sequence": {"id": "A", "type_id": 0}})
    return {"type": "TemplateProcessing", "single": pieces, "pair": [], "special_tokens": {}}


def test_texts_that_begin_with_a_token(tmp_path: Path) -> None:
    assert leading(tmp_path, template("<|endoftext|>", "<|repo_name|>")) == (0,)


def test_texts_that_begin_with_a_token_after_other_steps(tmp_path: Path) -> None:
    steps = [{"type": "ByteLevel"}, template("<|file_sep|>")]
    assert leading(tmp_path, {"type": "Sequence", "processors": steps}) == (6,)


def test_texts_that_begin_with_nothing(tmp_path: Path) -> None:
    assert leading(tmp_path, None, bos_token="<|endoftext|>") == ()
    assert leading(tmp_path, {"type": "ByteLevel"}, add_bos_token=False) == ()


@pytest.mark.parametrize("token", ["<|endoftext|>", {"content": "<|endoftext|>"}], ids=repr)
def test_a_config_that_says_so(token: Any, tmp_path: Path) -> None:
    assert leading(tmp_path, None, add_bos_token=True, bos_token=token) == (0,)


def test_a_config_that_names_a_token_that_is_none(tmp_path: Path) -> None:
    assert leading(tmp_path, None, add_bos_token=True, bos_token="<none>") == ()


def test_a_chat_template_is_text(tmp_path: Path) -> None:
    assert read_chat_template(tmp_path) is None
    write_json(tmp_path / "tokenizer_config.json", {"chat_template": "{{ messages }}"})
    assert read_chat_template(tmp_path) == "{{ messages }}"
    (tmp_path / "chat_template.jinja").write_text("{% for x in y %}", encoding="utf-8")
    assert read_chat_template(tmp_path) == "{% for x in y %}"


def test_a_chat_template_without_end(tmp_path: Path) -> None:
    (tmp_path / "chat_template.jinja").write_bytes(b" " * ((1 << 20) + 1))
    with pytest.raises(CheckpointError, match="more than 1048576 bytes"):
        read_chat_template(tmp_path)


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
