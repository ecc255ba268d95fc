"""One optimizer step after the other: the model, its optimizer and the device they are on.

Knows neither files nor time nor where windows come from.
"""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Final

import numpy as np
import torch
from torch import Tensor

from training.corpus.batches import Windows
from training.loop.optimizer import Optimizer
from training.model.configuration import Configuration
from training.model.decoder import Decoder, Losses, initialize
from training.model.experts import LOOPED, grouping_for
from training.model.quantization import Rounding

_SEARCH_SCALES_EVERY: Final = {"cuda": 8, "cpu": 16}
"""Steps. A search tries 21 scales for every block, and takes as long as a step does."""


class Trainer:
    """On a GPU layers are compiled and experts grouped, unless `plain` says to do without both."""

    def __init__(
        self, configuration: Configuration, device: torch.device, *, plain: bool = False
    ) -> None:
        # bf16 is faster than f32 on both: 1.4 to 2.7 times on two cores of an EPYC (measured)
        dtype = torch.bfloat16
        grouping = LOOPED if plain else grouping_for(device, dtype)
        self.configuration = configuration
        self.device = device
        self.decoder = Decoder(configuration.shape, dtype, grouping)
        initialize(self.decoder, configuration.seed)
        self.decoder.to(device)
        if device.type == "cuda" and not plain:
            self.decoder.compile_parts()
        self.parameters = dict(self.decoder.named_parameters())
        schedule = configuration.schedule
        self.optimizer = Optimizer(
            self.parameters,
            muon_learning_rate=schedule.muon_learning_rate,
            adam_learning_rate=schedule.adam_learning_rate,
            weight_decay=schedule.weight_decay,
        )
        self._rounding = Rounding(search_every=_SEARCH_SCALES_EVERY[device.type], device=device)

    def step(self, windows: Windows, *, scale: float) -> dict[str, Tensor]:
        """Take one step at `scale` times the learning rates; return what there is to log of it.

        The values stay on the device: looking at one waits for the step's end.
        """
        return self._update(self._backward(windows), scale)

    def quantized_step(self, windows: Windows, *, scale: float) -> dict[str, Tensor]:
        """Take a step whose gradients are those at the rounded weights."""
        with self._rounding.rounded_weights(self.parameters):
            parts = self._backward(windows)
        return self._update(parts, scale)

    @contextmanager
    def trained_weights(self) -> Generator[None]:
        """Within it the decoder holds what the last steps took their gradients at.

        Those are the rounded weights where training ended quantization-aware: a checkpoint of them
        loses nothing when it is exported, while the ones behind them were never judged themselves.
        """
        if not self.configuration.schedule.quantized_share:
            yield
            return
        rounding = Rounding(search_every=1, device=self.device)
        with rounding.rounded_weights(self.parameters):
            yield

    def state(self) -> dict[str, Tensor]:
        """Return all but the weights that going on from here depends on."""
        return {**self.optimizer.state(), **self._rounding.state()}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        self.optimizer.load_state(state)
        self._rounding.load_state(state)

    def warm_up(self, windows: Windows) -> None:
        """Compile whatever a step needs, without taking one."""
        self._backward(windows)
        for parameter in self.parameters.values():
            parameter.grad = None

    def _backward(self, windows: Windows) -> list[Losses]:
        """Add up the gradients of all windows, [num_windows, length + 1]."""
        schedule = self.configuration.schedule
        token_ids = torch.from_numpy(windows.astype(np.int64))
        if self.device.type == "cuda":
            token_ids = token_ids.pin_memory().to(self.device, non_blocking=True)
        num_windows = max(1, schedule.micro_batch_tokens // (windows.shape[1] - 1))
        micro_batches = token_ids.split(num_windows)
        parts: list[Losses] = []
        for micro_batch in micro_batches:
            losses = self.decoder.losses(micro_batch)
            total = (
                losses.prediction
                + schedule.load_balance_loss * losses.load_balance
                + schedule.router_z_loss * losses.z_loss
            )
            (total * len(micro_batch) / len(token_ids)).backward()
            parts.append(Losses(*(value.detach() for value in losses)))
        return parts

    def _update(self, parts: list[Losses], scale: float) -> dict[str, Tensor]:
        limit = self.configuration.schedule.max_gradient_norm
        norm = torch.nn.utils.clip_grad_norm_(self.parameters.values(), limit)
        self.optimizer.step(scale)
        means = {
            name: torch.stack([getattr(part, name) for part in parts]).mean(0)
            for name in Losses._fields
        }
        return {**means, "gradient_norm": norm}
