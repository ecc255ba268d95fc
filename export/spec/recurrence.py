"""Layers that keep a state instead of all tokens: which there are, and what they compute.

The mathematics is for the oracle, token by token, as plainly as it reads. This module knows no
model family, no checkpoint and no graph.
"""

import math
from typing import Any, Literal

import msgspec
import numpy as np
import numpy.typing as npt

from export.spec.slot import Slot, make_slot

Array = npt.NDArray[np.floating[Any]]


class HeadStates(msgspec.Struct, frozen=True, kw_only=True):
    """What recurrences with a state for each value head share: heads, and what comes of them."""

    num_key_heads: int
    num_value_heads: int
    key_head_dim: int
    value_head_dim: int
    kernel_size: int
    norm_epsilon: float

    @property
    def group(self) -> int:
        """How many value heads share a key head."""
        return self.num_value_heads // self.num_key_heads

    @property
    def key_size(self) -> int:
        return self.num_key_heads * self.key_head_dim

    @property
    def value_size(self) -> int:
        return self.num_value_heads * self.value_head_dim

    @property
    def num_channels(self) -> int:
        """How many numbers of a token the convolution reads."""
        return 2 * self.key_size + self.value_size


class GatedDelta(HeadStates, frozen=True, kw_only=True):
    """A state for each value head, changed by the gated delta rule (arXiv:2412.06464).

    Query, key and value of all heads pass a causal convolution over the last `kernel_size` tokens
    and silu. Queries and keys get length one, x / sqrt(sum(x²) + `key_epsilon`), and queries are
    divided by sqrt(key_head_dim). Each group of value heads shares a key head. What is read from
    the state is normalized head by head (RmsNorm) and multiplied by silu(gate).

    `rows`: grouped by key head, where one matrix has the rows of query, key, value and gate and
    another those of rate and decay; or apart, where query, key and value of all heads lie behind
    each other in one matrix, and gate, rate and decay have one each.
    """

    key_epsilon: float
    rows: Literal["by_key_head", "apart"] = "by_key_head"


class ShortConvolution(msgspec.Struct, frozen=True, kw_only=True):
    """output(behind * convolution(before * channels)), causal over the last `kernel_size` tokens.

    The three are projections of the token. The layer keeps no other state than the convolution's.
    Source: LFM2 (arXiv:2511.23404).
    """

    num_channels: int
    kernel_size: int


class StateSpace(HeadStates, frozen=True, kw_only=True):
    """A state for each value head, S = exp(t a) S + t k vᵀ, read by q and decaying by a < 0.

    Mamba 2 (arXiv:2405.21060): values, keys and queries are its x, B and C. They pass a causal
    convolution over the last `kernel_size` tokens, with a bias where `convolution_bias` says so,
    and silu. Each token says for each head how long a step t it takes, log(1 + exp(step + bias)).
    What is read, and each head's value times a learned number, is multiplied by silu(gate) and then
    normalized, as many numbers together as share a key head (RmsNorm).
    """

    convolution_bias: bool


Recurrence = GatedDelta | ShortConvolution | StateSpace


def recurrence_slots(spec: Recurrence, hidden_size: int) -> dict[str, Slot]:
    """Return the layer's tensors."""
    match spec:
        case GatedDelta():
            return delta_slots(spec, hidden_size)
        case StateSpace():
            return _state_space_slots(spec, hidden_size)
        case ShortConvolution(num_channels=size, kernel_size=kernel_size):
            return {
                "attention.gates_channels": make_slot("projection", 3 * size, hidden_size),
                "attention.convolution": make_slot("convolution", size, 1, kernel_size),
                "attention.state_output": make_slot("projection", hidden_size, size),
            }


