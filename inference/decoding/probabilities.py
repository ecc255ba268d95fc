"""From logits to probabilities, in float64."""

import numpy as np
import numpy.typing as npt

from inference.runtime.language_model import Logits


def log_probabilities(logits: Logits) -> npt.NDArray[np.float64]:
    """Return the natural logarithm of the softmax of each row, [num_rows, vocab_size]."""
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
