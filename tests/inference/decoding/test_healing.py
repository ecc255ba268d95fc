"""What is written first is what was held back, and the likeliest way of writing it."""

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.cancellation import CancelToken
from inference.decoding.healing import MAX_LOOKS, Healing, Vocabulary
from inference.decoding.session import Session
from inference.errors import RequestCancelledError
from inference.package.store import embedded_folder
from inference.runtime.language_model import KvCache, Logits
from inference.runtime.tokenizer import Tokenizer
from inference.serving.local import load_package
from tests.support.byte_tokenizer import byte_tokenizer
from tests.support.scripted_model import ScriptedCache

Likes = Mapping[str, Mapping[str, float]]
"""After a piece: how likely each next one is. What is not named is next to impossible."""

START = "<start>"
UNLIKELY = 1e-6


class Pairs:
    """A LanguageModel that looks at the last token only."""

    def __init__(self, likes: Likes, pieces: Sequence[str], *, capacity: int = 32) -> None:
        self._rows = {
            index: [likes.get(piece, {}).get(other, UNLIKELY) for other in pieces]
            for index, piece in enumerate(pieces)
        }
        self.vocab_size = len(pieces)
        self.context_length = capacity
        self.num_cache_bytes = 1
        self.num_forwards = 0

    def create_cache(self) -> ScriptedCache:
        return ScriptedCache(self.context_length)

    def forward(
        self, token_ids: Sequence[int], cache: KvCache, *, num_logits: int, cancel: CancelToken
    ) -> Logits:
        assert isinstance(cache, ScriptedCache)
        cancel.raise_if_set()
        self.num_forwards += 1
        assert len(token_ids) <= cache.capacity - cache.length
        cache.length += len(token_ids)
        return np.log(np.array([self._rows[token_ids[-1]]], np.float32))

    def close(self) -> None:
        pass


def written(
    likes: Likes,
    wanted: str,
    *,
    capacity: int = 32,
    looks: int = MAX_LOOKS,
    fills_line: bool = False,
) -> list[str]:
    """Return the pieces that spell what is wanted."""
    pieces = [START, *{piece: None for row in likes.values() for piece in row}]
    model = Pairs(likes, pieces, capacity=capacity)
    vocabulary = Vocabulary({index: piece.encode() for index, piece in enumerate(pieces) if index})
    session = Session(model)
    logits, _ = session.prefill([0], CancelToken())
    healing = Healing(vocabulary, wanted.encode(), fills_line=fills_line, max_looks=looks)
    read, logits = healing.begin(session, logits, CancelToken())
    assert list(session.token_ids) == [0, *read]
    last = healing.choose(logits[-1])
    assert model.num_forwards <= 1 + looks + len(read)
    assert not healing.wanted
    found = [pieces[token_id] for token_id in (*read, last)]
    assert "".join(found).startswith(wanted)
    return found


def check(likes: Likes, wanted: str, *, writes: list[str], fills_line: bool = False) -> None:
    assert written(likes, wanted, fills_line=fills_line) == writes


def test_a_longer_token_may_take_its_place() -> None:
    check({START: {"b": 0.8, "abc": 0.1, "a": 0.05}}, "a", writes=["abc"])


def test_the_same_token_may_be_written_again() -> None:
    check({START: {"ab": 0.8, "a": 0.1}, "a": {"b": 0.9}}, "ab", writes=["ab"])


def test_a_blank_may_move_into_the_next_token() -> None:
    likes = {START: {"   ": 0.6, "    ": 0.1}, "   ": {" x": 0.9}}
    check(likes, "    ", writes=["   ", " x"])


def test_a_shorter_token_that_leads_nowhere_is_not_taken() -> None:
    likes = {START: {"'\n": 0.8, "'\n\n": 0.1}, "'\n": {"x": 0.9, "\n\n": 0.01}}
    check(likes, "'\n\n", writes=["'\n\n"])


