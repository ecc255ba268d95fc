"""Blocks of one part each become layers, and what is not implemented of them is refused."""

from collections.abc import Sequence
from typing import Any

import pytest

from export.architectures import read_architecture
from export.checkpoint.config import Config
from export.errors import CheckpointError, ExportError, UnsupportedError
from export.graph.cuda import check_cuda
from export.quantization.scheme import find_scheme
from export.spec.decoder import Absent, DecoderSpec, SparseMoE, Ungated
from tests.support.tiny_recent_families import RECENT_MODELS

CONFIG = next(model for model in RECENT_MODELS if model.name == "nemotron_h").full_config


def read(**changes: Any) -> DecoderSpec:
    return read_architecture(Config(CONFIG | changes, "config.json")).spec


def check_layers(layers: Sequence[tuple[str, str]], **changes: Any) -> None:
    found = [
        (type(layer.attention).__name__, type(layer.feed_forward).__name__)
        for layer in read(**changes).layers
    ]
    assert found == list(layers)


STATE, ATTENTION = "StateSpace", "GroupedQuery"


def test_two_blocks_are_a_layer_and_one_that_is_alone_is_half_of_one() -> None:
    moe, absent = SparseMoE.__name__, Absent.__name__
    layers = [(STATE, moe), (STATE, absent), (ATTENTION, moe), (STATE, absent)]
    check_layers(layers)
    names = ["mamba", "moe", "linear_attention", "full_attention", "moe", "mamba"]
    listed = {"hybrid_override_pattern": None, "num_hidden_layers": None}
    check_layers(layers, **listed, layers_block_type=names)
    check_layers(
        [(ATTENTION, Ungated.__name__), (STATE, absent)],
        hybrid_override_pattern="*-M",
        num_hidden_layers=3,
    )


@pytest.mark.parametrize(
    ("because", "error", "changes"),
    [
        ("a block 'X'", UnsupportedError, {"hybrid_override_pattern": "M*X"}),
        ("block 0 of experts behind none", UnsupportedError, {"hybrid_override_pattern": "EM*EMM"}),
        ("block 2 of dense behind none", UnsupportedError, {"hybrid_override_pattern": "ME-*MM"}),
        ("no layer that attends", UnsupportedError, {"hybrid_override_pattern": "MEMEMM"}),
        ("says 6 blocks for 7 layers", CheckpointError, {"num_hidden_layers": 7}),
        ("attention_bias = True", UnsupportedError, {"attention_bias": True}),
        ("mlp_hidden_act = 'silu'", UnsupportedError, {"mlp_hidden_act": "silu"}),
        ("time_step_limit", UnsupportedError, {"time_step_limit": [0.001, 1e308]}),
        ("n_shared_experts = 2", UnsupportedError, {"n_shared_experts": 2}),
        ("norm_eps = 0.5", UnsupportedError, {"norm_eps": 0.5}),
    ],
)
def test_what_is_not_implemented(
    because: str, error: type[ExportError], changes: dict[str, Any]
) -> None:
    with pytest.raises(error, match=because):
        read(**changes)


def test_a_limit_that_no_step_reaches_is_none() -> None:
    assert read(time_step_limit=[0.0, 1e308]) == read()


def test_experts_without_a_gate_have_no_graph_for_cuda() -> None:
    layers = tuple(layer for layer in read().layers if type(layer.attention).__name__ == ATTENTION)
    spec = DecoderSpec(
        vocab_size=272,
        hidden_size=64,
        layers=layers,
        norm=layers[0].norm,
        tie_word_embeddings=True,
        max_position_embeddings=64,
    )
    with pytest.raises(UnsupportedError, match="layer 0 has experts without a gate"):
        check_cuda(spec, find_scheme("int4", 32))
