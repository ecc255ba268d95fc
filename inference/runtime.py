"""Run a package's graph with onnxruntime: token ids in, logits out, keys and values kept in place.

The sole user of onnxruntime. It knows tensors and cache lengths; it knows no text and no request.

The hot loop binds preallocated OrtValues once per input length and then only writes numbers into
numpy views of them: `session.run` with feeds is 1.75 times slower. `OrtValue.ortvalue_from_numpy`
aliases the array on CPU, so writing to the array is writing to the input.

What the layers keep, and which inputs they need for it, each kind of layer knows: see
inference.caches. Its arrays are bound here, and told each run's length before it.
"""

import contextlib
import os
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from inference.caches import create_caches, num_cache_bytes
from inference.cancellation import CancelToken
from inference.errors import InvalidModelError, RequestCancelledError
from inference.external_data import check_external_data
from inference.manifest import MODEL_FILE, Architecture, ModelManifest
from inference.model import MAX_RUN_TOKENS, KvCache, Logits

# Read when the attention kernels are built. Without flash attention prefill is 10 to 35 % faster
# on CPU and decode the same (onnxruntime 1.31, measured).
os.environ.setdefault("ORT_GQA_DISABLE_FLASH_ATTENTION", "1")

import onnxruntime as ort  # after the environment it reads

MAX_CACHE_TOKENS: Final = 4_096
"""Cache positions kept per session unless told otherwise: f32 keys and values of a long context
cost more memory than most machines have (262 KB a token for a 7B model)."""

MAX_BINDINGS: Final = 48
"""Input lengths whose buffers are kept; each costs one row of logits or a few."""

_LOG_SEVERITY_ERROR: Final = 3


class OnnxCache:
    """What one session keeps, a part for each kind of layer.

    Invariant 10 rests on `length`: only `OnnxModel.forward` raises it, after a run that succeeded.
    """

    def __init__(self, architecture: Architecture, capacity: int) -> None:
        self._capacity = capacity
        self.length = 0
        self.parts = create_caches(architecture, capacity)
        self.bindings: dict[tuple[int, int], _Binding] = {}
        self._moving = [part for part in self.parts if part.is_moving]
        self._values: dict[int, ort.OrtValue] = {}  # by the id of the array, which a part keeps

    @property
    def capacity(self) -> int:
        return self._capacity

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

    def __init__(self, session: ort.InferenceSession, manifest: ModelManifest) -> None:
        self.manifest = manifest
        self._session = session

    @classmethod
    def load(
        cls, folder: Path, manifest: ModelManifest, *, num_threads: int | None = None
    ) -> "OnnxModel":
        """Load the graph of a package whose files were verified.

        Raises InvalidModelError where the graph reads files that the manifest does not name, where
        onnxruntime refuses it, or where its inputs are not ours.
        """
        check_external_data(folder / MODEL_FILE, manifest.files)
        options = ort.SessionOptions()
        options.intra_op_num_threads = num_threads or num_physical_cores()
        options.inter_op_num_threads = 1
        options.log_severity_level = _LOG_SEVERITY_ERROR
        try:
            session = ort.InferenceSession(
                folder / MODEL_FILE, sess_options=options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime's exceptions share no base but Exception
            raise InvalidModelError(
                f"onnxruntime cannot load {folder / MODEL_FILE}: {error}; export again"
            ) from error
        _check_inputs(session, manifest)
        return cls(session, manifest)

    @property
    def vocab_size(self) -> int:
        return self.manifest.architecture.vocab_size

    @property
    def context_length(self) -> int:
        return min(self.manifest.context_length, MAX_CACHE_TOKENS)

    @property
    def num_cache_bytes(self) -> int:
        return num_cache_bytes(self.manifest.architecture, self.context_length)

    def create_cache(self) -> OnnxCache:
        return OnnxCache(self.manifest.architecture, self.context_length)

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
        run_options = ort.RunOptions()
        try:
            with _terminating(run_options, cancel):
                self._session.run_with_iobinding(binding.io, run_options)
        except Exception as error:
            if cancel.is_set:  # a terminated run raises a plain RuntimeError
                raise RequestCancelledError("the request was cancelled") from error
            raise
        cache.length += num_tokens
        return binding.logits

    def close(self) -> None:
        del self._session

    def _binding(self, cache: OnnxCache, num_tokens: int, num_logits: int) -> "_Binding":
        key = (num_tokens, num_logits)
        binding = cache.bindings.pop(key, None)
        if binding is None:
            if len(cache.bindings) >= MAX_BINDINGS:
                del cache.bindings[next(iter(cache.bindings))]
            binding = _bind(self._session, cache, num_tokens, num_logits, self.vocab_size)
        cache.bindings[key] = binding  # most recently used last
        return binding


class _Binding(msgspec.Struct):
    """The inputs and the logits of one input length, and numpy views to write and read them.

    What the cache's parts keep is theirs to write.
    """

    io: ort.IOBinding
    input_ids: npt.NDArray[np.int64]  # [1, num_tokens]
    logits: Logits  # [num_logits, vocab_size]
    values: list[ort.OrtValue]  # kept alive: the binding holds no reference to them


def _bind(
    session: ort.InferenceSession,
    cache: OnnxCache,
    num_tokens: int,
    num_logits: int,
    vocab_size: int,
) -> _Binding:
    input_ids = np.zeros((1, num_tokens), np.int64)
    logits = np.zeros((num_logits, vocab_size), np.float32)
    inputs = {
        "input_ids": input_ids,
        "logit_rows": np.arange(num_tokens - num_logits, num_tokens, dtype=np.int64),
    }
    outputs = {"logits": logits}
    for part in cache.parts:
        inputs |= part.inputs(num_tokens)
        inputs |= {f"past_{name}": array for name, array in part.past.items()}
        outputs |= {f"present_{name}": array for name, array in part.present.items()}
    io = session.io_binding()
    values: list[ort.OrtValue] = []
    for name, array in inputs.items():
        values.append(_alias(array))
        io.bind_ortvalue_input(name, values[-1])
    for name, array in outputs.items():
        values.append(_alias(array))
        io.bind_ortvalue_output(name, values[-1])
    return _Binding(io, input_ids, logits, values)


def num_physical_cores() -> int:
    """Return how many cores this process may use, hyper-threads counted as half where known.

    A second thread per core slows the small matrix products of decoding down.
    """
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
    logical = available or os.cpu_count() or 1
    return max(1, logical // _threads_per_core())


def _threads_per_core() -> int:
    siblings = Path("/sys/devices/system/cpu/cpu0/topology/thread_siblings_list")
    try:
        text = siblings.read_text("ascii").strip()
    except OSError:
        return 1
    first, _, last = text.replace(",", "-").partition("-")
    return 2 if last and last != first else 1


def _alias(array: npt.NDArray[np.generic]) -> ort.OrtValue:
    return ort.OrtValue.ortvalue_from_numpy(array, "cpu", 0)


@contextlib.contextmanager
def _terminating(run_options: ort.RunOptions, cancel: CancelToken) -> Generator[None]:
    def terminate() -> None:
        run_options.terminate = True

    with cancel.calling(terminate):
        yield


def _check_inputs(session: ort.InferenceSession, manifest: ModelManifest) -> None:
    expected = {"input_ids", "logit_rows"}
    for part in create_caches(manifest.architecture, capacity=1):
        expected |= {*part.inputs(1), *(f"past_{name}" for name in part.past)}
    found = {node.name for node in session.get_inputs()}
    if found != expected:
        names = ", ".join(sorted(found ^ expected)[:4])
        raise InvalidModelError(f"the graph's inputs differ from its manifest's: {names}")
