"""The text that calibration and the quality gate read, as a checkpoint's tokenizer cuts it."""

from pathlib import Path
from typing import Final

import msgspec
import numpy as np

from export.errors import UnsupportedError
from inference.runtime.tokenizer import Tokenizer

_FOLDER: Final = Path(__file__).parent
QUALITY_TEXT: Final = _FOLDER / "quality.txt"
ROUNDING_TEXT: Final = _FOLDER / "rounding.txt"

NUM_TOKENS: Final = 4096
"""Positions compared. The share of equal tokens is then known to 0.4 % (one standard error)."""

NUM_TOKENS_OF_LARGE: Final = 512
"""The same of models that take a minute for the others; known to 1.4 %."""

NUM_TOKENS_FOR_SQUARES: Final = 512
"""Enough for the mean square of each column, which takes far fewer than all moments do."""

WINDOW: Final = 256
"""Tokens that are read together; a window sees nothing of another."""


class Text(msgspec.Struct, frozen=True, kw_only=True):
    """Token ids of as many whole windows as there are, one after the other."""

    token_ids: tuple[int, ...]
    window: int

    def windows(self) -> list[tuple[int, ...]]:
        starts = range(0, len(self.token_ids), self.window)
        return [self.token_ids[start : start + self.window] for start in starts]


def read_text(path: Path, tokenizer: Tokenizer, *, num_tokens: int, window: int) -> Text:
    """Take windows from all over a text file, `num_tokens` in all where it has so many.

    Raises UnsupportedError where the file is no text or has not one window of tokens.
    """
    try:
        token_ids = list(tokenizer.encode(path.read_text("utf-8"), is_beginning=True))
    except (OSError, UnicodeDecodeError) as error:
        raise UnsupportedError(f"cannot read {path} as UTF-8 text: {error}") from error
    num_windows = min(max(1, num_tokens // window), len(token_ids) // window)
    if num_windows == 0:
        raise UnsupportedError(
            f"{path} has {len(token_ids)} tokens, not {window}; use a longer one"
        )
    starts = np.linspace(0, len(token_ids) - window, num_windows).astype(int).tolist()
    taken = [token for start in starts for token in token_ids[start : start + window]]
    return Text(token_ids=tuple(taken), window=window)
