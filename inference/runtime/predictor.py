"""Guess the tokens behind the next one with a package's second graph.

It is a decoder of one layer: from the hidden state of a token and the token behind that one, it
predicts the one behind both, and from its own hidden state another one. It keeps keys and values of
such pairs in a cache beside the model's, which holds the hidden states; pairs are read when a guess
is asked for, so where nobody guesses nothing is read. Guesses are no more than that: the model
verifies them.
"""

from collections.abc import Sequence
from pathlib import Path
from weakref import WeakKeyDictionary

import msgspec
import numpy as np
import numpy.typing as npt

from inference.cancellation import CancelToken
from inference.package.manifest import PREDICTOR_FILE, ModelManifest
from inference.runtime.flows import Hidden
from inference.runtime.language_model import MAX_RUN_TOKENS, KvCache, Predictor
from inference.runtime.onnx import OnnxCache, OnnxModel
from inference.runtime.placement import PLACEMENTS, kept_by


def load_predictor(
    folder: Path, manifest: ModelManifest, *, num_threads: int | None = None
) -> Predictor | None:
    """Load the second graph of a package whose files were verified, where it can be of use.

    Raises InvalidModelError as OnnxModel.load does.
    """
    if kept_by(PLACEMENTS["cpu"], manifest.architecture).predictor is None:
        return None
    own = msgspec.structs.replace(manifest, architecture=manifest.architecture.of_predictor())
    model = OnnxModel.load_graph(folder / PREDICTOR_FILE, own, num_threads=num_threads)
    return OnnxPredictor(model)


class _Pairs(msgspec.Struct):
    """The predictor's cache of one session: `token_ids` are those that its pairs were made of."""

    cache: OnnxCache
    token_ids: npt.NDArray[np.int64]


class OnnxPredictor:
    """Used from one thread only, as the model (invariant 9)."""

    def __init__(self, model: OnnxModel) -> None:
        self._model = model
        self._pairs = WeakKeyDictionary[OnnxCache, _Pairs]()

    def guess(
        self, token_ids: Sequence[int], cache: KvCache, *, num_tokens: int, cancel: CancelToken
    ) -> list[int]:
        """Return what may follow `token_ids`, of which `cache` holds all but the last.

        Raises RequestCancelledError; what was read by then is kept.
        """
        assert isinstance(cache, OnnxCache)
        assert cache.hidden is not None
        assert len(token_ids) == cache.length + 1
        pairs = self._pairs_of(cache, np.asarray(token_ids, np.int64))
        held = pairs.cache.length
        hidden = cache.hidden[held : cache.length]
        guessed: list[int] = []
        unread = list(token_ids[held + 1 :])
        while len(guessed) < num_tokens:
            token_id, hidden = self._read(pairs.cache, unread, hidden, cancel)
            guessed.append(token_id)
            unread = [token_id]
        return guessed

    def rest(self) -> None:
        self._pairs.clear()
        self._model.rest()

    def _pairs_of(self, cache: OnnxCache, token_ids: npt.NDArray[np.int64]) -> _Pairs:
        """Return the pairs that are still those of these tokens, none of which was a guess."""
        pairs = self._pairs.get(cache)
        if pairs is None:
            pairs = _Pairs(self._model.create_cache(), np.zeros(0, np.int64))
            self._pairs[cache] = pairs
        longest = min(len(pairs.token_ids), len(token_ids), pairs.cache.length + 1)
        differs = np.flatnonzero(pairs.token_ids[:longest] != token_ids[:longest])
        num_same = int(differs[0]) if len(differs) else longest
        pairs.cache.rewind(max(0, min(num_same - 1, len(token_ids) - 2)))
        pairs.token_ids = token_ids
        return pairs

    def _read(
        self,
        cache: OnnxCache,
        token_ids: Sequence[int],
        given: Hidden,
        cancel: CancelToken,
    ) -> tuple[int, Hidden]:
        """Read pairs; return the likeliest token behind the last, and its hidden state."""
        token_id, last = 0, given
        for start in range(0, len(token_ids), MAX_RUN_TOKENS):
            run = token_ids[start : start + MAX_RUN_TOKENS]
            self._model.give(given[start : start + len(run)])
            logits = self._model.forward(run, cache, num_logits=1, cancel=cancel)
            token_id, last = int(logits[-1].argmax()), self._model.hidden_of(len(run))[-1:].copy()
        return token_id, last
