"""The real host that editors share, around the scripted model of fake_host_scripted.

python -m tests.support.fake_shared_host SOCKET LINGER_S
"""

import sys
from pathlib import Path

from inference.serving.shared.host import run
from inference.serving.shared.place import Place
from tests.support.fake_host_scripted import open_engine


def place_in(folder: Path, *, linger_s: float = 600.0) -> Place:
    """Return a place in a folder whose path is short enough for a socket."""
    socket = folder / "shared.sock"
    command = (sys.executable, "-m", "tests.support.fake_shared_host", str(socket), str(linger_s))
    return Place(socket=socket, command=command)


if __name__ == "__main__":
    run(Path(sys.argv[1]), open_engine, linger_s=float(sys.argv[2]))
