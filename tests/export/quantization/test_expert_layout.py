"""moe_packing: gate and up alternate row by row, rounded or not."""

import numpy as np
import pytest

from export.quantization.blockwise import Float, Quantized, dequantize, quantize
from export.quantization.expert_layout import interleave

RANDOM = np.random.default_rng(0)
GATE, UP = RANDOM.standard_normal((2, 3, 4, 64)).astype(np.float32)  # [experts, size, hidden]


def test_rows_alternate() -> None:
    packed = interleave(Float(GATE), Float(UP))
    assert isinstance(packed, Float)
    np.testing.assert_array_equal(packed.values[:, 0::2], GATE)
    np.testing.assert_array_equal(packed.values[:, 1::2], UP)


@pytest.mark.parametrize("bits", [4, 8])
def test_rounding_and_interleaving_commute(bits: int) -> None:
    packed = interleave(
        quantize(GATE, bits=bits, block_size=32), quantize(UP, bits=bits, block_size=32)
    )
    both = interleave(Float(GATE), Float(UP))
    assert isinstance(packed, Quantized)
    assert isinstance(both, Float)
    expected = quantize(both.values, bits=bits, block_size=32)
    np.testing.assert_array_equal(packed.data, expected.data)
    np.testing.assert_array_equal(packed.scales, expected.scales)
    assert dequantize(packed).shape == (3, 8, 64)
