"""Stack a spec's layers into one graph with the inputs and outputs that the engine binds.

inputs   input_ids [batch, sequence], seqlens_k [batch] = total - 1, total_sequence_length [],
         logit_rows [rows]: which of the batch * sequence rows get logits,
         past_key.{i}, past_value.{i} [batch, num_key_value_heads, capacity, head_dim], of the
         activations' type

         where layers keep a window: window_seqlens_k, window_total_sequence_length, which count the
         tokens that their buffers hold, and position_ids [batch, sequence], which count all;
         the other two lengths are inputs only where some layer keeps all tokens

         of each layer that keeps a state instead of keys and values: past_convolution.{i} [batch,
         channels, kernel_size - 1], past_recurrent.{i} [batch, heads, key_dim, value_dim]
         of a predictor: given [batch, sequence, hidden_size], the hidden states of the tokens
         before those of input_ids
outputs  logits [rows, vocab_size], present_key.{i}, present_value.{i}: the same buffers;
         present_convolution.{i}, present_recurrent.{i}: other buffers

         where a predictor reads them, and of itself: hidden [batch, sequence, hidden_size]
"""

from collections.abc import Mapping

import msgspec
import numpy as np

from export.graph.builder import GraphBuilder, Value
from export.graph.layers.attention import (
    AttentionInputs,
    AttentionOutputs,
    attention,
    looks_places_up,
)
from export.graph.layers.elementwise import capped, scaled, scaled_exactly
from export.graph.layers.embedding import Table, table, wanted_rows
from export.graph.layers.gated_delta import gated_delta
from export.graph.layers.head import refined_head
from export.graph.layers.latent_attention import latent_attention
from export.graph.layers.linear import add_exact_bias, linear, vector
from export.graph.layers.mlp import mlp, ungated_mlp
from export.graph.layers.moe import moe
from export.graph.layers.norm import normalize
from export.graph.layers.positions import positions, query_sizes
from export.graph.layers.residual import Stream, incoming, normalized, outgoing
from export.graph.layers.rope import RopeValues, rope_values
from export.graph.layers.short_convolution import States, short_convolution
from export.graph.layers.state_space import state_space
from export.graph.weights import under
from export.quantization.blockwise import Quantized, Weight
from export.quantization.scheme import COARSE_HEAD
from export.spec.attention import QueryScale
from export.spec.decoder import (
    Absent,
    Attention,
    CachedAttention,
    DecoderSpec,
    Dense,
    GroupedQuery,
    Head,
    Hidden,
    Joining,
    Latent,
    Layer,
    SparseMoE,
    Ungated,
    window_of,
)
from export.spec.recurrence import GatedDelta, Recurrence, ShortConvolution, StateSpace
from export.spec.rope import Rope

RopeTables = Mapping[tuple[Rope, int], RopeValues]


def build_decoder(
    graph: GraphBuilder,
    spec: DecoderSpec,
    weights: Mapping[str, Weight],
    *,
    context_length: int,
    hidden: Hidden | None = None,
) -> None:
    """Add a whole decoder that can reach `context_length` positions.

    `hidden` is what it gives beside logits, where a predictor reads it.
    """
    inputs = _declare_inputs(graph, spec)
    ropes = _rope_tables(graph, spec, context_length)
    sizes = _query_sizes(graph, spec, inputs, context_length)
    embedding = table(graph, weights["embedding"])
    stream = Stream(total=_embedded(graph, spec, weights, embedding, inputs))
    for index, layer in enumerate(spec.layers):
        with graph.scope(f"layers.{index}"):
            part = under(weights, f"layers.{index}.")
            cache = _Cache(inputs=inputs, ropes=ropes, query_sizes=sizes, layer=index)
            stream = _layer(graph, layer, part, stream, cache)
    normed, stream = normalized(graph, spec.norm, weights, "norm", stream)
    last = wanted_rows(graph, normed, inputs.logit_rows, spec.hidden_size)
    scores = _scores(graph, spec, weights, embedding, last)
    logits = _logits(graph, spec.head, weights, graph.widened(scores))
    graph.output("logits", logits, np.float32, ["rows", spec.vocab_size])
    if hidden is not None:
        given = normed if hidden == "normed" else stream.total
        shape = ["batch", "sequence", spec.hidden_size]
        graph.output("hidden", given, graph.target.activations, shape)


