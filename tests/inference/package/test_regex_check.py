"""regex_check: the patterns of real tokenizers are taken, those that may never end are not."""

import pytest

from inference.package.regex_check import why_unsafe

LETTERS_IN_CASES = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
)

# As the tokenizer.json files of these models have them.
REAL = {
    "GPT-2": r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
    "Qwen2": r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}|"
    r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    "Llama 3": r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|"
    r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    "gpt-oss": LETTERS_IN_CASES + r"\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    "possessive": r"[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s+$",
    "DeepSeek numbers": r"\p{N}{1,3}",
    "DeepSeek scripts": "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+",
    "DeepSeek words": r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|"
    r"[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    "lines": r"[\r\n]",
    "digits": r"\d{3}",
    "nothing": "",
}

ENDLESS = {
    r"(a+)+$": "a group repeats",
    r"(?:a|a)*b": "a group repeats",
    r"(a){5}": "a group repeats",
    r"((a))*": "a group repeats",
    r"a{2,3}{4,5}": "a repetition repeats",
    r"a{1,3}+": "a repetition repeats",
    r"a+*": "repeats what repeats",
    r"*a": "repeats what repeats",
    r"\s*\s*\s*\s*x": "too many pieces",
    r"(?=\s*\s*)\s*\s*x": "too many pieces",
    "a?" * 20 + "a" * 20: "too many pieces",
    r"a{0,99999}" * 4: "too many pieces",
    r"(a*)\1": "a reference",
    r"\k<name>": "is not implemented",
    r"(?<name>a)\g<name>": "group is not implemented",
    r"(?(1)a|b)": "group is not implemented",
    r"(?~a)": "group is not implemented",
    r"(a": "a group is not closed",
    r"a)": "closed that was not opened",
    r"[a": "a class is not closed",
    "a" * 5000: "more than 4096 characters",
    "\\": "a reference",
    r"\p{": "is not implemented",
}


@pytest.mark.parametrize("name", REAL)
def test_the_pattern_of_a_real_tokenizer(name: str) -> None:
    assert why_unsafe(REAL[name]) == ""


@pytest.mark.parametrize("pattern", ENDLESS)
def test_a_pattern_that_may_not_end(pattern: str) -> None:
    assert ENDLESS[pattern] in why_unsafe(pattern)


def test_each_alternative_is_counted_for_itself() -> None:
    assert why_unsafe(r"\s*\s*\s*x|\s*\s*\s*y") == ""


def test_the_alternatives_of_a_group_are_counted_together() -> None:
    assert why_unsafe(r"(?:\s*\s*|\s*\s*)x") != ""
