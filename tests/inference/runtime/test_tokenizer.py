"""Text survives the way to tokens and back, and special tokens are never read out of text."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.errors import InvalidModelError
from inference.runtime.tokenizer import MAX_TOKENIZER_BYTES, Tokenizer
from tests.support.byte_tokenizer import SPECIAL_TOKENS, byte_tokenizer

TOKENIZER = Tokenizer(byte_tokenizer())


@given(st.text(max_size=50))
def test_decoding_undoes_encoding(text: str) -> None:
    assert TOKENIZER.decode(TOKENIZER.encode(text)) == text


@given(st.text(max_size=50))
def test_a_stream_gives_the_text_in_whole_characters(text: str) -> None:
    decode = TOKENIZER.stream()
    pieces = [decode(token_id) for token_id in TOKENIZER.encode(text)]
    assert "".join(pieces) == text
    assert "\ufffd" not in "".join(pieces) or "\ufffd" in text


@pytest.mark.parametrize("spelling", SPECIAL_TOKENS)
def test_a_special_token_in_a_text_is_text(spelling: str) -> None:
    assert TOKENIZER.encode(spelling) == list(spelling.encode())


def test_it_knows_its_special_tokens() -> None:
    assert TOKENIZER.special_token_ids == frozenset(SPECIAL_TOKENS.values())
    assert TOKENIZER.vocab_size == 256 + len(SPECIAL_TOKENS)


@pytest.mark.parametrize("content", ["", "{", "<html>", '{"model": {"type": "None"}}'])
def test_a_garbled_file_is_refused_by_name(content: str, tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_text(content)
    with pytest.raises(InvalidModelError, match=r"tokenizer\.json is no tokenizer"):
        Tokenizer.load(path)


def test_a_huge_file_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    with path.open("wb") as file:
        file.truncate(MAX_TOKENIZER_BYTES + 1)
    with pytest.raises(InvalidModelError, match="larger than"):
        Tokenizer.load(path)


def test_a_file_loads_as_what_was_saved(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    byte_tokenizer().save(str(path))
    assert Tokenizer.load(path).encode("aé") == [97, 195, 169]