def _embedded(
    graph: GraphBuilder,
    spec: DecoderSpec,
    weights: Mapping[str, Weight],
    embedding: Table,
    inputs: "_Inputs",
) -> Value:
    x = scaled(graph, embedding.rows(inputs.input_ids), spec.embedding_scale)
    if spec.joining is not None:
        return _joined(graph, spec, spec.joining, under(weights, "joining."), x)
    if not spec.learned_positions:
        return x
    assert inputs.places is not None
    return graph.op("Add", x, table(graph, weights["positions"]).rows(inputs.places))


def _joined(
    graph: GraphBuilder,
    spec: DecoderSpec,
    joining: Joining,
    weights: Mapping[str, Weight],
    embedded: Value,
) -> Value:
    shape = ["batch", "sequence", spec.hidden_size]
    given = graph.input("given", graph.target.activations, shape)
    with graph.scope("joining"):
        token = normalize(graph, spec.norm, weights, "token_norm", embedded)
        hidden = normalize(graph, spec.norm, weights, "hidden_norm", given)
        pair = (hidden, token) if joining.hidden_first else (token, hidden)
        return linear(graph, weights["projection"], graph.op("Concat", *pair, axis=-1))


def _scores(
    graph: GraphBuilder,
    spec: DecoderSpec,
    weights: Mapping[str, Weight],
    embedding: Table,
    x: Value,
) -> Value:
    if COARSE_HEAD in weights:
        exact = embedding if spec.tie_word_embeddings else table(graph, weights["head"])
        coarse = weights[COARSE_HEAD]
        assert isinstance(coarse, Quantized)
        return refined_head(graph, coarse, exact, x)
    if spec.tie_word_embeddings:
        return embedding.product(x)
    return linear(graph, weights["head"], x)


def _logits(graph: GraphBuilder, head: Head, weights: Mapping[str, Weight], scores: Value) -> Value:
    biased = add_exact_bias(graph, scores, weights["head_bias"]) if head.bias else scores
    return capped(graph, scaled_exactly(graph, biased, head.scale), head.softcap)


class _Lengths(msgspec.Struct, frozen=True, kw_only=True):
    seqlens_k: Value
    total_sequence_length: Value
    position_ids: Value | None = None


class _Inputs(msgspec.Struct, frozen=True, kw_only=True):
    """`full` and `windowed` are None where no layer keeps all tokens, or none a window.

    `places` say where tokens stand in the whole text, [batch, sequence]; None where nobody asks.
    """

    input_ids: Value
    full: _Lengths | None
    logit_rows: Value
    windowed: _Lengths | None
    places: Value | None


def _declare_inputs(graph: GraphBuilder, spec: DecoderSpec) -> _Inputs:
    are_windowed = {_keeps_window(graph, found) for found in _cached(spec)}
    input_ids = graph.input("input_ids", np.int64, ["batch", "sequence"])
    full = _declare_lengths(graph) if False in are_windowed else None
    logit_rows = graph.input("logit_rows", np.int64, ["rows"])
    windowed = _declare_window(graph) if True in are_windowed else None
    places = None
    if spec.learned_positions or any(map(looks_places_up, _cached(spec))):
        places = windowed.position_ids if windowed is not None else None
        if full is not None and places is None:
            places = positions(graph, input_ids, full.seqlens_k)
    return _Inputs(
        input_ids=input_ids, full=full, logit_rows=logit_rows, windowed=windowed, places=places
    )


