"""scheme: each role gets its bits, and rows that do not divide are refused by name."""

from typing import get_args

import numpy as np
import pytest

from export.errors import UnsupportedError
from export.quantization.blockwise import Float, Quantized
from export.quantization.rounding import Grid
from export.quantization.scheme import (
    BITS,
    COARSE_HEAD,
    Preset,
    apply_scheme,
    check_scheme,
    find_scheme,
    fitting_block_size,
    replaced_words,
    scheme_of,
)
from export.spec.slot import Slot, SlotRole
from inference.package.manifest import read_manifest
from inference.package.store import embedded_folder


def check(precision: Preset, role: SlotRole, *, bits: int) -> None:
    scheme = find_scheme(precision, 32)
    slot = Slot(shape=(2, 64), role=role)
    weight = apply_scheme(scheme, "weight", slot, np.ones((2, 64), np.float32))
    match weight:
        case Float():
            assert bits == 32
        case Quantized():
            assert weight.bits == bits


@pytest.mark.parametrize("role", ["norm", "router"])
@pytest.mark.parametrize("precision", list(BITS))
def test_routers_and_norms_are_never_rounded(precision: Preset, role: SlotRole) -> None:
    check(precision, role, bits=32)


@pytest.mark.parametrize("role", sorted({*get_args(SlotRole)} - {COARSE_HEAD}))
def test_f32_rounds_nothing(role: SlotRole) -> None:
    check("f32", role, bits=32)


@pytest.mark.parametrize("role", ["embedding", "head", "projection", "expert"])
def test_int8_rounds_every_matrix_to_a_byte(role: SlotRole) -> None:
    check("int8", role, bits=8)


@pytest.mark.parametrize("role", ["projection", "expert"])
def test_int4_rounds_layers_to_four_bits(role: SlotRole) -> None:
    check("int4", role, bits=4)


@pytest.mark.parametrize("role", ["embedding", "head"])
def test_int4_keeps_a_byte_for_what_touches_tokens(role: SlotRole) -> None:
    check("int4", role, bits=8)


def test_an_unknown_precision() -> None:
    with pytest.raises(UnsupportedError, match="precision int3 is not implemented; use f32, f16"):
        find_scheme("int3", 128)


def test_an_unknown_block_size() -> None:
    with pytest.raises(UnsupportedError, match=r"block size 100 .* use one of 32, 64, 128"):
        find_scheme("int4", 100)


def check_columns(columns: int, because: str) -> None:
    slots = {"layers.0.moe.down": Slot(shape=(4, 64, columns), role="expert")}
    with pytest.raises(UnsupportedError, match=because):
        check_scheme(find_scheme("int4", 128), slots)


def test_rows_that_a_smaller_block_divides() -> None:
    check_columns(192, r"layers\.0\.moe\.down has rows of 192, .* 128 .*; use --block-size 64")


def test_the_remedy_fits_every_slot() -> None:
    slots = {
        "embedding": Slot(shape=(4, 192), role="embedding"),
        "layers.0.moe.down": Slot(shape=(4, 64, 96), role="expert"),
    }
    with pytest.raises(
        UnsupportedError, match=r"embedding has rows of 192, .*; use --block-size 32"
    ):
        check_scheme(find_scheme("int4", 128), slots)


def test_rows_that_no_block_divides() -> None:
    check_columns(100, "use --precision f32")


@pytest.mark.parametrize(
    ("wanted", "rows", "used"),
    [
        (128, [256, 128], 128),
        (128, [256, 2880], 64),
        (128, [96, 256], 32),
        (64, [256], 64),
        (64, [96], 32),
        (32, [256], 32),
        (128, [100], 128),
    ],
)
def test_the_largest_block_that_divides(wanted: int, rows: list[int], used: int) -> None:
    assert fitting_block_size(wanted, rows) == used


def test_a_replaced_block_is_told_with_its_reason() -> None:
    told = "block size 64 instead of 128, which does not divide rows of 2880"
    assert replaced_words(128, 64, [256, 2880]) == told
    assert replaced_words(128, 128, [256]) is None


def test_rows_that_stay_in_float_need_not_divide() -> None:
    check_scheme(find_scheme("int4", 128), {"norm": Slot(shape=(100,), role="norm")})
    check_scheme(find_scheme("f32", 128), {"head": Slot(shape=(10, 100), role="head")})


@pytest.mark.parametrize("role", ["embedding", "head", "projection", "expert"])
def test_f16_halves_matrices(role: SlotRole) -> None:
    values = np.full((2, 33), 1 / 3, np.float32)
    weight = apply_scheme(find_scheme("f16", 128), "x", Slot(shape=(2, 33), role=role), values)
    assert isinstance(weight, Float)
    np.testing.assert_array_equal(weight.values, values.astype(np.float16), strict=True)


def test_f16_leaves_routers_and_norms_alone() -> None:
    values = np.full((2, 33), 1e6, np.float32)
    slot = Slot(shape=(2, 33), role="router")
    weight = apply_scheme(find_scheme("f16", 128), "x", slot, values)
    assert isinstance(weight, Float)
    assert weight.values.dtype == np.float32


def test_f16_refuses_what_it_cannot_hold() -> None:
    values = np.array([[1.0, -7e4]], np.float32)
    slot = Slot(shape=(1, 2), role="projection")
    with pytest.raises(
        UnsupportedError, match=r"layers\.0\.x has values of up to 7e\+04, beyond float16; use"
    ):
        apply_scheme(find_scheme("f16", 128), "layers.0.x", slot, values)


def test_a_scheme_is_read_back_from_its_manifest() -> None:
    manifest = read_manifest(embedded_folder())
    assert scheme_of(manifest).grid("embedding", Slot(shape=(1, 128), role="embedding")) == Grid(
        bits=8, block_size=128, has_zero_points=False
    )
