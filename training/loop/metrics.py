"""What a run reports of itself: a line of metrics.jsonl every few steps, and one for the eye."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, TextIO

import torch
from torch import Tensor

from training.errors import TrainingError
from training.loop.speed import flops_per_token, matrix_rate, product_dtype
from training.model.checkpoint import Progress
from training.model.configuration import Configuration

Notes = dict[str, float | bool]

_LOG_EVERY: Final = 10
_FIRST_STEPS: Final = 3


class Reporter:
    """Writes and prints a line now and then; stops a run whose loss is no number any more."""

    def __init__(
        self, configuration: Configuration, device: torch.device, file: TextIO, progress: Progress
    ) -> None:
        self._configuration = configuration
        self._file = file
        self._last = progress
        self._device = device
        dtype = product_dtype(device)
        self._peak = matrix_rate(device, dtype)
        print(f"{device}: {self._peak / 1e12:.3f} TFLOP/s in a product of {dtype}", flush=True)

    def report(self, progress: Progress, measured: Mapping[str, Tensor], notes: Notes) -> None:
        """Report a step, if it is one of those that are reported. Raises TrainingError."""
        if progress.step % _LOG_EVERY and progress.step > _FIRST_STEPS:
            return
        line = log_line(progress, measured) | notes | self._speed(progress)
        self._last = progress
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()
        print(
            f"step {line['step']} loss {line['loss']:.4f} rate {line['rate_scale']:.3f} "
            f"{line['tokens_per_second']:,} tokens/s {line['peak_share']:.1%} of peak "
            f"{line.get('memory_gib', '-')} GiB "
            f"{progress.seconds:.0f} s",
            flush=True,
        )
        if not math.isfinite(line["loss"]):
            raise TrainingError(
                f"the loss is {line['loss']} at step {progress.step}; lower the learning rates"
            )

    def _speed(self, progress: Progress) -> dict[str, float]:
        schedule = self._configuration.schedule
        length = schedule.long_sequence_length if progress.is_long else schedule.sequence_length
        seconds = max(progress.seconds - self._last.seconds, 1e-9)
        rate = (progress.num_tokens - self._last.num_tokens) / seconds
        share = rate * flops_per_token(self._configuration.shape, length) / self._peak
        speed = {"tokens_per_second": round(rate), "peak_share": round(share, 4)}
        if self._device.type == "cuda":
            speed["memory_gib"] = round(torch.cuda.max_memory_allocated(self._device) / 2**30, 1)
        return speed


def log_line(progress: Progress, measured: Mapping[str, Tensor]) -> dict[str, Any]:
    """Return the numbers of a step. Loads are multiples of an even share, one for each layer."""
    load = measured["load"] * measured["load"].shape[-1]
    return {
        "step": progress.step,
        "tokens": progress.num_tokens,
        "seconds": round(progress.seconds, 2),
        "loss": round(float(measured["prediction"]), 5),
        "gradient_norm": round(float(measured["gradient_norm"]), 4),
        "load_balance": round(float(measured["load_balance"]), 4),
        "router_z": round(float(measured["z_loss"]), 4),
        "highest_load": [round(value, 3) for value in load.amax(dim=-1).tolist()],
        "lowest_load": [round(value, 3) for value in load.amin(dim=-1).tolist()],
    }


def forget_after(metrics: Path, step: int) -> None:
    """Drop the lines of steps that were taken but not saved; they are about to be taken again."""
    lines = metrics.read_text("utf-8").splitlines() if metrics.exists() else []
    kept = [line for line in lines if json.loads(line)["step"] <= step]
    if len(kept) < len(lines):
        metrics.write_text("".join(f"{line}\n" for line in kept), "utf-8")
