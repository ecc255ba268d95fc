"""Estimate how probable it is that a completion is what the user wants, and whether to show it.

A logistic regression over evidence.py for each class of model, fitted on files that no model of
ours was trained on (benchmarks/gate.py, docs/policy.md); what it found is data, priors.toml. What a
user accepts and leaves moves one number of it, the user's own, see `Habit`. Pure.
"""

import functools
import math
import tomllib
from collections.abc import Mapping
from importlib import resources
from typing import Final, Literal

import msgspec

from lsp_server.policy.evidence import FIELDS, Evidence

Level = Literal["quiet", "balanced", "eager"]

LEARNING_RATE: Final = 0.05
MAX_LEANING: Final = 1.5
"""A user's habit moves the odds by a factor of no more than exp(1.5), 4.5, either way."""


class Prior(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`max_model_bytes` is the size of the largest package of the class.

    `thresholds` are probabilities: what is less probable is not shown at that level.
    """

    max_model_bytes: float
    bias: float
    weights: dict[str, float]
    thresholds: dict[Level, float]

    def __post_init__(self) -> None:
        if set(self.weights) != set(FIELDS):
            raise ValueError(f"weights for {sorted(self.weights)} instead of {sorted(FIELDS)}")

    def log_odds(self, found: Evidence) -> float:
        return self.bias + sum(
            weight * float(getattr(found, field)) for field, weight in self.weights.items()
        )


class Habit(msgspec.Struct, frozen=True, kw_only=True):
    """What a user's own decisions say beyond the prior: `leaning` is added to the log odds."""

    leaning: float = 0.0
    num_decisions: int = 0

    def after(self, probability: float, *, accepted: bool) -> "Habit":
        """Return the habit behind one more decision on what had this probability."""
        moved = self.leaning + LEARNING_RATE * (float(accepted) - probability)
        return Habit(leaning=within_bounds(moved), num_decisions=self.num_decisions + 1)


def within_bounds(leaning: float) -> float:
    return min(max(leaning, -MAX_LEANING), MAX_LEANING)


def prior_for(model_bytes: int) -> Prior:
    """Return the prior of the class that a model of this size belongs to."""
    priors = sorted(_priors().values(), key=lambda prior: prior.max_model_bytes)
    return next((prior for prior in priors if model_bytes <= prior.max_model_bytes), priors[-1])


def probability(prior: Prior, habit: Habit, found: Evidence) -> float:
    """Return the probability that this is what the user wants, from 0 to 1."""
    log_odds = prior.log_odds(found) + habit.leaning
    return 1 / (1 + math.exp(-log_odds))


@functools.cache
def _priors() -> Mapping[str, Prior]:
    text = (resources.files("lsp_server.policy") / "priors.toml").read_text("utf-8")
    return msgspec.convert(tomllib.loads(text), type=dict[str, Prior])