def _cached(spec: DecoderSpec) -> list[CachedAttention]:
    """Return the attention of the layers that look back at keys and values."""
    found = [layer.attention for layer in spec.layers]
    return [attention for attention in found if not isinstance(attention, Recurrence)]


def _declare_lengths(graph: GraphBuilder) -> _Lengths:
    return _Lengths(
        seqlens_k=graph.input("seqlens_k", np.int32, ["batch"]),
        total_sequence_length=graph.input("total_sequence_length", np.int32, []),
    )


def _declare_window(graph: GraphBuilder) -> _Lengths:
    return _Lengths(
        seqlens_k=graph.input("window_seqlens_k", np.int32, ["batch"]),
        total_sequence_length=graph.input("window_total_sequence_length", np.int32, []),
        position_ids=graph.input("position_ids", np.int64, ["batch", "sequence"]),
    )


def _rope_tables(graph: GraphBuilder, spec: DecoderSpec, context_length: int) -> RopeTables:
    """Add each table that some layer uses once."""
    wanted = dict.fromkeys((found.rope, found.rotary_dim) for found in _cached(spec))
    return {
        (rope, rotary_dim): rope_values(graph, rope, rotary_dim, context_length)
        for rope, rotary_dim in wanted
        if rope is not None
    }


def _query_sizes(
    graph: GraphBuilder, spec: DecoderSpec, inputs: _Inputs, context_length: int
) -> Mapping[QueryScale | None, Value]:
    """Look each scale up once for all layers that have it."""
    found: dict[QueryScale | None, Value] = {}
    for scale in dict.fromkeys(map(_query_scale, _cached(spec))):
        if scale is not None:
            assert inputs.places is not None
            found[scale] = query_sizes(graph, scale, inputs.places, context_length)
    return found


def _query_scale(spec: CachedAttention) -> QueryScale | None:
    return spec.query_scale if isinstance(spec, GroupedQuery) else None


class _Cache(msgspec.Struct, frozen=True, kw_only=True):
    """What one layer declares its part of the cache with."""

    inputs: _Inputs
    ropes: RopeTables
    query_sizes: Mapping[QueryScale | None, Value]
    layer: int


def _layer(
    graph: GraphBuilder,
    layer: Layer,
    weights: Mapping[str, Weight],
    stream: Stream,
    cache: _Cache,
) -> Stream:
    given, stream = incoming(graph, layer, weights, "attention_norm", stream)
    attended = _attention(graph, layer.attention, under(weights, "attention."), given, cache)
    stream = stream.plus(outgoing(graph, layer, weights, "attention_output_norm", attended))
    if isinstance(layer.feed_forward, Absent):
        return _scaled_output(graph, layer, weights, stream)
    given, stream = incoming(graph, layer, weights, "feed_forward_norm", stream)
    out = _feed_forward(graph, layer.feed_forward, weights, given, stream.total)
    stream = stream.plus(outgoing(graph, layer, weights, "feed_forward_output_norm", out))
    return _scaled_output(graph, layer, weights, stream)


def _scaled_output(
    graph: GraphBuilder, layer: Layer, weights: Mapping[str, Weight], stream: Stream
) -> Stream:
    if layer.output_scale:
        return stream.times(graph, vector(graph, weights["output_scale"]))
    return stream


def _attention(
    graph: GraphBuilder,
    spec: Attention,
    weights: Mapping[str, Weight],
    x: Value,
    cache: _Cache,
) -> Value:
    match spec:
        case GatedDelta() | ShortConvolution() | StateSpace():
            past = _declare_states(graph, spec, cache.layer)
            out, present = _recurrent(graph, spec, weights, x, past)
            _declare_next_states(graph, spec, present, cache.layer)
            return out
        case GroupedQuery():
            past = _attention_inputs(graph, spec, cache)
            attended = attention(graph, spec, weights, x, past)
        case Latent():
            past = _attention_inputs(graph, spec, cache)
            attended = latent_attention(graph, spec, weights, x, past)
    _declare_outputs(graph, spec, attended, cache.layer)
    return attended.x


