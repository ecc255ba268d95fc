"""The graph that predicts is the oracle's mathematics, and shares what the model has."""

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import onnx
import pytest
from safetensors.numpy import load_file, save_file

from export.errors import VerificationError
from export.graph.data_file import DATA_FILE, PREDICTOR_DATA_FILE
from export.graph.predictor import hidden_read_by
from export.options import ExportOptions
from export.original import open_slots, read_original
from export.quality.self_check import verify_predictor
from export.spec.oracle import hidden_states, predict
from inference.cancellation import CancelToken
from inference.errors import InvalidModelError
from inference.package.manifest import (
    MANIFEST_FILE,
    PREDICTOR_FILE,
    ModelManifest,
    read_manifest,
    verify_files,
    write_manifest,
)
from inference.runtime.onnx import OnnxModel
from tests.support.exported import TOKEN_IDS, export_tiny
from tests.support.predictors import PREDICTING, export_predicting, write_predicting
from tests.support.tiny_checkpoints import VOCAB_SIZE

Array = npt.NDArray[np.floating[Any]]


def predicted(package: Path, manifest: ModelManifest, token_ids: Sequence[int]) -> Array:
    """Read tokens with both graphs, in several runs each; return the predictor's logits."""
    own = msgspec.structs.replace(manifest, architecture=manifest.architecture.of_predictor())
    cancel = CancelToken()
    with closing(OnnxModel.load(package, manifest)) as model:
        cache = model.create_cache()
        given = list[Array]()
        for start in range(0, len(token_ids) - 1, 7):
            run = token_ids[start : min(start + 7, len(token_ids) - 1)]
            model.forward(run, cache, num_logits=1, cancel=cancel)
            given.append(model.hidden_of(len(run)).copy())
    rows, states = list[Array](), np.concatenate(given)
    with closing(OnnxModel.load_graph(package / PREDICTOR_FILE, own)) as model:
        cache = model.create_cache()
        for start in range(0, len(states), 5):
            run = token_ids[1:][start : start + 5]
            model.give(states[start : start + 5])
            rows.append(model.forward(run, cache, num_logits=len(run), cancel=cancel).copy())
    return np.concatenate(rows)


def oracle(checkpoint: Path, token_ids: Sequence[int]) -> Array:
    original = read_original(str(checkpoint), ExportOptions())
    opened = open_slots(original.source, original.architecture)
    assert opened.predictor is not None
    spec, weights = opened.predictor.spec, opened.predictor.values
    hidden = hidden_read_by(spec)
    given = hidden_states(original.spec, opened.values, token_ids[:-1], hidden)
    return predict(spec, weights, token_ids[1:], given)


STATEFUL = {"qwen3_next", "qwen3_5_text", "qwen3_5_moe_text"}
"""The engine does not draft with theirs, as a state cannot go back."""


@pytest.mark.parametrize("name", sorted(PREDICTING.keys() - STATEFUL))
def test_the_graph_is_the_oracle(name: str, tmp_path: Path) -> None:
    package, manifest = export_predicting(tmp_path, PREDICTING[name])
    expected = oracle(tmp_path / "checkpoint", TOKEN_IDS)
    found = predicted(package, read_manifest(package), TOKEN_IDS)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)
    verify_files(manifest, package)


@pytest.mark.parametrize("name", sorted(PREDICTING))
def test_a_rounded_one_shares_embedding_and_head(name: str, tmp_path: Path) -> None:
    package, manifest = export_predicting(tmp_path, PREDICTING[name], precision="int4")
    assert manifest.architecture.predictor is not None
    own, shared = (
        data_of(package / PREDICTOR_FILE, file) for file in (PREDICTOR_DATA_FILE, DATA_FILE)
    )
    # Embedding and head, or the one matrix that is both: nothing else is as wide.
    assert any(VOCAB_SIZE in shape for shape in shared.values())
    assert not any(VOCAB_SIZE in shape for shape in own.values())


def data_of(graph: Path, file: str) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the weights that a graph has in a file."""
    model = onnx.load(graph, load_external_data=False)
    return {
        tensor.name: tuple(tensor.dims)
        for tensor in model.graph.initializer
        if any((entry.key, entry.value) == ("location", file) for entry in tensor.external_data)
    }


def test_one_wrong_matrix_is_found(tmp_path: Path) -> None:
    package, manifest = export_predicting(tmp_path, PREDICTING["mellum"])
    original = read_original(str(tmp_path / "checkpoint"), ExportOptions())
    opened = open_slots(original.source, original.architecture)
    assert opened.predictor is not None
    spec, weights = opened.predictor.spec, dict(opened.predictor.values)
    verify_predictor(package, manifest, spec, weights)
    weights["joining.projection"] = weights["joining.projection"][:, ::-1]
    with pytest.raises(VerificationError, match="the oracle"):
        verify_predictor(package, manifest, spec, weights)


def test_it_is_told_and_what_is_not_known_is_left_out(tmp_path: Path) -> None:
    checkpoint = write_predicting(tmp_path, PREDICTING["deepseek_v3"])
    path = checkpoint / "model.safetensors"
    tensors = load_file(path)
    copies = {
        "model.layers.2.embed_tokens.weight": tensors["model.embed_tokens.weight"],
        "model.layers.2.shared_head.head.weight": tensors["lm_head.weight"],
    }

    def remarks(further: dict[str, Any]) -> Sequence[str]:
        save_file(tensors | further, path, metadata={"format": "pt"})
        original = read_original(str(checkpoint), ExportOptions())
        return open_slots(original.source, original.architecture).remarks

    num_own = len([name for name in tensors if name.startswith("model.layers.2.")])
    kept = f"kept to draft with, as they predict the token behind the next: {num_own} tensors"
    assert remarks(copies) == (kept,)
    del tensors["model.layers.2.hnorm.weight"]
    (line,) = remarks({})
    assert line.startswith(f"left out as they predict further tokens: {num_own - 1} tensors; ")
    assert line.endswith("the checkpoint has no tensor for joining.hidden_norm")


def test_a_second_one_is_left_out(tmp_path: Path) -> None:
    checkpoint = write_predicting(tmp_path, PREDICTING["mimo"])
    path = checkpoint / "model.safetensors"
    further = {"model.mtp_layers.1.input_proj.weight": np.zeros((64, 128), np.float32)}
    save_file(load_file(path) | further, path, metadata={"format": "pt"})
    original = read_original(str(checkpoint), ExportOptions())
    opened = open_slots(original.source, original.architecture)
    assert opened.predictor is not None
    assert opened.remarks[1:] == ("left out as they predict further tokens: 1 tensors",)


def test_a_package_without_one_says_nothing_of_it(tmp_path: Path) -> None:
    found = export_tiny(tmp_path, PREDICTING["mellum"])
    assert "predictor" not in (found.folder / MANIFEST_FILE).read_text("utf-8")
    assert not (found.folder / PREDICTOR_FILE).exists()


def test_a_package_that_names_none_is_refused(tmp_path: Path) -> None:
    package, manifest = export_predicting(tmp_path, PREDICTING["mimo"])
    files = {name: file for name, file in manifest.files.items() if name != PREDICTOR_FILE}
    write_manifest(msgspec.structs.replace(manifest, files=files), package)
    with pytest.raises(InvalidModelError, match=r"names no predictor\.onnx"):
        read_manifest(package)
