"""Holes cut and lay out a document; nothing of it is lost or written twice."""

import random

from hypothesis import given
from hypothesis import strategies as st

from inference.fim import FimTemplate
from training.corpus.documents import Document
from training.corpus.holes import Mixture, arrange, characters, cut_out, line_tail, whole_lines
from training.corpus.tokenizer import END_OF_TEXT, SPECIAL_TOKENS, fim_template

FIRST_BYTE = len(SPECIAL_TOKENS)
TEXT = (
    "def area(width, height):\n    # both in metres\n"
    "    return width * height\n\n\nprint(area(2, 3))\n"
)
BODY = (TEXT.index("return"), TEXT.index("return") + len("return width * height"))


def encode(text: str) -> list[int]:
    return [FIRST_BYTE + byte for byte in text.encode()]


def decode(token_ids: list[int]) -> str:
    return bytes(token_id - FIRST_BYTE for token_id in token_ids).decode()


def document(text: str = TEXT, path: str = "area.py") -> Document:
    return Document(package="shapes", path=path, language="python", text=text, holes=(BODY,))


def check(mixture: Mixture, *, seed: int = 0, others: tuple[Document, ...] = ()) -> list[int]:
    """Arrange the document whole."""
    return arrange(
        document(), others, mixture, encode, max_characters=10_000, chance=random.Random(seed)
    )


def parts(token_ids: list[int], template: FimTemplate) -> tuple[str, str, str]:
    """Read the layout back: prefix and middle joined where the order joins them."""
    first = token_ids.index(template.prefix_token_id)
    middle = token_ids.index(template.middle_token_id)
    suffix = token_ids.index(template.suffix_token_id)
    last = token_ids.index(END_OF_TEXT)
    if suffix == first + 1:
        return decode(token_ids[suffix + 1 : middle]), "", decode(token_ids[middle + 1 : last])
    prefix = decode(token_ids[first + 1 : suffix])
    return decode(token_ids[suffix + 1 : middle]), prefix, decode(token_ids[middle + 1 : last])


@given(seed=st.integers(0, 2**32), order=st.sampled_from(["spm", "psm"]))
def test_a_hole_loses_nothing_of_the_document(seed: int, order: str) -> None:
    mixture = Mixture(fim=1, spm=float(order == "spm"), no_suffix=0, short_suffix=0, other_files=0)
    suffix, prefix, rest = parts(check(mixture, seed=seed), fim_template("spm"))
    assert prefix + rest + suffix == TEXT


def test_suffix_comes_first_in_suffix_prefix_middle_order() -> None:
    token_ids = check(Mixture(fim=1, spm=1, other_files=0))
    template = fim_template("spm")
    assert token_ids[:2] == [template.prefix_token_id, template.suffix_token_id]


def test_the_layout_is_that_of_serving() -> None:
    token_ids = check(Mixture(fim=1, spm=0, syntax=1, no_suffix=0, short_suffix=0, other_files=0))
    served = fim_template("psm").arrange(encode(TEXT[: BODY[0]]), encode(TEXT[BODY[1] :]))
    assert token_ids == [*served, *encode(TEXT[slice(*BODY)]), END_OF_TEXT]


def test_without_a_hole_the_text_stands_as_it_is() -> None:
    assert check(Mixture(fim=0, other_files=0)) == [*encode(TEXT), END_OF_TEXT]


def test_other_files_stand_in_front_with_their_paths() -> None:
    others = (document("from area import area\n", "user.py"),)
    token_ids = check(Mixture(fim=0, other_files=1), others=others)
    names = [token_id for token_id in token_ids if token_id < FIRST_BYTE]
    separator = SPECIAL_TOKENS.index("<|file_sep|>")
    assert names == [SPECIAL_TOKENS.index("<|repo_name|>"), separator, separator, END_OF_TEXT]
    assert "user.py\nfrom area" in decode([t for t in token_ids if t >= FIRST_BYTE])


@given(seed=st.integers(0, 2**32))
def test_a_long_document_is_shown_in_part(seed: int) -> None:
    lines = "".join(f"value_{number} = {number}\n" for number in range(300))
    token_ids = arrange(
        document(lines),
        (),
        Mixture(fim=0, other_files=0),
        encode,
        max_characters=600,
        chance=random.Random(seed),
    )
    shown = decode(token_ids[:-1])
    assert shown in lines
    assert 100 < len(shown) <= 600


@given(seed=st.integers(0, 2**32))
def test_no_suffix_is_no_suffix(seed: int) -> None:
    cut = cut_out(TEXT, [BODY], Mixture(no_suffix=1, short_suffix=0), random.Random(seed))
    assert cut.suffix == ""
    assert TEXT.startswith(cut.prefix + cut.middle)


@given(text=st.text(min_size=32), seed=st.integers(0, 2**32))
def test_spans_lie_within_the_text(text: str, seed: int) -> None:
    for span in (line_tail, whole_lines, characters):
        start, end = span(text, random.Random(seed))
        assert 0 <= start <= end <= len(text)


@given(seed=st.integers(0, 2**32))
def test_a_line_tail_ends_its_line(seed: int) -> None:
    start, end = line_tail(TEXT, random.Random(seed))
    assert "\n" not in TEXT[start:end]
    assert TEXT[end] == "\n"
