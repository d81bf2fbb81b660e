"""Sends many questions to one server quickly: a window of UDP datagrams, or pipelined TCP. Bytes only, no judgement."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Sequence

from tests.limits import HANG_S

WINDOW = 64  # datagrams in flight: well within every server's socket buffer
TRIES = 3
TIMEOUT_S = 5.0
SILENCE_S = 1.0
TCP_BATCH = 200  # questions per connection: below every server's limit


def ask(port: int, wires: Sequence[bytes], *, tcp: bool) -> list[bytes | None]:
    """The replies without their IDs, in the order of the questions; None for a missing reply."""
    return ask_tcp(port, wires) if tcp else ask_udp(port, wires)


def ask_udp(port: int, wires: Sequence[bytes]) -> list[bytes | None]:
    replies: list[bytes | None] = [None] * len(wires)
    with socket.socket(type=socket.SOCK_DGRAM) as client:
        client.connect(("127.0.0.1", port))
        for start in range(0, len(wires), WINDOW):
            _ask_window(client, wires, range(start, min(start + WINDOW, len(wires))), replies)
    return replies


def _ask_window(client: socket.socket, wires: Sequence[bytes], indexes: range, replies: list[bytes | None]) -> None:
    for _ in range(TRIES):
        waiting = {index & 0xFFFF: index for index in indexes if replies[index] is None}
        if not waiting:
            return
        for query_id, index in waiting.items():
            client.send(query_id.to_bytes(2) + wires[index][2:])
        _receive(client, waiting, replies, TIMEOUT_S)


def _receive(client: socket.socket, waiting: dict[int, int], replies: list[bytes | None], wait_s: float) -> None:
    deadline = time.monotonic() + wait_s
    while waiting and (left_s := deadline - time.monotonic()) > 0:
        client.settimeout(left_s)
        try:
            reply = client.recv(65535)
        except TimeoutError:
            return
        index = waiting.pop(int.from_bytes(reply[:2]), None)
        if index is not None:
            replies[index] = reply[2:]


def ask_once(port: int, wires: Sequence[bytes]) -> list[bytes | None]:
    """Over UDP, all at once, without retries: for questions that may rightly get no reply."""
    replies: list[bytes | None] = [None] * len(wires)
    with socket.socket(type=socket.SOCK_DGRAM) as client:
        client.connect(("127.0.0.1", port))
        waiting = dict(enumerate(range(len(wires))))
        for index, wire in enumerate(wires):
            client.send((index.to_bytes(2) + wire[2:])[: len(wire)])
            if index % WINDOW == WINDOW - 1:
                _receive(client, waiting, replies, 0.05)
        _receive(client, waiting, replies, SILENCE_S)
    return replies


def ask_tcp(port: int, wires: Sequence[bytes]) -> list[bytes | None]:
    replies: list[bytes | None] = []
    for start in range(0, len(wires), TCP_BATCH):
        replies += _ask_stream(port, wires[start : start + TCP_BATCH])
    return replies


def _ask_stream(port: int, wires: Sequence[bytes]) -> list[bytes | None]:
    replies: list[bytes | None] = [None] * len(wires)
    framed = [struct.pack("!HH", len(wire), index) + wire[2:] for index, wire in enumerate(wires)]
    with socket.create_connection(("127.0.0.1", port), timeout=HANG_S) as client, client.makefile("rb") as stream:
        client.sendall(b"".join(framed))
        for _ in wires:
            size = stream.read(2)
            if len(size) < 2:
                break
            reply = stream.read(int.from_bytes(size))
            replies[int.from_bytes(reply[:2])] = reply[2:]
    return replies
