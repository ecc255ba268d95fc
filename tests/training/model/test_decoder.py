"""The model here is transformers' Qwen3-MoE, and it learns."""

from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from training.model.checkpoint import load_checkpoint, save_checkpoint  # noqa: E402
from training.model.configuration import Shape  # noqa: E402
from training.model.decoder import Decoder, initialize, prediction_loss  # noqa: E402
from training.model.experts import GROUPED, LOOPED, Grouping  # noqa: E402

pytestmark = pytest.mark.parity

SHAPE = Shape(
    hidden_size=128,
    num_hidden_layers=3,
    num_attention_heads=4,
    num_key_value_heads=2,
    head_dim=32,
    num_experts=4,
    num_experts_per_tok=2,
    moe_intermediate_size=128,
    vocab_size=512,
    max_position_embeddings=256,
    rope_theta=5000.0,
)


def decoder(
    shape: Shape = SHAPE, dtype: object = torch.float32, grouping: Grouping = LOOPED
) -> Decoder:
    """Return a model none of whose matrices is zero and none of whose norms is one."""
    model = Decoder(shape, dtype, grouping)
    initialize(model, seed=1)
    generator = torch.Generator().manual_seed(2)
    for name, parameter in sorted(model.named_parameters()):
        noise = torch.randn(parameter.shape, generator=generator)
        parameter.data.add_(noise, alpha=0.1 if "norm" in name else 0.03)
    return model


def token_ids(length: int = 64) -> torch.Tensor:
    return torch.randint(0, 512, (2, length), generator=torch.Generator().manual_seed(3))


def check(shape: Shape, folder: Path, tolerance: float) -> None:
    """Compare logits with those of transformers' own model, from the checkpoint written here."""
    model = decoder(shape)
    save_checkpoint(model, folder)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    with torch.no_grad():
        expected = theirs(token_ids()).logits
        found = load_checkpoint(folder)(token_ids())
    assert (found - expected).abs().max() < tolerance * expected.abs().max()


def test_logits_are_those_of_transformers(tmp_path: Path) -> None:
    check(SHAPE, tmp_path, 1e-4)


def test_a_dense_model_is_one_of_one_expert(tmp_path: Path) -> None:
    dense = {name: getattr(SHAPE, name) for name in Shape.__struct_fields__}
    check(Shape(**dense | {"num_experts": 1, "num_experts_per_tok": 1}), tmp_path, 1e-4)


def test_the_load_balancing_loss_is_that_of_transformers() -> None:
    from transformers.models.qwen3_moe.modeling_qwen3_moe import load_balancing_loss_func

    from training.model.decoder import routing_of

    logits = torch.randn(50, 4, generator=torch.Generator().manual_seed(4))
    probabilities = logits.softmax(-1)
    found = routing_of(logits, probabilities, probabilities.topk(2).indices)
    expected = load_balancing_loss_func((logits,), num_experts=4, top_k=2)
    assert torch.allclose(found.load_balance * 2, expected)
    assert torch.isclose(found.load.sum(), torch.tensor(1.0))


def test_grouped_products_give_what_the_loop_gives() -> None:
    windows = token_ids(65)
    looped, grouped = (
        decoder(dtype=torch.bfloat16, grouping=grouping) for grouping in (LOOPED, GROUPED)
    )
    losses = [model.losses(windows).prediction for model in (looped, grouped)]
    for loss in losses:
        loss.backward()
    assert torch.isclose(losses[0], losses[1], rtol=1e-3)
    for name, parameter in looped.named_parameters():
        other = grouped.get_parameter(name).grad
        assert (parameter.grad - other).norm() < 0.02 * parameter.grad.norm(), name


def test_the_number_of_parameters_is_what_the_shape_says() -> None:
    assert sum(p.numel() for p in decoder().parameters()) == SHAPE.num_parameters


def test_the_loss_is_the_mean_cross_entropy() -> None:
    model, windows = decoder(), token_ids(17)
    logits = model(windows[:, :-1])
    expected = torch.nn.functional.cross_entropy(logits.flatten(0, 1), windows[:, 1:].flatten())
    x, _ = model.hidden_states(windows[:, :-1])
    assert torch.isclose(prediction_loss(x, model.embed_tokens, windows[:, 1:]), expected)
