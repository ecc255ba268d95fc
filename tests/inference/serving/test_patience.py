"""How long is waited, and how often is tried again: plain arithmetic of a given clock."""

import pytest

from inference.serving.patience import Patience, RestartBudget

SMALL, LARGE = 9_000_000, 17_000_000_000


def check_budget(times: list[float], *, delays: list[float | None]) -> None:
    budget = RestartBudget(Patience())
    assert [budget.spend(when) for when in times] == delays


def test_each_restart_waits_twice_as_long_and_the_sixth_is_refused() -> None:
    check_budget([0, 1, 2, 3, 4, 5], delays=[0.2, 0.4, 0.8, 1.6, 1.6, None])


def test_restarts_are_forgotten_after_three_minutes() -> None:
    check_budget([0, 1, 179, 180, 200], delays=[0.2, 0.4, 0.8, 0.8, 0.8])


def test_a_host_serves_again_no_later_than_two_seconds_and_what_loading_takes() -> None:
    """However often it was killed; between two kills it loads for three seconds here."""
    budget, patience = RestartBudget(Patience()), Patience()
    delays = [budget.spend(3.0 * number) for number in range(patience.max_restarts)]
    assert all(delay is not None and delay < 2 for delay in delays)


def spent(budget: RestartBudget, now: float) -> RestartBudget:
    while budget.spend(now) is not None:
        pass
    return budget


def test_a_pause_doubles_while_the_engine_dies_at_once() -> None:
    budget, now, pauses = spent(RestartBudget(Patience()), 0.0), 0.0, list[float]()
    for _ in range(8):
        pauses.append(budget.pause(now))
        now += pauses[-1] + 1.0
        assert budget.spend(now) is None, "no quick restarts behind a pause"
    assert pauses == [15, 30, 60, 120, 240, 480, 600, 600]


def test_an_engine_that_lived_is_started_quickly_again_and_paused_shortly() -> None:
    budget = spent(RestartBudget(Patience()), 0.0)
    assert budget.pause(0.0) == 15
    assert budget.spend(15.0 + 180.0) == 0.2
    assert spent(budget, 196.0).pause(196.0) == 15


@pytest.mark.parametrize(
    ("model_bytes", "is_ready", "at_least_s", "at_most_s"),
    [
        (0, True, 3, 5),
        (SMALL, True, 3, 5),
        (SMALL, False, 120, 121),
        (LARGE, True, 340, 350),
        (LARGE, False, 460, 470),
    ],
)
def test_a_large_model_may_be_silent_for_as_long_as_a_slow_disk_reads_it(
    model_bytes: int, is_ready: bool, at_least_s: float, at_most_s: float
) -> None:
    patience = Patience()
    silent_s = patience.silence(model_bytes, is_ready=is_ready) * patience.heartbeat_s
    assert at_least_s <= silent_s <= at_most_s


def test_a_step_of_a_large_model_may_take_as_long_as_reading_it() -> None:
    assert Patience().longest_step_s(SMALL) == 10
    assert Patience().longest_step_s(LARGE) == 350
