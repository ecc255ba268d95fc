"""Choices are laid out expert by expert, each in a place of its own, at aligned rows."""

import pytest

torch = pytest.importorskip("torch")

from training.model.experts import LOOPED, buffer_length, mixture_of_experts, places_by_expert  # noqa: E402

pytestmark = pytest.mark.parity


@pytest.mark.parametrize("alignment", [1, 8, 16])
@pytest.mark.parametrize("skew", [0.0, 3.0])
def test_places(alignment: int, skew: float) -> None:
    generator = torch.Generator().manual_seed(0)
    scores = torch.rand(100, 6, generator=generator)
    scores[:, 2] += skew
    chosen = scores.topk(2).indices
    places, ends = places_by_expert(chosen, 6, alignment)
    experts = chosen.flatten()
    assert len(set(places.tolist())) == len(places)
    assert ends[-1] == buffer_length(200, 6, alignment)
    assert not (ends % alignment).any()
    starts = [0, *ends[:-1].tolist()]
    for place, expert in zip(places.tolist(), experts.tolist(), strict=True):
        assert starts[expert] <= place < ends[expert]


def test_an_expert_without_tokens_is_no_trouble() -> None:
    chosen = torch.tensor([[0], [0], [2]])
    places, ends = places_by_expert(chosen, 4, 1)
    assert places.tolist() == [0, 1, 2]
    assert ends.tolist() == [2, 2, 3, 3]


def test_the_mixture_is_the_weighted_sum_of_the_chosen_experts() -> None:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(10, 8, generator=generator)
    chosen = torch.rand(10, 4, generator=generator).topk(2).indices
    weights = torch.rand(10, 2, generator=generator)
    gate, up = (torch.randn(4, 16, 8, generator=generator) for _ in range(2))
    down = torch.randn(4, 8, 16, generator=generator)
    for row, (experts, shares) in enumerate(zip(chosen, weights, strict=True)):
        parts = [
            share * down[e] @ (torch.nn.functional.silu(gate[e] @ x[row]) * (up[e] @ x[row]))
            for e, share in zip(experts, shares, strict=True)
        ]
        found = mixture_of_experts(x, chosen, weights, (gate, up, down), LOOPED)[row]
        assert torch.allclose(found, sum(parts), atol=1e-4)
