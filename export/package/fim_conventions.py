"""The ways in which families of models spell a hole: data, and how one of them is chosen.

Whoever trained a model chose the special tokens and their order; the tokenizer shows the tokens.
Where several families share a spelling but not the order, the model's name is a hint, and what is
measured decides between it and its rivals; whoever exports can choose. To add a convention is to
add an entry.
"""

from collections.abc import Mapping, Sequence
from typing import Final, Literal

import msgspec

from export.errors import UnsupportedError
from inference.fim import FimOrder, FimTemplate

AUTOMATIC: Final = "auto"
NONE: Final = "none"

Layout = Literal["psm", "spm", "suffix_prefix", "tail"]
"""An order, or "tail": PSM order with the prefix's last NUM_TAIL_TOKENS behind the middle token."""

NUM_TAIL_TOKENS: Final = 64
"""Some eight lines. Qwen2.5-Coder-0.5B needs 32 to find holes as easily as in SPM order."""


class Convention(msgspec.Struct, frozen=True, kw_only=True):
    """`middle` is None where the middle follows the prefix at once; separators may be missing.

    `orders` are those that models were trained on, the usual one first. A convention with `hints`
    shares its spelling with another and is meant where the model's type or name holds one of them.
    `end` are tokens that end a completion beside the ones that the checkpoint names.
    """

    name: str
    prefix: str
    suffix: str
    middle: str | None
    orders: tuple[FimOrder, ...] = ("psm", "spm")
    pad: str = ""
    repo_name: tuple[str, ...] = ()
    file_separator: tuple[str, ...] = ()
    end: tuple[str, ...] = ()
    hints: tuple[str, ...] = ()

    def is_spelled_in(self, tokens: Mapping[str, int]) -> bool:
        required = {self.prefix, self.suffix, self.prefix if self.middle is None else self.middle}
        return required <= tokens.keys()


CONVENTIONS: Final = (
    # Qwen2.5-Coder technical report, arXiv:2409.12186, table 1.
    Convention(
        name="qwen",
        prefix="<|fim_prefix|>",
        suffix="<|fim_suffix|>",
        middle="<|fim_middle|>",
        pad="<|fim_pad|>",
        repo_name=("<|repo_name|>",),
        file_separator=("<|file_sep|>", "<|file_separator|>"),
        end=("<|endoftext|>",),
    ),
    # StarCoder 2, arXiv:2402.19173, section 5.1; the first one spells its separators otherwise.
    Convention(
        name="starcoder",
        prefix="<fim_prefix>",
        suffix="<fim_suffix>",
        middle="<fim_middle>",
        pad="<fim_pad>",
        repo_name=("<repo_name>", "<reponame>"),
        file_separator=("<file_sep>", "<filename>"),
        end=("<|endoftext|>",),
    ),
    # Granite Code, arXiv:2405.04324, took StarCoder's spelling; Granite 4 has the bars.
    Convention(
        name="granite",
        prefix="<|fim_prefix|>",
        suffix="<|fim_suffix|>",
        middle="<|fim_middle|>",
        pad="<|fim_pad|>",
        repo_name=("<|reponame|>", "<|repo_name|>"),
        file_separator=("<|filename|>", "<|file_sep|>"),
        end=("<|end_of_text|>",),
        hints=("granite",),
    ),
    Convention(
        name="granite-code",
        prefix="<fim_prefix>",
        suffix="<fim_suffix>",
        middle="<fim_middle>",
        pad="<fim_pad>",
        repo_name=("<reponame>",),
        file_separator=("<filename>",),
        end=("<|endoftext|>", "<|end_of_text|>"),
        hints=("granite",),
    ),
    # The model card of Mellum-4b-base: files first, each behind its name, then suffix and prefix.
    Convention(
        name="mellum",
        prefix="<fim_prefix>",
        suffix="<fim_suffix>",
        middle="<fim_middle>",
        pad="<fim_pad>",
        orders=("suffix_prefix",),
        repo_name=("<reponame>",),
        file_separator=("<filename>",),
        end=("<|endoftext|>",),
        hints=("mellum",),
    ),
    # DeepSeek-Coder, arXiv:2401.14196, section 3.1.2: begin, hole and end. The bars are full width.
    Convention(
        name="deepseek",
        prefix="<\uff5cfim\u2581begin\uff5c>",
        suffix="<\uff5cfim\u2581hole\uff5c>",
        middle="<\uff5cfim\u2581end\uff5c>",
        orders=("psm",),
        end=("<\uff5cend\u2581of\u2581sentence\uff5c>", "<|EOT|>"),
    ),
    # Code Llama, arXiv:2308.12950, section 2.3; in the spelling of its tokenizer.json.
    Convention(
        name="codellama",
        prefix="\u2581<PRE>",
        suffix="\u2581<SUF>",
        middle="\u2581<MID>",
        end=("\u2581<EOT>",),
    ),
    # Mistral's documentation of its tokenizers: [SUFFIX] suffix [PREFIX] prefix, and no more.
    Convention(
        name="codestral",
        prefix="[PREFIX]",
        suffix="[SUFFIX]",
        middle=None,
        orders=("suffix_prefix",),
    ),
    # SantaCoder, arXiv:2301.03988, section 4.3.
    Convention(
        name="santacoder",
        prefix="<fim-prefix>",
        suffix="<fim-suffix>",
        middle="<fim-middle>",
        pad="<fim-pad>",
        end=("<|endoftext|>",),
    ),
)

