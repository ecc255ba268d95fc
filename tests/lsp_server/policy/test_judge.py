"""What is withheld, why, and what is learned from what becomes of what is shown."""

from dataclasses import replace

import pytest

from inference import Completion, CompletionRequest, FinishReason, SyntaxCheck
from lsp_server.policy.gate import Silence, Trigger
from lsp_server.policy.judge import Judge
from lsp_server.policy.prior import MAX_LEANING, Habit, prior_for
from lsp_server.settings import Level, Settings

SURE, UNSURE = (-0.01,) * 4, (-4.0,) * 4
REQUEST = CompletionRequest(document="a.py", prefix="def total(a, b):\n    return a", suffix="\n")
SIZES = pytest.mark.parametrize("model_bytes", [10_000_000, 500_000_000])
IN_COMMENT = SyntaxCheck(scope="comment", num_errors_before=0, num_errors_after=0)
IN_STRING = SyntaxCheck(scope="docstring", num_errors_before=0, num_errors_after=0)


def completion(
    text: str = " + b",
    sure: tuple[float, ...] = SURE,
    syntax: SyntaxCheck | None = None,
) -> Completion:
    return Completion(
        text=text, finish_reason=FinishReason.LINE, log_probabilities=sure, syntax=syntax
    )


def check(
    answer: Completion,
    silence: Silence | None,
    *,
    settings: Settings | None = None,
    trigger: Trigger = Trigger.AUTOMATIC,
    judge: Judge | None = None,
    model_bytes: int = 0,
) -> None:
    verdict = (judge or Judge()).judge(
        settings or Settings(), trigger, REQUEST, answer, model_bytes=model_bytes
    )
    assert verdict.silence is silence


@SIZES
def test_what_the_model_is_sure_of_is_shown(model_bytes: int) -> None:
    check(completion(), None, model_bytes=model_bytes)


@SIZES
def test_what_it_is_not_sure_of_is_not(model_bytes: int) -> None:
    check(completion(sure=UNSURE), Silence.IMPROBABLE, model_bytes=model_bytes)


@SIZES
def test_who_asks_is_answered(model_bytes: int) -> None:
    check(completion(sure=UNSURE), None, trigger=Trigger.INVOKED, model_bytes=model_bytes)


@SIZES
def test_each_level_shows_all_that_a_quieter_one_shows(model_bytes: int) -> None:
    thresholds = prior_for(model_bytes).thresholds
    assert 0 < thresholds["eager"] < thresholds["balanced"] < thresholds["quiet"] < 1


def test_an_engine_that_tells_no_probabilities_is_believed() -> None:
    check(completion(sure=()), None)


def test_comments_and_strings_are_left_alone_where_the_user_says_so() -> None:
    quiet = Settings(comments=False, strings=False)
    for trigger in Trigger:
        check(completion(syntax=IN_COMMENT), Silence.COMMENT, settings=quiet, trigger=trigger)
        check(completion(syntax=IN_STRING), Silence.STRING, settings=quiet, trigger=trigger)
    check(completion(syntax=IN_COMMENT), None, settings=replace(quiet, comments=True))


def test_nobody_is_shown_a_secret() -> None:
    secret = completion('password = "' + "tr0ub4dor&3" + '"')
    for trigger in Trigger:
        check(secret, Silence.SECRET, trigger=trigger)


def test_what_was_rejected_is_not_shown_again_until_it_fades() -> None:
    now = 0.0
    judge = Judge(clock=lambda: now)
    judge.shown(1, REQUEST, " + b", 0.9)
    judge.decided(1, is_accepted=False)
    check(completion(), Silence.REJECTED, judge=judge)
    check(completion(), None, judge=judge, trigger=Trigger.INVOKED)
    check(completion(" - b"), None, judge=judge)
    now = 3_600.0
    check(completion(), None, judge=judge)


def test_what_is_decided_counts_once() -> None:
    judge = Judge()
    judge.shown(1, REQUEST, " + b", 0.5)
    for _ in range(3):
        judge.decided(1, is_accepted=True)
    judge.decided(2, is_accepted=True)
    assert judge.habit.num_decisions == 1


def test_who_rejects_again_and_again_sees_less() -> None:
    judge = Judge()
    likely = [judge.judge(Settings(), Trigger.MENU, REQUEST, completion(), model_bytes=0)]
    for ordinal in range(100):
        judge.shown(ordinal, REQUEST, f"{ordinal}", 0.5)
        judge.decided(ordinal, is_accepted=False)
    likely.append(judge.judge(Settings(), Trigger.MENU, REQUEST, completion(), model_bytes=0))
    assert judge.habit == Habit(leaning=-MAX_LEANING, num_decisions=100)
    before, after = (verdict.probability for verdict in likely)
    assert before is not None
    assert after is not None
    assert after < before


def test_an_eager_user_is_shown_more() -> None:
    answers = [completion(sure=(-level / 10,) * 4) for level in range(40)]

    def num_shown(level: Level) -> int:
        settings = Settings(level=level)
        verdicts = (
            Judge().judge(settings, Trigger.AUTOMATIC, REQUEST, answer, model_bytes=0)
            for answer in answers
        )
        return sum(verdict.silence is None for verdict in verdicts)

    assert 0 < num_shown(Level.QUIET) < num_shown(Level.BALANCED) < num_shown(Level.EAGER) < 40
