"""The octets that control sends to each worker for an edit, as received by a program that says it is a worker."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Callable
from typing import BinaryIO

from bench.distinct_client import WITHIN_S
from bench.peers import FailedError, Server
from dnsd.process.link import MessageKind, packed
from dnsd.process.snapshot_file import FILE_NAME
from dnsd.process.snapshot_log import load_title
from dnsd.process.state import read_address
from dnsd.settings.written import state_folder_of

HEAD = struct.Struct("!IB")  # of a message: octets of its payload, and its kind
FURTHER = 1_000  # the number of a worker that no server has


def sent_to_worker(server: Server, edit: Callable[[], object]) -> int:
    """The octets of the delta for an edit. Raises FailedError if a worker has to load all names instead."""
    state = state_folder_of(server.folder / "dnsd.yaml", None, {})
    title = load_title(state / FILE_NAME)
    if title is None:
        raise FailedError("the server has no snapshot file")
    hello = {"worker": FURTHER, "pid": os.getpid(), "revision": title.revision}
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(WITHIN_S)
        sock.connect(read_address(state))
        sock.sendall(packed(MessageKind.HELLO, hello))
        with sock.makefile("rb") as stream:
            _octets(stream, MessageKind.LIMITS)  # control has noted the worker
            edit()
            return _octets(stream, MessageKind.DELTA)


def _octets(stream: BinaryIO, wanted: MessageKind) -> int:
    """The octets of the next message of a kind, with its head; others are skipped. Raises FailedError."""
    while True:
        size, kind = HEAD.unpack(stream.read(HEAD.size))
        stream.read(size)
        if kind == wanted:
            return HEAD.size + size
        if kind == MessageKind.LOAD:
            raise FailedError("workers load the whole snapshot file for an edit")
