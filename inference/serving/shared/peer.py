"""Who is at the other end of a Unix socket."""

import asyncio
import os
import socket
import struct
import sys
from typing import Final

import msgspec

_UCRED: Final = struct.Struct("3i")  # unix(7): pid, uid, gid
_SOL_LOCAL: Final = 0  # macOS, sys/un.h
_LOCAL_PEERPID: Final = 2


class Peer(msgspec.Struct, frozen=True):
    """`process_id` is 0 where the system does not say, or where it is none of our own ids.

    Where the system does not say whose it is, the folder's mode has to do: nobody else gets there.
    """

    process_id: int
    is_us: bool


def peer(transport: asyncio.BaseTransport) -> Peer:
    """Return who is there; nobody of ours where the connection has gone."""
    connection = transport.get_extra_info("socket")
    assert connection is not None
    try:
        if hasattr(socket, "SO_PEERCRED"):
            found = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
            process_id, user_id, _ = _UCRED.unpack(found)
            return Peer(process_id, user_id == os.geteuid())
        if sys.platform == "darwin":
            return Peer(connection.getsockopt(_SOL_LOCAL, _LOCAL_PEERPID), is_us=True)
    except OSError:
        return Peer(0, is_us=False)
    return Peer(0, is_us=True)
