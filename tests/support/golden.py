"""Logits of the tiny checkpoints as transformers computes them, committed beside the tests.

`python -m tests.support.golden [NAME ...]` makes them again, all or those named; it needs torch
and transformers.
"""

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tests.support.equivalents import write_original
from tests.support.exported import TOKEN_IDS
from tests.support.published_grok import grok_logits
from tests.support.tiny_checkpoints import TINY_MODELS, TinyModel, random_tensors
from tests.support.tiny_families import FAMILY_MODELS

GOLDEN = Path(__file__).parent.parent / "export" / "golden"
ROWS = np.arange(2, len(TOKEN_IDS), 3)
"""A third of the positions, the last among them: enough, and a third of the bytes."""

NUM_GREEDY_TOKENS = 32
ALL_MODELS = (*TINY_MODELS, *FAMILY_MODELS)
PUBLISHED_MODELS = tuple(
    model for model in FAMILY_MODELS if model.full_config["model_type"] == "grok-1"
)
"""Transformers has no class for them; see `published_logits`."""

Float32 = npt.NDArray[np.float32]


def load_golden(model: TinyModel) -> Float32:
    """Return the logits of ROWS after TOKEN_IDS, [num_rows, vocab_size]."""
    return np.load(GOLDEN / f"{model.name}.npy")


def load_greedy(model: TinyModel) -> list[int]:
    """Return the tokens that a greedy reader writes after TOKEN_IDS."""
    return np.load(GOLDEN / f"{model.name}.greedy.npy").tolist()


def load_original(checkpoint: Path) -> Any:
    import torch
    import transformers

    transformers.logging.disable_progress_bar()
    # One thread and the plain attention: the fewest reorderings of sums.
    torch.set_num_threads(1)
    original, report = transformers.AutoModelForCausalLM.from_pretrained(
        checkpoint,
        dtype=torch.float32,
        attn_implementation="eager",
        output_loading_info=True,
    )
    # A tensor that it did not find would be random.
    assert not any(report.values()), report
    return original.eval()


def original_logits(original: Any, token_ids: Sequence[int]) -> Float32:
    import torch

    with torch.no_grad():
        return original(torch.tensor([list(token_ids)])).logits[0].numpy()


def published_logits(model: TinyModel, token_ids: Sequence[int]) -> Float32:
    logits = grok_logits(model.full_config, random_tensors(model), token_ids)
    return logits.astype(np.float32)


def published_greedy_tokens(model: TinyModel) -> list[int]:
    token_ids = list(TOKEN_IDS)
    for _ in range(NUM_GREEDY_TOKENS):
        token_ids.append(int(published_logits(model, token_ids)[-1].argmax()))
    return token_ids[len(TOKEN_IDS) :]


def original_greedy_tokens(
    original: Any, prompt: Sequence[int], num_tokens: int = NUM_GREEDY_TOKENS
) -> list[int]:
    import torch

    written: list[int] = []
    unread, cache = torch.tensor([list(prompt)]), None
    with torch.no_grad():
        for _ in range(num_tokens):
            result = original(unread, past_key_values=cache, use_cache=True)
            cache = result.past_key_values
            unread = result.logits[:, -1:].argmax(dim=-1)
            written.append(int(unread))
    return written


def main() -> None:
    for model in ALL_MODELS:
        if len(sys.argv) > 1 and model.name not in sys.argv[1:]:
            continue
        if model in PUBLISHED_MODELS:
            logits = published_logits(model, TOKEN_IDS)
            greedy = published_greedy_tokens(model)
        else:
            with tempfile.TemporaryDirectory() as folder:
                original = load_original(write_original(Path(folder), model))
            logits = original_logits(original, TOKEN_IDS)
            greedy = original_greedy_tokens(original, TOKEN_IDS)
        np.save(GOLDEN / f"{model.name}.npy", logits[ROWS])
        np.save(GOLDEN / f"{model.name}.greedy.npy", np.array(greedy, np.int16))


if __name__ == "__main__":
    main()
