"""Whatever happened before, a session answers as a fresh one would, and never loses count."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.cancellation import CancelToken
from inference.decoding.session import NUM_LIKELY_CHANGED, PREFILL_CHUNK, Session
from inference.errors import RequestCancelledError
from inference.runtime.language_model import Logits
from tests.support.scripted_model import ScriptedModel, noise


def prompt(text: str) -> list[int]:
    return list(text.encode())


def check(first: str, second: str, *, reads: int) -> None:
    """Prefill two prompts one after the other; the second reads so many tokens."""
    model = ScriptedModel(noise(1))
    session = Session(model)
    session.prefill(prompt(first), CancelToken())
    before = model.num_tokens_read
    _, num_reused = session.prefill(prompt(second), CancelToken())
    assert model.num_tokens_read - before == reads
    assert num_reused == len(second) - reads


def test_a_typed_character_costs_one_token() -> None:
    check("def f", "def fo", reads=1)


def test_a_deleted_character_costs_one_token() -> None:
    check("def fo", "def f", reads=1)


def test_the_same_prompt_reads_its_last_token_again() -> None:
    check("def f", "def f", reads=1)


def test_only_what_follows_the_first_difference_is_read() -> None:
    check("abcdef", "abcxef", reads=3)


def test_another_prompt_is_read_whole() -> None:
    check("abc", "xyz", reads=3)


def test_a_long_prompt_is_read_in_chunks() -> None:
    model = ScriptedModel(noise(1))
    Session(model).prefill([7] * (2 * PREFILL_CHUNK + 1), CancelToken())
    assert model.num_forwards == 3


def test_what_was_read_before_a_cancellation_is_kept() -> None:
    token = CancelToken()
    model = ScriptedModel(noise(1), on_forward=lambda runs: token.set() if runs == 2 else None)
    session = Session(model)
    with pytest.raises(RequestCancelledError):
        session.prefill([7] * 300, token)
    assert len(session.token_ids) == session.cache_length == PREFILL_CHUNK
    _, num_reused = session.prefill([7] * 300, CancelToken())
    assert num_reused == PREFILL_CHUNK


def test_a_cache_that_cannot_go_back_far_enough_is_read_on_from_where_it_went() -> None:
    model = ScriptedModel(noise(1), stride=4)
    session = Session(model)
    session.prefill(prompt("def foo"), CancelToken())
    _, num_reused = session.prefill(prompt("def fax"), CancelToken())
    assert num_reused == session.cache_length - 3 == 4
    assert model.num_tokens_read == 7 + 3


def check_stops(*prompts: str, lengths: Sequence[int], stride: int = 4) -> None:
    """Prefill prompts one after the other; the last one's runs end at these lengths."""
    ends: list[int] = []
    session = Session(ScriptedModel(noise(1), stride=stride))
    append = session.append

    def record(token_ids: Sequence[int], cancel: CancelToken) -> Logits:
        logits = append(token_ids, cancel)
        ends.append(session.cache_length)
        return logits

    session.append = record  # pyright: ignore[reportAttributeAccessIssue]
    for text in prompts:
        ends.clear()
        session.prefill(prompt(text), CancelToken())
    assert ends == lengths


def test_it_is_read_up_to_the_edit_first_so_that_it_can_go_back_there() -> None:
    check_stops("def foo", "def fax", lengths=[5, 7])


def test_it_is_read_up_to_shortly_before_the_end_so_that_it_can_go_back_there() -> None:
    check_stops("x" * 20, lengths=[20 - NUM_LIKELY_CHANGED, 20])


def test_another_cache_is_read_without_a_stop() -> None:
    check_stops("x" * 20, "x" * 18 + "yy", lengths=[20], stride=1)


prompts = st.lists(st.integers(0, 2), min_size=1, max_size=12)
steps = st.lists(st.tuples(prompts, st.integers(1, 4), st.booleans()), max_size=8)


@given(steps, prompts, st.sampled_from([1, 4]))
def test_after_any_history_the_answer_is_that_of_a_fresh_session(
    history: Sequence[tuple[list[int], int, bool]], last: list[int], stride: int
) -> None:
    failing = False

    def on_forward(_: int) -> None:
        if failing:
            raise RuntimeError("the run failed")

    session = Session(ScriptedModel(noise(3), stride=stride, on_forward=on_forward))
    for token_ids, num_appended, failing in history:  # noqa: B007 - read by on_forward
        try:
            session.prefill(token_ids, CancelToken())
            for token_id in range(num_appended):
                session.append([token_id], CancelToken())
        except RuntimeError:
            pass
        assert session.cache_length == len(session.token_ids)
    failing = False
    warm, _ = session.prefill(last, CancelToken())
    cold, _ = Session(ScriptedModel(noise(3))).prefill(last, CancelToken())
    assert (warm == cold).all()
    assert list(session.token_ids) == last