def delta_slots(spec: GatedDelta, hidden_size: int) -> dict[str, Slot]:
    """Return the layer's tensors."""
    heads = spec.num_value_heads
    return {
        **{f"attention.{name}": slot for name, slot in _projections(spec, hidden_size).items()},
        "attention.convolution": make_slot("convolution", spec.num_channels, 1, spec.kernel_size),
        "attention.decay_log": make_slot("bias", heads),
        "attention.decay_bias": make_slot("bias", heads),
        "attention.state_norm": make_slot("norm", spec.value_head_dim),
        "attention.state_output": make_slot("projection", hidden_size, spec.value_size),
    }


def _state_space_slots(spec: StateSpace, hidden_size: int) -> dict[str, Slot]:
    heads, channels = spec.num_value_heads, spec.num_channels
    found = {
        "gate": make_slot("projection", spec.value_size, hidden_size),
        "value_key_query": make_slot("projection", channels, hidden_size),
        # As few rows, and of as much weight, as those of a decay.
        "step": make_slot("router", heads, hidden_size),
        "convolution": make_slot("convolution", channels, 1, spec.kernel_size),
        "step_bias": make_slot("bias", heads),
        "decay_log": make_slot("bias", heads),
        "value_scale": make_slot("bias", heads),
        "state_norm": make_slot("norm", spec.value_size),
        "state_output": make_slot("projection", hidden_size, spec.value_size),
    }
    if spec.convolution_bias:
        found["convolution_bias"] = make_slot("bias", channels)
    return {f"attention.{name}": slot for name, slot in found.items()}


def _projections(spec: GatedDelta, hidden_size: int) -> dict[str, Slot]:
    # Few rows say how much is forgotten and learned: rounding them would cost more than it saves.
    heads = spec.num_value_heads
    match spec.rows:
        case "by_key_head":
            all_rows = spec.num_channels + spec.value_size
            return {
                "query_key_value_gate": make_slot("projection", all_rows, hidden_size),
                "rate_decay": make_slot("router", 2 * heads, hidden_size),
            }
        case "apart":
            return {
                "query_key_value": make_slot("projection", spec.num_channels, hidden_size),
                "gate": make_slot("projection", spec.value_size, hidden_size),
                "rate": make_slot("router", heads, hidden_size),
                "decay": make_slot("router", heads, hidden_size),
            }


class DeltaParameters(msgspec.Struct, frozen=True, kw_only=True):
    """`convolution` is [channels, kernel_size], the others have one number for each value head."""

    convolution: Array
    decay_log: Array
    decay_bias: Array


class DeltaInputs(msgspec.Struct, frozen=True, kw_only=True):
    """What the projections give: `query_key_value` and `gate` of all heads, [num_tokens, size].

    `rate` and `decay` are [num_tokens, num_value_heads].
    """

    query_key_value: Array
    gate: Array
    rate: Array
    decay: Array


def ungrouped(spec: GatedDelta, projected: Array, rate_decay: Array) -> DeltaInputs:
    """Put apart what matrices give whose rows are grouped by key head."""
    sizes = [spec.key_head_dim, spec.key_head_dim, spec.group * spec.value_head_dim]
    parts = np.split(_by_key_head(spec, projected), np.cumsum(sizes), axis=-1)
    *channels, gate = (part.reshape(len(projected), -1) for part in parts)
    rate, decay = np.split(_by_key_head(spec, rate_decay), [spec.group], axis=-1)
    return DeltaInputs(
        query_key_value=np.concatenate(channels, axis=-1),
        gate=gate,
        rate=rate.reshape(len(projected), -1),
        decay=decay.reshape(len(projected), -1),
    )


def gated_delta(
    spec: GatedDelta, parameters: DeltaParameters, inputs: DeltaInputs
) -> tuple[Array, Array]:
    """Return what each value head reads and its gate, both [num_tokens, heads, value_head_dim]."""
    mixed = _causal_convolution(parameters.convolution, inputs.query_key_value)
    mixed = mixed / (1.0 + np.exp(-mixed))
    query, key, value = np.split(mixed, [spec.key_size, 2 * spec.key_size], axis=-1)
    read = _delta_rule(
        _of_length_one(spec, query) / math.sqrt(spec.key_head_dim),
        _of_length_one(spec, key),
        value.reshape(len(value), -1, spec.value_head_dim),
        -np.exp(parameters.decay_log) * np.logaddexp(inputs.decay + parameters.decay_bias, 0.0),
        1.0 / (1.0 + np.exp(-inputs.rate)),
    )
    return read, inputs.gate.reshape(read.shape)


