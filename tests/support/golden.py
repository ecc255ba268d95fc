"""Logits of the tiny checkpoints as transformers computes them, committed beside the tests.

`python -m tests.support.golden` makes them again; it needs torch and transformers.
"""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tests.support.exported import TOKEN_IDS
from tests.support.tiny_checkpoints import TINY_MODELS, TinyModel, write_tiny_checkpoint

GOLDEN = Path(__file__).parent.parent / "export" / "golden"
ROWS = np.arange(2, len(TOKEN_IDS), 3)
"""A third of the positions, the last among them: enough, and a third of the bytes."""

Float32 = npt.NDArray[np.float32]


def load_golden(model: TinyModel) -> Float32:
    """Return the logits of ROWS after TOKEN_IDS, [num_rows, vocab_size]."""
    return np.load(GOLDEN / f"{model.name}.npy")


def transformers_logits(model: TinyModel, folder: Path) -> Float32:
    """Compute what `load_golden` returns, afresh."""
    checkpoint = write_tiny_checkpoint(folder, model)
    return original_logits(load_original(checkpoint), TOKEN_IDS)[ROWS]


def load_original(checkpoint: Path) -> Any:
    import torch
    import transformers

    transformers.logging.disable_progress_bar()
    # One thread and the plain attention: the fewest reorderings of sums.
    torch.set_num_threads(1)
    return transformers.AutoModelForCausalLM.from_pretrained(
        checkpoint, dtype=torch.float32, attn_implementation="eager"
    ).eval()


def original_logits(original: Any, token_ids: Sequence[int]) -> Float32:
    import torch

    with torch.no_grad():
        return original(torch.tensor([list(token_ids)])).logits[0].numpy()


def main() -> None:
    for model in TINY_MODELS:
        with tempfile.TemporaryDirectory() as folder:
            np.save(GOLDEN / f"{model.name}.npy", transformers_logits(model, Path(folder)))


if __name__ == "__main__":
    main()
