"""The second, small graph of a package: it predicts the token behind the next one, to draft with.

It reads the hidden states that the first graph then gives, and points at the embedding and the head
that the first one's file holds, byte for byte.
"""

from collections.abc import Mapping
from pathlib import Path

import msgspec

from export.checkpoint.safetensors import Float32
from export.graph.builder import GraphBuilder
from export.graph.data_file import PREDICTOR_DATA_FILE, DataFile, Place
from export.graph.decoder import build_decoder
from export.graph.weights import FindStored, OnDemand, scheme_weights
from export.quantization.blockwise import Weight
from export.quantization.scheme import CALIBRATED, Scheme
from export.spec.decoder import DecoderSpec, Hidden, slots
from inference.package.manifest import PREDICTOR_FILE


def hidden_read_by(predictor: DecoderSpec) -> Hidden:
    """Return what the first graph has to give."""
    assert predictor.joining is not None
    return predictor.joining.reads


def predictor_weights(
    predictor: DecoderSpec,
    scheme: Scheme,
    values: Mapping[str, Float32],
    find_stored: FindStored,
    model: Mapping[str, Weight],
) -> Mapping[str, Weight]:
    """Return a predictor's weights: those of the `model` that it shares, the others rounded.

    They are rounded without a text, of which no one knows what it would give this layer.
    """
    if scheme.rounding in CALIBRATED:
        scheme = msgspec.structs.replace(scheme, rounding="nearest")
    rounded = scheme_weights(scheme, slots(predictor), values, find_stored=find_stored)

    def find(name: str) -> Weight:
        is_own = name.startswith(("layers.", "joining.")) or name == "norm"
        return (rounded if is_own else model)[name]

    return OnDemand(rounded, find)


def write_predictor_graph(
    folder: Path,
    predictor: DecoderSpec,
    weights: Mapping[str, Weight],
    known: Mapping[bytes, Place],
    *,
    context_length: int,
) -> None:
    """Write the graph and those of its weights that the first graph's file does not hold."""
    with (folder / PREDICTOR_DATA_FILE).open("wb") as data:
        graph = GraphBuilder(DataFile(data, PREDICTOR_DATA_FILE, known=known))
        hidden = hidden_read_by(predictor)
        build_decoder(graph, predictor, weights, context_length=context_length, hidden=hidden)
    graph.save(folder / PREDICTOR_FILE)
