"""One optimizer step after the other: the model, its optimizer and the device they are on.

Knows neither files nor time nor where windows come from.
"""

import gc
from collections.abc import Mapping
from typing import Final, NamedTuple

import numpy as np
import torch
from torch import Tensor

from training.corpus.batches import Windows
from training.errors import TrainingError
from training.loop.optimizer import Optimizer
from training.loop.speed import product_dtype
from training.model.configuration import Configuration
from training.model.decoder import Decoder, Losses, initialize
from training.model.experts import LOOPED, grouping_for
from training.model.quantization import Rounding

_SEARCH_SCALES_EVERY: Final = {"cuda": 8, "cpu": 16}
"""Steps. A search tries 21 scales for every block, and takes as long as a step does."""


class Way(NamedTuple):
    """How a step is computed; all ways give the same but for rounding."""

    is_compiled: bool
    is_grouped: bool

    def __str__(self) -> str:
        layers = "compiled layers" if self.is_compiled else "layers as they are"
        return f"{layers}, {'grouped' if self.is_grouped else 'looped'} experts"


WAYS: Final = (Way(True, True), Way(False, True), Way(False, False))
"""From the fastest on a GPU to the one that runs everywhere."""


class Trainer:
    """Computes a step the plain way until `warm_up` has found a faster one."""

    def __init__(
        self,
        configuration: Configuration,
        device: torch.device,
        dtype: torch.dtype | None = None,
    ) -> None:
        # bf16 is faster than f32 on both: 1.4 to 2.7 times on two cores with AVX-512 (measured)
        self.decoder = Decoder(configuration.shape, dtype or product_dtype(device), LOOPED)
        self.configuration = configuration
        self.device = device
        self.micro_batch_tokens = configuration.schedule.micro_batch_tokens
        initialize(self.decoder, configuration.seed)
        self.decoder.to(device)
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

    def state(self) -> dict[str, Tensor]:
        """Return all but the weights that going on from here depends on."""
        return {**self.optimizer.state(), **self._rounding.state()}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        self.optimizer.load_state(state)
        self._rounding.load_state(state)

    def warm_up(self, windows: Windows) -> None:
        """Settle for the first of WAYS that takes a step; nothing that is trained changes.

        Where memory runs out the micro-batches are halved first. Raises TrainingError where no way
        works.
        """
        reasons: list[str] = []
        for way in WAYS:
            size = self.configuration.schedule.micro_batch_tokens
            while size >= windows.shape[1] - 1:
                reason = self._try(way, size, windows)
                if reason is None:
                    print(f"{self.device}: {way}, {size} tokens at once", flush=True)
                    return
                print(f"{way}, {size} tokens at once: {reason}", flush=True)
                reasons.append(reason)
                if not reason.startswith(_NO_MEMORY):
                    break
                size //= 2
        raise TrainingError(f"no way of computing a step works here: {'; '.join(reasons)}")

    def _try(self, way: Way, size: int, windows: Windows) -> str | None:
        """Take whatever a step needs, without updating; return why that did not work."""
        self.micro_batch_tokens = size
        try:
            grouping = grouping_for(self.device, self.decoder.dtype) if way.is_grouped else LOOPED
            self.decoder.run_as(grouping, is_compiled=way.is_compiled)
            with Rounding(search_every=1, device=self.device).rounded_weights(self.parameters):
                self._backward(windows)
            self.optimizer.warm_up(is_compiled=way.is_compiled)
        except torch.OutOfMemoryError as error:
            return f"{_NO_MEMORY}: {_first_line(error)}"
        # whatever a compiler or a kernel raises: the next way does without it
        except Exception as error:
            return f"{type(error).__name__}: {_first_line(error)}"
        finally:
            for parameter in self.parameters.values():
                parameter.grad = None
            gc.collect()
            if self.device.type == "cuda":
                torch.cuda.empty_cache()
        return None

    def _backward(self, windows: Windows) -> list[Losses]:
        """Add up the gradients of all windows, [num_windows, length + 1]."""
        schedule = self.configuration.schedule
        token_ids = torch.from_numpy(windows.astype(np.int64))
        if self.device.type == "cuda":
            token_ids = token_ids.pin_memory().to(self.device, non_blocking=True)
        num_windows = max(1, self.micro_batch_tokens // (windows.shape[1] - 1))
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


_NO_MEMORY: Final = "memory ran out"


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), "")[:300]
