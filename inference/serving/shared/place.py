"""Where the engine host lies that all editors of one user share: one for each model and device.

    $XDG_RUNTIME_DIR/inkling/, else run/ in the user's cache      0700, and nobody else's
        KEY.sock    where the host listens, 0600
        KEY.lock    held by the host as long as it lives
        KEY.log     what the host last wrote on stderr

KEY stands for all that makes a host another one: the package and when it was written, the device,
the number of threads, the code itself, and the machine, as folders may be on several. So a newer
Inkling, or a package that was exported again, has a host of its own beside the older one, which
ends when its last editor has gone.
"""

import hashlib
import os
import stat
import sys
from functools import cache
from pathlib import Path
from socket import gethostname
from typing import Final

import msgspec
import platformdirs

from inference.errors import ModelNotFoundError
from inference.package.manifest import MANIFEST_FILE, Device
from inference.package.store import find_model

LINGER_S: Final = 180.0
"""How long a host outlives its last editor: closing one window and opening another is quick."""

MAX_SOCKET_PATH_BYTES: Final = 100
"""unix(7) has 108 for sun_path, the BSDs 104, each with the zero at its end."""

_KEY_DIGITS: Final = 16
_CODE: Final = Path(__file__).parents[2]


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """One host's files; `command` starts it there."""

    socket: Path
    command: tuple[str, ...]

    @property
    def folder(self) -> Path:
        return self.socket.parent

    @property
    def lock(self) -> Path:
        return self.socket.with_suffix(".lock")

    @property
    def log(self) -> Path:
        return self.socket.with_suffix(".log")


def find_place(
    model: str | None, *, device: Device, num_threads: int | None, linger_s: float = LINGER_S
) -> Place | None:
    """Return where the host of the model lies that would answer now.

    None where nothing can be shared: on Windows, without a model, and where there is no folder that
    is ours alone.
    """
    if sys.platform == "win32":
        return None
    try:
        package = find_model(model).folder.resolve()
        written = (package / MANIFEST_FILE).stat()
        folder = _made(runtime_folder())
    except (ModelNotFoundError, OSError):
        return None
    words = [str(package), str(written.st_mtime_ns), str(written.st_size), device]
    words += [str(num_threads), sys.executable, str(_CODE), str(_code_written()), gethostname()]
    digest = hashlib.sha256("\0".join(words).encode("utf-8", "surrogateescape")).hexdigest()
    socket = folder / f"{digest[:_KEY_DIGITS]}.sock"
    if folder_is_open(folder) or len(os.fsencode(socket)) > MAX_SOCKET_PATH_BYTES:
        return None
    command = [sys.executable, "-P", "-m", "inference.serving.shared.host"]
    command += ["--socket", str(socket), "--linger", str(linger_s), "--model", str(package)]
    command += ["--device", device]
    if num_threads is not None:
        command += ["--threads", str(num_threads)]
    return Place(socket=socket, command=tuple(command))


def runtime_folder() -> Path:
    """Return the folder of all places."""
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    cache = platformdirs.user_cache_dir("inkling", appauthor=False)
    return Path(runtime, "inkling") if runtime else Path(cache, "run")


def _made(folder: Path) -> Path:
    folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


def folder_is_open(folder: Path) -> bool:
    """Say whether somebody else could put a socket there, or reach ours."""
    found = folder.lstat()
    is_ours = stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid()
    return not is_ours or bool(stat.S_IMODE(found.st_mode) & 0o077)


@cache
def _code_written() -> int:
    """Return when the code that this process runs was written, in nanoseconds.

    An upgrade in place is another host: what this process has loaded might not understand it.
    """
    return max(path.stat().st_mtime_ns for path in _CODE.rglob("*.py"))
