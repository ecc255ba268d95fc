"""Choose what stands behind the Engine protocol."""

import os
import sys

import msgspec

from inference.engine import Engine
from inference.package.manifest import Device
from inference.package.store import stamp
from inference.serving.remote.endpoint import RemoteOptions
from inference.serving.shared.place import Place, find_place
from inference.serving.supervised import SupervisedEngine


class EngineOptions(msgspec.Struct, frozen=True, kw_only=True):
    """`model` is the name of an installed model or a package folder.

    None means the one that the user chose, or else the one that ships; the engine follows when
    another one is chosen. `device` is what computes; no other ever does in its place. With `remote`
    an endpoint answers, and the model on this machine where that does not. What is `shared` is the
    engine of all who say so, with one model in memory; it outlives them by some minutes.
    """

    model: str | None = None
    device: Device = "cpu"
    num_threads: int | None = None
    remote: RemoteOptions | None = None
    shared: bool = False


def open_engine(options: EngineOptions) -> Engine:
    """Return an engine that is still loading; its process starts with the first await on it.

    Raises RemoteError where an endpoint is named by something that is no address.
    """
    follows = stamp if options.model is None else lambda: ()
    local = SupervisedEngine(
        host_command(options), choice=follows, find_place=lambda: _place(options)
    )
    if options.remote is None:
        return local
    from inference.serving.remote.engine import RemoteEngine
    from inference.serving.remote.fallback import FallbackEngine

    return FallbackEngine(RemoteEngine(options.remote), local)


def _place(options: EngineOptions) -> Place | None:
    if not options.shared:
        return None
    return find_place(options.model, device=options.device, num_threads=options.num_threads)


def host_command(options: EngineOptions) -> list[str]:
    """Return the command line of a host that ends with this process.

    -P keeps the current folder, which may be a stranger's repository, out of its imports.
    """
    command = [sys.executable, "-P", "-m", "inference.serving.host", "--parent", str(os.getpid())]
    if options.model is not None:
        command += ["--model", options.model]
    if options.device != "cpu":
        command += ["--device", options.device]
    if options.num_threads is not None:
        command += ["--threads", str(options.num_threads)]
    return command
