"""llama.cpp as a peer that fills holes: its server in this process, asked in either order."""

import asyncio
import time
from pathlib import Path
from typing import Final, Literal

import xllamacpp

from inference.completion import Completion, CompletionRequest, FinishReason
from inference.decoding.scoring import Score
from inference.timing import Timings
from tests.support.llama_cpp import server_parameters

Order = Literal["psm", "spm"]

TEMPLATES: Final[dict[Order, str]] = {
    "psm": "<|fim_prefix|>{prefix}<|fim_suffix|>{suffix}<|fim_middle|>",
    # The suffix first and the prefix behind the middle token, with the tokens of the usual order.
    "spm": "<|fim_prefix|><|fim_suffix|>{suffix}<|fim_middle|>{prefix}",
}


def open_server(path: Path, *, num_threads: int, context_length: int = 4096) -> xllamacpp.Server:
    """Return llama.cpp's server with its own defaults but for threads and context."""
    return xllamacpp.Server(
        server_parameters(path, context_length=context_length, num_threads=num_threads)
    )


class LlamaCppFiller:
    """Fills the hole of a request up to the end of its line, greedily; see evaluation.fill."""

    def __init__(self, server: xllamacpp.Server, order: Order) -> None:
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
