"""Near copies are found, different texts are not, and problems of the benchmark are recognised."""

import random

import numpy as np
import pytest

from training.corpus.decontaminate import NUM_WORDS, is_contaminated, load_problems
from training.corpus.deduplicate import WORDS, NearDuplicates, shingles, signature_of

VOCABULARY = [f"name_{number}" for number in range(500)]


def lines(count: int, seed: int) -> list[str]:
    source = random.Random(seed)
    return [" ".join(source.choices(VOCABULARY, k=8)) for _ in range(count)]


def check(first: str, second: str, *, is_copy: bool) -> None:
    known = NearDuplicates()
    assert known.add(signature_of(first), 1) is None
    assert known.add(signature_of(second), 2) == (1 if is_copy else None)


def test_the_same_text_is_a_copy() -> None:
    check("\n".join(lines(50, 1)), "\n".join(lines(50, 1)), is_copy=True)


def test_other_white_space_is_a_copy() -> None:
    check("\n".join(lines(50, 1)), "\n\n\t".join(lines(50, 1)), is_copy=True)


def test_one_changed_line_of_fifty_is_a_copy() -> None:
    text = lines(50, 1)
    check("\n".join(text), "\n".join([*text[:-1], "another line"]), is_copy=True)


def test_half_the_lines_in_common_is_no_copy() -> None:
    text, other = lines(50, 1), lines(50, 2)
    check("\n".join(text), "\n".join(text[:25] + other[:25]), is_copy=False)


def test_different_texts_are_no_copies() -> None:
    check("\n".join(lines(50, 1)), "\n".join(lines(50, 2)), is_copy=False)


@pytest.mark.parametrize("text", ["", "one", "one two three four"])
def test_texts_shorter_than_a_shingle_have_a_signature(text: str) -> None:
    check(text, text, is_copy=True)


def test_the_signature_estimates_the_similarity() -> None:
    text, other = lines(400, 1), lines(400, 2)
    first, second = "\n".join(text), "\n".join(text[:200] + other[:200])
    common = np.intersect1d(shingles(first, 5), shingles(second, 5)).size
    similarity = common / np.union1d(shingles(first, 5), shingles(second, 5)).size
    estimate = (signature_of(first) == signature_of(second)).mean()
    assert abs(estimate - similarity) < 0.15


def test_numbers_and_marks_are_no_words_of_a_problem() -> None:
    assert len(shingles("a = [1, 2, 3]; b == 4", 1, WORDS)) == 2


def problem() -> str:
    """The first lines of HumanEval/0, MIT licence."""
    return (
        "def has_close_elements(numbers: List[float], threshold: float) -> bool:\n"
        '    """ Check if in given list of numbers, are any two numbers closer to each other than\n'
        '    given threshold."""\n'
    )


def test_a_problem_inside_a_file_is_found() -> None:
    assert is_contaminated("\n".join(lines(20, 3)) + problem() + "    ...\n", load_problems())


def test_code_about_the_like_is_not_one() -> None:
    text = "def any_close(values, limit):\n    return any(a - b < limit for a in values)\n"
    assert not is_contaminated(text * 3, load_problems())


def test_the_list_of_problems_is_sorted() -> None:
    problems = load_problems()
    assert (np.diff(problems) > 0).all()
    assert NUM_WORDS == 10
    assert len(problems) > 10_000
