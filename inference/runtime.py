"""Run a package's graph with onnxruntime: token ids in, logits out, keys and values kept in place.

The sole user of onnxruntime. It knows tensors and cache lengths; it knows no text and no request.

The hot loop binds preallocated OrtValues once per input length and then only writes numbers into
numpy views of them: `session.run` with feeds is 1.75 times slower. `OrtValue.ortvalue_from_numpy`
aliases the array on CPU, so writing to the array is writing to the input.

The cache's buffers are bound as past and as present, so each run appends in place. Going back is
lowering `length`: what lies behind it is overwritten by the next run and never read.
"""

import contextlib
import math
import os
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from inference.cancellation import CancelToken
from inference.errors import InvalidModelError, RequestCancelledError
from inference.external_data import check_external_data
from inference.manifest import MODEL_FILE, ModelManifest
from inference.model import KvCache, Logits

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


def cache_shape(manifest: ModelManifest, capacity: int) -> tuple[int, int, int, int]:
    """Return the shape of one layer's keys, which is that of its values."""
    architecture = manifest.architecture
    return (1, architecture.num_key_value_heads, capacity, architecture.head_dim)


class OnnxCache:
    """Keys and values of one session, [1, num_key_value_heads, capacity, head_dim] per layer.

    Invariant 10 rests on `length`: only `OnnxModel.forward` raises it, after a run that succeeded.
    """

    def __init__(self, model: "OnnxModel", capacity: int) -> None:
        shape = cache_shape(model.manifest, capacity)
        self._capacity = capacity
        self.length = 0
        self.buffers = {
            f"{kind}.{layer}": _alias(np.zeros(shape, np.float32))
            for layer in range(model.manifest.architecture.num_hidden_layers)
            for kind in ("key", "value")
        }
        self.bindings: dict[tuple[int, int], _Binding] = {}

    @property
    def capacity(self) -> int:
        return self._capacity

    def rewind(self, length: int) -> None:
        """Forget everything after the first `length` tokens."""
        assert 0 <= length <= self.length
        self.length = length


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
        num_values = math.prod(cache_shape(self.manifest, self.context_length))
        return num_values * 2 * self.manifest.architecture.num_hidden_layers * 4  # f32

    def create_cache(self) -> OnnxCache:
        return OnnxCache(self, self.context_length)

    def forward(
        self, token_ids: Sequence[int], cache: KvCache, *, num_logits: int, cancel: CancelToken
    ) -> Logits:
        """Append `token_ids` to the cache; return the last `num_logits` rows of logits.

        The result, [num_logits, vocab_size], is a view that the next call overwrites.
        Raises RequestCancelledError, before the run or in the middle of it; the cache's length is
        then as before.
        """
        cancel.raise_if_set()
        num_tokens = len(token_ids)
        assert isinstance(cache, OnnxCache)
        assert 0 < num_logits <= num_tokens <= cache.capacity - cache.length
        binding = self._binding(cache, num_tokens, num_logits)
        binding.input_ids[0, :] = token_ids
        binding.total[...] = cache.length + num_tokens
        binding.seqlens[0] = cache.length + num_tokens - 1
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
    """The inputs and the logits of one input length, and numpy views to write and read them."""

    io: ort.IOBinding
    input_ids: npt.NDArray[np.int64]  # [1, num_tokens]
    seqlens: npt.NDArray[np.int32]  # [1]
    total: npt.NDArray[np.int32]  # []
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
    seqlens = np.zeros(1, np.int32)
    total = np.zeros((), np.int32)
    logits = np.zeros((num_logits, vocab_size), np.float32)
    inputs = {
        "input_ids": _alias(input_ids),
        "seqlens_k": _alias(seqlens),
        "total_sequence_length": _alias(total),
        "logit_rows": _alias(np.arange(num_tokens - num_logits, num_tokens, dtype=np.int64)),
    }
    output = _alias(logits)
    io = session.io_binding()
    for name, value in inputs.items():
        io.bind_ortvalue_input(name, value)
    for name, value in cache.buffers.items():
        io.bind_ortvalue_input(f"past_{name}", value)
        io.bind_ortvalue_output(f"present_{name}", value)
    io.bind_ortvalue_output("logits", output)
    return _Binding(io, input_ids, seqlens, total, logits, [*inputs.values(), output])


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
    layers = range(manifest.architecture.num_hidden_layers)
    expected = {"input_ids", "seqlens_k", "total_sequence_length", "logit_rows"}
    expected |= {f"past_{kind}.{layer}" for layer in layers for kind in ("key", "value")}
    found = {node.name for node in session.get_inputs()}
    if found != expected:
        names = ", ".join(sorted(found ^ expected)[:4])
        raise InvalidModelError(f"the graph's inputs differ from its manifest's: {names}")