def test_three_tokens_may_be_likelier_than_one() -> None:
    likes = {START: {"a": 0.9, "abc": 0.1}, "a": {"b": 0.9, "bc": 0.05}, "b": {"cd": 0.9}}
    check(likes, "abc", writes=["a", "b", "cd"])


def test_looking_ends_and_the_best_beginning_so_far_is_taken() -> None:
    likes = {START: {"a": 0.9, "abc": 0.1}, "a": {"b": 0.9, "bc": 0.05}, "b": {"cd": 0.9}}
    assert written(likes, "abc", looks=1) == ["abc"]


def test_in_a_full_cache_nothing_is_looked_at() -> None:
    likes = {START: {"   ": 0.6, "    ": 0.1}, "   ": {" x": 0.9}}
    assert written(likes, "    ", capacity=1) == ["    "]


def test_without_anything_held_back_the_likeliest_is_written() -> None:
    check({START: {"b": 0.6, "a": 0.4}}, "", writes=["b"])


@pytest.mark.parametrize(
    ("wanted", "blank"),
    [
        (")\n", ")\n\n"),
        (")\r\n", ")\r\n\r\n"),
        ("\n    ", "\n    \n"),
        ("\n  ", "\n    \t\n\n  "),
        ("\n", "\n\nx"),
        ("    ", "      \r\n"),
    ],
)
def test_on_an_empty_line_no_more_line_ends_are_written(wanted: str, blank: str) -> None:
    likes = {START: {blank: 0.8, wanted: 0.1, "x": 0.05}}
    check(likes, wanted, writes=[blank])
    check(likes, wanted, writes=[wanted], fills_line=True)


def test_an_empty_line_may_be_indented_further() -> None:
    check({START: {"\n    ": 0.8, "\n": 0.1}}, "\n", writes=["\n    "], fills_line=True)


def test_of_two_tokens_neither_ends_an_empty_line() -> None:
    likes = {START: {"\n": 0.8, "\n  ": 0.1}, "\n": {"  \n": 0.8, "   ": 0.1}}
    check(likes, "\n  ", writes=["\n", "  \n"])
    check(likes, "\n  ", writes=["\n  "], fills_line=True)


def chosen(*steps: Mapping[str, float], fills_line: bool) -> str:
    """Return what is written where nothing is held back, of pieces that are so likely."""
    pieces = list({piece: None for likes in steps for piece in likes})
    vocabulary = Vocabulary({index: piece.encode() for index, piece in enumerate(pieces)})
    healing = Healing(vocabulary, b"", fills_line=fills_line)
    rows = [np.array([likes.get(piece, -1.0) for piece in pieces], np.float32) for likes in steps]
    untouched = [row.copy() for row in rows]
    text = "".join(pieces[healing.choose(row)] for row in rows)
    assert all(map(np.array_equal, rows, untouched))
    return text


def test_an_empty_line_goes_on_until_something_is_written() -> None:
    steps = ({"\n": 0.9, "  ": 0.1}, {" \n\n": 0.9, "x": 0.1}, {"\n": 0.9, "x": 0.1})
    assert chosen(*steps, fills_line=True) == "  x\n"
    assert chosen(*steps, fills_line=False) == "\n \n\n\n"


def test_a_cancelled_look_leaves_the_session_whole() -> None:
    pieces = [START, "   ", "    ", " x"]
    model = Pairs({START: {"   ": 0.6, "    ": 0.1}}, pieces)
    session = Session(model)
    logits, _ = session.prefill([0], CancelToken())
    cancel = CancelToken()
    cancel.set()
    vocabulary = Vocabulary({index: piece.encode() for index, piece in enumerate(pieces) if index})
    with pytest.raises(RequestCancelledError):
        Healing(vocabulary, b"    ").begin(session, logits, cancel)
    assert session.cache_length == len(session.token_ids)


shares = st.floats(0.01, 1)