def _by_key_head(spec: GatedDelta, x: Array) -> Array:
    return x.reshape(len(x), spec.num_key_heads, -1)


class StateSpaceParameters(msgspec.Struct, frozen=True, kw_only=True):
    """`convolution` is [channels, kernel_size], its bias [channels] or zero.

    The others have one number for each value head.
    """

    convolution: Array
    convolution_bias: Array | float
    step_bias: Array
    decay_log: Array
    value_scale: Array


def state_space(
    spec: StateSpace, parameters: StateSpaceParameters, channels: Array, step: Array
) -> Array:
    """Return what each head reads beside its own value, [num_tokens, heads, value_head_dim].

    `channels` are [num_tokens, num_channels], `step` is [num_tokens, heads].
    """
    mixed = _causal_convolution(parameters.convolution, channels) + parameters.convolution_bias
    mixed = mixed / (1.0 + np.exp(-mixed))
    ends = [spec.value_size, spec.value_size + spec.key_size]
    value, key, query = np.split(mixed, ends, axis=-1)
    value = value.reshape(len(value), -1, spec.value_head_dim)
    key, query = (
        np.repeat(heads.reshape(len(heads), spec.num_key_heads, -1), spec.group, axis=1)
        for heads in (key, query)
    )
    length = np.logaddexp(step + parameters.step_bias, 0.0)
    kept = np.exp(-np.exp(parameters.decay_log) * length)
    state = np.zeros((*key.shape[1:], spec.value_head_dim), value.dtype)
    read = parameters.value_scale[:, None] * value
    for token in range(len(value)):
        learned = length[token][:, None] * value[token]
        state = state * kept[token][:, None, None] + key[token][:, :, None] * learned[:, None, :]
        read[token] += np.einsum("hkv,hk->hv", state, query[token])
    return read


def short_convolution(kernel: Array, projected: Array) -> Array:
    """Return what the output is given, [num_tokens, num_channels], of all three projections."""
    before, behind, channels = np.split(projected, 3, axis=-1)
    return behind * _causal_convolution(kernel, before * channels)


def _causal_convolution(kernel: Array, x: Array) -> Array:
    """Return the sum of kernel[:, j] * x[t - size + 1 + j]; before the first token are zeros."""
    size = kernel.shape[1]
    padded = np.concatenate([np.zeros((size - 1, x.shape[1]), x.dtype), x])
    shifted = [padded[shift : shift + len(x)] * kernel[:, shift] for shift in range(size)]
    return np.sum(shifted, axis=0)


def _of_length_one(spec: GatedDelta, x: Array) -> Array:
    """Return [num_tokens, value heads, key_head_dim]."""
    heads = _by_key_head(spec, x)
    length = np.sqrt(np.sum(heads * heads, axis=-1, keepdims=True) + spec.key_epsilon)
    return np.repeat(heads / length, spec.group, axis=1)


def _delta_rule(query: Array, key: Array, value: Array, decay: Array, rate: Array) -> Array:
    """Return what each head reads from its state, S = exp(decay) S, then S += k (rate (v - Sᵀk))ᵀ.

    `query` and `key` are [num_tokens, heads, key_dim]; `decay` and `rate` are [num_tokens, heads].
    """
    state = np.zeros((*key.shape[1:], value.shape[-1]), value.dtype)
    read = np.zeros_like(value)
    for token in range(len(value)):
        state = state * np.exp(decay[token])[:, None, None]
        known = np.einsum("hkv,hk->hv", state, key[token])
        learned = rate[token][:, None] * (value[token] - known)
        state = state + key[token][:, :, None] * learned[:, None, :]
        read[token] = np.einsum("hkv,hk->hv", state, query[token])
    return read
