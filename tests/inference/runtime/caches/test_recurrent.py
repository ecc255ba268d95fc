"""recurrent: a run reads the state after exactly the tokens before it, wherever a session was.

The run is a fake one whose state is a number that depends on all tokens in order.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from inference.package.manifest import Architecture, Full, Recurrent
from inference.runtime.caches import create_caches, num_cache_bytes
from inference.runtime.caches.recurrent import NUM_STATES, RecurrentLayers
from tests.support.histories import CACHE_ACTIONS

GARBAGE = -1.0
STATE = Recurrent(kernel_size=3, num_channels=5, num_heads=2, key_head_dim=3, value_head_dim=4)
ARCHITECTURE = Architecture(
    model_type="fake",
    vocab_size=8,
    hidden_size=8,
    num_hidden_layers=3,
    num_attention_heads=4,
    num_key_value_heads=2,
    head_dim=3,
    num_experts=0,
    num_experts_per_tok=0,
    cache_kinds=(STATE, Full(), STATE),
)


def state_after(token_ids: Sequence[int]) -> float:
    state = 0
    for token_id in token_ids:
        state = (state * 31 + token_id) % 1009
    return float(state)


@dataclass
class FakeRuns:
    token_ids: list[int] = field(default_factory=list)
    cache: RecurrentLayers = field(
        default_factory=lambda: RecurrentLayers(ARCHITECTURE, [0, 2], 1_000)
    )

    def append(self, token_ids: Sequence[int], *, fails: bool = False) -> None:
        self.cache.prepare(len(self.token_ids), len(token_ids))
        for name, array in self.cache.past.items():
            assert (array == state_after(self.token_ids)).all(), name
        after = GARBAGE if fails else state_after([*self.token_ids, *token_ids])
        for array in self.cache.present.values():
            array[...] = after
        if not fails:
            self.token_ids += token_ids

    def rewind(self, length: int) -> int:
        reached = self.cache.rewind(length)
        assert 0 <= reached <= length
        del self.token_ids[reached:]
        return reached


actions = st.lists(CACHE_ACTIONS, max_size=40)


@given(actions)
def test_a_run_reads_the_state_of_its_tokens_after_any_history(
    history: Sequence[tuple[str, int]],
) -> None:
    runs, next_id = FakeRuns(), 1
    for action, number in history:
        if action == "rewind":
            runs.rewind(max(0, len(runs.token_ids) - number))
        else:
            runs.append(range(next_id, next_id + number), fails=action == "fail")
            next_id += number
    runs.append([7])


def test_what_was_read_and_written_are_never_one_array() -> None:
    runs = FakeRuns()
    for token_id in range(30):
        runs.append([token_id])
        past, present = runs.cache.past, runs.cache.present
        assert not any(past[name] is present[name] for name in past)


def test_the_end_of_a_prompt_is_kept_while_a_completion_is_written() -> None:
    runs = FakeRuns()
    for num_tokens in (128, 128, 44):
        runs.append([1] * num_tokens)
    for _ in range(64):
        runs.append([2])
    assert runs.rewind(300) == 300


def test_the_start_is_reached_when_nothing_else_is() -> None:
    runs = FakeRuns()
    for _ in range(3 * NUM_STATES):
        runs.append([1])
    assert runs.rewind(0) == 0
    runs.append([5])


def test_a_run_that_failed_is_as_if_it_had_not_been() -> None:
    runs = FakeRuns()
    runs.append([1, 2, 3])
    runs.append([4], fails=True)
    assert runs.rewind(3) == 3
    runs.append([5])


def test_a_state_that_was_gone_behind_is_no_longer_there() -> None:
    runs = FakeRuns()
    runs.append([1, 2, 3])
    runs.append([4])
    assert runs.rewind(3) == 3
    runs.append([9])
    assert runs.rewind(4) == 4
    runs.append([5])


def test_the_bytes_of_all_states_are_counted_whatever_the_context() -> None:
    per_state = 2 * (2 * 5 + 2 * 3 * 4) * 4
    full = [kind for kind in create_caches(ARCHITECTURE, 100) if not kind.is_moving]
    keys_and_values = sum(array.nbytes for kind in full for array in kind.past.values())
    assert num_cache_bytes(ARCHITECTURE, 100) == NUM_STATES * per_state + keys_and_values
