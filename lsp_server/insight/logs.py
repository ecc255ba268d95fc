r"""Log without a word of a document, each record where it cannot be mistaken for another.

A record is one line and, for where an error came from, more lines that are indented. What a client
sent may be in a record by its name only, and may hold anything: characters that steer a terminal
are written as `\x1b` is, and a line end begins an indented line, so none can forge a record.

    2026-05-04 10:20:30 WARNING lsp_server.protocol: ...

"""

import logging
import re
import sys
from pathlib import Path
from typing import Final

QUOTING_LOGGERS: Final = ("pygls", "lsprotocol", "cattrs", "asyncio", "websockets")
"""Libraries that write what they are sent, and with it documents, into their logs."""

LINE: Final = "%(levelname)s %(name)s: %(message)s"

# All that is no line end and moves a cursor, hides text or ends a line for some programs.
_STEERING: Final = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
_NEXT_LINE: Final = "\n    "

log = logging.getLogger(__name__)


def configure_logging(level: str, file: Path | None = None) -> None:
    """Log to stderr, since stdout belongs to the protocol, and to a file where one is named.

    A file that cannot be opened is named in the log, and everything else goes on.
    """
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stderr)]
    handlers[0].setFormatter(SafeFormatter(LINE))
    problem = ""
    if file is not None:
        from lsp_server.insight.log_file import PrivateFileHandler  # late: 3 ms that few need

        try:
            handlers.append(PrivateFileHandler(file))
            handlers[1].setFormatter(SafeFormatter(f"%(asctime)s {LINE}"))
        except OSError as error:
            problem = f"nothing is logged to the file: {error.strerror}"
    logging.basicConfig(level=level.upper(), handlers=handlers)
    for name in QUOTING_LOGGERS:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    if problem:
        log.warning("%s", problem)


def escaped(text: str) -> str:
    """Return a text that is shown as it is: what steers is spelled, its later lines indented."""
    lines = text.replace("\r\n", "\n").split("\n")
    return _NEXT_LINE.join(_STEERING.sub(_spelled, line) for line in lines)


class SafeFormatter(logging.Formatter):
    """Format a record so that nothing in it can look like something else."""

    def format(self, record: logging.LogRecord) -> str:
        return escaped(super().format(record))


def _spelled(match: re.Match[str]) -> str:
    return ascii(match[0])[1:-1]
