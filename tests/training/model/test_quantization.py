"""Training rounds exactly as the exporter does."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from export.quantization.blockwise import dequantize, quantize  # noqa: E402
from export.quantization.scheme import BITS  # noqa: E402
from training.model.configuration import Shape  # noqa: E402
from training.model.decoder import Decoder, initialize  # noqa: E402
from training.model.quantization import BLOCK_SIZE, Rounding, bits_of, rounded  # noqa: E402

pytestmark = pytest.mark.parity


def check(weight: torch.Tensor, bits: int) -> None:
    """Both give the same values, to the last bit."""
    exported = dequantize(quantize(weight.numpy(), bits=bits, block_size=BLOCK_SIZE))
    assert np.array_equal(rounded(weight, bits).numpy(), exported)


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("scale", [1.0, 1e-3, 50.0])
def test_gaussian_weights(bits: int, scale: float) -> None:
    generator = torch.Generator().manual_seed(bits)
    check(torch.randn(64, 512, generator=generator) * scale, bits)


def test_experts_in_a_stack() -> None:
    check(torch.randn(4, 32, 256, generator=torch.Generator().manual_seed(5)), 4)


def test_weights_with_outliers() -> None:
    weight = torch.randn(32, 256, generator=torch.Generator().manual_seed(6))
    weight[::5, ::37] *= 20
    check(weight, 4)


def test_a_block_of_zeros_stays_zero() -> None:
    assert rounded(torch.zeros(2, 128), 4).abs().max() == 0


def decoder() -> Decoder:
    model = Decoder(
        Shape(
            hidden_size=128,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=1,
            num_experts=4,
            num_experts_per_tok=2,
            moe_intermediate_size=128,
            vocab_size=64,
        )
    )
    initialize(model, 0)
    return model


def test_the_exporter_says_which_tensors_are_rounded() -> None:
    bits = {name: bits_of(name) for name, _ in decoder().named_parameters()}
    assert bits["embed_tokens"] == BITS["int4"]["embedding"]
    assert bits["layers.0.down_proj"] == BITS["int4"]["expert"]
    assert bits["layers.1.q_proj"] == BITS["int4"]["projection"]
    full = {name.rpartition(".")[2] for name, width in bits.items() if width is None}
    assert full == {
        "norm",
        "input_layernorm",
        "post_attention_layernorm",
        "q_norm",
        "k_norm",
        "gate",
    }


def test_weights_are_rounded_within_and_restored_behind() -> None:
    model = decoder()
    parameters = dict(model.named_parameters())
    before = {name: parameter.detach().clone() for name, parameter in parameters.items()}
    with Rounding(search_every=1).rounded_weights(parameters):
        for name, parameter in parameters.items():
            bits = bits_of(name)
            expected = rounded(before[name], bits) if bits else before[name]
            assert torch.allclose(parameter, expected, atol=1e-6), name
    for name, parameter in parameters.items():
        assert torch.equal(parameter, before[name])


def test_gradients_are_those_at_the_rounded_weights() -> None:
    model, copy = decoder(), decoder()
    windows = torch.randint(0, 64, (2, 17), generator=torch.Generator().manual_seed(1))
    with Rounding(search_every=1).rounded_weights(dict(model.named_parameters())):
        model.losses(windows).prediction.backward()
    for name, parameter in copy.named_parameters():
        if bits := bits_of(name):
            parameter.data = rounded(parameter.data, bits)
    copy.losses(windows).prediction.backward()
    for name, parameter in model.named_parameters():
        assert torch.allclose(parameter.grad, copy.get_parameter(name).grad, atol=1e-7), name
