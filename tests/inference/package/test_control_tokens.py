"""control_tokens: added tokens as published tokenizers have them; what steers and what is text."""

import pytest

from inference.package.control_tokens import is_control

NOT_FLAGGED = [
    "<tool_call>",
    "</tool_call>",
    "<|fim_prefix|>",
    "<|fim_middle|>",
    "<|fim_suffix|>",
    "<|fim_pad|>",
    "<|repo_name|>",
    "<|file_sep|>",
    "<tool_response>",
    "</tool_response>",
    "<think>",
    "</think>",
    "</s>",
    "<s>",
    "<mask>",
    "<2mass>",
    "<unused0>",
    "<start_of_turn>",
    "<\uff5cfim▁hole\uff5c>",
    "<\uff5cfim▁begin\uff5c>",
    "<\uff5cfim▁end\uff5c>",
    "<|User|>",
    "<|Assistant|>",
    "<fim_prefix>",
    "<fim-suffix>",
    "<filename>",
    "<seed:tool_call>",
    "<[begin▁of▁sentence]>",
    "<mask:0>",
    "▁<PRE>",
    "▁<SUF>",
    "▁<MID>",
    "▁<EOT>",
    "[PREFIX]",
    "[SUFFIX]",
    "[INST]",
    "[/INST]",
    "[TOOL_CALLS]",
    "|||IP_ADDRESS|||",
    "|||EMAIL_ADDRESS|||",
]
FLAGGED = [
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|object_ref_start|>",
    "<|vision_pad|>",
    "<unk>",
    "<pad>",
    "<\uff5cbegin▁of▁sentence\uff5c>",
    "[control_8]",
    "[gMASK]",
    "sop",
    "]~b]",
]
TEXT = [
    *(blank * length for blank in " \t\n▁" for length in (2, 3, 16, 31)),
    *("\r\n", " \n", "õ", "÷", "Á", "ÿ", "0", "9", "→", "def", "/nothink"),
    *("<=", "->", "<>", "</", "/>", "<=>", "<->", "<!--", "-->", "||", "<|", "|>", "[]", "[0]"),
    *("[i]", "[x]", "[index]", "<0x0A>", "<0xC3>", "<table>", "</table>", "<h1>", "<br/>", "<b>"),
    *("#include <vector>", "a < b > c", "<a href>"),
]


@pytest.mark.parametrize("content", NOT_FLAGGED)
def test_a_control_token_is_known_by_its_spelling(content: str) -> None:
    assert is_control(content, is_flagged=False)


@pytest.mark.parametrize("content", FLAGGED)
def test_a_flag_is_believed(content: str) -> None:
    assert is_control(content, is_flagged=True)


@pytest.mark.parametrize("content", TEXT)
def test_text_that_has_a_token_of_its_own_stays_text(content: str) -> None:
    assert not is_control(content, is_flagged=False)


@pytest.mark.parametrize("content", ["\n", "\n\n", "    ", "\t", "\r\n"])
def test_white_space_is_text_whatever_its_flag_says(content: str) -> None:
    assert not is_control(content, is_flagged=True)


def test_tags_are_text_in_lower_case_only() -> None:
    assert not is_control("<pre>", is_flagged=False)
    assert is_control("<PRE>", is_flagged=False)
