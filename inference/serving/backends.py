"""Choose what stands behind the Engine protocol."""

import os
import sys
from pathlib import Path

import msgspec

from inference.engine import Engine
from inference.package.manifest import Device
from inference.serving.supervised import SupervisedEngine


class EngineOptions(msgspec.Struct, frozen=True, kw_only=True):
    """`model` is a package folder; None means the model that ships with Inkling.

    `device` is what computes; no other ever does in its place.
    """

    model: Path | None = None
    device: Device = "cpu"
    num_threads: int | None = None


def open_engine(options: EngineOptions) -> Engine:
    """Return an engine that is still loading; its process starts with the first await on it."""
    return SupervisedEngine(host_command(options))


def host_command(options: EngineOptions) -> list[str]:
    """Return the command line of a host that ends with this process.

    -P keeps the current folder, which may be a stranger's repository, out of its imports.
    """
    command = [sys.executable, "-P", "-m", "inference.serving.host", "--parent", str(os.getpid())]
    if options.model is not None:
        command += ["--model", str(options.model.absolute())]
    if options.device != "cpu":
        command += ["--device", options.device]
    if options.num_threads is not None:
        command += ["--threads", str(options.num_threads)]
    return command
