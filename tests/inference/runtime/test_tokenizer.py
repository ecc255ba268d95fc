"""Text survives the way to tokens and back, and control tokens are never read out of text."""

from pathlib import Path

import pytest
import tokenizers
from hypothesis import example, given
from hypothesis import strategies as st

from inference.errors import InvalidModelError
from inference.runtime.tokenizer import MAX_TOKENIZER_BYTES, Tokenizer
from tests.support.byte_tokenizer import SPECIAL_TOKENS, byte_tokenizer
from tests.support.piece_tokenizers import BLANK, KINDS, LEADING, added, content, merged_pieces

BYTES = Tokenizer(byte_tokenizer().to_str().encode())
ALL = {"a byte a token": BYTES} | {kind: Tokenizer(content(KINDS[kind])) for kind in KINDS}

texts = st.one_of(
    st.text(st.characters(exclude_characters=BLANK, exclude_categories=["Cs"]), max_size=30),
    st.text("return value, (x)\n\t<s>/0A é🦑\ufffd", max_size=30),
)
"""Pieces write a blank as U+2581, so that character is read as a blank."""


def check(kind: str, text: str) -> None:
    """A text in the middle of a document is the same behind it, and so is each of its pieces."""
    tokenizer = ALL[kind]
    token_ids = tokenizer.encode(text)
    assert tokenizer.decode(token_ids) == text
    decode = tokenizer.stream()
    written = [decode(token_id) for token_id in token_ids]
    assert "".join(written) == text
    assert b"".join(tokenizer.pieces[token_id] for token_id in token_ids) == text.encode()
    assert tokenizer.control_token_ids.isdisjoint(token_ids)


@pytest.mark.parametrize("kind", ALL)
@given(text=texts)
@example(text=" value, y")
@example(text=")")
@example(text="  a")
@example(text="\n    return 🦑")
@example(text="<s><unk></s><0x0A>x</s")
def test_a_text_survives(kind: str, text: str) -> None:
    check(kind, text)


@pytest.mark.parametrize("kind", KINDS)
@given(text=texts.filter(bool))
@example(text=" a")
def test_a_document_begins_as_its_tokenizer_says(kind: str, text: str) -> None:
    whole = tokenizers.Tokenizer.from_buffer(content(KINDS[kind]))
    whole.encode_special_tokens = True
    if "<s>" in text or "</s>" in text or "<0x" in text:
        return
    expected = whole.encode(text, add_special_tokens=False).ids
    assert ALL[kind].encode(text, is_beginning=True) == expected


@pytest.mark.parametrize("kind", KINDS)
def test_only_a_beginning_gets_a_blank(kind: str) -> None:
    tokenizer = ALL[kind]
    blank = " " if LEADING[kind] else ""
    assert tokenizer.decode(tokenizer.encode("value", is_beginning=True)) == blank + "value"
    assert tokenizer.decode(tokenizer.encode("", is_beginning=True)) == blank
    assert tokenizer.encode("") == []


@pytest.mark.parametrize("kind", KINDS)
@given(st.data())
def test_any_tokens_are_decoded_as_a_whole_is(kind: str, data: st.DataObject) -> None:
    tokenizer = ALL[kind]
    ids = st.integers(0, tokenizer.vocab_size - 1)
    token_ids = data.draw(st.lists(ids, max_size=20))
    decode = tokenizer.stream()
    written = "".join([decode(token_id) for token_id in token_ids])
    whole = tokenizer.decode(token_ids)
    # Up to three bytes of a character at the end wait for the others. They are one replacement
    # character, or, among pieces, where a byte is a token only if it must, one each.
    most = 1 if "byte" in kind else 3
    assert whole.startswith(written)
    assert whole[len(written) :] in {"\ufffd" * number for number in range(most + 1)}


@pytest.mark.parametrize("spelling", SPECIAL_TOKENS)
def test_a_special_token_in_a_text_is_text(spelling: str) -> None:
    assert BYTES.encode(spelling) == list(spelling.encode())


