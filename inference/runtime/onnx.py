"""Run a package's graph with onnxruntime: token ids in, logits out, keys and values kept in place.

The sole user of onnxruntime. It knows tensors and cache lengths; it knows no text and no request.

The hot loop binds preallocated OrtValues once per input length and then only writes numbers into
numpy views of them: `session.run` with feeds is 1.75 times slower. `OrtValue.ortvalue_from_numpy`
aliases the array on CPU, so writing to the array is writing to the input.

On a GPU the cache's buffers lie in its memory; inputs are bound anew for each run, which copies
them there, and logits come back. Nothing is ever moved to the CPU for want of a GPU: a device that
was asked for and cannot be had is an error.

What the layers keep, and which inputs they need for it, each kind of layer knows: see
inference.runtime.caches. Its arrays are bound here, and told each run's length before it.
"""

import contextlib
import io
import os
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from inference.cancellation import CancelToken
from inference.errors import EngineUnavailableError, InvalidModelError, RequestCancelledError
from inference.package.external_data import check_external_data
from inference.package.manifest import GRAPH_FILES, Architecture, Device, ModelManifest
from inference.runtime.caches import create_caches, num_cache_bytes
from inference.runtime.caches.layer_cache import Array
from inference.runtime.flows import Flows, Hidden, expected_inputs
from inference.runtime.language_model import MAX_RUN_TOKENS, KvCache, Logits
from inference.runtime.placement import PLACEMENTS, Placement, kept_by, why_no_gpu
from inference.runtime.processor import num_worthwhile_threads
from inference.runtime.reopened import Reopened

# Since 1.31 the library writes a device id and a database under the user's cache folder and tells
# its maker what runs, unless this is set before it is loaded (measured with strace; the function of
# its own that disables events comes too late for the files).
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
# Read when the attention kernels are built. Without flash attention prefill is 10 to 35 % faster
# on CPU and decode the same (onnxruntime 1.31, measured).
os.environ.setdefault("ORT_GQA_DISABLE_FLASH_ATTENTION", "1")

import onnxruntime as ort  # after the environment it reads

MAX_CACHE_TOKENS: Final = 4_096
"""Cache positions kept per session unless told otherwise: f32 keys and values of a long context
cost more memory than most machines have (262 KB a token for a 7B model)."""

MAX_BINDINGS: Final = 48
"""Input lengths whose bindings a cache keeps; all of them write into the model's one buffer."""

_WEIGHTS_FOLDER: Final = "session.model_external_initializers_file_folder_path"

SPIN_DURATION_US: Final = 500
"""How long a thread looks for work before it sleeps; 38 ms by default (benchmarks/spinning.py)."""

_SPIN_DURATION: Final = "session.intra_op.spin_duration_us"
_LOG_SEVERITY_ERROR: Final = 3
_LOG_SEVERITY_FATAL: Final = 4
_LOG_SEVERITY_WARNING: Final = 2


class OnnxCache:
    """What one session keeps, a part for each kind of layer.

    Invariant 10 rests on `length`: only `OnnxModel.forward` raises it, after a run that succeeded.
    `placed` are the buffers that do not lie in numpy's memory; a past and its present are one.
    `hidden`, [capacity, hidden_size], are the states that a predictor reads, where there is one.
    """

    def __init__(self, architecture: Architecture, capacity: int) -> None:
        self._capacity = capacity
        self.length = 0
        self.parts = create_caches(architecture, capacity)
        self.hidden: Hidden | None = None
        if architecture.predictor is not None:
            self.hidden = np.zeros((capacity, architecture.hidden_size), np.float32)
        self.placed: dict[str, ort.OrtValue] = {}
        self.bindings: dict[tuple[int, int], _Binding] = {}
        self._moving = [part for part in self.parts if part.is_moving]
        self._values: dict[int, ort.OrtValue] = {}  # by the id of the array, which a part keeps

    @property
    def capacity(self) -> int:
        return self._capacity

    @property
    def goes_back_to_runs(self) -> bool:
        return bool(self._moving)

    def rewind(self, length: int) -> int:
        """Forget everything after the first `length` tokens, or fewer; return the length left."""
        assert 0 <= length <= self.length
        for part in self.parts:
            length = part.rewind(length)
        self.length = length
        return length

    def bind_moving(self, io: ort.IOBinding) -> None:
        """Bind the arrays that are others than in the last run."""
        for part in self._moving:
            for name, array in part.past.items():
                io.bind_ortvalue_input(f"past_{name}", self._value(array))
            for name, array in part.present.items():
                io.bind_ortvalue_output(f"present_{name}", self._value(array))

    def _value(self, array: npt.NDArray[np.generic]) -> ort.OrtValue:
        if id(array) not in self._values:
            self._values[id(array)] = _alias(array)
        return self._values[id(array)]


