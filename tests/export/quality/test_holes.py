"""The order of a hole's parts is the one in which a model finds them easiest."""

import numpy as np
import pytest

from export.quality.holes import NUM_TAIL_TOKENS, HoleBits, better_template
from export.texts import Text
from inference.fim import FimOrder, FimTemplate

TEXT = Text(token_ids=(1,) * 8, window=1)


class Unread:
    """No reader at all: what was measured decides."""

    def __getattr__(self, name: str) -> None:
        raise AssertionError(f"{name} is read")


def template(order: FimOrder, middle: int | None = 3) -> FimTemplate:
    return FimTemplate(order=order, prefix_token_id=1, suffix_token_id=2, middle_token_id=middle)


def check(
    usual: FimOrder, *, psm: float, spm: float, tail: float, gives: FimOrder, has_tail: bool
) -> None:
    """Bits a token, the same for each hole but for a little that differs between them."""
    noise = np.linspace(-0.01, 0.01, 8)
    measured = HoleBits(
        {"psm": psm + noise, "spm": spm - noise, "tail": tail + noise, "left_to_right": noise}
    )
    reader = Unread()
    found = better_template(reader, template(usual), TEXT, measured)  # pyright: ignore[reportArgumentType]
    assert (found.order, found.num_tail_tokens > 0) == (gives, has_tail)
    assert found.num_tail_tokens in {0, NUM_TAIL_TOKENS}


def test_a_tail_that_costs_nothing_is_taken() -> None:
    check("psm", psm=2.4, spm=2.1, tail=2.1, gives="psm", has_tail=True)


def test_a_tail_that_costs_something_is_not() -> None:
    check("psm", psm=2.4, spm=2.1, tail=2.2, gives="spm", has_tail=False)


def test_the_usual_order_stays_where_neither_is_better() -> None:
    check("spm", psm=2.1, spm=2.1, tail=2.3, gives="spm", has_tail=False)
    check("psm", psm=2.1, spm=2.1, tail=2.3, gives="psm", has_tail=False)


def test_psm_with_a_tail_is_taken_before_psm_where_it_does_as_well() -> None:
    check("psm", psm=2.1, spm=2.4, tail=2.1, gives="psm", has_tail=True)


@pytest.mark.parametrize("fim", [template("suffix_prefix"), template("suffix_prefix", middle=None)])
def test_a_template_whose_suffix_comes_first_has_one_order(fim: FimTemplate) -> None:
    reader = Unread()
    assert better_template(reader, fim, TEXT, HoleBits({})) == fim  # pyright: ignore[reportArgumentType]


def check_rivals(guess: FimOrder, rival: FimOrder, *, gives: FimOrder, **bits: float) -> None:
    """Of two conventions that share their tokens the clearly easier one is taken."""
    noise = np.linspace(-0.01, 0.01, 8)
    measured = HoleBits({name: value + sign * noise for sign, (name, value) in signed(bits)})
    reader, rivals = Unread(), (template(rival),)
    found = better_template(reader, template(guess), TEXT, measured, rivals)  # pyright: ignore[reportArgumentType]
    assert found.order == gives


def signed(bits: dict[str, float]) -> list[tuple[int, tuple[str, float]]]:
    return [((-1) ** index, item) for index, item in enumerate(bits.items())]


def test_a_rival_that_is_clearly_easier_is_taken() -> None:
    bits = {"psm": 2.4, "spm": 2.4, "tail": 2.6}
    check_rivals("psm", "suffix_prefix", suffix_prefix=2.1, gives="suffix_prefix", **bits)
    check_rivals("suffix_prefix", "psm", suffix_prefix=2.6, gives="psm", **bits)


def test_a_guess_stays_where_no_rival_is_clearly_easier() -> None:
    bits = {"psm": 2.4, "spm": 2.4, "tail": 2.6}
    check_rivals("psm", "suffix_prefix", suffix_prefix=2.4, gives="psm", **bits)
    check_rivals("suffix_prefix", "psm", suffix_prefix=2.4, gives="suffix_prefix", **bits)


def test_a_rival_is_held_against_what_the_guess_would_be_shown_as() -> None:
    """SPM is easier than the rival, and the usual order is not."""
    bits = {"psm": 2.4, "spm": 1.9, "tail": 2.6}
    check_rivals("psm", "suffix_prefix", suffix_prefix=2.1, gives="spm", **bits)


def test_only_psm_has_a_tail() -> None:
    with pytest.raises(ValueError, match="spm order has no tail"):
        FimTemplate(
            order="spm",
            prefix_token_id=1,
            suffix_token_id=2,
            middle_token_id=3,
            num_tail_tokens=64,
        )
