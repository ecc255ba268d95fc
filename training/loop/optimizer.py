"""Muon for the matrices, AdamW for the rest, and the learning rate's course.

Muon: Jordan et al. 2024, "Muon: an optimizer for hidden layers in neural networks"; momentum, then
the nearest orthogonal matrix by five Newton-Schulz steps. Experts are stacks of matrices; all
matrices of one shape, whatever their layer, are orthogonalized together.

Knows parameters and gradients: no model, no data, no time.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import torch
from torch import Tensor, nn

from training.loop.speed import product_dtype

_NEWTON_SCHULZ: Final = (3.4445, -4.7750, 2.0315)
"""The quintic whose slope at zero is largest; the singular values end within 0.7 and 1.2."""

_NUM_ITERATIONS: Final = 5
_MUON_MOMENTUM: Final = 0.95
_ADAM_BETAS: Final = (0.9, 0.95)
_ADAM_EPSILON: Final = 1e-10
_NOT_MATRICES: Final = ("embed_tokens", "gate")
"""The embedding is a table and the router a handful of rows: both get AdamW."""


class Optimizer:
    """Keeps one or two tensors of state for each parameter, by the parameter's name."""

    def __init__(
        self,
        parameters: Mapping[str, nn.Parameter],
        *,
        muon_learning_rate: float,
        adam_learning_rate: float,
        weight_decay: float,
    ) -> None:
        self._parameters = dict(parameters)
        self._muon_learning_rate = muon_learning_rate
        self._adam_learning_rate = adam_learning_rate
        self._weight_decay = weight_decay
        self._num_steps = 0
        self._momentum = {name: torch.zeros_like(p) for name, p in parameters.items()}
        self._square = {
            name: torch.zeros_like(p) for name, p in parameters.items() if not is_matrix(name, p)
        }
        self._shapes: dict[torch.Size, list[str]] = defaultdict(list)
        for name, parameter in parameters.items():
            if is_matrix(name, parameter):
                self._shapes[parameter.shape[-2:]].append(name)
        self._orthogonal: Callable[[Tensor], Tensor] = orthogonal

    @torch.no_grad()
    def warm_up(self, *, is_compiled: bool) -> None:
        """Orthogonalize as many matrices of each shape as a step will, compiled if wanted."""
        self._orthogonal = torch.compile(orthogonal, dynamic=False) if is_compiled else orthogonal
        for shape, names in self._shapes.items():
            number = sum(self._parameters[name].numel() for name in names) // shape.numel()
            self._orthogonal(self._parameters[names[0]].new_ones(number, *shape))

    @torch.no_grad()
    def step(self, scale: float) -> None:
        """Take one step at `scale` times the learning rates, and forget the gradients."""
        self._num_steps += 1
        for names in self._shapes.values():
            self._muon(names, self._muon_learning_rate * scale)
        for name in self._square:
            self._adam(name, self._adam_learning_rate * scale)
        for parameter in self._parameters.values():
            parameter.grad = None

    def state(self) -> dict[str, Tensor]:
        """Return the state as one flat mapping of tensors; see `load_state`."""
        momentum = {f"momentum.{name}": value for name, value in self._momentum.items()}
        square = {f"square.{name}": value for name, value in self._square.items()}
        return {**momentum, **square, "num_steps": torch.tensor(self._num_steps)}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        for name, value in self._momentum.items():
            value.copy_(state[f"momentum.{name}"])
        for name, value in self._square.items():
            value.copy_(state[f"square.{name}"])
        self._num_steps = int(state["num_steps"])

    def _muon(self, names: Sequence[str], rate: float) -> None:
        updates: list[Tensor] = []
        for name in names:
            gradient, momentum = _gradient(self._parameters[name]), self._momentum[name]
            momentum.lerp_(gradient, 1 - _MUON_MOMENTUM)
            nesterov = gradient.lerp(momentum, _MUON_MOMENTUM)
            updates.append(nesterov.reshape(-1, *nesterov.shape[-2:]))
        directions = self._orthogonal(torch.cat(updates)).split([len(u) for u in updates])
        for name, direction in zip(names, directions, strict=True):
            parameter = self._parameters[name]
            rows, columns = parameter.shape[-2:]
            parameter.mul_(1 - rate * self._weight_decay)
            shaped = direction.reshape(parameter.shape).to(parameter.dtype)
            parameter.add_(shaped, alpha=-rate * max(1.0, rows / columns) ** 0.5)

    def _adam(self, name: str, rate: float) -> None:
        parameter, first, second = self._parameters[name], self._momentum[name], self._square[name]
        gradient = _gradient(parameter)
        first.lerp_(gradient, 1 - _ADAM_BETAS[0])
        second.lerp_(gradient.square(), 1 - _ADAM_BETAS[1])
        corrected = first / (1 - _ADAM_BETAS[0] ** self._num_steps)
        spread = (second / (1 - _ADAM_BETAS[1] ** self._num_steps)).sqrt_() + _ADAM_EPSILON
        if parameter.dim() > 1:
            parameter.mul_(1 - rate * self._weight_decay)
        parameter.addcdiv_(corrected, spread, value=-rate)


def orthogonal(matrices: Tensor) -> Tensor:
    """Return about the nearest semi-orthogonal matrix of each, [num_matrices, rows, columns].

    In bf16 where the device multiplies it: the iteration bears that, and it takes 0.4 times as long
    as float32 on one core of an EPYC with AVX-512 (measured).
    """
    a, b, c = _NEWTON_SCHULZ
    is_tall = matrices.shape[-2] > matrices.shape[-1]
    x = matrices.mT if is_tall else matrices
    x = (x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)).to(product_dtype(x.device))
    for _ in range(_NUM_ITERATIONS):
        square = x @ x.mT
        x = a * x + (b * square + c * square @ square) @ x
    return x.mT if is_tall else x


def is_matrix(name: str, parameter: Tensor) -> bool:
    """Tell whether Muon takes this parameter."""
    return parameter.dim() > 1 and name.rpartition(".")[2] not in _NOT_MATRICES


def rate_scale(step: int, progress: float, *, warm_up_steps: int, decay_share: float) -> float:
    """Return the learning rate's share of its peak: a ramp, a plateau, then linearly to zero.

    `progress` is the done share of the run, by steps or by time.
    """
    ramp = min(1.0, (step + 1) / max(1, warm_up_steps))
    decay = min(1.0, (1 - progress) / decay_share) if decay_share else 1.0
    return max(0.0, min(ramp, decay))


def _gradient(parameter: nn.Parameter) -> Tensor:
    return torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