class OnnxModel:
    """One onnxruntime session on one package. Used from one thread only (invariant 9)."""

    def __init__(
        self,
        sessions: Reopened[ort.InferenceSession],
        manifest: ModelManifest,
        placement: Placement = PLACEMENTS["cpu"],
    ) -> None:
        self.manifest = manifest
        self._sessions = sessions
        self._placement = placement
        self._architecture = kept_by(placement, manifest.architecture)
        self._logits: Logits = np.zeros((1, self.vocab_size), np.float32)
        found = {node.name for node in sessions.opened.get_inputs()}
        self._flows = Flows.of(found, self._architecture)
        others = sorted(found ^ expected_inputs(self._architecture, self._flows))
        if others:
            raise InvalidModelError(
                f"the graph's inputs differ from its manifest's: {', '.join(others[:4])}"
            )

    @classmethod
    def load(
        cls,
        folder: Path,
        manifest: ModelManifest,
        *,
        num_threads: int | None = None,
        device: Device = "cpu",
    ) -> "OnnxModel":
        """Load the graph of a package whose files were verified.

        Raises InvalidModelError where the package has no graph for the device, where the graph
        reads files that the manifest does not name, where onnxruntime refuses it, or where its
        inputs are not ours; EngineUnavailableError where the device cannot be used here.
        """
        if device not in manifest.devices:
            raise InvalidModelError(
                f"{manifest.name} has no graph for {device}; "
                f"export it again with --device {device}, or leave --device out"
            )
        return cls.load_graph(
            folder / GRAPH_FILES[device], manifest, num_threads=num_threads, device=device
        )

    @classmethod
    def load_graph(
        cls,
        path: Path,
        manifest: ModelManifest,
        *,
        num_threads: int | None = None,
        device: Device = "cpu",
    ) -> "OnnxModel":
        """Load one graph of a package, of the architecture that `manifest` gives it."""
        placement = PLACEMENTS[device]
        check_external_data(path, manifest.files)
        if device == "cuda":
            check_cuda()
        provider = (placement.provider, dict(placement.options))

        def opening() -> ort.InferenceSession:
            options = _session_options(num_threads)
            try:
                session = ort.InferenceSession(
                    path, sess_options=options, providers=[provider], enable_fallback=0
                )
            except Exception as error:  # onnxruntime's exceptions share no base but Exception
                raise InvalidModelError(
                    f"onnxruntime cannot load {path}: {error}; export again"
                ) from error
            if placement.provider not in session.get_providers():
                raise EngineUnavailableError(f"onnxruntime left {device} for the CPU")
            return session

        files = [path.parent / name for name in manifest.files]
        return cls(Reopened(opening, files), manifest, placement)

    @property
    def vocab_size(self) -> int:
        return self.manifest.architecture.vocab_size

    @property
    def context_length(self) -> int:
        return min(self.manifest.context_length, MAX_CACHE_TOKENS)

    @property
    def num_cache_bytes(self) -> int:
        num_bytes = num_cache_bytes(self._architecture, self.context_length)  # of float32
        return num_bytes if self._placement.aliases else num_bytes // 2

    def create_cache(self) -> OnnxCache:
        _ = self._sessions.opened  # whoever asks is about to run it, and times that
        return OnnxCache(self._architecture, self.context_length)

    def forward(
        self, token_ids: Sequence[int], cache: KvCache, *, num_logits: int, cancel: CancelToken
    ) -> Logits:
        """Append `token_ids`, at most MAX_RUN_TOKENS, to the cache; return the last rows of logits.

        The result, [num_logits, vocab_size], is a view that the next call overwrites.
        Raises RequestCancelledError, before the run or in the middle of it; the cache's length is
        then as before.
        """
        cancel.raise_if_set()
        num_tokens = len(token_ids)
        assert isinstance(cache, OnnxCache)
        assert 0 < num_logits <= num_tokens <= min(MAX_RUN_TOKENS, cache.capacity - cache.length)
        binding = self._binding(cache, num_tokens, num_logits)
        binding.input_ids[0, :] = token_ids
        for part in cache.parts:
            part.prepare(cache.length, num_tokens)
        cache.bind_moving(binding.io)
        binding.copy_inputs()
        run_options = ort.RunOptions()
        try:
            with _terminating(run_options, cancel):
                self._sessions.opened.run_with_iobinding(binding.io, run_options)
        except Exception as error:
            if cancel.is_set:  # a terminated run raises a plain RuntimeError
                raise RequestCancelledError("the request was cancelled") from error
            raise
        if cache.hidden is not None:
            cache.hidden[cache.length : cache.length + num_tokens] = self.hidden_of(num_tokens)
        cache.length += num_tokens
        return binding.logits

    def give(self, hidden: Hidden) -> None:
        """Set the hidden states that a predictor's next run reads, one for each of its tokens."""
        self._flows.inputs["given"][0, : len(hidden)] = hidden

    def hidden_of(self, num_tokens: int) -> Hidden:
        """Return those that the last run, of so many tokens, gave: a view, as logits are."""
        return self._flows.outputs["hidden"][0, :num_tokens]

    def rest(self) -> None:
        """Give up the weights until the next run; caches keep theirs until they are given up."""
        self._sessions.rest()
        self._logits = np.zeros((1, self.vocab_size), np.float32)  # so that all is bound anew

    def close(self) -> None:
        self.rest()

    def _binding(self, cache: OnnxCache, num_tokens: int, num_logits: int) -> "_Binding":
        if num_logits > len(self._logits):
            self._logits = np.zeros((num_logits, self.vocab_size), np.float32)
        key = (num_tokens, num_logits)
        binding = cache.bindings.pop(key, None)
        if binding is None or binding.logits.base is not self._logits:  # the buffer was too small
            if len(cache.bindings) >= MAX_BINDINGS:
                del cache.bindings[next(iter(cache.bindings))]
            run = _Run(num_tokens, self._logits[:num_logits], self._flows)
            binding = _bind(self._sessions.opened, self._placement, cache, run)
        cache.bindings[key] = binding  # most recently used last
        return binding


