"""Muon orthogonalizes, AdamW does as torch's does, the rate follows its course."""

import pytest

torch = pytest.importorskip("torch")

from training.loop.optimizer import Optimizer, orthogonal, rate_scale  # noqa: E402

pytestmark = pytest.mark.parity


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def optimizer(parameters: dict[str, torch.nn.Parameter], decay: float = 0.0) -> Optimizer:
    return Optimizer(
        parameters, muon_learning_rate=0.1, adam_learning_rate=0.01, weight_decay=decay
    )


@pytest.mark.parametrize("shape", [(3, 8, 8), (2, 4, 16), (2, 16, 4)])
def test_singular_values_end_near_one(shape: tuple[int, ...]) -> None:
    values = torch.linalg.svdvals(orthogonal(drawn(*shape)).float())
    assert values.min() > 0.3
    assert values.max() < 1.3


def test_directions_are_kept() -> None:
    """The orthogonal matrix nearest to U S V is U V: the trace with the gradient is its best."""
    gradient = drawn(1, 6, 6)
    left, _, right = torch.linalg.svd(gradient[0])
    nearest = left @ right
    found = orthogonal(gradient)[0]
    assert (found * nearest).sum() > 0.9 * found.norm() * nearest.norm()


def test_experts_are_orthogonalized_one_by_one() -> None:
    stack = torch.nn.Parameter(drawn(4, 8, 8))
    alone = [torch.nn.Parameter(matrix.clone()) for matrix in stack.detach()]
    named = {"up_proj": stack, **{f"{n}.q_proj": p for n, p in enumerate(alone)}}
    gradients = drawn(4, 8, 8, seed=1)
    stack.grad = gradients.clone()
    for parameter, gradient in zip(alone, gradients, strict=True):
        parameter.grad = gradient.clone()
    optimizer(named).step(1.0)
    assert torch.allclose(stack, torch.stack(alone), atol=1e-5)


def test_vectors_and_the_embedding_get_adam() -> None:
    ours = {"embed_tokens": torch.nn.Parameter(drawn(5, 4)), "norm": torch.nn.Parameter(drawn(4))}
    theirs = [torch.nn.Parameter(parameter.detach().clone()) for parameter in ours.values()]
    reference = torch.optim.AdamW(
        [{"params": theirs[:1], "weight_decay": 0.1}, {"params": theirs[1:], "weight_decay": 0.0}],
        lr=0.01,
        betas=(0.9, 0.95),
        eps=1e-10,
    )
    mine = optimizer(ours, decay=0.1)
    for step in range(5):
        for parameter, other in zip(ours.values(), theirs, strict=True):
            parameter.grad = drawn(*parameter.shape, seed=step)
            other.grad = parameter.grad.clone()
        mine.step(1.0)
        reference.step()
    for parameter, other in zip(ours.values(), theirs, strict=True):
        assert torch.allclose(parameter, other, atol=1e-6)


def test_a_loaded_state_goes_on_alike() -> None:
    def run(restart: bool) -> torch.Tensor:
        parameters = {
            "q_proj": torch.nn.Parameter(drawn(6, 6)),
            "norm": torch.nn.Parameter(drawn(6)),
        }
        used = optimizer(parameters)
        for step in range(6):
            if restart and step == 3:
                state = {name: tensor.clone() for name, tensor in used.state().items()}
                used = optimizer(parameters)
                used.load_state(state)
            for parameter in parameters.values():
                parameter.grad = drawn(*parameter.shape, seed=step)
            used.step(1.0)
        return torch.cat([parameter.detach().flatten() for parameter in parameters.values()])

    assert torch.equal(run(restart=False), run(restart=True))


def test_the_rate_rises_stays_and_falls() -> None:
    def rate(step: int, progress: float) -> float:
        return rate_scale(step, progress, warm_up_steps=10, decay_share=0.4)

    assert [rate(0, 0), rate(4, 0.1), rate(99, 0.5)] == [0.1, 0.5, 1]
    assert rate(99, 0.8) == pytest.approx(0.5)
    assert rate(99, 1) == 0
