"""An engine host without an engine, which does what a request's prefix says.

    python fake_host.py [--load ready|failed|"failed once"|never|crash|garbage]
                        [--starts FILE] [--crashes N]

Every start adds a line to FILE; the first N of them crash once they are ready.
Prefixes: see BREAKDOWNS and `_obey`. Any other prefix is answered with itself in capitals.
"""

import argparse
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from inference.completion import Completion, CompletionRequest, FinishReason
from inference.engine import EngineState, EngineStatus
from inference.serving.wire import (
    Answer,
    Cancel,
    Complete,
    Failed,
    FromHost,
    Leave,
    Ping,
    Pong,
    Remember,
    Shutdown,
    Status,
    ToHost,
    encode,
    read_to_host,
)

GARBAGE = b"Traceback (most recent call last):\n"
BAD_MODEL = "the model is bad; export it again"
LAST_WORDS = "MemoryError: out of memory"


class FakeHost:
    def __init__(self) -> None:
        self._slow: list[int] = []
        self._cancelled: list[int] = []
        self._remembered: dict[str, int | None] = {}
        self._left: list[str] = []

    def serve(self) -> None:
        reader = read_to_host()
        while data := os.read(0, 1 << 16):
            for message in reader.feed(data):
                self._receive(message)

    def _receive(self, message: ToHost) -> None:
        match message:
            case Complete(request_id, request):
                self._obey(request_id, request)
            case Cancel(request_id):
                self._cancelled.append(request_id)
            case Leave(document):
                self._left.append(document)
            case Remember(document, text):
                self._remembered[document] = None if text is None else len(text)
            case Ping():
                send(Pong(stalled_ms=0))
            case Shutdown():
                sys.exit(0)

    def _obey(self, request_id: int, request: CompletionRequest) -> None:
        if request.prefix in BREAKDOWNS:
            BREAKDOWNS[request.prefix]()
            return
        match request.prefix:
            case "fail":
                send(Failed(request_id, "RuntimeError in the engine"))
            case "wait":  # for the next "release", or for ever
                self._slow.append(request_id)
            case "release":
                for slow in (*self._slow, request_id):
                    answer(slow, "RELEASED")
                self._slow.clear()
            case "answer twice":
                answer(request_id, "FIRST")
                answer(request_id, "SECOND")
            case "answer a stranger":
                answer(request_id + 1000, "STRANGER")
                answer(request_id, "RIGHT")
            case prefix:
                answer(request_id, self._told_of(prefix))

    def _told_of(self, prefix: str) -> str:
        """Return what the host knows of that, or the prefix in capitals."""
        match prefix:
            case "what was cancelled":
                return json.dumps(self._cancelled)
            case "what is remembered":
                return json.dumps(self._remembered)
            case "what was left":
                return json.dumps(self._left)
            case "which environment":
                return json.dumps(sorted(os.environ))
            case _:
                return prefix.upper()


def write(data: bytes) -> None:
    while data:
        data = data[os.write(1, data) :]


def send(message: FromHost) -> None:
    write(encode(message))


def answer(request_id: int, text: str) -> None:
    send(Answer(request_id, Completion(text=text, finish_reason=FinishReason.LINE)))


def die(returncode: int) -> None:
    sys.stderr.write(f"{LAST_WORDS}\n")
    sys.stderr.flush()
    os._exit(returncode)


def die_in_the_middle_of_a_frame() -> None:
    write(encode(Pong(stalled_ms=0))[:-1])
    os._exit(0)


BREAKDOWNS: dict[str, Callable[[], object]] = {
    "die": lambda: die(3),
    "die in the middle of a frame": die_in_the_middle_of_a_frame,
    "be killed": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "eat memory": lambda: bytearray(1 << 62),
    "freeze": lambda: os.kill(os.getpid(), signal.SIGSTOP),  # as a debugger or a full swap would
    "print garbage": lambda: write(GARBAGE),
    "close stdout": lambda: os.close(1),
}


def start(load: str, *, num_starts: int, num_crashes: int) -> None:
    if load == "failed once":
        load = "failed" if num_starts == 1 else "ready"
    send(Status(EngineStatus(state=EngineState.LOADING)))
    match load:
        case "crash":
            die(1)
        case "garbage":
            write(GARBAGE)
        case "failed":
            send(Status(EngineStatus(state=EngineState.FAILED, message=BAD_MODEL)))
        case "ready":
            send(Status(EngineStatus(state=EngineState.READY, model="fake")))
        case _:
            pass
    if num_starts <= num_crashes:
        os._exit(1)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--load", default="ready")
    parser.add_argument("--starts", type=Path)
    parser.add_argument("--crashes", type=int, default=0)
    options = parser.parse_args()
    num_starts = count_start(options.starts)
    start(options.load, num_starts=num_starts, num_crashes=options.crashes)
    FakeHost().serve()


def count_start(file: Path | None) -> int:
    """Return how many starts there were, this one included."""
    if file is None:
        return 1
    with file.open("a", encoding="ascii") as starts:
        starts.write("start\n")
    return len(file.read_text("ascii").splitlines())


if __name__ == "__main__":
    main()
