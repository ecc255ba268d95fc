"""recurrence: a state learns, forgets and recalls as the rule says, and looks at nothing ahead."""

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import pytest

from export.spec.recurrence import (
    Array,
    DeltaParameters,
    GatedDelta,
    StateSpace,
    StateSpaceParameters,
    gated_delta,
    short_convolution,
    state_space,
    ungrouped,
)

SPEC = GatedDelta(
    num_key_heads=1,
    num_value_heads=1,
    key_head_dim=4,
    value_head_dim=3,
    kernel_size=2,
    norm_epsilon=1e-6,
    key_epsilon=1e-12,
)
ALWAYS, NEVER = 50.0, -50.0
IDENTITY = np.concatenate([np.zeros((11, 1)), np.ones((11, 1))], axis=1)  # of the last token alone


def read(
    keys: Array, values: Array, queries: Array, *, rate: Any = ALWAYS, decay: Any = NEVER
) -> Array:
    """Return what is read after each token; without convolution, and with silu undone."""
    projected = np.concatenate([queries, keys, values, np.zeros_like(values)], axis=1)
    wanted = projected[:, : SPEC.num_channels]
    before_silu = projected.copy()
    before_silu[:, : SPEC.num_channels] = [[inverse_silu(x) for x in row] for row in wanted]
    parameters = DeltaParameters(
        convolution=IDENTITY, decay_log=np.zeros(1), decay_bias=np.zeros(1)
    )
    column = np.ones((len(keys), 1))
    rate_decay = np.concatenate([rate * column, decay * column], axis=1)
    found, _ = gated_delta(SPEC, parameters, ungrouped(SPEC, before_silu, rate_decay))
    return found[:, 0] * np.sqrt(SPEC.key_head_dim)


def inverse_silu(y: float) -> float:
    """Return the x above -1 for which x * sigmoid(x) is y."""
    low, high = -1.0, 100.0
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if middle / (1 + np.exp(-middle)) < y else (low, middle)
    return low


ONE, OTHER = np.eye(4)[0], np.eye(4)[2]
FIRST, SECOND = np.array([1.0, 2.0, 3.0]), np.array([4.0, 5.0, 0.5])


def test_what_was_learned_under_a_key_is_read_by_it() -> None:
    found = read(np.stack([ONE, OTHER]), np.stack([FIRST, SECOND]), np.stack([ONE, ONE]))
    np.testing.assert_allclose(found, [FIRST, FIRST], atol=1e-6)


def test_what_is_learned_under_the_same_key_replaces_it() -> None:
    found = read(np.stack([ONE, ONE]), np.stack([FIRST, SECOND]), np.stack([ONE, ONE]))
    np.testing.assert_allclose(found, [FIRST, SECOND], atol=1e-6)


def test_half_the_rate_learns_half_of_what_is_missing() -> None:
    found = read(np.stack([ONE, ONE]), np.stack([FIRST, FIRST]), np.stack([ONE, ONE]), rate=0.0)
    np.testing.assert_allclose(found, [FIRST / 2, FIRST * 3 / 4], atol=1e-6)


def test_a_state_that_decays_forgets() -> None:
    keys, values = np.stack([ONE, OTHER]), np.stack([FIRST, SECOND])
    found = read(keys, values, np.stack([ONE, ONE]), decay=0.0)  # exp(-log 2) a token
    np.testing.assert_allclose(found, [FIRST, FIRST / 2], atol=1e-6)


@pytest.mark.parametrize("kernel_size", [2, 3, 5])
def test_a_later_token_changes_nothing_before_it(kernel_size: int) -> None:
    random = np.random.default_rng(kernel_size)
    spec = msgspec.structs.replace(SPEC, kernel_size=kernel_size, num_value_heads=2)
    channels = spec.num_channels
    parameters = DeltaParameters(
        convolution=random.standard_normal((channels, kernel_size)),
        decay_log=random.standard_normal(2),
        decay_bias=random.standard_normal(2),
    )
    projected = random.standard_normal((9, channels + spec.value_size))
    rate_decay = random.standard_normal((9, 4))
    before, _ = gated_delta(spec, parameters, ungrouped(spec, projected, rate_decay))
    projected[5] += 1.0
    after, _ = gated_delta(spec, parameters, ungrouped(spec, projected, rate_decay))
    np.testing.assert_array_equal(before[:5], after[:5])
    assert (np.abs(before[5:] - after[5:]).max(axis=(1, 2)) > 0).all()


def read_states(values: Sequence[float], step: float, *, own: float = 0.0) -> Array:
    """Return what one head with one number reads after each token, all under one key."""
    spec = StateSpace(
        num_key_heads=1,
        num_value_heads=1,
        key_head_dim=1,
        value_head_dim=1,
        kernel_size=2,
        norm_epsilon=1e-6,
        convolution_bias=True,
    )
    parameters = StateSpaceParameters(
        convolution=np.array([[0.0, 1.0]] * 3),
        convolution_bias=np.array([0.0, inverse_silu(1.0), inverse_silu(1.0)]),
        step_bias=np.zeros(1),
        decay_log=np.zeros(1),
        value_scale=np.array([own]),
    )
    channels = np.array([[inverse_silu(value), 0.0, 0.0] for value in values])
    steps = np.full((len(values), 1), np.log(np.expm1(step)))
    return state_space(spec, parameters, channels, steps)[:, 0, 0]


def test_a_state_space_adds_and_forgets_by_its_step() -> None:
    kept = np.exp(-0.5)
    found = read_states([2.0, 4.0, 0.0], 0.5)
    second = kept * 1.0 + 2.0
    np.testing.assert_allclose(found, [1.0, second, kept * second], atol=1e-9)


def test_a_state_space_adds_each_token_its_own_value() -> None:
    difference = read_states([2.0, 4.0], 0.5, own=3.0) - read_states([2.0, 4.0], 0.5)
    np.testing.assert_allclose(difference, [6.0, 12.0], atol=1e-9)


def test_a_short_convolution_is_gated_on_both_sides() -> None:
    before, behind, channels = np.arange(1.0, 19.0).reshape(3, 3, 2)
    kernel = np.array([[0.5, 1.0], [0.0, 2.0]])  # of the token before, and of the last one
    gated = before * channels
    expected = behind * (gated * [1.0, 2.0] + np.array([[0, 0], gated[0], gated[1]]) * [0.5, 0.0])
    projected = np.concatenate([before, behind, channels], axis=1)
    np.testing.assert_allclose(short_convolution(kernel, projected), expected)
