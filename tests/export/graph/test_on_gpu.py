"""A package on the GPU itself: the same text as on the CPU, and how fast.

`python -m pytest -m gpu` runs it where CUDA can be used; everywhere else it is skipped with the
reason. Speed is shown, not judged.
"""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

from export.options import ExportOptions
from export.pipeline import export_checkpoint
from export.quality.self_check import relative_error
from export.quality.verify_command import check_package
from inference.cancellation import CancelToken
from inference.decoding.session import Session
from inference.errors import EngineUnavailableError
from inference.package.manifest import CUDA_MODEL_FILE
from inference.runtime.onnx import PLACEMENTS, OnnxModel, check_cuda
from inference.serving.local import load_package
from tests.support.exported import Array, no_progress
from tests.support.shipped import shipped_checkpoint

ROOT = Path(__file__).parents[3]

PROMPT = [17 * number % 8000 + 8 for number in range(200)]
NUM_TOKENS = 32
CLOSE = 0.15
"""The CPU multiplies 8-bit activations, which moves logits by 0.02 of their size; float16 and other
blocks in what is no expert move them further."""


def problem() -> str | None:
    try:
        check_cuda()
    except EngineUnavailableError as error:
        return str(error)
    return None


WITHOUT_GPU = problem()

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.slow,
    pytest.mark.skipif(WITHOUT_GPU is not None, reason=f"no GPU to run on: {WITHOUT_GPU}"),
]


@pytest.fixture(scope="module", params=["int4", "int8", "f16"])
def package(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("gpu") / request.param
    options = ExportOptions(
        precision=request.param, device="cuda", rounding="nearest", accept_quality=True
    )
    export_checkpoint(str(shipped_checkpoint()), folder, options, progress=no_progress)
    return folder


def written(model: OnnxModel, token_ids: list[int]) -> tuple[list[int], Array]:
    """Read the CPU's text one token at a time; return the greedy tokens and their logits."""
    session, rows = Session(model), list[Array]()
    logits, _ = session.prefill(PROMPT, CancelToken())
    for token_id in token_ids or [-1] * NUM_TOKENS:
        rows.append(logits[0].copy())
        best = int(rows[-1].argmax())
        logits = session.append([token_id if token_id >= 0 else best], CancelToken())
    return [int(row.argmax()) for row in rows], np.stack(rows)


def test_it_writes_what_the_cpu_writes(package: Path) -> None:
    """Equal by tolerance: behind the same 32 tokens the logits are near, and so is the choice."""
    expected_ids, expected = written(load_package(package).model, [])
    found_ids, found = written(load_package(package, device="cuda").model, expected_ids)
    assert np.isfinite(found).all()
    assert relative_error(found, expected) < CLOSE
    num_equal = sum(a == b for a, b in zip(found_ids, expected_ids, strict=True))
    assert num_equal >= NUM_TOKENS * 3 // 4


def test_pieces_and_detours_do_not_matter(package: Path) -> None:
    model = load_package(package, device="cuda").model
    at_once, _ = Session(model).prefill(PROMPT[:100], CancelToken())
    at_once = at_once.copy()
    session = Session(model)
    session.prefill([*PROMPT[:40], *[999] * 50], CancelToken())
    in_pieces, num_reused = session.prefill(PROMPT[:100], CancelToken())
    assert num_reused == 40
    assert relative_error(in_pieces, at_once) < CLOSE / 3


def test_its_quality_is_that_of_the_gate(package: Path) -> None:
    on_cpu = check_package(package, num_tokens=1024)
    on_gpu = check_package(package, num_tokens=1024, device="cuda")
    assert on_gpu.perplexity == pytest.approx(on_cpu.perplexity, rel=0.03)


def test_no_node_stays_on_the_cpu(package: Path) -> None:
    options = ort.SessionOptions()
    options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    providers = [PLACEMENTS["cuda"].provider]
    session = ort.InferenceSession(package / CUDA_MODEL_FILE, options, providers=providers)
    assert session.get_providers()[0] == PLACEMENTS["cuda"].provider


def test_how_fast_it_is(package: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["-m", "benchmarks.decode", str(package), "--device", "cpu", "--device", "cuda"]
    done = subprocess.run(
        [sys.executable, *command, "--rounds", "3"],
        check=True,
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    figures = json.loads(done.stdout.splitlines()[-1])["packages"]
    assert len(figures) == 2
    with capsys.disabled():
        sys.stdout.write(done.stdout)
