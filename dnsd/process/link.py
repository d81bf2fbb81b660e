"""Messages between control, workers, `outbound` and the command line, over the local control socket.

The socket has a random name in Linux's abstract namespace (unix(7)), as a path could be too long, or be shared by two
containers. The state folder's lock file holds the name. Every user of the machine can connect
to the socket, so each side checks the other's user id.

A message is four octets of length, one of kind, and the payload. Payloads are JSON, except for snapshots sent to
workers: data from a worker, which faces the network, is never unpickled.
"""

from __future__ import annotations

import errno
import json
import os
import socket
import struct
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from dnsd.process.state import read_address

if TYPE_CHECKING:
    import asyncio

MAX_REQUEST = 64 * 1024  # octets of a message to control
MAX_REPLY = 64 * 1024 * 1024  # octets of its reply

_HEAD = struct.Struct("!IB")
_CREDENTIALS = struct.Struct("3i")  # struct ucred: pid, uid, gid


class MessageKind(IntEnum):
    """The kind of a message."""

    # From a worker to control.
    HELLO = 1  # its index, pid and served revision
    SERVING = 2  # the revision that it now serves
    COUNTED = 3  # its counts since the last such message
    SAMPLED = 4  # a slot of its sample of questions
    SAMPLE_END = 7  # all slots for a request with this number are sent
    # From `outbound` to control.
    OUTBOUND = 5  # its pid
    FOUND = 6  # an answer to ASK
    # From control to a worker.
    LIMITS = 10  # settings
    DELTA = 11  # pickled parts
    LOAD = 12  # serve this revision from the snapshot file
    COUNT = 13  # request for counts
    SAMPLE = 14  # request, with its number, for the slots of its sample of questions after a number
    # From control to `outbound`.
    ASK = 15  # a question for resolvers
    # From the command line to control, with one reply each.
    RELOAD = 20
    STATUS = 21
    REPLY = 22
    BRAKE = 23


Message = tuple[MessageKind, bytes]


def packed(kind: MessageKind, payload: Any) -> bytes:
    """A message as octets; a `payload` other than bytes is written as JSON."""
    octets = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    return _HEAD.pack(len(octets), kind) + octets


async def read_message(reader: asyncio.StreamReader, limit: int | None = None) -> Message:
    """The next message. Raises EOFError at the end, ValueError for an unknown kind or more than `limit` octets."""
    try:
        length, kind = _HEAD.unpack(await reader.readexactly(_HEAD.size))
        if limit is not None and length > limit:
            raise ValueError(f"a message of {length} octets; the limit is {limit}")
        return MessageKind(kind), await reader.readexactly(length)
    except (EOFError, ConnectionError):
        raise EOFError from None


def peer_uid(sock: socket.socket) -> int:
    """The user id of the process at the other end of a local socket."""
    _, uid, _ = _CREDENTIALS.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
    return int(uid)


def ask(state: Path, kind: MessageKind, payload: Any, *, timeout_s: float) -> Any:
    """Send a request to the server with this state folder; return the reply.

    Raises OSError if the server cannot be reached, or does not reply within `timeout_s`.
    """
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(timeout_s)
        sock.connect(read_address(state))
        if peer_uid(sock) not in (0, os.geteuid(), os.stat(state).st_uid):
            raise PermissionError(errno.EPERM, "the server's address is used by another user's program")
        sock.sendall(packed(kind, payload))
        with sock.makefile("rb") as stream:
            length, _ = _HEAD.unpack(_read_exactly(stream, _HEAD.size))
            return json.loads(_read_exactly(stream, min(length, MAX_REPLY)))


def _read_exactly(stream: BinaryIO, size: int) -> bytes:
    octets = stream.read(size)
    if len(octets) < size:
        raise ConnectionResetError(errno.ECONNRESET, "the server ended before it replied")
    return octets
