"""token_text: how a decoder spells a token, and what stands in front of a document."""

from typing import Any

import pytest

from inference.package.token_text import Lead, spelling_of, without_lead
from tests.support.piece_tokenizers import (
    BLANK,
    KEEPING,
    METASPACE,
    STRIP,
    STRIPPING,
    replace,
    sequence,
)

Json = dict[str, Any]
BYTE_LEVEL: Json = {"type": "ByteLevel", "add_prefix_space": False}
FALLBACK: Json = {"type": "ByteFallback"}
FUSE: Json = {"type": "Fuse"}


def check(decoder: Json | None, token: str, *, spells: bytes | None) -> None:
    spelling = spelling_of(decoder)
    assert (spelling and spelling(token)) == spells


@pytest.mark.parametrize(
    ("decoder", "token", "spells"),
    [
        (BYTE_LEVEL, "Ġvalue", b" value"),
        (BYTE_LEVEL, "Ã", b"\xc3"),
        (BYTE_LEVEL, "a b", b"a b"),
        (STRIPPING, BLANK + "value", b" value"),
        (STRIPPING, "<0xC3>", b"\xc3"),
        (KEEPING, BLANK * 2, b"  "),
        (METASPACE, BLANK + "x", b" x"),
        (METASPACE, "<0x0A>", b"<0x0A>"),
        (sequence("decoders", FALLBACK, FUSE, METASPACE), "<0x0A>", b"\n"),
        (sequence("decoders", FUSE, replace(BLANK, " ")), BLANK, b" "),
        (sequence("decoders", sequence("decoders", BYTE_LEVEL)), "Ċ", b"\n"),
    ],
)
def test_a_token_spells_the_same_wherever_it_stands(
    decoder: Json, token: str, spells: bytes
) -> None:
    check(decoder, token, spells=spells)


@pytest.mark.parametrize(
    "decoder",
    [
        None,
        STRIP,
        sequence("decoders", STRIP, FUSE),
        sequence("decoders", FUSE, STRIP | {"stop": 1}),
        sequence("decoders", FUSE, replace("ab", "c")),
        {"type": "Replace", "pattern": {"Regex": "a+"}, "content": "b"},
        {"type": "Replace", "pattern": {"String": ""}, "content": "b"},
    ],
    ids=str,
)
def test_a_token_that_depends_on_what_stands_around_it(decoder: Json | None) -> None:
    check(decoder, "a", spells=None)


PREPEND: Json = {"type": "Prepend", "prepend": BLANK}
BLANKS = replace(" ", BLANK)
NEVER: Json = METASPACE | {"prepend_scheme": "never"}
FIRST: Json = METASPACE | {"prepend_scheme": "first"}
ALWAYS: Json = METASPACE | {"prepend_scheme": "always"}
WORDS: Json = {"type": "WhitespaceSplit"}
UNLESS_BLANK = Lead(BLANK, unless=(" ", BLANK))


@pytest.mark.parametrize(
    ("part", "kept", "leads"),
    [
        (None, None, []),
        (PREPEND, None, [Lead(BLANK)]),
        (
            sequence("normalizers", PREPEND, BLANKS),
            sequence("normalizers", BLANKS),
            [Lead(BLANK)],
        ),
        (FIRST, NEVER, [UNLESS_BLANK]),
        (ALWAYS, NEVER, [UNLESS_BLANK]),
        (METASPACE | {"add_prefix_space": True}, NEVER, [UNLESS_BLANK]),
        (METASPACE | {"add_prefix_space": False}, NEVER, []),
        (METASPACE, NEVER, [UNLESS_BLANK]),
        (NEVER, NEVER, []),
        (BYTE_LEVEL, BYTE_LEVEL, []),
        (BYTE_LEVEL | {"add_prefix_space": True}, BYTE_LEVEL, [Lead(" ", unless=(" ",))]),
        (
            sequence("pretokenizers", WORDS, FIRST),
            sequence("pretokenizers", WORDS, NEVER),
            [UNLESS_BLANK],
        ),
        (
            sequence("pretokenizers", WORDS, ALWAYS),
            sequence("pretokenizers", WORDS, ALWAYS),
            [],
        ),
    ],
    ids=str,
)
def test_what_stands_in_front_is_taken_out_and_told(
    part: Json | None, kept: Json | None, leads: list[Lead]
) -> None:
    assert without_lead(part) == (kept, leads)


def test_a_lead_stands_before_what_does_not_begin_with_it() -> None:
    assert UNLESS_BLANK.before("a") == BLANK + "a"
    assert UNLESS_BLANK.before(" a") == " a"
    assert Lead(BLANK).before(" a") == BLANK + " a"
    assert Lead(BLANK).before("") == BLANK
