"""runtime: what runs where. The path for a GPU is taken with buffers and kernels of the CPU.

One graph for CUDA is made to run on the CPU, see tests.support.cuda_graphs; all that is not its
kernels is then what a GPU would see: float16 caches, inputs bound anew, logits that come back.
"""

from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

from export.pipeline import export_checkpoint
from export.quality.self_check import relative_error
from export.spec.oracle import forward
from inference.cancellation import CancelToken
from inference.decoding.session import Session
from inference.errors import EngineUnavailableError, InvalidModelError
from inference.package.manifest import read_manifest
from inference.package.store import embedded_folder
from inference.runtime.onnx import PLACEMENTS, OnnxModel, Placement, check_cuda
from inference.runtime.reopened import Reopened
from inference.serving.local import load_package
from tests.support.cuda_graphs import RUNS_ON_CPU, load_on_cpu, write_for_cuda
from tests.support.exported import (
    TOKEN_IDS,
    Array,
    export_tiny,
    no_progress,
    read_tokens,
    tiny_options,
)
from tests.support.tiny_checkpoints import TINY_MODELS, TinyModel, write_tiny_checkpoint
from tests.support.tiny_families import FAMILY_MODELS

LIKE_A_GPU = Placement(provider="CPUExecutionProvider", options={}, memory="cpu", aliases=False)
MELLUM = next(model for model in FAMILY_MODELS if model.name == "mellum")
CLOSE = 0.01


class OnCuda:
    """A model on the path for a GPU, and what the oracle computes."""

    def __init__(self, folder: Path, model: TinyModel) -> None:
        manifest = export_tiny(folder, model, "f16").manifest
        self.spec, weights = write_for_cuda(folder, model, "f16", RUNS_ON_CPU)
        self.expected = forward(self.spec, weights, TOKEN_IDS)
        self.model = OnnxModel(Reopened(lambda: load_on_cpu(folder)), manifest, LIKE_A_GPU)


@pytest.fixture(scope="module", params=[TINY_MODELS[1], MELLUM], ids=lambda model: model.name)
def on_cuda(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> OnCuda:
    return OnCuda(tmp_path_factory.mktemp("cuda"), request.param)


def check(found: Array, expected: Array) -> None:
    errors = [relative_error(*rows) for rows in zip(found, expected, strict=True)]
    assert np.median(errors) < CLOSE


def test_a_prompt_read_at_once(on_cuda: OnCuda) -> None:
    check(read_tokens(on_cuda.model, on_cuda.model.create_cache(), TOKEN_IDS), on_cuda.expected)


def test_a_prompt_read_in_pieces_behind_a_detour(on_cuda: OnCuda) -> None:
    """The cache lies in the device's memory, is appended to in place, and goes back exactly."""
    cache = on_cuda.model.create_cache()
    found = [read_tokens(on_cuda.model, cache, TOKEN_IDS[:10])]
    read_tokens(on_cuda.model, cache, (7,) * 5)
    cache.rewind(10)
    found += [read_tokens(on_cuda.model, cache, [token]) for token in TOKEN_IDS[10:]]
    check(np.concatenate(found), on_cuda.expected)


def test_two_caches_do_not_disturb_each_other(on_cuda: OnCuda) -> None:
    first, second = Session(on_cuda.model), Session(on_cuda.model)
    first.prefill(TOKEN_IDS[:12], CancelToken())
    second.prefill((9,) * 20, CancelToken())
    logits, num_reused = first.prefill(TOKEN_IDS, CancelToken())
    assert num_reused == 12
    check(logits, on_cuda.expected[-1:])


def test_its_caches_are_of_float16_and_hold_every_token(on_cuda: OnCuda) -> None:
    cache = on_cuda.model.create_cache()
    read_tokens(on_cuda.model, cache, TOKEN_IDS[:1])
    sizes = [value.numpy().nbytes for value in cache.placed.values()]
    assert len(sizes) == 2 * len(on_cuda.spec.layers)
    assert sum(sizes) == on_cuda.model.num_cache_bytes


def test_a_package_without_a_graph_for_the_device_is_refused() -> None:
    manifest = read_manifest(embedded_folder())
    assert manifest.devices == ("cpu",)
    with pytest.raises(InvalidModelError, match="has no graph for cuda; export it again with --de"):
        OnnxModel.load(embedded_folder(), manifest, device="cuda")


@pytest.fixture
def package(tmp_path: Path) -> Path:
    whole_tiles = TinyModel("tiles", 1, {"moe_intermediate_size": 64})
    checkpoint = write_tiny_checkpoint(tmp_path / "tiny", whole_tiles)
    options = tiny_options(precision="f16", device="cuda")
    export_checkpoint(str(checkpoint), tmp_path / "package", options, progress=no_progress)
    return tmp_path / "package"


def has_no_cuda() -> bool:
    try:
        check_cuda()
    except EngineUnavailableError:
        return True
    return False


@pytest.mark.skipif(not has_no_cuda(), reason="this machine has a GPU")
def test_a_device_that_is_not_there_is_an_error_and_never_the_cpu(package: Path) -> None:
    with pytest.raises(EngineUnavailableError, match=r"leave --device out|install onnxruntime-gpu"):
        load_package(package, device="cuda")
    assert load_package(package).model.manifest.devices == ("cpu", "cuda")


@pytest.mark.skipif(
    PLACEMENTS["cuda"].provider not in ort.get_available_providers() or not has_no_cuda(),
    reason="this onnxruntime was built without CUDA, or has a GPU to run on",
)
def test_a_session_that_left_the_device_is_not_used(
    package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The runtime goes on with the CPU when a provider fails, which nobody asked for."""
    monkeypatch.setattr("inference.runtime.onnx.check_cuda", lambda: None)
    with pytest.raises(EngineUnavailableError, match="onnxruntime left cuda for the CPU"):
        OnnxModel.load(package, read_manifest(package), device="cuda")


def check_without_cuda(
    monkeypatch: pytest.MonkeyPatch, because: str, *, providers: list[str], reason: str = ""
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError(reason)

    monkeypatch.setattr(ort, "get_available_providers", lambda: providers)
    monkeypatch.setattr(ort, "preload_dlls", lambda: None, raising=False)
    monkeypatch.setattr(ort.OrtValue, "ortvalue_from_numpy", fail)
    with pytest.raises(EngineUnavailableError, match=because):
        check_cuda()


def test_a_runtime_that_was_built_without_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    because = "this onnxruntime has no CUDA; .* install onnxruntime-gpu"
    check_without_cuda(monkeypatch, because, providers=["CPUExecutionProvider"])


def test_libraries_that_are_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    because = r"CUDA's libraries cannot be loaded; .* pip install 'inkling-lsp\[cuda\]'"
    providers = [PLACEMENTS["cuda"].provider]
    reason = "CUDA Provider not available, can't get interface for it"
    check_without_cuda(monkeypatch, because, providers=providers, reason=reason)


def test_a_driver_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    because = r"no GPU answers \(CUDA failure 35: .*\); see to NVIDIA's driver"
    reason = "CUDA failure 35: CUDA driver version is insufficient\nat a line of its source"
    providers = [PLACEMENTS["cuda"].provider]
    check_without_cuda(monkeypatch, because, providers=providers, reason=reason)
