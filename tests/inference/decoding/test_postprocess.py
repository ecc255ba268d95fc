"""What is shown of a text, case by case (postprocess/*.toml), and what holds for every text."""

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.decoding.line_ends import with_line_feeds
from inference.decoding.postprocess import Surroundings, clean, shown_again

GOLDEN = Path(__file__).parent / "postprocess"
CASES = [
    pytest.param(case, id=f"{path.stem}: {case['why']}")
    for path in sorted(GOLDEN.glob("*.toml"))
    for case in tomllib.loads(path.read_text("utf-8"))["case"]
]

texts = st.text(alphabet="ab(){}[]\"',: \t\n", max_size=40)


def check(source: str, *, writes: str, shows: str) -> None:
    prefix, suffix = source.split("<|>")
    assert clean(writes, Surroundings.of(prefix, suffix)) == shows


@pytest.mark.parametrize("case", CASES)
def test_a_text_is_shown_as_it_fits(case: dict[str, str]) -> None:
    check(case["source"], writes=case["writes"], shows=case["shows"])


@given(texts, texts, texts)
def test_nothing_is_shown_that_was_not_written(prefix: str, suffix: str, text: str) -> None:
    """But for blanks, which a file spells its own way."""
    shown = clean(text, Surroundings.of(prefix, suffix))
    assert "".join(text.split()).startswith("".join(shown.split()))


@given(texts, texts, texts)
def test_a_remainder_is_shown_as_it_was(prefix: str, suffix: str, text: str) -> None:
    """With nothing behind the cursor, what is left of an answer is its end."""
    shown = clean(text, Surroundings.of(prefix, ""))
    for length in range(len(shown)):
        left = shown_again(shown[length:], Surroundings.of(prefix + shown[:length], ""))
        assert shown == (shown[:length] + left).rstrip()


@given(texts, texts, texts)
def test_line_ends_change_nothing_else(prefix: str, suffix: str, text: str) -> None:
    feeds = clean(text, Surroundings.of(prefix, suffix))
    pairs = clean(text, Surroundings.of(*(part.replace("\n", "\r\n") for part in (prefix, suffix))))
    assert with_line_feeds(pairs) == feeds
    assert "\n" not in pairs.replace("\r\n", "") or "\n" not in prefix + suffix
