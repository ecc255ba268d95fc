"""What is read for a keystroke fits into its time, and what was read is not read again."""

from collections.abc import Sequence

import pytest

from inference.cancellation import CancelToken
from inference.decoding.budget import Budget
from inference.decoding.layout import SMALLEST_WINDOW, Beside, Hole
from inference.decoding.reader import SHORT_SUFFIX, Reader
from inference.errors import RequestCancelledError
from inference.fim import FimTemplate
from tests.support.scripted_model import FIM, ScriptedModel, loaded, noise

TEXT = "".join(f"line {number} = {number * 7919 % 1000}\n" for number in range(200))
BUDGET = Budget(max_prompt=800, max_new=32)
ANCHORED = FimTemplate(
    order="psm",
    prefix_token_id=FIM.prefix_token_id,
    suffix_token_id=FIM.suffix_token_id,
    middle_token_id=FIM.middle_token_id,
    num_tail_tokens=16,
)


class Reading:
    """A reader on a model that reads a token in a millisecond, and what each keystroke read."""

    def __init__(self, fim: FimTemplate = FIM) -> None:
        self.fim = fim
        self.prompt: Sequence[int] = ()
        self.model = ScriptedModel(noise(1), context_length=1_200)
        self.others: tuple[int, ...] = ()
        self.reader = Reader(
            loaded(self.model, fim), can_heal=lambda token_id: True, beside=self.beside
        )
        self.reader.pace.note(1, 1.0)
        self.reader.pace.note(11, 11.0)

    def beside(self, document: str, hole: Hole, max_tokens: int) -> Beside:
        """Show the others as they are now, and a token of the place, as what is about it would."""
        assert len(self.others) < max_tokens
        return Beside((*self.others, hole.cursor % 256), 1) if self.others else Beside()

    def key(self, end: int, typed: str = "", *, time_ms: float | None = 100.0) -> tuple[int, int]:
        """Read what a keystroke at an offset asks for; return tokens shown, and tokens read."""
        hole = Hole(prefix=TEXT[:end] + typed, suffix=TEXT[end:])
        before = self.model.num_tokens_read
        reading = self.reader.open("a", hole, BUDGET, time_ms=time_ms)
        self.prompt = reading.prompt.token_ids
        reading.session.prefill(reading.prompt.token_ids, CancelToken())
        return len(reading.prompt.token_ids), self.model.num_tokens_read - before

    def ahead(self, end: int, typed: str = "", *, cancel: CancelToken | None = None) -> int:
        before = self.model.num_tokens_read
        hole = Hole(prefix=TEXT[:end] + typed, suffix=TEXT[end:])
        self.reader.read_ahead("a", hole, BUDGET, cancel or CancelToken())
        return self.model.num_tokens_read - before


@pytest.fixture(params=[FIM, ANCHORED], ids=["spm", "anchored"])
def reading(request: pytest.FixtureRequest) -> Reading:
    return Reading(request.param)


def test_cold_it_reads_what_fits_into_the_time(reading: Reading) -> None:
    shown, read = reading.key(2_000)
    assert 60 <= read == shown <= 100


def test_however_little_time_there_is_something_is_read(reading: Reading) -> None:
    shown, _ = reading.key(2_000, time_ms=-5.0)
    assert SMALLEST_WINDOW // 2 <= shown <= SMALLEST_WINDOW


def test_in_no_hurry_it_reads_all(reading: Reading) -> None:
    shown, _ = reading.key(2_000, time_ms=None)
    assert shown > BUDGET.max_prompt * 3 // 4


def test_a_key_in_the_same_place_reads_itself(reading: Reading) -> None:
    reading.key(2_000)
    for length in range(1, 20):
        _, read = reading.key(2_000, "y" * length)
        assert read <= 2


def test_what_was_read_ahead_is_shown(reading: Reading) -> None:
    reading.key(2_000)
    reading.ahead(2_000)
    shown, read = reading.key(2_000, "y")
    assert shown > BUDGET.max_prompt * 3 // 4
    assert read <= 2


def test_reading_ahead_goes_on_where_it_was_broken_off(reading: Reading) -> None:
    whole = Reading(reading.fim).ahead(2_000)
    cancel = CancelToken()
    reading.model.on_forward = lambda run: cancel.set() if run == 5 else None
    with pytest.raises(RequestCancelledError):
        reading.ahead(2_000, cancel=cancel)
    kept = reading.model.num_tokens_read
    assert kept > 0
    assert reading.ahead(2_000) == whole - kept


def test_a_jump_down_reads_the_tail_and_a_short_suffix() -> None:
    reading = Reading(ANCHORED)
    reading.ahead(2_000)
    shown, read = reading.key(2_200, time_ms=400.0)
    assert shown > BUDGET.max_prompt // 2
    assert read <= 200 + 8 * ANCHORED.num_tail_tokens + SHORT_SUFFIX + 20


def test_a_jump_up_reads_no_head_again() -> None:
    reading = Reading(ANCHORED)
    reading.ahead(2_000)
    shown, read = reading.key(1_900, time_ms=250.0)
    assert shown > 250 >= read


def test_at_a_documents_beginning_the_head_is_read_that_others_share() -> None:
    reading = Reading(ANCHORED)
    assert reading.ahead(0) > 300
    shown, read = reading.key(400, time_ms=300.0)
    assert read < shown


def test_in_spm_order_nothing_at_a_documents_beginning_is_shared() -> None:
    assert Reading(FIM).ahead(0) == 0


def test_other_files_are_read_ahead_and_shown(reading: Reading) -> None:
    reading.key(2_000)
    reading.others = (7,) * 100
    alone = Reading(reading.fim).ahead(2_000)
    assert reading.ahead(2_000) > alone - 150
    shown, read = reading.key(2_000, "y")
    assert shown > BUDGET.max_prompt * 3 // 4
    assert read <= 2
    assert list(reading.prompt[:100]) == [7] * 100


def test_while_one_types_other_files_stay_as_they_were_read(reading: Reading) -> None:
    reading.others = (7,) * 100
    reading.ahead(2_000)
    reading.others = (8,) * 100
    assert reading.ahead(2_000, "yyy") <= 5
    reading.key(2_000, "yyyy")
    assert list(reading.prompt[:100]) == [7] * 100


def test_where_a_window_moved_others_are_shown(reading: Reading) -> None:
    reading.others = (7,) * 100
    reading.ahead(500)
    reading.others = (8,) * 100
    reading.ahead(3_000)
    reading.key(3_000, "y")
    assert list(reading.prompt[:100]) == [8] * 100


def test_a_key_in_a_hurry_looks_for_no_other_files(reading: Reading) -> None:
    reading.others = (7,) * 100
    reading.key(2_000)
    assert 7 not in reading.prompt


def check_order(keys: Sequence[tuple[int, str]]) -> None:
    """Whatever was read before, a key in no hurry reads the same prompt."""
    for others in ((), (7,) * 100):
        warm = Reading(ANCHORED)
        warm.others = others
        for end, typed in keys:
            warm.key(end, typed)
            warm.ahead(end)
            warm.key(end, typed, time_ms=None)
            cold = Reading(ANCHORED)
            cold.others = others
            cold.key(end, typed, time_ms=None)
            assert warm.prompt == cold.prompt


def test_what_was_read_before_changes_no_prompt_that_has_its_time() -> None:
    check_order([(2_000, ""), (2_000, "y"), (500, ""), (3_000, "z" * 30), (2_000, "yy")])
