"""vocabulary: a GGUF file's tokenizer cuts texts as llama.cpp does, and gives them back.

What differs is meant: the vocabularies that compose a text first (NFC) do so in the tokenizer.json
that they were made from and not in llama.cpp, so they are shown composed texts; letters and blanks
beyond ASCII, where a cutting says that it knows them, are left out; and the engine
never makes a byte or a control token of its spelling, which llama.cpp does with "<0x41>".
"""

import json
import unicodedata
from functools import cache
from pathlib import Path

import msgspec
import pytest

from export.checkpoint.gguf.layout import read_layout
from export.checkpoint.gguf.vocabulary import CUTTINGS, Cutting, tokenizer_json
from export.checkpoint.tokens import read_tokens
from inference.package.tokenizer_check import check_tokenizer
from inference.runtime.tokenizer import Tokenizer
from tests.support.gguf_vocabularies import (
    BLANK,
    NUM_SPELLED,
    USER_DEFINED,
    write_byte_level,
    write_sentence_pieces,
)
from tests.support.token_texts import texts

NUM_TEXTS = 2000
BYTE_SPELLING = "<0x"
PREFIXES = {"told": True, "told not to": False, "by default": None}

every_cutting = pytest.mark.parametrize("pre", CUTTINGS)
every_prefix = pytest.mark.parametrize("has_prefix", PREFIXES.values(), ids=list(PREFIXES))


@cache
def samples() -> tuple[str, ...]:
    return tuple(texts(NUM_TEXTS))


def tokenizer_of(path: Path) -> Tokenizer:
    content = json.dumps(tokenizer_json(read_layout(path).metadata)).encode()
    check_tokenizer(content)
    return Tokenizer(content)


def has_other_letters(text: str) -> bool:
    return any(unicodedata.category(one)[0] in "LM" and not one.isascii() for one in text)


def has_other_blanks(text: str) -> bool:
    return any(one.isspace() and not one.isascii() for one in text)


def check(path: Path, cutting: Cutting | None = None, *, has_prefix: bool = False) -> None:
    """Texts become tokens as in llama.cpp, and tokens texts again."""
    from tests.support.llama_cpp import LlamaCpp  # what it imports, `make test` lacks

    tokenizer = tokenizer_of(path)
    llama = LlamaCpp(path, context_length=64, num_threads=1)
    for text in samples():
        if BYTE_SPELLING in text or not text:
            continue
        if cutting and cutting.knows_letters and has_other_letters(text):
            continue
        if cutting and cutting.knows_blanks and has_other_blanks(text):
            continue
        told = unicodedata.normalize("NFC", text) if cutting and cutting.is_composed else text
        found = tokenizer.encode(told, is_beginning=has_prefix)
        assert (told, found) == (told, llama.tokens(told))
        if BLANK not in text:  # which is a blank's own spelling
            assert tokenizer.decode(found) == " " * has_prefix + told


@pytest.mark.parity
@every_cutting
def test_llama_cpp_cuts_bytes_the_same_way(pre: str, tmp_path: Path) -> None:
    path = write_byte_level(tmp_path / "model.gguf", pre)
    check(path, CUTTINGS[pre])


@pytest.mark.parity
def test_llama_cpp_finds_the_users_tokens_in_a_text(tmp_path: Path) -> None:
    check(write_byte_level(tmp_path / "model.gguf", "gpt-2", *USER_DEFINED))


@pytest.mark.parity
@every_prefix
def test_llama_cpp_joins_pieces_the_same_way(has_prefix: bool | None, tmp_path: Path) -> None:
    path = write_sentence_pieces(tmp_path / "model.gguf", has_prefix=has_prefix)
    check(path, has_prefix=has_prefix is not False)


@pytest.mark.parity
def test_llama_cpp_joins_listed_pieces_the_same_way(tmp_path: Path) -> None:
    check(write_sentence_pieces(tmp_path / "model.gguf", are_merged=True))


@every_cutting
def test_a_text_comes_back(pre: str, tmp_path: Path) -> None:
    tokenizer = tokenizer_of(write_byte_level(tmp_path / "model.gguf", pre))
    is_composed = CUTTINGS[pre].is_composed
    for text in samples()[:500]:
        expected = unicodedata.normalize("NFC", text) if is_composed else text
        assert tokenizer.decode(tokenizer.encode(text)) == expected


@every_prefix
def test_a_text_of_pieces_comes_back(has_prefix: bool | None, tmp_path: Path) -> None:
    path = write_sentence_pieces(tmp_path / "model.gguf", has_prefix=has_prefix)
    tokenizer = tokenizer_of(path)
    for text in samples()[:500]:
        if BLANK not in text:
            assert tokenizer.decode(tokenizer.encode(text)) == text
        beginning = tokenizer.encode(text, is_beginning=True)
        assert has_prefix is False or tokenizer.pieces[beginning[0]].startswith(b" ")


def test_a_text_of_listed_pieces_comes_back(tmp_path: Path) -> None:
    path = write_sentence_pieces(tmp_path / "model.gguf", are_merged=True)
    tokenizer = tokenizer_of(path)
    for text in samples()[:500]:
        if BLANK not in text:
            assert tokenizer.decode(tokenizer.encode(text)) == text
    assert leading(path, tmp_path) == (1,)


def test_each_cutting_is_seen(tmp_path: Path) -> None:
    """So no two that differ are taken for each other by the tests above."""
    found: dict[Cutting, str] = {}
    for pre, cutting in CUTTINGS.items():
        tokenizer = tokenizer_of(write_byte_level(tmp_path / f"{pre}.gguf", pre))
        cut = str([tokenizer.encode(text) for text in samples()[:500]])
        inside = msgspec.structs.replace(cutting, begins=False)
        assert found.setdefault(inside, cut) == cut
    assert len(set(found.values())) == len(found)


def test_a_text_begins_as_the_file_says(tmp_path: Path) -> None:
    """Sentence pieces, and the words of Llama 3, begin with a token of their own by default."""
    path = write_sentence_pieces(tmp_path / "model.gguf", has_prefix=True)
    assert leading(path, tmp_path) == (1,)
    for pre, cutting in CUTTINGS.items():
        path = write_byte_level(tmp_path / f"{pre}.gguf", pre, begins=None)
        assert leading(path, tmp_path) == ((NUM_SPELLED,) if cutting.begins else ())
    path = write_byte_level(tmp_path / "begins.gguf", "gpt-2", begins=True)
    assert leading(path, tmp_path) == (NUM_SPELLED,)


def leading(path: Path, folder: Path) -> tuple[int, ...]:
    content = json.dumps(tokenizer_json(read_layout(path).metadata))
    (folder / "tokenizer.json").write_text(content, "utf-8")
    return read_tokens(folder, vocab_size=1 << 16).leading
