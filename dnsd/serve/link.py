"""What the processes of a server, and the command line, say to each other: messages over the local control socket.

The socket has a random name of Linux's abstract kind, unix(7), which the lock file in the state folder tells to those
who may read it: no path that could be too long, and none that two containers could have in common. Everybody on the
machine can connect to it, so each side looks at who the other is.

A message is four octets of length, one of kind, and its payload. Payloads are JSON, but for snapshots on their way to
workers: a worker, which meets strangers, is never unpickled from.
"""

from __future__ import annotations

import asyncio
import errno
import json
import os
import socket
import struct
from enum import IntEnum
from pathlib import Path
from typing import Any, BinaryIO

from dnsd.serve.state import read_address

MAX_ASKED = 64 * 1024  # octets of a message to control
MAX_REPLY = 64 * 1024 * 1024  # octets of its reply

_HEAD = struct.Struct("!IB")
_CREDENTIALS = struct.Struct("3i")  # struct ucred: pid, uid, gid


class Kind(IntEnum):
    """What a message is."""

    # From a worker to control.
    HELLO = 1  # who it is, and what it serves
    SERVING = 2  # the revision that it now serves
    COUNTED = 3  # what it has counted since the last time
    # From control to a worker.
    LIMITS = 10  # settings
    DELTA = 11  # pickled parts
    LOAD = 12  # the snapshot file holds a revision: serve that
    COUNT = 13  # send what you have counted
    # From the command line to control, each with one reply.
    RELOAD = 20
    STATUS = 21
    REPLY = 22


Message = tuple[Kind, bytes]


def packed(kind: Kind, payload: Any) -> bytes:
    """A message; `payload` is bytes, or is written as JSON."""
    octets = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    return _HEAD.pack(len(octets), kind) + octets


async def read_message(reader: asyncio.StreamReader, limit: int | None = None) -> Message:
    """The next message. Raises EOFError at the end, ValueError for what is none or is over `limit` octets."""
    try:
        length, kind = _HEAD.unpack(await reader.readexactly(_HEAD.size))
        if limit is not None and length > limit:
            raise ValueError(f"a message of {length} octets; {limit} are possible")
        return Kind(kind), await reader.readexactly(length)
    except (asyncio.IncompleteReadError, ConnectionError):
        raise EOFError from None


def peer_uid(sock: socket.socket) -> int:
    """Whose process is at the other end of a local socket."""
    _, uid, _ = _CREDENTIALS.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
    return int(uid)


def ask(state: Path, kind: Kind, payload: Any, *, timeout_s: float) -> Any:
    """Ask the server that keeps its state in a folder. Raises OSError where it cannot be reached, or is silent."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(timeout_s)
        sock.connect(read_address(state))
        if peer_uid(sock) not in (0, os.geteuid(), os.stat(state).st_uid):
            raise PermissionError(errno.EPERM, "another user's program is at the server's address")
        sock.sendall(packed(kind, payload))
        with sock.makefile("rb") as stream:
            length, _ = _HEAD.unpack(_read_exactly(stream, _HEAD.size))
            return json.loads(_read_exactly(stream, min(length, MAX_REPLY)))


def _read_exactly(stream: BinaryIO, size: int) -> bytes:
    octets = stream.read(size)
    if len(octets) < size:
        raise ConnectionResetError(errno.ECONNRESET, "the server ended before it replied")
    return octets