NAMES: Final = tuple(convention.name for convention in CONVENTIONS)


def find_convention(
    tokens: Mapping[str, int],
    wanted: str = AUTOMATIC,
    *,
    layout: Layout | None = None,
    hints: Sequence[str] = (),
) -> Convention | None:
    """Return the convention named `wanted`, or the one that the tokens and the hints point at.

    `hints` are the model's type and name; a convention that has no such `layout` is passed over
    where another has it. None means that the model fills no holes.
    Raises UnsupportedError where the tokens of the one that was asked for are missing.
    """
    if wanted == NONE:
        return None
    spelled = [convention for convention in CONVENTIONS if convention.is_spelled_in(tokens)]
    if wanted == AUTOMATIC:
        order = order_of(layout)
        ordered = [convention for convention in spelled if order in convention.orders]
        return _likeliest(ordered or spelled, " ".join(hints).lower())
    found = next((convention for convention in spelled if convention.name == wanted), None)
    if found is None:
        raise UnsupportedError(
            f"the tokenizer has not the tokens of the {wanted} convention for holes; "
            f"use --fim {AUTOMATIC} or --fim {NONE}"
        )
    return found


def rivals_of(chosen: Convention | None, tokens: Mapping[str, int]) -> tuple[Convention, ...]:
    """Return those that spell holes with the same tokens and show them in other orders."""
    if chosen is None:
        return ()
    alike = {
        frozenset(convention.orders): convention
        for convention in reversed(CONVENTIONS)  # the first one of each kind is kept
        if convention.is_spelled_in(tokens)
        and (convention.prefix, convention.suffix, convention.middle)
        == (chosen.prefix, chosen.suffix, chosen.middle)
    }
    alike.pop(frozenset(chosen.orders))
    return tuple(alike.values())


def rivalry_words(chosen: Convention, rivals: Sequence[Convention]) -> str:
    """Say what was guessed, and how it is settled."""
    others = " and ".join(rival.name for rival in rivals)
    return (
        f"holes are spelled as {chosen.name} and {others} spell them, in different orders: taken "
        f"for {chosen.name}'s unless the bits that are measured say otherwise; --fim decides"
    )


def order_of(layout: Layout | None) -> FimOrder | None:
    return "psm" if layout == "tail" else layout


def fim_template(
    convention: Convention | None, tokens: Mapping[str, int], layout: Layout | None
) -> FimTemplate | None:
    """Return what the engine needs; `layout` None means the convention's usual order.

    Raises UnsupportedError where no model of this convention was trained on the order.
    """
    order = order_of(layout)
    if convention is None:
        if order is not None:
            raise UnsupportedError(
                "the tokenizer has no fill-in-the-middle tokens of a known convention "
                f"({', '.join(NAMES)}), so there is nothing to put in {_named(layout)}; "
                "leave the order out"
            )
        return None
    if order is not None and order not in convention.orders:
        raise UnsupportedError(
            f"the {convention.name} convention has no {_named(layout)}; "
            f"use --fim-order {' or '.join(convention.orders)}"
        )
    return FimTemplate(
        order=order or convention.orders[0],
        prefix_token_id=tokens[convention.prefix],
        suffix_token_id=tokens[convention.suffix],
        middle_token_id=None if convention.middle is None else tokens[convention.middle],
        pad_token_id=tokens.get(convention.pad),
        repo_name_token_id=_first(convention.repo_name, tokens),
        file_separator_token_id=_first(convention.file_separator, tokens),
        convention=convention.name,
        num_tail_tokens=NUM_TAIL_TOKENS if layout == "tail" else 0,
    )


def _named(layout: Layout | None) -> str:
    return "tail" if layout == "tail" else f"{layout} order"


def end_token_ids(convention: Convention | None, tokens: Mapping[str, int]) -> set[int]:
    """Return the ids of the tokens that end a completion by this convention."""
    spellings = convention.end if convention else ()
    return {tokens[spelling] for spelling in spellings if spelling in tokens}


def _likeliest(spelled: Sequence[Convention], name: str) -> Convention | None:
    hinted = [
        convention for convention in spelled if any(part in name for part in convention.hints)
    ]
    plain = [convention for convention in spelled if not convention.hints]
    return next(iter([*hinted, *plain, *spelled]), None)


def _first(spellings: Sequence[str], tokens: Mapping[str, int]) -> int | None:
    return next((tokens[spelling] for spelling in spellings if spelling in tokens), None)
