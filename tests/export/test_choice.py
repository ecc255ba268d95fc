"""choice: what the user says comes first, then what is stored, then what the model's size says."""

from collections.abc import Mapping
from typing import Any

import msgspec
import pytest

from export.choice import LARGE, SMALL, choose_scheme
from export.options import ExportOptions
from export.original import Original
from export.quantization.scheme import Scheme
from tests.support.originals import original

SMALL_MODEL = {"hidden_size": 128, "moe_intermediate_size": 128, "head_dim": 32}
LARGE_MODEL = {**SMALL_MODEL, "hidden_size": 1024, "vocab_size": 200_000}


def chosen(found: Original, **options: Any) -> Scheme:
    return choose_scheme(ExportOptions(**options), found).scheme


@pytest.mark.parametrize(
    ("config", "defaults"), [(SMALL_MODEL, SMALL), (LARGE_MODEL, LARGE)], ids=["small", "large"]
)
def test_a_size_has_its_defaults(config: Mapping[str, Any], defaults: Any) -> None:
    scheme = chosen(original(**config))
    assert (scheme.block_size, scheme.rounding) == (defaults.block_size, defaults.rounding)
    assert scheme.has_zero_points == defaults.zero_points
    assert scheme.num_candidates == defaults.num_candidates
    assert scheme.coarse_head == (128 if defaults.head == "refined" else None)


@pytest.mark.parametrize("config", [SMALL_MODEL, LARGE_MODEL], ids=["small", "large"])
def test_what_the_user_says_holds(config: Mapping[str, Any]) -> None:
    said = {"block_size": 32, "rounding": "nearest", "zero_points": False, "head": "whole"}
    scheme = chosen(original(**config), **said)
    found = {name: getattr(scheme, name) for name in ("block_size", "rounding")}
    assert found == {"block_size": 32, "rounding": "nearest"}
    assert not scheme.has_zero_points
    assert scheme.coarse_head is None
    assert chosen(original(**config), head="refined").coarse_head == 128
    assert chosen(original(**config), zero_points=True).has_zero_points


@pytest.mark.parametrize(
    "options",
    [{"precision": "int8"}, {"precision": "f32"}, {"device": "cuda"}, {"rounding": "gptq"}],
    ids=str,
)
def test_zero_points_only_by_default_where_they_are_for(options: dict[str, Any]) -> None:
    """Four bits, the CPU, and the rounding that they were measured with."""
    assert not chosen(original(**LARGE_MODEL), **options).has_zero_points


def test_what_is_stored_keeps_its_blocks() -> None:
    found = original(**LARGE_MODEL)
    source = msgspec.structs.replace(found.source, stored_block_size={4: 32, 8: 128}.get)
    found = msgspec.structs.replace(found, source=source)
    assert (chosen(found).block_size, chosen(found).has_zero_points) == (32, False)
    assert chosen(found, precision="int8").block_size == 128
    assert chosen(found, block_size=64).block_size == 64


def test_blocks_that_we_have_not_are_passed_over() -> None:
    found = original(**LARGE_MODEL)
    source = msgspec.structs.replace(found.source, stored_block_size=lambda bits: 16)
    found = msgspec.structs.replace(found, source=source)
    assert chosen(found).block_size == LARGE.block_size


@pytest.mark.parametrize(
    ("hidden_size", "block_size"), [(896, 128), (2880, 64), (1056, 32), (1000, None)]
)
def test_a_coarse_head_has_the_largest_blocks_that_divide(
    hidden_size: int, block_size: int | None
) -> None:
    scheme = chosen(original(**LARGE_MODEL | {"hidden_size": hidden_size}), head="refined")
    assert scheme.coarse_head == block_size
