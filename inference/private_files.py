"""Files that nobody but their owner reads: written whole or not at all."""

import os
from pathlib import Path


def write_private(file: Path, content: bytes) -> None:
    """Write a file of mode 0600 in place of what lies there. Raises OSError."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    written = file.with_name(f".{file.name}.{os.getpid()}.{os.urandom(4).hex()}")
    descriptor = os.open(written, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as opened:
        opened.write(content)
    written.replace(file)
