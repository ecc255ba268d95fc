"""What is written first is what was held back, and the likeliest way of writing it."""

from collections.abc import Mapping

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from inference.healing import Healing, Vocabulary
from inference.local import default_model_folder, load_package
from inference.tokenizer import Tokenizer
from tests.support.byte_tokenizer import byte_tokenizer

PIECES = {
    index: piece.encode() for index, piece in enumerate(["a", "b", "ab", "abc", " ", "   ", " x"])
}


def check(wanted: str, likes: list[str], *, writes: list[str]) -> None:
    """The model likes these pieces best, the first most; it is asked as often as it writes."""
    ids = {piece.decode(): token_id for token_id, piece in PIECES.items()}
    logits = np.zeros(len(PIECES), np.float32)
    for rank, piece in enumerate(likes):
        logits[ids[piece]] = len(likes) - rank
    healing = Healing(Vocabulary(PIECES), wanted.encode())
    assert [PIECES[healing.choose(logits)].decode() for _ in writes] == writes


def test_a_longer_token_may_take_its_place() -> None:
    check("a", ["b", "abc"], writes=["abc", "b"])


def test_the_same_token_may_be_written_again() -> None:
    check("ab", ["ab"], writes=["ab", "ab"])


def test_shorter_tokens_may_write_it_in_pieces() -> None:
    check("ab", ["a", "b"], writes=["a", "b", "a"])


def test_a_blank_may_move_into_the_next_token() -> None:
    check("    ", [" x", "   "], writes=["   ", " x", " x"])


def test_without_anything_held_back_the_likeliest_is_written() -> None:
    check("", ["b", "a"], writes=["b", "b"])


pieces = st.lists(st.binary(min_size=1, max_size=4), unique=True, max_size=30)


@given(pieces, st.binary(min_size=1, max_size=4))
def test_exactly_the_tokens_that_fit_are_allowed(found: list[bytes], wanted: bytes) -> None:
    vocabulary = Vocabulary(dict(enumerate(found)))
    fitting = {
        token_id
        for token_id, piece in enumerate(found)
        if piece.startswith(wanted) or wanted.startswith(piece)
    }
    assert set(vocabulary.continuing(wanted).tolist()) == fitting


@given(st.data())
def test_what_was_held_back_is_always_written_first(data: st.DataObject) -> None:
    all_bytes: Mapping[int, bytes] = {byte: bytes([byte]) for byte in range(256)}
    longer = data.draw(st.lists(st.binary(min_size=2, max_size=4), unique=True, max_size=20))
    vocabulary = Vocabulary({**all_bytes, **dict(enumerate(longer, start=256))})
    wanted = data.draw(st.binary(max_size=6))
    healing, written = Healing(vocabulary, wanted), b""
    while len(written) < len(wanted):
        seed = data.draw(st.integers(0, 2**32 - 1))
        row = np.random.default_rng(seed).random(256 + len(longer), np.float32)
        written += vocabulary.piece(healing.choose(row))
    assert written.startswith(wanted)


def test_half_a_character_is_not_cut_off() -> None:
    vocabulary = Vocabulary(Tokenizer(byte_tokenizer()).pieces())
    assert vocabulary.can_heal(ord("a"))
    assert not vocabulary.can_heal("é".encode()[1])
    assert not vocabulary.can_heal(256)  # a special token


def test_the_pieces_of_the_shipped_tokenizer_spell_its_texts() -> None:
    tokenizer = load_package(default_model_folder()).tokenizer
    pieces = tokenizer.pieces()
    text = "def f(x):\n        return x  # naïve 🦑\n\n\tpass"
    assert b"".join(pieces[token_id] for token_id in tokenizer.encode(text)) == text.encode()
    assert pieces.keys().isdisjoint(tokenizer.special_token_ids)
