"""conventions: the spelling of each family is found, and its order is one it was trained on."""

import pytest

from export.errors import UnsupportedError
from export.package.fim_conventions import (
    CONVENTIONS,
    NAMES,
    NUM_TAIL_TOKENS,
    end_token_ids,
    fim_template,
    find_convention,
    rivalry_words,
    rivals_of,
)
from inference.fim import FimOrder, FimTemplate
from tests.support.tiny_checkpoints import SPECIAL_TOKENS

BAR = "\uff5c"
TOKENS = {token: index for index, token in enumerate(SPECIAL_TOKENS)}

# What the tokenizers of these models have, in the order of their prompts, with the order they want.
PROMPTS: dict[tuple[str, str], tuple[str, FimOrder, list[str]]] = {
    ("qwen", ""): ("qwen", "psm", ["<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"]),
    ("starcoder2", ""): ("starcoder", "psm", ["<fim_prefix>", "<fim_suffix>", "<fim_middle>"]),
    ("granitemoehybrid", ""): (
        "granite",
        "psm",
        ["<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"],
    ),
    ("llama", "ibm-granite/granite-3b-code-base"): (
        "granite-code",
        "psm",
        ["<fim_prefix>", "<fim_suffix>", "<fim_middle>"],
    ),
    ("llama", "JetBrains/Mellum-4b-base"): (
        "mellum",
        "suffix_prefix",
        ["<fim_suffix>", "<fim_prefix>", "<fim_middle>"],
    ),
    ("deepseek_v2", ""): (
        "deepseek",
        "psm",
        [f"<{BAR}fim▁{part}{BAR}>" for part in ("begin", "hole", "end")],
    ),
    ("llama", "codellama/CodeLlama-7b-hf"): ("codellama", "psm", ["▁<PRE>", "▁<SUF>", "▁<MID>"]),
    ("mistral", "mistralai/Codestral-22B-v0.1"): (
        "codestral",
        "suffix_prefix",
        ["[SUFFIX]", "[PREFIX]"],
    ),
    ("gpt2", "bigcode/santacoder"): (
        "santacoder",
        "psm",
        ["<fim-prefix>", "<fim-suffix>", "<fim-middle>"],
    ),
}


@pytest.mark.parametrize("hints", PROMPTS, ids=lambda hints: PROMPTS[hints][0])
def test_the_prompt_of(hints: tuple[str, str]) -> None:
    name, order, marks = PROMPTS[hints]
    tokens = {"<s>": 0} | {mark: index for index, mark in enumerate(marks, start=1)}
    convention = find_convention(tokens, hints=hints)
    assert convention is not None
    template = fim_template(convention, tokens, None)
    assert template is not None
    assert (convention.name, template.convention, template.order) == (name, name, order)
    prompt = template.arrange([], [])
    assert prompt == [tokens[mark] for mark in marks]


def test_every_convention_has_its_prompt_above() -> None:
    assert {name for name, _, _ in PROMPTS.values()} == set(NAMES)


def test_separators_pads_and_ends_are_kept() -> None:
    assert fim_template(find_convention(TOKENS), TOKENS, None) == FimTemplate(
        order="psm",
        prefix_token_id=1,
        suffix_token_id=3,
        middle_token_id=2,
        pad_token_id=4,
        repo_name_token_id=5,
        file_separator_token_id=6,
        convention="qwen",
    )
    assert end_token_ids(find_convention(TOKENS), TOKENS) == {0}


def test_a_separator_has_one_of_several_spellings() -> None:
    marks = ["<fim_prefix>", "<fim_suffix>", "<fim_middle>", "<filename>"]
    tokens = {mark: index for index, mark in enumerate(marks)}
    template = fim_template(find_convention(tokens), tokens, None)
    assert template is not None
    assert (template.file_separator_token_id, template.repo_name_token_id) == (3, None)


def test_the_order_is_the_callers() -> None:
    template = fim_template(find_convention(TOKENS), TOKENS, "spm")
    assert template is not None
    assert template.order == "spm"


def test_an_order_that_no_such_model_was_trained_on() -> None:
    with pytest.raises(UnsupportedError, match="qwen convention has no suffix_prefix order; use"):
        fim_template(find_convention(TOKENS), TOKENS, "suffix_prefix")


def test_a_model_without_holes() -> None:
    assert find_convention({"<|endoftext|>": 0, "<|fim_prefix|>": 1}) is None
    assert fim_template(None, {}, None) is None
    assert end_token_ids(None, TOKENS) == set()


def test_an_order_for_a_model_without_holes() -> None:
    with pytest.raises(UnsupportedError, match=r"no fill-in-the-middle tokens .* spm order"):
        fim_template(None, {}, "spm")


def test_the_caller_may_say_that_there_are_no_holes() -> None:
    assert find_convention(TOKENS, "none") is None


def test_the_caller_may_choose_a_convention_of_the_same_spelling() -> None:
    tokens = {"<fim_prefix>": 1, "<fim_suffix>": 2, "<fim_middle>": 3}
    chosen = find_convention(tokens, "mellum")
    assert chosen is not None
    assert chosen.name == "mellum"


@pytest.mark.parametrize(
    ("chosen", "rivals"),
    [
        ("starcoder", ["mellum"]),
        ("granite-code", ["mellum"]),
        ("mellum", ["starcoder"]),
        ("qwen", []),
        ("granite", []),
        ("deepseek", []),
        ("codestral", []),
    ],
)
def test_rivals_spell_holes_alike_and_show_them_otherwise(chosen: str, rivals: list[str]) -> None:
    spelled = {
        mark
        for found in CONVENTIONS
        for mark in (found.prefix, found.suffix, found.middle)
        if mark is not None
    }
    tokens = {mark: index for index, mark in enumerate(sorted(spelled))}
    convention = find_convention(tokens, chosen)
    found = rivals_of(convention, tokens)
    assert [rival.name for rival in found] == rivals
    assert convention is not None
    if found:
        assert f"taken for {chosen}'s unless" in rivalry_words(convention, found)


def test_an_order_points_at_the_convention_that_has_it() -> None:
    tokens = {"<fim_prefix>": 1, "<fim_suffix>": 2, "<fim_middle>": 3}
    for order, name in (("suffix_prefix", "mellum"), ("spm", "starcoder")):
        chosen = find_convention(tokens, layout=order)
        assert chosen is not None
        assert chosen.name == name


def test_a_convention_whose_tokens_are_missing() -> None:
    with pytest.raises(UnsupportedError, match="has not the tokens of the deepseek convention"):
        find_convention(TOKENS, "deepseek")


def test_a_hint_alone_is_not_enough() -> None:
    assert find_convention({"<s>": 0}, hints=["mellum"]) is None


def test_names_are_unique() -> None:
    assert len(set(NAMES)) == len(CONVENTIONS)


def test_a_tail_is_asked_for_as_an_order_is() -> None:
    template = fim_template(find_convention(TOKENS, layout="tail"), TOKENS, "tail")
    assert template is not None
    assert (template.order, template.num_tail_tokens) == ("psm", NUM_TAIL_TOKENS)


def test_a_tail_for_models_that_see_the_suffix_first() -> None:
    tokens = {"[PREFIX]": 1, "[SUFFIX]": 2}
    with pytest.raises(UnsupportedError, match="codestral convention has no tail; use --fim-order"):
        fim_template(find_convention(tokens), tokens, "tail")
