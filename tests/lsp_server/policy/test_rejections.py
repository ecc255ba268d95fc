"""What was rejected is not shown again, for a while."""

from hypothesis import given
from hypothesis import strategies as st

from lsp_server.policy.rejections import HALF_LIFE_SECONDS, MAX_REMEMBERED, Rejections

WORDS = st.text("abc ()", min_size=1, max_size=12).filter(str.strip)


@given(WORDS, st.integers(0, 11))
def test_it_is_the_same_wherever_the_cursor_is_in_its_line(line: str, cursor: int) -> None:
    rejections = Rejections()
    rejections.add("", line, 0)
    assert rejections.holds(line[:cursor], line[cursor:], 1)
    assert not rejections.holds(line[:cursor] + "x", line[cursor:], 1)


def test_it_fades_and_what_was_rejected_often_lasts() -> None:
    rejections = Rejections()
    rejections.add("x = ", "1", 0)
    for _ in range(4):
        rejections.add("y = ", "1", 0)
    later = 1.5 * HALF_LIFE_SECONDS
    assert not rejections.holds("x = ", "1", later)
    assert rejections.holds("y = ", "1", later)


def test_what_is_accepted_after_all_is_forgotten() -> None:
    rejections = Rejections()
    rejections.add("x = ", "1", 0)
    rejections.forget("x ", "= 1")
    assert not rejections.holds("x = ", "1", 0)


def test_only_so_many_are_remembered() -> None:
    rejections = Rejections()
    for number in range(MAX_REMEMBERED + 1):
        rejections.add("x = ", str(number), 0)
    assert not rejections.holds("x = ", "0", 0)
    assert rejections.holds("x = ", "1", 0)
