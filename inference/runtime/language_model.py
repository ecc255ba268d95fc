"""The inner seam: what the engine needs of a model, and nothing of how it computes.

runtime.py implements it with onnxruntime; tests implement it with a script.
"""

from collections.abc import Sequence
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

from inference.cancellation import CancelToken

Logits = npt.NDArray[np.float32]

MAX_RUN_TOKENS: Final = 512
"""The most tokens of one forward. Reading goes by fewer, which is faster and stops sooner."""


class KvCache(Protocol):
    """Keys and values of the first `length` tokens, in a buffer of `capacity` tokens."""

    @property
    def capacity(self) -> int: ...

    @property
    def length(self) -> int: ...

    @property
    def goes_back_to_runs(self) -> bool:
        """Whether `rewind` reaches only lengths at which a run ended, and not all of those."""
        ...

    def rewind(self, length: int) -> int:
        """Forget everything after the first `length` tokens; return the length that is left.

        Exact. It is less than `length` where a layer keeps no state that old: read on from there.
        """
        ...


class Predictor(Protocol):
    """Guesses what the model would write, from what the model made of the text."""

    def guess(
        self, token_ids: Sequence[int], cache: KvCache, *, num_tokens: int, cancel: CancelToken
    ) -> Sequence[int]:
        """Return what may follow `token_ids`, of which the model's `cache` holds all but the last.

        Raises RequestCancelledError.
        """
        ...

    def rest(self) -> None:
        """Give up what memory it takes, as its model does."""
        ...


class LanguageModel(Protocol):
    @property
    def vocab_size(self) -> int: ...

    @property
    def context_length(self) -> int:
        """The most tokens a cache may hold."""
        ...

    @property
    def num_cache_bytes(self) -> int:
        """What one full cache takes."""
        ...

    def create_cache(self) -> KvCache:
        """Return an empty cache of `context_length` tokens."""
        ...

    def forward(
        self, token_ids: Sequence[int], cache: KvCache, *, num_logits: int, cancel: CancelToken
    ) -> Logits:
        """Append `token_ids`, at most MAX_RUN_TOKENS, and return the last rows of logits.

        The result, [num_logits, vocab_size], is a view that the next call overwrites.
        When the run raises, RequestCancelledError included, the cache's length is as before.
        """
        ...

    def rest(self) -> None:
        """Give up the memory of the weights; the next `forward` takes it again, which takes time.

        No cache that was created before may be used again.
        """
        ...
