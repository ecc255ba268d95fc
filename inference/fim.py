"""Lay out a hole for a fill-in-the-middle model, the same way in training and in serving.

Three orders exist (Bavarian et al. 2022, arXiv:2207.14255, section 3 and appendix D):

    psm             <prefix> head <suffix> suffix <middle> tail  then the model writes the middle
    spm             <prefix> <suffix> suffix <middle> prefix    then the model writes the middle
    suffix_prefix   <suffix> suffix <prefix> prefix <middle>    then the model writes the middle

Some models of the last kind have no <middle>: the prefix stands at the end, as in SPM.

What stands at the end costs only its own tokens while it grows, and everything before it stays in
the cache. In SPM order that is the whole prefix. In PSM order it is the prefix's tail: the text
behind <middle> is the beginning of the middle, which the model has always seen written, so a prefix
may be cut anywhere and its end put there. The head stays in the cache too when the cursor jumps.

This module knows token ids only: no text, no tokenizer.

Invariant 17: training and serving both arrange holes with this code.
"""

from collections.abc import Sequence
from typing import Annotated, Literal

import msgspec

FimOrder = Literal["psm", "spm", "suffix_prefix"]
TokenId = Annotated[int, msgspec.Meta(ge=0)]


class FimTemplate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A model's fill-in-the-middle convention, as its package's manifest states it.

    The separators are None where the model was not trained with other files in front;
    `convention` is the spelling's name, for people only. In PSM order at least `num_tail_tokens`
    of the prefix stand behind <middle>, if it has as many.
    """

    order: FimOrder
    prefix_token_id: TokenId
    suffix_token_id: TokenId
    middle_token_id: TokenId | None
    pad_token_id: TokenId | None = None
    repo_name_token_id: TokenId | None = None
    file_separator_token_id: TokenId | None = None
    convention: str | None = None
    num_tail_tokens: Annotated[int, msgspec.Meta(ge=0)] = 0

    def __post_init__(self) -> None:
        if self.middle_token_id is None and self.order != "suffix_prefix":
            raise ValueError(f"{self.order} order needs a middle_token_id")
        if self.num_tail_tokens and self.order != "psm":
            raise ValueError(f"{self.order} order has no tail")

    @property
    def num_special_tokens(self) -> int:
        """How many tokens `arrange` adds to those of prefix and suffix."""
        return 2 if self.middle_token_id is None else 3

    @property
    def special_token_ids(self) -> frozenset[int]:
        """Every token that belongs to the layout and never to a completion."""
        named = (
            self.prefix_token_id,
            self.suffix_token_id,
            self.middle_token_id,
            self.pad_token_id,
            self.repo_name_token_id,
            self.file_separator_token_id,
        )
        return frozenset(token_id for token_id in named if token_id is not None)

    def other_files(
        self,
        files: Sequence[Sequence[int]],
        own_name_ids: Sequence[int],
        repository_ids: Sequence[int] = (),
    ) -> list[int]:
        """Return what stands before a hole where other files are shown.

        Each file is its name, a line end and a text; names end with a line end
        (arXiv:2409.12186, section 3.2.2).
        """
        separator, repository = self.file_separator_token_id, self.repo_name_token_id
        assert separator is not None
        token_ids = list[int]()
        if repository_ids:
            assert repository is not None
            token_ids += [repository, *repository_ids]
        for file in files:
            token_ids += [separator, *file]
        return [*token_ids, separator, *own_name_ids]

    def arrange(
        self,
        prefix_ids: Sequence[int],
        suffix_ids: Sequence[int],
        tail_ids: Sequence[int] = (),
    ) -> list[int]:
        """Return the prompt after which the model writes the middle; a tail is for PSM order."""
        prefix, suffix = self.prefix_token_id, self.suffix_token_id
        middle = [] if self.middle_token_id is None else [self.middle_token_id]
        assert not tail_ids or self.order == "psm"
        match self.order:
            case "psm":
                return [prefix, *prefix_ids, suffix, *suffix_ids, *middle, *tail_ids]
            case "spm":
                return [prefix, suffix, *suffix_ids, *middle, *prefix_ids]
            case "suffix_prefix":
                return [suffix, *suffix_ids, prefix, *prefix_ids, *middle]