@given(st.data())
def test_the_likeliest_of_all_spellings_is_found(data: st.DataObject) -> None:
    spellings = ["a", "b", "aa", "ab", "ba", "aab", "aba", "abb", "abab"]
    rows = st.fixed_dictionaries(dict.fromkeys(spellings, shares))
    likes = data.draw(st.fixed_dictionaries(dict.fromkeys([START, *spellings], rows)))
    wanted = data.draw(st.sampled_from(spellings))

    def likelihood(path: Sequence[str]) -> float:
        steps = itertools.pairwise([START, *path])
        chances = [
            likes[one][other] / (sum(likes[one].values()) + UNLIKELY) for one, other in steps
        ]
        return float(np.prod(chances))

    def paths(rest: str) -> Iterator[tuple[str, ...]]:
        for piece in spellings:
            if piece.startswith(rest):
                yield (piece,)
            elif rest.startswith(piece):
                yield from ((piece, *more) for more in paths(rest[len(piece) :]))

    best = max(map(likelihood, paths(wanted)))
    found = written(likes, wanted, looks=1000)
    assert likelihood(found) == pytest.approx(best, rel=1e-4)


pieces = st.lists(st.binary(min_size=1, max_size=4), unique=True, max_size=30)


@given(pieces, st.binary(min_size=1, max_size=4))
def test_exactly_the_tokens_that_fit_are_allowed(found: list[bytes], wanted: bytes) -> None:
    vocabulary = Vocabulary(dict(enumerate(found)))
    longer = {index for index, piece in enumerate(found) if piece.startswith(wanted)}
    fitting = {index for index, piece in enumerate(found) if wanted.startswith(piece)}
    assert set(vocabulary.beginning_with(wanted).tolist()) == longer
    assert set(vocabulary.beginnings_of(wanted)) == fitting - longer


@given(
    st.lists(st.text("ab \t\r\n", min_size=1, max_size=5), unique=True, max_size=40),
    st.text("a \n", max_size=3),
)
def test_exactly_the_tokens_that_leave_a_line_empty_end_it(found: list[str], wanted: str) -> None:
    vocabulary = Vocabulary({index: piece.encode() for index, piece in enumerate(found)})
    ending = {
        index
        for index, piece in enumerate(found)
        if piece.startswith(wanted)
        and re.match(r"[ \t]*[\r\n]", piece.removeprefix(wanted)) is not None
    }
    assert set(vocabulary.line_ends(wanted.encode()).tolist()) == ending


def test_all_tokens_that_spell_the_same_are_tried() -> None:
    vocabulary = Vocabulary({0: b"a", 1: b"ab", 2: b"a"})
    assert set(vocabulary.beginnings_of(b"ab")) == {0, 2}


@given(st.data())
def test_what_was_held_back_is_always_written_first(data: st.DataObject) -> None:
    letters = st.text("ab ", min_size=1, max_size=5)
    spellings = data.draw(st.lists(letters, unique=True, min_size=1, max_size=20))
    rows = st.fixed_dictionaries(dict.fromkeys(spellings, shares))
    likes = data.draw(st.fixed_dictionaries(dict.fromkeys([START, *spellings], rows)))
    written(likes, data.draw(st.sampled_from(spellings)))


def test_half_a_character_is_not_cut_off() -> None:
    vocabulary = Vocabulary(Tokenizer(byte_tokenizer().to_str().encode()).pieces)
    assert vocabulary.can_heal(ord("a"))
    assert not vocabulary.can_heal("é".encode()[1])
    assert not vocabulary.can_heal(256)  # a special token


def test_the_pieces_of_the_shipped_tokenizer_spell_its_texts() -> None:
    tokenizer = load_package(embedded_folder()).tokenizer
    pieces = tokenizer.pieces
    text = "def f(x):\n        return x  # naïve 🦑\n\n\tpass"
    assert b"".join(pieces[token_id] for token_id in tokenizer.encode(text)) == text.encode()
    assert pieces.keys().isdisjoint(tokenizer.control_token_ids)
