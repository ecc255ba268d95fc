"""Two runs of different length say what others take."""

from inference.decoding.pace import MEASURED_RUNS, Pace, measure_pace
from tests.support.scripted_model import ScriptedModel, noise


def pace_of(*runs: tuple[int, float]) -> Pace:
    pace = Pace()
    for num_tokens, milliseconds in runs:
        pace.note(num_tokens, milliseconds)
    return pace


def test_nothing_is_known_before_both_were_measured() -> None:
    assert pace_of().num_affordable(400) is None
    assert pace_of((1, 10.0)).num_affordable(400) is None
    assert pace_of((32, 100.0)).num_affordable(400) is None


def test_what_fits_into_a_time() -> None:
    pace = pace_of((1, 10.0), (11, 30.0))
    assert pace.step_ms == 10.0
    assert pace.num_affordable(30.0) == 11
    assert pace.num_affordable(400.0) == 196
    assert pace.num_affordable(-5.0) == 1


def test_what_is_measured_later_counts_more() -> None:
    pace = pace_of((1, 10.0), (11, 30.0), *[(11, 110.0)] * 40)
    assert pace.num_affordable(110.0) == 11


def test_measuring_leaves_nothing_behind() -> None:
    model, pace = ScriptedModel(noise(1)), Pace()
    measure_pace(model, pace)
    assert model.num_tokens_read == sum(MEASURED_RUNS)
    assert pace.num_affordable(1e9) is not None


def test_a_small_context_is_measured_as_far_as_it_goes() -> None:
    measure_pace(ScriptedModel(noise(1), context_length=4), Pace())
