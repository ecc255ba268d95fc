"""The engine host: a process of its own that answers the language server over stdin and stdout.

    python -m inference.serving.host [--model DIR] [--threads N] [--parent PID]

It lives no longer than the process that started it, however that one ends: stdin ends with it
everywhere, and on Linux the kernel kills the host.
A request that breaks costs its own answer only (architecture, 5.10), and no document text is
logged: an error is named by its type and place, because its message may quote the text.
"""

import argparse
import asyncio
import contextlib
import ctypes
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import Final, NoReturn, Protocol, get_args

from inference.completion import CompletionRequest, Request
from inference.engine import Engine, EngineState, EngineStatus
from inference.errors import InklingError, WireError
from inference.package.manifest import Device
from inference.serving.logs import log_without_text
from inference.serving.resting import REST_AFTER_S
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
    Warm,
    encode,
    read_to_host,
)

logger = logging.getLogger(__name__)

CLOSE_GRACE_S: Final = 0.3
"""A forward pass may take longer to end; it then ends with the process."""

_PR_SET_PDEATHSIG: Final = 1  # linux/prctl.h
_READ_BYTES: Final = 1 << 16


class HostedEngine(Engine, Protocol):
    """An engine that can tell whether it makes progress."""

    def stalled_ms(self) -> float:
        """Return how long the running request has not begun a step; 0 where none runs."""
        ...


def main() -> None:
    options = _parser().parse_args()

    def open_engine() -> HostedEngine:
        from inference.serving.local import LocalEngine  # onnxruntime, late: see `run`

        return LocalEngine.open(
            options.model,
            num_threads=options.threads,
            device=options.device,
            rest_after_s=REST_AFTER_S,
        )

    run(open_engine, parent=options.parent)


def run(open_engine: Callable[[], HostedEngine], *, parent: int) -> NoReturn:
    """Serve an engine over stdin and stdout until there is no use for it, then end the process.

    `open_engine` is called once stdout is safe from whatever it may print.
    """
    if sys.platform == "linux":
        die_with(parent)
    # Ctrl-C in a terminal reaches the whole group. This process ends when its parent says so.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING)
    send = _writer(claim_stdout())
    # Neither asyncio.run nor the end of the interpreter would do: both join the threads, and one
    # that is inside onnxruntime ends when it likes.
    asyncio.new_event_loop().run_until_complete(_serve(open_engine, send))
    logging.shutdown()
    os._exit(0)


def die_with(parent: int) -> None:
    """Have the kernel kill this process when its parent ends, prctl(2); it may have already."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(0)


def claim_stdout() -> int:
    """Return a descriptor for frames, and point stdout itself at stderr.

    onnxruntime prints on stdout when a session fails, in the middle of what would be a frame.
    """
    output = os.dup(1)
    os.dup2(2, 1)
    return output


class Host:
    """One connection: an engine on one side, messages on the other."""

    def __init__(self, engine: HostedEngine, send: Callable[[FromHost], None]) -> None:
        self._engine = engine
        self._send = send
        self._reader = read_to_host()
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._told: EngineStatus | None = None
        self.finished = asyncio.Event()

    async def serve(self) -> None:
        """Tell the status now and when the engine is ready; return once there is nothing to do."""
        self._tell_status()
        announcement = asyncio.create_task(self._announce())
        await self.finished.wait()
        tasks = [announcement, *self._tasks.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def feed(self, data: bytes) -> None:
        """Take bytes as they come; no bytes mean that the other side has gone."""
        if not data:
            self.finished.set()
            return
        try:
            for message in self._reader.feed(data):
                self._receive(message)
        except WireError:
            logger.exception("the language server is not understood; the engine host ends")
            self.finished.set()

    def _receive(self, message: ToHost) -> None:
        match message:
            case Complete(request_id, request):
                work = self._answer(request_id, request)
                task = asyncio.get_running_loop().create_task(work)
                self._tasks[request_id] = task
                task.add_done_callback(lambda _: self._tasks.pop(request_id, None))
            case Warm(request):
                self._warm(request)
            case Leave(document):
                self._engine.leave(document)
            case Remember(document, text):
                self._engine.remember(document, text)
            case Cancel(request_id):
                if request_id in self._tasks:
                    self._tasks[request_id].cancel()
            case Ping():
                self._tell_status()
                self._send(Pong(self._engine.stalled_ms()))
            case Shutdown():
                self.finished.set()

    def _warm(self, request: CompletionRequest) -> None:
        try:
            self._engine.warm(request)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:
            log_without_text(error)

    async def _announce(self) -> None:
        try:
            await self._engine.wait_ready()
        except (asyncio.CancelledError, KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:
            log_without_text(error)
            message = f"loading the model failed with {type(error).__name__}; export it again"
            self._send(Status(EngineStatus(state=EngineState.FAILED, message=message)))
        else:
            self._tell_status()

    async def _answer(self, request_id: int, request: Request) -> None:
        try:
            completion = await self._engine.complete(request)
            self._send(Answer(request_id, completion))
        except (asyncio.CancelledError, KeyboardInterrupt, SystemExit):
            raise
        except InklingError as error:
            self._send(Failed(request_id, str(error)))
        except BaseException as error:  # a panic in tokenizers is no Exception
            log_without_text(error)
            self._send(Failed(request_id, f"{type(error).__name__} in the engine"))

    def _tell_status(self) -> None:
        status = self._engine.status()
        if status != self._told:
            self._told = status
            self._send(Status(status))


async def _serve(open_engine: Callable[[], HostedEngine], send: Callable[[FromHost], None]) -> None:
    engine = open_engine()
    host = Host(engine, send)
    loop = asyncio.get_running_loop()
    threading.Thread(target=_pump, args=(loop, host.feed), daemon=True).start()
    await host.serve()
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(engine.close(), CLOSE_GRACE_S)


def _writer(output: int) -> Callable[[FromHost], None]:
    pipe = open(output, "wb")  # noqa: SIM115 - open as long as the process is

    def send(message: FromHost) -> None:
        # Blocks only while the other side reads nothing, and then nobody waits for us. Once it
        # has gone, the end of stdin says so too.
        with contextlib.suppress(OSError):
            pipe.write(encode(message))
            pipe.flush()

    return send


def _pump(loop: asyncio.AbstractEventLoop, feed: Callable[[bytes], None]) -> None:
    """Read stdin in a thread: the one way that works alike on every system."""
    data = b"."
    while data:
        try:
            data = os.read(0, _READ_BYTES)
        except OSError:
            data = b""
        loop.call_soon_threadsafe(feed, data)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m inference.serving.host")
    parser.add_argument("--model", help="the one that the user chose if not given")
    parser.add_argument("--device", default="cpu", choices=get_args(Device))
    parser.add_argument("--threads", type=int, help="one per physical core if not given")
    parser.add_argument("--parent", type=int, default=os.getppid(), help="end with this process")
    return parser


if __name__ == "__main__":
    main()
