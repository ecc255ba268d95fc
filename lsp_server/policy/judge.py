"""Decide whether what the engine answered is shown, and learn from what becomes of it.

One object per session. Rules that hold always come first, then what the user rejected, then how
probable it is to be what the user wants (prior.py). Who asks for a suggestion gets it, unless it
looks like a secret or stands where the user wants none.
"""

from collections import OrderedDict
from collections.abc import Callable
from time import monotonic
from typing import Final, NamedTuple

from inference import Completion, CompletionRequest, line_before
from lsp_server.policy.evidence import evidence
from lsp_server.policy.gate import Silence, Trigger
from lsp_server.policy.prior import Habit, prior_for, probability
from lsp_server.policy.rejections import Rejections
from lsp_server.policy.secrets import holds_secret
from lsp_server.settings import Settings

MAX_UNDECIDED: Final = 50
"""Suggestions of which it is not known yet what becomes of them."""


class Verdict(NamedTuple):
    """`silence` is why a completion is withheld, None where it is shown.

    `probability` is that of being what the user wants, None where it is not known.
    """

    silence: Silence | None = None
    probability: float | None = None


class _Undecided(NamedTuple):
    before: str
    text: str
    probability: float | None


class Judge:
    def __init__(self, habit: Habit | None = None, clock: Callable[[], float] = monotonic) -> None:
        self.habit = habit or Habit()
        self._clock = clock
        self._rejections = Rejections()
        self._undecided: OrderedDict[int, _Undecided] = OrderedDict()

    def judge(
        self,
        settings: Settings,
        trigger: Trigger,
        request: CompletionRequest,
        completion: Completion,
        *,
        model_bytes: int,
    ) -> Verdict:
        """Say whether a completion that has text is shown."""
        if (reason := _never_shown(settings, completion)) is not None:
            return Verdict(reason)
        if not completion.log_probabilities:
            return Verdict(self._rejected(trigger, request, completion))
        prior = prior_for(model_bytes)
        likely = probability(prior, self.habit, evidence(request, completion))
        reason = self._rejected(trigger, request, completion)
        is_unlikely = likely < prior.thresholds[settings.level.value]
        if reason is None and trigger is Trigger.AUTOMATIC and is_unlikely:
            reason = Silence.IMPROBABLE
        return Verdict(reason, likely)

    def shown(
        self, ordinal: int, request: CompletionRequest, text: str, likely: float | None
    ) -> None:
        """Take note that a suggestion is shown, which goes by this number."""
        self._undecided[ordinal] = _Undecided(line_before(request.prefix), text, likely)
        if len(self._undecided) > MAX_UNDECIDED:
            self._undecided.popitem(last=False)

    def decided(self, ordinal: int, *, is_accepted: bool) -> None:
        """Learn what became of a suggestion; only the first word on each counts."""
        found = self._undecided.pop(ordinal, None)
        if found is None:
            return
        if is_accepted:
            self._rejections.forget(found.before, found.text)
        else:
            self._rejections.add(found.before, found.text, self._clock())
        if found.probability is not None:
            self.habit = self.habit.after(found.probability, accepted=is_accepted)

    def _rejected(
        self, trigger: Trigger, request: CompletionRequest, completion: Completion
    ) -> Silence | None:
        if trigger is not Trigger.AUTOMATIC:
            return None
        before, now = line_before(request.prefix), self._clock()
        is_rejected = self._rejections.holds(before, completion.text, now)
        return Silence.REJECTED if is_rejected else None


def _never_shown(settings: Settings, completion: Completion) -> Silence | None:
    scope = "code" if completion.syntax is None else completion.syntax.scope
    if scope == "comment" and not settings.comments:
        return Silence.COMMENT
    if scope in ("string", "docstring") and not settings.strings:
        return Silence.STRING
    return Silence.SECRET if holds_secret(completion.text) else None
