"""The shipped model through onnxruntime: however the tokens arrive, the logits are the same.

Rounded graphs multiply int8 activations by kernels that differ with the number of tokens: that
alone moves a logit by up to 0.3 at a standard deviation of 1.3, as one wrong token far back does.
So the graph is given float activations here, and the tolerance tells the two apart.
"""

import shutil
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
import pytest

from export.graph.builder import write_with_float_activations
from inference.cancellation import CancelToken
from inference.decoding.loaded import LoadedModel
from inference.decoding.session import Session
from inference.errors import InvalidModelError, RequestCancelledError
from inference.package.manifest import MODEL_FILE, read_manifest
from inference.package.store import embedded_folder
from inference.runtime.language_model import Logits
from inference.runtime.onnx import OnnxModel
from inference.runtime.processor import num_physical_cores
from inference.serving.local import load_package

TOLERANCE = 1e-3
PROMPT = [17 * number % 8000 + 8 for number in range(300)]


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    folder = tmp_path_factory.mktemp("floats")
    shutil.copytree(embedded_folder(), folder, dirs_exist_ok=True)
    write_with_float_activations(embedded_folder() / MODEL_FILE, folder / MODEL_FILE)
    model = OnnxModel.load(folder, read_manifest(folder))
    return msgspec.structs.replace(load_package(embedded_folder()), model=model)


@pytest.fixture(scope="module")
def expected(shipped: LoadedModel) -> Logits:
    """The last row after reading PROMPT in one run."""
    cache = shipped.model.create_cache()
    return shipped.model.forward(PROMPT, cache, num_logits=1, cancel=CancelToken())[0].copy()


def check(logits: Logits, expected: Logits) -> None:
    np.testing.assert_allclose(logits, expected, atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize("sizes", [[300], [128, 128, 44], [299, 1], [1, 5, 294], [290, *[1] * 10]])
def test_the_pieces_in_which_a_prompt_is_read_do_not_matter(
    sizes: Sequence[int], shipped: LoadedModel, expected: Logits
) -> None:
    session, start = Session(shipped.model), 0
    for size in sizes:
        logits = session.append(PROMPT[start : start + size], CancelToken())
        start += size
    check(logits[0], expected)


@pytest.mark.parametrize("length", [0, 1, 150, 299])
def test_what_was_rewound_leaves_no_trace(
    length: int, shipped: LoadedModel, expected: Logits
) -> None:
    session = Session(shipped.model)
    session.prefill([*PROMPT[:length], *[999] * 200], CancelToken())
    logits, num_reused = session.prefill(PROMPT, CancelToken())
    assert num_reused == length
    check(logits[0], expected)


def test_a_model_that_rested_computes_the_same(shipped: LoadedModel, expected: Logits) -> None:
    for _ in range(2):
        shipped.model.rest()
        cache = shipped.model.create_cache()
        logits = shipped.model.forward(PROMPT, cache, num_logits=1, cancel=CancelToken())
        check(logits[0], expected)


def test_several_rows_are_the_rows_one_by_one(shipped: LoadedModel) -> None:
    model = shipped.model
    rows = model.forward(PROMPT[:20], model.create_cache(), num_logits=3, cancel=CancelToken())
    rows, cache = rows.copy(), model.create_cache()
    model.forward(PROMPT[:17], cache, num_logits=1, cancel=CancelToken())
    for row, token_id in zip(rows, PROMPT[17:20], strict=True):
        check(model.forward([token_id], cache, num_logits=1, cancel=CancelToken())[0], row)


def test_two_sessions_do_not_disturb_each_other(shipped: LoadedModel, expected: Logits) -> None:
    first, second = Session(shipped.model), Session(shipped.model)
    first.prefill(PROMPT[:200], CancelToken())
    second.prefill([999] * 200, CancelToken())
    check(first.prefill(PROMPT, CancelToken())[0][0], expected)


class CancelsInside(CancelToken):
    """Cancels itself once the runtime listens, which is in the run and no sooner."""

    def calling(self, callback):
        context = super().calling(callback)
        self.set()
        return context


def test_a_run_is_cancelled_from_inside(shipped: LoadedModel, expected: Logits) -> None:
    session = Session(shipped.model)
    session.prefill(PROMPT[:100], CancelToken())
    with pytest.raises(RequestCancelledError):
        session.append(PROMPT[100:], CancelsInside())
    assert session.cache_length == len(session.token_ids) == 100
    check(session.prefill(PROMPT, CancelToken())[0][0], expected)


def test_a_cancelled_token_stops_before_the_run(shipped: LoadedModel) -> None:
    token, cache = CancelToken(), shipped.model.create_cache()
    token.set()
    with pytest.raises(RequestCancelledError):
        shipped.model.forward(PROMPT, cache, num_logits=1, cancel=token)
    assert cache.length == 0


def test_more_lengths_than_are_kept_bound_stay_right(
    shipped: LoadedModel, expected: Logits
) -> None:
    session = Session(shipped.model)
    for length in range(1, 60):
        session.prefill([999] * length, CancelToken())
        session.prefill([998] * length, CancelToken())
    check(session.prefill(PROMPT, CancelToken())[0][0], expected)


def test_all_lengths_of_all_sessions_share_one_buffer_of_logits(shipped: LoadedModel) -> None:
    """A row has 600 KB in a vocabulary of 150,000, and a session keeps 48 lengths."""
    sessions = [Session(shipped.model), Session(shipped.model)]
    rows = [
        session.append(PROMPT[:length], CancelToken())
        for session in sessions
        for length in (1, 2, 3)
    ]
    assert all(np.shares_memory(rows[0], row) for row in rows)


def test_a_buffer_of_logits_that_grows_is_the_one_that_is_written(
    shipped: LoadedModel, expected: Logits
) -> None:
    session, cancel = Session(shipped.model), CancelToken()
    session.append(PROMPT[:100], cancel)
    session.append(PROMPT[100:200], cancel, num_logits=70)
    check(session.append(PROMPT[200:], cancel)[0], expected)
    before = np.zeros(0)
    for num_logits in (1, 80, 2, 1):
        session.prefill(PROMPT[:100], cancel)
        found = session.append(PROMPT[100:200], cancel, num_logits=num_logits)[-1]
        check(found, before if before.size else found)
        before = found.copy()


def test_a_graph_that_is_not_its_manifests_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "package"
    shutil.copytree(embedded_folder(), folder)
    manifest = read_manifest(folder)
    deeper = msgspec.structs.replace(manifest.architecture, num_hidden_layers=13)
    with pytest.raises(InvalidModelError, match=r"past_key\.12"):
        OnnxModel.load(folder, msgspec.structs.replace(manifest, architecture=deeper))


def test_a_file_that_is_no_graph_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"<html>")
    with pytest.raises(InvalidModelError, match="onnxruntime cannot load"):
        OnnxModel.load(tmp_path, read_manifest(embedded_folder()))


def test_there_is_a_core_to_run_on() -> None:
    assert num_physical_cores() >= 1
