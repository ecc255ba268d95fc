"""blocks: what a GGUF tensor stands for is what llama.cpp's own library says, to the bit."""

import gguf
import numpy as np
import numpy.typing as npt
import pytest
from gguf.constants import GGML_QUANT_SIZES
from gguf.constants import GGMLQuantizationType as Kind

from export.checkpoint.gguf.blocks import PLAIN, READ, as_integers, widened
from export.cores import SLICE_ELEMENTS

Bytes = npt.NDArray[np.uint8]

HALVES = {
    Kind.Q4_0: (0,),
    Kind.Q4_1: (0, 2),
    Kind.Q5_0: (0,),
    Kind.Q5_1: (0, 2),
    Kind.Q8_0: (0,),
    Kind.Q2_K: (80, 82),
    Kind.Q3_K: (108,),
    Kind.Q4_K: (0, 2),
    Kind.Q5_K: (0, 2),
    Kind.Q6_K: (208,),
    Kind.IQ4_NL: (0,),
    Kind.IQ4_XS: (0,),
}
"""Where in a block its float16 scales lie; all other bytes may be anything."""

MAX_EXPONENT = 250

QUANTIZED = (Kind.BF16, Kind.Q4_0, Kind.Q4_1, Kind.Q5_0, Kind.Q5_1, Kind.Q8_0, Kind.MXFP4)
TAKEN_OVER = [
    *((Kind.Q8_0, 8, 32), (Kind.Q4_0, 4, 32), (Kind.Q5_0, 8, 32), (Kind.Q6_K, 8, 16)),
    (Kind.MXFP4, 8, 32),
]
every_kind = pytest.mark.parametrize("kind", sorted(READ), ids=lambda kind: kind.name)


def random_rows(kind: Kind, *, num_rows: int = 24, num_blocks: int = 3, seed: int = 0) -> Bytes:
    """Return rows of random blocks whose scales are finite, of either sign."""
    random = np.random.default_rng(seed)
    block_bytes = GGML_QUANT_SIZES[kind][1]
    if kind in PLAIN:
        return random.standard_normal((num_rows, num_blocks)).astype(PLAIN[kind]).view(np.uint8)
    found = random.integers(0, 256, (num_rows, num_blocks, block_bytes), np.uint8)
    if kind == Kind.MXFP4:  # an exponent of two; numbers of the largest ones are infinite
        found[..., 0] = random.integers(0, MAX_EXPONENT, (num_rows, num_blocks), np.uint8)
    for at in HALVES.get(kind, ()):
        scales = random.standard_normal((num_rows, num_blocks, 1)).astype("<f2")
        found[..., at : at + 2] = scales.view(np.uint8)
    return found.reshape(num_rows, -1)


def check(rows: Bytes, kind: Kind) -> None:
    with np.errstate(all="ignore"):
        expected = gguf.dequantize(rows, kind) if kind not in PLAIN else rows.view(PLAIN[kind])
        expected = expected.astype(np.float32)
    found = widened(rows, kind)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, expected)


@every_kind
def test_random_blocks(kind: Kind) -> None:
    check(random_rows(kind), kind)


@every_kind
def test_any_bytes(kind: Kind) -> None:
    """Also those that stand for no number, of which no warning is shown; the reader refuses."""
    random = np.random.default_rng(1)
    check(random.integers(0, 256, (64, 2 * GGML_QUANT_SIZES[kind][1]), np.uint8), kind)


@pytest.mark.parametrize("kind", QUANTIZED, ids=lambda kind: kind.name)
def test_what_the_library_rounds(kind: Kind) -> None:
    values = np.random.default_rng(2).standard_normal((32, 64), np.float32)
    rows = gguf.quantize(values, kind)
    check(rows, kind)
    assert np.abs(widened(rows, kind) - values).max() < 0.5


def test_rows_that_are_widened_in_several_steps() -> None:
    rows = random_rows(Kind.Q8_0, num_rows=700, num_blocks=200)
    assert rows.shape[0] * 200 * 32 > 2 * SLICE_ELEMENTS
    check(rows, Kind.Q8_0)


def test_rows_of_an_order_of_their_own() -> None:
    rows = random_rows(Kind.Q4_K)[::-2]
    np.testing.assert_array_equal(widened(rows, Kind.Q4_K), widened(rows.copy(), Kind.Q4_K))


@pytest.mark.parametrize(("kind", "bits", "block_size"), TAKEN_OVER, ids=str)
@pytest.mark.parametrize("seed", range(3))
def test_integers_and_scales(kind: Kind, bits: int, block_size: int, seed: int) -> None:
    """One product of two float32 each, as the library computes it: not one bit differs."""
    rows = random_rows(kind, seed=seed)
    found = as_integers(rows, kind, bits=bits, block_size=block_size)
    assert found is not None
    assert found.in_order_of(block_size)
    assert found.bits == bits
    assert found.values.max() < 2**bits
    values = found.values.astype(np.float32) - found.zeros[:, found.groups]
    expected = gguf.dequantize(rows, kind)
    np.testing.assert_array_equal(values * found.scales[:, found.groups], expected)


def test_every_value_of_a_block_of_eight_bits() -> None:
    """-128 among them, which rounding itself never makes."""
    values = np.arange(-128, 128, dtype=np.int8).reshape(8, 32)
    scales = np.full((8, 1), 0.5, "<f2")
    rows = np.concatenate([scales.view(np.uint8), values.view(np.uint8)], axis=1)
    found = as_integers(rows, Kind.Q8_0, bits=8, block_size=32)
    assert found is not None
    np.testing.assert_array_equal(found.values.ravel(), np.arange(256))
    np.testing.assert_array_equal(widened(rows, Kind.Q8_0).ravel(), np.arange(-128, 128) / 2)


def test_exactly_these_are_taken_over() -> None:
    found = [
        (kind, bits, block_size)
        for kind in READ
        for bits in (4, 8)
        for block_size in (16, 32, 64, 128, 256)
        if as_integers(random_rows(kind), kind, bits=bits, block_size=block_size) is not None
    ]
    assert sorted(found) == sorted(TAKEN_OVER)
