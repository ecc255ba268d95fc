"""llama.cpp as a peer: its server in this process fills holes in either order, or is timed.

Its libraries are in no group of `make test`, so they are loaded when they are used.
"""

import asyncio
import json
import time
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol

from inference.completion import Completion, CompletionRequest, FinishReason
from inference.decoding.scoring import Score
from inference.timing import Timings

if TYPE_CHECKING:
    import xllamacpp

Order = Literal["psm", "spm"]
Peer = Literal["llama.cpp", "llama-cpp-python"]

PEERS: Final[Mapping[Peer, str]] = {"llama.cpp": "xllamacpp", "llama-cpp-python": "llama_cpp"}
"""The modules that they are."""

CONTEXT_LENGTH: Final = 4096

TEMPLATES: Final[dict[Order, str]] = {
    "psm": "<|fim_prefix|>{prefix}<|fim_suffix|>{suffix}<|fim_middle|>",
    # The suffix first and the prefix behind the middle token, with the tokens of the usual order.
    "spm": "<|fim_prefix|><|fim_suffix|>{suffix}<|fim_middle|>{prefix}",
}


def open_server(path: Path, *, num_threads: int) -> "xllamacpp.Server":
    """Return llama.cpp's server with its own defaults but for threads and context."""
    import xllamacpp

    from tests.support.llama_cpp import server_parameters

    return xllamacpp.Server(
        server_parameters(path, context_length=CONTEXT_LENGTH, num_threads=num_threads)
    )


class Runner(Protocol):
    """What benchmarks.decode times."""

    @property
    def context_length(self) -> int: ...

    def times(self, prompt: Sequence[int], num_tokens: int) -> tuple[float, float]:
        """Read a prompt into an empty cache, and so many tokens behind it one by one.

        Returns the milliseconds for the prompt, and the mean for a token behind it.
        """
        ...


def open_runner(peer: Peer, path: Path, *, num_threads: int) -> Runner:
    match peer:
        case "llama.cpp":
            return _TimedServer(path, num_threads)
        case "llama-cpp-python":
            return _TimedLibrary(path, num_threads)


class _TimedServer:
    """The prebuilt library; times are those that the server tells."""

    context_length = CONTEXT_LENGTH

    def __init__(self, path: Path, num_threads: int) -> None:
        self._server = open_server(path, num_threads=num_threads)

    def times(self, prompt: Sequence[int], num_tokens: int) -> tuple[float, float]:
        asked: dict[str, Any] = {
            "prompt": list(prompt),
            "n_predict": num_tokens + 1,  # the first one comes with the prompt
            "ignore_eos": True,
            "cache_prompt": False,
            "samplers": ["top_k"],
            "top_k": 1,
        }
        request = urllib.request.Request(  # noqa: S310 - this process's own server
            f"{self._server.listening_address}/completion",
            json.dumps(asked).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request) as answer:  # noqa: S310
            timings = json.load(answer)["timings"]
        return timings["prompt_ms"], timings["predicted_per_token_ms"]


class _TimedLibrary:
    """A library that was built for this machine, asked token by token."""

    context_length = CONTEXT_LENGTH

    def __init__(self, path: Path, num_threads: int) -> None:
        import llama_cpp

        self._model = llama_cpp.Llama(
            str(path),
            n_ctx=CONTEXT_LENGTH,
            n_threads=num_threads,
            n_threads_batch=num_threads,
            verbose=False,
        )

    def times(self, prompt: Sequence[int], num_tokens: int) -> tuple[float, float]:
        self._model.reset()
        started = time.perf_counter()
        self._model.eval(list(prompt))
        read = time.perf_counter()
        for token_id in prompt[:num_tokens]:
            self._model.eval([token_id])
        return 1000 * (read - started), 1000 * (time.perf_counter() - read) / num_tokens


class LlamaCppFiller:
    """Fills the hole of a request up to the end of its line, greedily; see evaluation.fill."""

    def __init__(self, server: "xllamacpp.Server", order: Order) -> None:
        self._server = server
        self._order: Order = order

    async def complete(self, request: CompletionRequest) -> Completion:
        started = time.perf_counter()
        text = await asyncio.to_thread(self._fill, request)
        milliseconds = 1000 * (time.perf_counter() - started)
        return Completion(
            text=text.rstrip(),
            finish_reason=FinishReason.LINE if text.strip() else FinishReason.EMPTY,
            timings=Timings(total_ms=milliseconds),
        )

    async def score(self, request: CompletionRequest, middle: str) -> Score:
        raise NotImplementedError("a peer is not asked how likely it holds a text")

    def _fill(self, request: CompletionRequest) -> str:
        template = TEMPLATES[self._order]
        answer = self._server.handle_completions(
            {
                "prompt": template.format(prefix=request.prefix, suffix=request.suffix),
                "max_tokens": request.max_tokens,
                "temperature": 0,
                "stop": ["\n"],
            }
        )
        if "choices" not in answer:
            raise RuntimeError(f"llama.cpp answers {answer}")
        return answer["choices"][0]["text"]
