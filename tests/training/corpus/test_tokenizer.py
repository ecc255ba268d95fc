"""The vocabulary: Qwen2's way of cutting, nothing lost, special tokens where FIM expects them."""

import pytest
import tokenizers
from hypothesis import given
from hypothesis import strategies as st

from training.corpus.tokenizer import SPECIAL_TOKENS, bytes_per_token, fim_template, train_tokenizer
from training.errors import TrainingError

TEXTS = [
    f"def area_{n}(width, height):\n    '''In m²'''\n    return width * height + {n}\n"
    for n in range(200)
]
TOKENIZER: tokenizers.Tokenizer = train_tokenizer(TEXTS, 290)


def check(text: str, pieces: list[str]) -> None:
    cut = TOKENIZER.pre_tokenizer.pre_tokenize_str(text)
    assert [text[start:end] for _, (start, end) in cut] == pieces


def test_digits_stand_alone() -> None:
    check("x = 2048", ["x", " =", " ", "2", "0", "4", "8"])


def test_indentation_is_one_run_but_for_the_blank_of_the_word() -> None:
    check("\n        return", ["\n", "       ", " return"])


def test_marks_take_the_line_end_with_them() -> None:
    check("call()\n", ["call", "()\n"])


@given(st.text())
def test_any_text_comes_back(text: str) -> None:
    assert TOKENIZER.decode(TOKENIZER.encode(text).ids, skip_special_tokens=False) == text


def test_special_tokens_come_first_in_their_order() -> None:
    assert [TOKENIZER.token_to_id(token) for token in SPECIAL_TOKENS] == list(range(7))


def test_the_template_uses_their_ids() -> None:
    template = fim_template("psm")
    spelled = [SPECIAL_TOKENS[token_id] for token_id in template.arrange([], [])]
    assert spelled == ["<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"]


def test_merges_save_tokens() -> None:
    assert bytes_per_token(TOKENIZER, TEXTS) > 1.5


def test_too_little_text_for_a_vocabulary_is_refused() -> None:
    with pytest.raises(TrainingError, match="add more text"):
        train_tokenizer(["a b"], 10_000)
