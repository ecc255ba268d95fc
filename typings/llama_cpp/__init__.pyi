# What benchmarks/peers.py uses of llama-cpp-python 0.3, which is in no group of the project.

from collections.abc import Sequence

class Llama:
    def __init__(
        self,
        model_path: str,
        *,
        n_ctx: int = ...,
        n_threads: int | None = ...,
        n_threads_batch: int | None = ...,
        verbose: bool = ...,
    ) -> None: ...
    def eval(self, tokens: Sequence[int]) -> None: ...
    def reset(self) -> None: ...