def _attention_inputs(graph: GraphBuilder, spec: CachedAttention, cache: _Cache) -> AttentionInputs:
    shape, dtype = _cache_shape(graph, spec), graph.target.activations
    lengths = cache.inputs.windowed if _keeps_window(graph, spec) else cache.inputs.full
    assert lengths is not None
    return AttentionInputs(
        past_key=graph.input(f"past_key.{cache.layer}", dtype, shape),
        past_value=graph.input(f"past_value.{cache.layer}", dtype, shape),
        seqlens_k=lengths.seqlens_k,
        total_sequence_length=lengths.total_sequence_length,
        rope=None if spec.rope is None else cache.ropes[spec.rope, spec.rotary_dim],
        position_ids=lengths.position_ids,
        places=cache.inputs.places,
        query_sizes=cache.query_sizes.get(_query_scale(spec)),
    )


def _declare_outputs(
    graph: GraphBuilder, spec: CachedAttention, attended: AttentionOutputs, layer: int
) -> None:
    shape, dtype = _cache_shape(graph, spec), graph.target.activations
    graph.output(f"present_key.{layer}", attended.present_key, dtype, shape)
    graph.output(f"present_value.{layer}", attended.present_value, dtype, shape)


def _keeps_window(graph: GraphBuilder, spec: CachedAttention) -> bool:
    return graph.target.keeps_windows and window_of(spec) is not None


def _cache_shape(graph: GraphBuilder, spec: CachedAttention) -> list[int | str]:
    """Return that of keys and values; the buffers of windowed layers have a size of their own."""
    capacity = "window_capacity" if _keeps_window(graph, spec) else "capacity"
    return ["batch", spec.num_key_value_heads, capacity, spec.head_dim]


def _recurrent(
    graph: GraphBuilder, spec: Recurrence, weights: Mapping[str, Weight], x: Value, past: States
) -> tuple[Value, States]:
    match spec:
        case GatedDelta():
            return gated_delta(graph, spec, weights, x, past)
        case ShortConvolution():
            return short_convolution(graph, spec, weights, x, past)
        case StateSpace():
            return state_space(graph, spec, weights, x, past)


def _declare_states(graph: GraphBuilder, spec: Recurrence, layer: int) -> States:
    found = {
        name: graph.input(f"past_{name}.{layer}", np.float32, shape)
        for name, shape in _state_shapes(spec).items()
    }
    return States(convolution=found["convolution"], recurrent=found.get("recurrent"))


def _declare_next_states(graph: GraphBuilder, spec: Recurrence, states: States, layer: int) -> None:
    found = {"convolution": states.convolution, "recurrent": states.recurrent}
    for name, shape in _state_shapes(spec).items():
        state = found[name]
        assert state is not None
        graph.output(f"present_{name}.{layer}", state, np.float32, shape)


def _state_shapes(spec: Recurrence) -> dict[str, list[int | str]]:
    shapes: dict[str, list[int | str]] = {
        "convolution": ["batch", spec.num_channels, spec.kernel_size - 1]
    }
    if not isinstance(spec, ShortConvolution):
        heads = [spec.num_value_heads, spec.key_head_dim, spec.value_head_dim]
        shapes["recurrent"] = ["batch", *heads]
    return shapes


def _feed_forward(
    graph: GraphBuilder,
    feed_forward: Dense | Ungated | SparseMoE,
    weights: Mapping[str, Weight],
    x: Value,
    stream: Value,
) -> Value:
    """Return what the part gives; `stream` is what x is the norm of."""
    match feed_forward:
        case Dense(activation=activation):
            return mlp(graph, activation, under(weights, "mlp."), x)
        case Ungated():
            return ungated_mlp(graph, feed_forward, under(weights, "mlp."), x)
        case SparseMoE():
            return moe(graph, feed_forward, under(weights, "moe."), x, stream)
