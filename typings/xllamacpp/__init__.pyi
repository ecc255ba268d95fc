"""The part of xllamacpp that benchmarks use; the package ships no types that a checker can read."""

from typing import Any

class Model:
    path: str

class Threads:
    n_threads: int

class CommonParams:
    model: Model
    n_ctx: int
    n_parallel: int
    cpuparams: Threads
    cpuparams_batch: Threads

class Server:
    listening_address: str
    def __init__(self, parameters: CommonParams) -> None: ...
    def handle_completions(self, body: dict[str, object]) -> dict[str, Any]: ...
