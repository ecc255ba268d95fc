"""Run the application under uvicorn: sockets, TLS, signals, and clients that never finish.

uvicorn bounds neither how long a request's head may take nor how many of them wait half-sent
(0.54): a connection that has not sent one in HEAD_SECONDS is closed here.
"""

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable, Generator, Sequence
from typing import Any, Final, NamedTuple

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from inference import InklingError

HEAD_SECONDS: Final = 10.0
KEEP_ALIVE_SECONDS: Final = 30
GRACE_SECONDS: Final = 5
MAX_HEAD_BYTES: Final = 16 << 10
MAX_CONNECTIONS: Final = 512
BACKLOG: Final = 128


class Served(NamedTuple):
    """An application and where it listens; with a certificate it speaks TLS alone."""

    app: Any
    socket: socket.socket
    tls_certificate: str | None = None
    tls_key: str | None = None


class PatientProtocol(H11Protocol):
    """HTTP/1.1 for clients that send a request once they are connected."""

    def __init__(self, *arguments: Any, **named: Any) -> None:  # noqa: ANN401 - as uvicorn calls it
        super().__init__(*arguments, **named)
        self._overdue: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # pyright: ignore[reportIncompatibleMethodOverride] - as uvicorn's
        super().connection_made(transport)
        self._await_head()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        is_answered = not self.cycle or self.cycle.response_complete
        if is_answered:  # a head that is not all there, or the rest of what was refused already
            self._await_head()
        else:
            self._stop_waiting()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def _await_head(self) -> None:
        if self._overdue is None:
            self._overdue = self.loop.call_later(HEAD_SECONDS, self._give_up)

    def _stop_waiting(self) -> None:
        if self._overdue is not None:
            self._overdue.cancel()
            self._overdue = None

    def _give_up(self) -> None:
        self.transport.close()


class Server(uvicorn.Server):
    """One of several in a process: signals are for all of them, see `run`."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens. Raises InklingError where the address cannot be had.

    It names its protocol: asyncio sends answers without delay on such sockets alone, and 44 ms of
    an answer were that delay.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        with contextlib.ExitStack() as stack:
            listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
            stack.enter_context(listening)
            if os.name == "posix":  # elsewhere it lets another program listen here, too
                listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind((host, port))
            listening.listen(BACKLOG)
            stack.pop_all()  # it is the caller's now
    except OSError as error:
        reason = error.strerror or str(error)
        raise InklingError(f"{host}:{port} cannot be had ({reason}); name another") from error
    return listening


async def run(all_served: Sequence[Served]) -> None:
    """Serve until a signal comes, and let what is under way end within GRACE_SECONDS."""
    servers = [Server(_config(served)) for served in all_served]

    def stop() -> None:
        for server in servers:
            server.force_exit = server.should_exit
            server.should_exit = True

    on_signal(stop)
    await asyncio.gather(
        *(
            server.serve(sockets=[served.socket])
            for server, served in zip(servers, all_served, strict=True)
        )
    )


def on_signal(stop: Callable[[], None]) -> None:
    """Have this called in the running loop when somebody wants this process to end."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):  # Windows
            loop.add_signal_handler(number, stop)


def _config(served: Served) -> uvicorn.Config:
    try:
        config = uvicorn.Config(
            served.app,
            http=PatientProtocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            h11_max_incomplete_event_size=MAX_HEAD_BYTES,
            limit_concurrency=MAX_CONNECTIONS,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=GRACE_SECONDS,
            ssl_certfile=served.tls_certificate,
            ssl_keyfile=served.tls_key,
        )
        config.load()
    except OSError as error:  # ssl.SSLError is one
        raise InklingError(
            f"{served.tls_certificate} and {served.tls_key} are no certificate and its key: {error}"
        ) from error
    return config


def configure_logging() -> None:
    """Log warnings to stderr, of ours and of uvicorn's; neither quotes what was sent."""
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.WARNING,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