class OnnxGraph:
    """A graph that is given as bytes; its weights lie in files of `folder`. Runs on the CPU.

    For parts of a package that are run a few times: nothing is bound, outputs are new arrays.
    """

    def __init__(self, graph: bytes, folder: Path) -> None:
        options = _session_options(None)
        options.add_session_config_entry(_WEIGHTS_FOLDER, str(folder))
        providers = [PLACEMENTS["cpu"].provider]
        self._session = ort.InferenceSession(graph, sess_options=options, providers=providers)

    def run(self, outputs: Sequence[str], feeds: Mapping[str, Array]) -> Sequence[Array]:
        return self._session.run(outputs, dict(feeds))


class _Binding(msgspec.Struct):
    """The inputs and the logits of one input length, and numpy views to write and read them.

    What the cache's parts keep is theirs to write.
    """

    io: ort.IOBinding
    input_ids: npt.NDArray[np.int64]  # [1, num_tokens]
    logits: Logits  # [num_logits, vocab_size]
    values: list[ort.OrtValue]  # kept alive: the binding holds no reference to them
    copied: dict[str, ort.OrtValue]  # empty where what is bound is numpy's own memory

    def copy_inputs(self) -> None:
        """Bind what numpy's memory holds now: binding copies to where a kernel reads it."""
        for name, value in self.copied.items():
            self.io.bind_ortvalue_input(name, value)


