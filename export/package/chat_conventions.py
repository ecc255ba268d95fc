"""The ways in which families of models lay out a conversation: data, and how one is recognized.

A checkpoint's own template is a program, which nothing here runs: it is looked at for the marks
that tell which of these ways it takes. To add one is to add an entry. The first whose marks are all
there is meant.
"""

import re
from collections.abc import Mapping
from typing import Final

import msgspec

from inference.chat import ChatTemplate, Piece, Turn

WORDS: Final = "{}"


class ChatConvention(msgspec.Struct, frozen=True, kw_only=True):
    """Each speaker's turn, with WORDS where the words stand; `marks` occur in templates of it."""

    name: str
    marks: tuple[str, ...]
    system: str | None
    user: str
    assistant: str


CHAT_CONVENTIONS: Final = (
    # OpenAI's chatml.md; Qwen, Mellum and many more.
    ChatConvention(
        name="chatml",
        marks=("<|im_start|>", "<|im_end|>"),
        system="<|im_start|>system\n{}<|im_end|>\n",
        user="<|im_start|>user\n{}<|im_end|>\n",
        assistant="<|im_start|>assistant\n{}<|im_end|>\n",
    ),
    # Llama 3's model card.
    ChatConvention(
        name="llama3",
        marks=("<|start_header_id|>", "<|eot_id|>"),
        system="<|start_header_id|>system<|end_header_id|>\n\n{}<|eot_id|>",
        user="<|start_header_id|>user<|end_header_id|>\n\n{}<|eot_id|>",
        assistant="<|start_header_id|>assistant<|end_header_id|>\n\n{}<|eot_id|>",
    ),
    # OpenAI's harmony format; the answer alone is asked for, without its channel of reasoning.
    ChatConvention(
        name="harmony",
        marks=("<|channel|>", "<|message|>"),
        system="<|start|>system<|message|>{}<|end|>",
        user="<|start|>user<|message|>{}<|end|>",
        assistant="<|start|>assistant<|channel|>final<|message|>{}<|end|>",
    ),
    # Granite 3's model card.
    ChatConvention(
        name="granite",
        marks=("<|start_of_role|>", "<|end_of_role|>"),
        system="<|start_of_role|>system<|end_of_role|>{}<|end_of_text|>\n",
        user="<|start_of_role|>user<|end_of_role|>{}<|end_of_text|>\n",
        assistant="<|start_of_role|>assistant<|end_of_role|>{}<|end_of_text|>\n",
    ),
    # Gemma's documentation of its formatting: there is no system.
    ChatConvention(
        name="gemma",
        marks=("<start_of_turn>", "<end_of_turn>"),
        system=None,
        user="<start_of_turn>user\n{}<end_of_turn>\n",
        assistant="<start_of_turn>model\n{}<end_of_turn>\n",
    ),
    # DeepSeek-V2.5 and V3; the bars are full width.
    ChatConvention(
        name="deepseek3",
        marks=("<\uff5cUser\uff5c>", "<\uff5cAssistant\uff5c>"),
        system="{}",
        user="<\uff5cUser\uff5c>{}",
        assistant="<\uff5cAssistant\uff5c>{}<\uff5cend\u2581of\u2581sentence\uff5c>",
    ),
    # DeepSeek-Coder-V2's model card.
    ChatConvention(
        name="deepseek2",
        marks=("User: ", "Assistant:", "eos_token"),
        system="{}\n\n",
        user="User: {}\n\n",
        assistant="Assistant: {}<\uff5cend\u2581of\u2581sentence\uff5c>",
    ),
    # Mistral's documentation of its tokenizers.
    ChatConvention(
        name="mistral",
        marks=("[INST]", "[/INST]"),
        system=None,
        user="[INST] {} [/INST]",
        assistant=" {}</s>",
    ),
    # OLMoE's model card.
    ChatConvention(
        name="tulu",
        marks=("<|user|>\\n", "<|assistant|>\\n"),
        system="<|system|>\n{}\n",
        user="<|user|>\n{}\n",
        assistant="<|assistant|>\n{}<|endoftext|>\n",
    ),
)


def find_chat_template(template: str | None, tokens: Mapping[str, int]) -> ChatTemplate | None:
    """Return how conversations are laid out for a checkpoint with that template and control tokens.

    None where it has no template, or one that is laid out in a way that is not known here.
    """
    if template is None:
        return None
    for convention in CHAT_CONVENTIONS:
        if all(mark in template for mark in convention.marks):
            return ChatTemplate(
                system=None if convention.system is None else _turn(convention.system, tokens),
                user=_turn(convention.user, tokens),
                assistant=_turn(convention.assistant, tokens),
            )
    return None


def _turn(spelled: str, tokens: Mapping[str, int]) -> Turn:
    before, _, behind = spelled.partition(WORDS)
    return Turn(before=_pieces(before, tokens), behind=_pieces(behind, tokens))


def _pieces(spelled: str, tokens: Mapping[str, int]) -> tuple[Piece, ...]:
    """Cut a text at the control tokens in it; what a tokenizer has no token for is text."""
    names = sorted(tokens, key=len, reverse=True)
    parts = re.split(f"({'|'.join(map(re.escape, names))})", spelled) if names else [spelled]
    return tuple(tokens.get(part, part) for part in parts if part)
