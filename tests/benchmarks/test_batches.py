"""batches: what a step reads, and that a graph takes several sequences."""

from pathlib import Path

import onnxruntime as ort
import pytest

from benchmarks.batches import Batch, bytes_of_a_step
from inference.package.manifest import GRAPH_FILES
from inference.runtime.onnx import PLACEMENTS
from tests.support.exported import export_tiny
from tests.support.tiny_checkpoints import TinyModel


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    sizes = {"hidden_size": 128, "moe_intermediate_size": 128, "num_experts": 8}
    model = TinyModel("eight", 1, {**sizes, "num_experts_per_tok": 2})
    return export_tiny(tmp_path_factory.mktemp("batches"), model, "int4").folder


def test_experts_that_a_batch_does_not_meet_are_not_read(package: Path) -> None:
    one, many = bytes_of_a_step(package, "cpu", 1), bytes_of_a_step(package, "cpu", 1000)
    in_blocks = 128 / 2 + 128 / 32 * 4  # a row of 128 in 4 bits, and a scale for each 32
    experts = 2 * 8 * 3 * 128 * in_blocks  # layers, experts, matrices, rows
    assert many - one == pytest.approx(experts * (1 - 2 / 8), rel=1e-6)
    assert many < sum(path.stat().st_size for path in package.glob("model.onnx.data"))


@pytest.mark.parametrize("size", [1, 3])
def test_a_graph_takes_so_many_sequences(package: Path, size: int) -> None:
    placement = PLACEMENTS["cpu"]
    session = ort.InferenceSession(package / GRAPH_FILES["cpu"], providers=[placement.provider])
    batch = Batch(session, placement, size)
    assert batch.run(1, 4) > 0
    assert batch.logits.shape == (size, 272)
    assert batch.logits.any(axis=1).all()
