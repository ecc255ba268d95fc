"""The engine host that all editors of one user share: it listens where `place.py` says.

    python -m inference.serving.shared.host --socket PATH --linger SECONDS --model FOLDER
                                            [--device DEVICE] [--threads N]

It leaves the process that started it, and ends some time after its last editor has gone. Of those
that are started for one place the first stays: it holds the lock for as long as it lives, whatever
it dies of, and what it finds of an earlier one it replaces.

Each editor is a connection of its own. One that sends nonsense, does not read or dies loses its own
connection; its documents are no other's (owner.py).
"""

import argparse
import asyncio
import contextlib
import fcntl
import itertools
import logging
import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Final, get_args

from inference.engine import EngineState
from inference.package.manifest import Device
from inference.serving.connection import MAX_UNSENT_BYTES
from inference.serving.host import CLOSE_GRACE_S, Host, HostedEngine
from inference.serving.resting import REST_AFTER_S
from inference.serving.shared.owner import OwnedEngine
from inference.serving.shared.peer import peer
from inference.serving.wire import FromHost, encode

FIRST_EDITOR_S: Final = 30.0
"""How long it waits for the editor that started it."""

_BACKLOG: Final = 64


class SharedHost:
    """All connections to one engine; `finished` is set when there is no use for it any more."""

    def __init__(self, engine: HostedEngine, *, linger_s: float) -> None:
        self._engine = engine
        self._linger_s = linger_s
        self._ordinals = itertools.count(1)
        self._editors: set[_Editor] = set()
        self.finished = asyncio.Event()
        self._ending = asyncio.get_running_loop().call_later(FIRST_EDITOR_S, self.finished.set)

    def connect(self) -> "_Editor":
        """Return the protocol of a new connection."""
        return _Editor(OwnedEngine(self._engine, str(next(self._ordinals))), self)

    def came(self, editor: "_Editor") -> None:
        self._editors.add(editor)
        self._ending.cancel()

    def went(self, editor: "_Editor") -> None:
        self._editors.discard(editor)
        if not self._editors:
            # What is not loaded yet, or cannot be, is not worth waiting with.
            is_ready = self._engine.status().state is EngineState.READY
            delay = self._linger_s if is_ready else 0.0
            self._ending = asyncio.get_running_loop().call_later(delay, self.finished.set)


class _Editor(asyncio.Protocol):
    """One editor's connection. It is refused where it is not this user's."""

    def __init__(self, engine: OwnedEngine, shared: SharedHost) -> None:
        self._engine = engine
        self._shared = shared
        self._host = Host(engine, self._send)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        if not peer(transport).is_us:
            self._host.feed(b"")
            transport.abort()
        self._shared.came(self)
        self._serving = asyncio.get_running_loop().create_task(self._serve())

    def data_received(self, data: bytes) -> None:
        self._host.feed(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._host.feed(b"")

    async def _serve(self) -> None:
        try:
            await self._host.serve()
        finally:
            self._transport.close()
            await self._engine.close()
            self._shared.went(self)

    def _send(self, message: FromHost) -> None:
        if self._transport.is_closing():
            return
        if self._transport.get_write_buffer_size() > MAX_UNSENT_BYTES:
            self._transport.abort()  # it has stopped reading; its engine will ask for another host
            return
        self._transport.write(encode(message))


def main() -> None:
    options = _parser().parse_args()

    def open_engine() -> HostedEngine:
        from inference.serving.local import LocalEngine  # onnxruntime, once we listen

        return LocalEngine.open(
            str(options.model),
            num_threads=options.threads,
            device=options.device,
            rest_after_s=REST_AFTER_S,
        )

    run(options.socket, open_engine, linger_s=options.linger)


def run(path: Path, open_engine: Callable[[], HostedEngine], *, linger_s: float) -> None:
    """Leave the parent and serve, or return at once where another host does.

    `open_engine` is called once we listen. Raises OSError where nobody can listen at `path`.
    """
    if _lock(path.with_suffix(".lock")) is None:
        return
    listening = _bound(path)
    if os.fork():
        os._exit(0)  # whoever started us has waited for this
    listening.listen(_BACKLOG)  # here, as editors are told the process that did
    os.ftruncate(2, 0)  # the log that earlier hosts wrote
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logging.basicConfig(level=logging.WARNING)
    # As in the host of a single editor: nothing here waits for the engine's threads.
    asyncio.new_event_loop().run_until_complete(_serve(listening, open_engine, linger_s=linger_s))
    logging.shutdown()
    os._exit(0)


async def _serve(
    listening: socket.socket, open_engine: Callable[[], HostedEngine], *, linger_s: float
) -> None:
    """Serve until there is no use for the engine."""
    path = Path(listening.getsockname())
    engine = open_engine()
    shared = SharedHost(engine, linger_s=linger_s)
    server = await asyncio.get_running_loop().create_unix_server(shared.connect, sock=listening)
    await shared.finished.wait()
    _remove(path)
    server.close()
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(engine.close(), CLOSE_GRACE_S)


def _remove(path: Path) -> None:
    """Have whoever comes now start another host."""
    path.unlink(missing_ok=True)


def _bound(path: Path) -> socket.socket:
    """Return a socket in place of what an earlier host left there."""
    _remove(path)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        listening.bind(os.fspath(path))
    finally:
        os.umask(before)
    return listening


def _lock(path: Path) -> int | None:
    """Return a descriptor that holds the lock until this process has ended; None where one does."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m inference.serving.shared.host")
    parser.add_argument("--socket", type=Path, required=True)
    parser.add_argument("--linger", type=float, required=True, help="in seconds")
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--device", default="cpu", choices=get_args(Device))
    parser.add_argument("--threads", type=int, help="one per physical core if not given")
    return parser


if __name__ == "__main__":
    main()
