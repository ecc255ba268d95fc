"""From logits to probabilities."""

import numpy as np
import numpy.typing as npt

from inference.runtime.language_model import Logits


def log_probabilities(logits: Logits) -> npt.NDArray[np.float64]:
    """Return the natural logarithm of the softmax of each row, [num_rows, vocab_size]."""
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def log_probability(row: Logits, logit: float) -> float:
    """Return that of one token, whose logit this is, among a row of logits, [num_tokens].

    In float32, which is a third of the work and exact to about five digits.
    """
    highest = row.max()
    return float(logit - highest - np.log(np.exp(row - highest).sum()))
