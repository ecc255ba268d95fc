"""windowed: wherever a session was, the buffer holds what the next tokens see.

The run is a fake one that appends token ids where the operator appends keys and values.
"""

import contextlib
import tracemalloc
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.package.manifest import Architecture, CacheKind, Full, Heads, Windowed
from inference.runtime.caches import create_caches, num_cache_bytes
from inference.runtime.caches.windowed import WindowedLayers
from inference.runtime.language_model import MAX_RUN_TOKENS
from tests.support.histories import CACHE_ACTIONS

GARBAGE = -1
LARGE = Heads(number=1, size=5)


def architecture(*kinds: CacheKind) -> Architecture:
    return Architecture(
        model_type="fake",
        vocab_size=8,
        hidden_size=8,
        num_hidden_layers=len(kinds),
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=3,
        num_experts=0,
        num_experts_per_tok=0,
        cache_kinds=kinds,
    )


@dataclass
class FakeRuns:
    """Layers 0 and 2 of three see a window; keys are token ids, values their negatives."""

    window: int
    capacity: int
    token_ids: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        kinds = architecture(Windowed(self.window), Full(), Windowed(self.window))
        self.cache = WindowedLayers(kinds, [0, 2], self.capacity)

    def append(self, token_ids: Sequence[int], *, fails: bool = False) -> None:
        """Write token ids, and check that those of the window stand before them."""
        length, num_tokens = len(self.token_ids), len(token_ids)
        self.cache.prepare(length, num_tokens)
        inputs = self.cache.inputs(num_tokens)
        total = int(inputs["window_total_sequence_length"])
        assert inputs["window_seqlens_k"].tolist() == [total - 1]
        assert inputs["position_ids"].tolist() == [list(range(length, length + num_tokens))]
        for name, array in self.cache.present.items():
            sign = -1 if name.startswith("value") else 1
            written = array[0, :, total - num_tokens : total, :]
            written[...] = [[GARBAGE if fails else sign * token_id] * 3 for token_id in token_ids]
        if fails:
            return
        self.token_ids += token_ids
        num_seen = min(len(self.token_ids), self.window - 1 + num_tokens)
        assert num_seen <= total
        for name, array in self.cache.past.items():
            sign = -1 if name.startswith("value") else 1
            seen = array[0, :, total - num_seen : total, :]
            expected = [sign * token_id for token_id in self.token_ids[-num_seen:]]
            assert (seen == [[[number] * 3 for number in expected]]).all(), name

    def rewind(self, length: int) -> None:
        assert self.cache.rewind(length) == length
        del self.token_ids[length:]


@contextlib.contextmanager
def traced_bytes() -> Generator[Callable[[], int]]:
    """Count what is allocated in the block, as numpy and Python report it."""
    tracemalloc.start()
    try:
        yield lambda: tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()


actions = st.lists(CACHE_ACTIONS, max_size=30)


@given(st.integers(1, 24), st.integers(40, 80), actions)
def test_what_a_token_sees_is_in_the_buffer_after_any_history(
    window: int, capacity: int, history: Sequence[tuple[str, int]]
) -> None:
    runs, next_id = FakeRuns(window, capacity), 1
    for action, number in history:
        length = len(runs.token_ids)
        if action == "rewind":
            runs.rewind(min(number, length))
        elif length + number <= capacity:
            runs.append(range(next_id, next_id + number), fails=action == "fail")
            next_id += number


def test_steps_between_two_slides_look_at_few_tokens_more_than_the_window() -> None:
    runs = FakeRuns(window=16, capacity=100)
    totals: set[int] = set()
    for token_id in range(100):
        runs.append([token_id])
        totals.add(int(runs.cache.inputs(1)["window_total_sequence_length"]))
    assert max(totals) == 17


def test_the_widest_window_decides_for_all_layers() -> None:
    cache = WindowedLayers(architecture(Windowed(4), Windowed(50)), [0, 1], 100)
    for length in range(100):
        cache.prepare(length, 1)
    assert int(cache.inputs(1)["window_total_sequence_length"]) >= 50


@pytest.mark.parametrize(
    "kinds",
    [
        [Full()],
        [Windowed(8)],
        [Windowed(8), Full(), Windowed(900)],
        [Windowed(8, LARGE), Full(), Full(LARGE)],
    ],
)
@pytest.mark.parametrize("capacity", [1, 9, 1_000, 5_000])
def test_what_is_counted_is_what_is_allocated(kinds: list[CacheKind], capacity: int) -> None:
    described = architecture(*kinds)
    with traced_bytes() as num_traced:
        caches = create_caches(described, capacity)
        allocated = num_traced()
    assert caches
    assert 0 <= allocated - num_cache_bytes(described, capacity) < 20_000  # small inputs, objects


def test_a_layer_has_heads_of_its_own() -> None:
    caches = create_caches(architecture(Windowed(4), Full(LARGE), Full()), 9)
    shapes = {name: array.shape for part in caches for name, array in part.past.items()}
    assert shapes["key.1"] == shapes["value.1"] == (1, 1, 9, 5)
    assert shapes["key.0"] == shapes["value.2"] == (1, 2, 9, 3)


def test_windowed_layers_with_different_heads_are_refused() -> None:
    with pytest.raises(ValueError, match="keys of several sizes"):
        architecture(Windowed(4), Windowed(4, LARGE))


def test_a_long_context_needs_no_more_than_an_archive_beside_the_window() -> None:
    full = num_cache_bytes(architecture(Full()), 16_384)
    windowed = num_cache_bytes(architecture(Windowed(1_024)), 16_384)
    per_token = full // 16_384
    assert windowed == full + (1_023 + MAX_RUN_TOKENS) * per_token