def test_it_knows_its_control_tokens() -> None:
    assert BYTES.control_token_ids == frozenset(SPECIAL_TOKENS.values())
    assert BYTES.vocab_size == 256 + len(SPECIAL_TOKENS)


def with_added(kind: str, spelling: str, **flags: bool) -> tuple[Tokenizer, int]:
    """Return a tokenizer of a kind with one token more, and its id."""
    token_id = len(KINDS[kind]["model"]["vocab"])
    return Tokenizer(content(KINDS[kind], added(spelling, token_id, **flags))), token_id


@pytest.mark.parametrize("kind", ["bytes", "prepended", "metaspace always"])
@pytest.mark.parametrize("spelling", ["<tool_call>", "<|fim_suffix|>", BLANK + "<PRE>"])
@pytest.mark.parametrize("normalized", [False, True])
def test_a_control_token_that_is_not_flagged(kind: str, spelling: str, normalized: bool) -> None:
    tokenizer, token_id = with_added(kind, spelling, normalized=normalized)
    assert token_id in tokenizer.control_token_ids
    assert token_id not in tokenizer.pieces
    assert tokenizer.decode([token_id]) == ""
    text = f'm = "{spelling.replace(BLANK, " ")}"'
    assert token_id not in tokenizer.encode(text)
    assert tokenizer.decode(tokenizer.encode(text)) == text


@pytest.mark.parametrize("kind", ["bytes", "prepended", "metaspace always"])
@pytest.mark.parametrize("spelling", ["      ", "\n\n", "\t\t\t", "<table>", "#pragma"])
@pytest.mark.parametrize("flags", [{}, {"rstrip": True}, {"lstrip": True}, {"normalized": True}])
def test_an_added_token_that_is_text(kind: str, spelling: str, flags: dict[str, bool]) -> None:
    tokenizer, token_id = with_added(kind, spelling, **flags)
    assert token_id not in tokenizer.control_token_ids
    text = f"x{spelling}\n return"
    assert spelling.isspace() or token_id in tokenizer.encode(text)
    assert tokenizer.decode(tokenizer.encode(text)) == text
    assert tokenizer.pieces[token_id] == spelling.encode()


def test_a_letter_of_the_byte_alphabet_may_be_a_text_of_its_own() -> None:
    """As where a vocabulary lacks the bytes that no text has, and their letters were added."""
    kind, model = KINDS["bytes"], KINDS["bytes"]["model"]
    vocab = {"unused" if token == "õ" else token: index for token, index in model["vocab"].items()}
    file = content(kind | {"model": model | {"vocab": vocab}}, added("õ", len(vocab)))
    tokenizer = Tokenizer(file)
    assert tokenizer.encode("õ") == [len(vocab)]
    assert tokenizer.decode([len(vocab)]) == "õ"


def test_a_run_of_blanks_is_read_as_one_token() -> None:
    tokenizer, token_id = with_added("bytes", " " * 24)
    assert tokenizer.encode("x" + " " * 24 + "y")[1:-1] == [token_id]


def test_what_the_package_names_is_a_control_token_in_any_spelling() -> None:
    kind, token_id = "bytes", len(KINDS["bytes"]["model"]["vocab"])
    file = content(KINDS[kind], added("end of hole", token_id))
    assert Tokenizer(file).encode("end of hole") == [token_id]
    named = Tokenizer(file, named=frozenset({token_id}))
    assert named.control_token_ids == {token_id}
    assert named.decode(named.encode("end of hole")) == "end of hole"
    assert token_id not in named.encode("end of hole")


def test_where_a_token_depends_on_others_the_library_decodes() -> None:
    strip = {"type": "Strip", "content": " ", "start": 1, "stop": 0}
    tokenizer = Tokenizer(content(merged_pieces(decoder=strip)))
    assert tokenizer.pieces == {}
    token_ids = tokenizer.encode("value")
    assert tokenizer.decode(token_ids) == "value"
    decode = tokenizer.stream()
    assert "".join(decode(token_id) for token_id in token_ids) == "value"


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