class _Run(msgspec.Struct, frozen=True):
    num_tokens: int
    logits: Logits  # [num_logits, vocab_size], where the last rows go
    flows: Flows


def _bind(
    session: ort.InferenceSession, placement: Placement, cache: OnnxCache, run: _Run
) -> _Binding:
    input_ids = np.zeros((1, run.num_tokens), np.int64)
    rows = np.arange(run.num_tokens - len(run.logits), run.num_tokens, dtype=np.int64)
    inputs: dict[str, Array] = {"input_ids": input_ids, "logit_rows": rows}
    inputs |= {name: array[:, : run.num_tokens] for name, array in run.flows.inputs.items()}
    given = {name: _alias(array[:, : run.num_tokens]) for name, array in run.flows.outputs.items()}
    past: dict[str, Array] = {}
    present: dict[str, Array] = {}
    for part in cache.parts:
        inputs |= part.inputs(run.num_tokens)
        past |= part.past
        present |= part.present
    fed = {name: _alias(array) for name, array in inputs.items()}
    if placement.aliases:
        read = {name: _alias(array) for name, array in past.items()}
        written = {name: _alias(array) for name, array in present.items()}
    else:
        read = written = _placed(placement, cache, past)
    binding = session.io_binding()
    for name, value in (*fed.items(), *((f"past_{name}", value) for name, value in read.items())):
        binding.bind_ortvalue_input(name, value)
    for name, value in written.items():
        binding.bind_ortvalue_output(f"present_{name}", value)
    given["logits"] = _alias(run.logits)
    for name, value in given.items():
        binding.bind_ortvalue_output(name, value)
    values = [*fed.values(), *read.values(), *written.values(), *given.values()]
    return _Binding(binding, input_ids, run.logits, values, {} if placement.aliases else fed)


def _placed(
    placement: Placement, cache: OnnxCache, arrays: Mapping[str, Array]
) -> Mapping[str, ort.OrtValue]:
    """Return buffers of float16 in a device's memory, made once for a cache."""
    if not cache.placed:
        for name, array in arrays.items():
            zeros = np.zeros(array.shape, np.float16)
            value = ort.OrtValue.ortvalue_from_numpy(zeros, placement.memory, 0)
            cache.placed[name] = value
    return cache.placed


def available_providers() -> list[str]:
    return list(ort.get_available_providers())


def check_cuda() -> None:
    """Raise EngineUnavailableError where CUDA cannot be used, saying what to install."""
    if PLACEMENTS["cuda"].provider not in available_providers():
        raise EngineUnavailableError(
            "this onnxruntime has no CUDA; on Linux or Windows with x86-64, install onnxruntime-gpu"
        )
    ort.set_default_logger_severity(_LOG_SEVERITY_FATAL)  # what it would say is said below
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # it prints what it does not find
            ort.preload_dlls()
        ort.OrtValue.ortvalue_from_numpy(np.zeros(1, np.float32), PLACEMENTS["cuda"].memory, 0)
    except Exception as error:
        raise EngineUnavailableError(why_no_gpu(str(error))) from error
    finally:
        ort.set_default_logger_severity(_LOG_SEVERITY_WARNING)


def _session_options(num_threads: int | None) -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.intra_op_num_threads = num_threads or num_worthwhile_threads()
    options.inter_op_num_threads = 1
    options.add_session_config_entry(_SPIN_DURATION, str(SPIN_DURATION_US))
    options.log_severity_level = _LOG_SEVERITY_ERROR
    return options


def _alias(array: npt.NDArray[np.generic]) -> ort.OrtValue:
    return ort.OrtValue.ortvalue_from_numpy(array, "cpu", 0)


@contextlib.contextmanager
def _terminating(run_options: ort.RunOptions, cancel: CancelToken) -> Generator[None]:
    def terminate() -> None:
        run_options.terminate = True

    with cancel.calling(terminate):
        yield
