"""Random histories of a cache: what was read, written, taken back or broken off must not show.

What is found is held against one run of a fresh cache, on f32 graphs.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Final

import numpy as np
import pytest
from hypothesis import strategies as st

from inference.cancellation import CancelToken
from inference.errors import RequestCancelledError
from inference.runtime.onnx import OnnxCache, OnnxModel
from tests.support.exported import read_tokens
from tests.support.tiny_checkpoints import VOCAB_SIZE

CAPACITY: Final = 128
EXACT: Final = 1e-4

HISTORIES: Final = st.lists(
    st.one_of(
        st.tuples(st.just("read"), st.integers(1, 40)),
        st.tuples(st.just("write"), st.integers(1, 12)),
        st.tuples(st.just("rewind"), st.integers(0, 60)),
        st.tuples(st.just("cancel"), st.integers(1, 40)),
    ),
    min_size=4,
    max_size=12,
)

CACHE_ACTIONS: Final = st.one_of(
    st.tuples(st.just("append"), st.integers(1, 20)),
    st.tuples(st.just("fail"), st.integers(1, 20)),
    st.tuples(st.just("rewind"), st.integers(0, 60)),
)
"""Of one kind of layer alone, without a graph."""


class CancelsInside(CancelToken):
    """Cancels itself once the runtime listens, which is in the run and no sooner."""

    def calling(self, callback: Callable[[], None]) -> AbstractContextManager[None]:
        context = super().calling(callback)
        self.set()
        return context


def check_history(model: OnnxModel, history: Sequence[tuple[str, int]], seed: int) -> None:
    """Live through a history, then read up to CAPACITY and compare with one run."""
    random = np.random.default_rng(seed)
    cache, held = model.create_cache(), list[int]()
    for action, number in history:
        room = CAPACITY - 1 - len(held)
        num_tokens = number if action == "rewind" else min(number, room)
        if num_tokens:
            token_ids = random.integers(0, VOCAB_SIZE, num_tokens).tolist()
            _act(model, cache, held, action, token_ids)
        assert cache.length == len(held)
    last = random.integers(0, VOCAB_SIZE, CAPACITY - len(held)).tolist()
    found = read_tokens(model, cache, last)
    expected = read_tokens(model, model.create_cache(), [*held, *last])[len(held) :]
    np.testing.assert_allclose(found, expected, rtol=0, atol=EXACT)


def _act(
    model: OnnxModel, cache: OnnxCache, held: list[int], action: str, token_ids: list[int]
) -> None:
    """Do one thing to a cache that holds `held`, and keep `held` true."""
    match action:
        case "read":
            read_tokens(model, cache, token_ids)
            held += token_ids
        case "write":
            for token_id in token_ids:
                read_tokens(model, cache, [token_id])
            held += token_ids
        case "cancel":
            with pytest.raises(RequestCancelledError):
                model.forward(token_ids, cache, num_logits=1, cancel=CancelsInside())
            _leave_nonsense(cache, len(token_ids))
        case "rewind":
            assert cache.rewind(max(0, len(held) - len(token_ids))) == cache.length
            del held[cache.length :]
        case _:
            raise AssertionError(action)


def _leave_nonsense(cache: OnnxCache, num_tokens: int) -> None:
    """Write where a run writes that is broken off later than this one was."""
    for part in cache.parts:
        lengths = part.inputs(num_tokens)
        total = [int(lengths[name]) for name in lengths if name.endswith("total_sequence_length")]
        written = slice(total[0] - num_tokens, total[0]) if total else slice(None)
        for array in part.present.values():
            array[:, :, written] = np.nan
