"""Attacks _batch.c: datagrams of every size and address family, and an answering side with arbitrary behaviour.

    python -m tests.native.attack_batch FIRST_SEED SEEDS

No read or write may be out of bounds; remembered replies must be repeated unchanged.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import hashlib
import random
import secrets
import socket
import struct
from collections.abc import Callable, Iterator
from typing import Any

import tests.native.compiled  # noqa: F401  first, as the package then imports the extensions loaded by it
from dnsd.engine._table import EntryTable, pack
from dnsd.engine.entry import GONE, PLAIN, SPECIAL, row
from dnsd.net._batch import BATCH_SIZE, PICKS, Batch, Limiter
from dnsd.net.reply import DnsReply, Scope
from dnsd.net.udp import IP_PKTINFO
from tests.mutations import OPT, mutations, question
from tests.native.attacker import attack

MAX_MESSAGE, MAX_KEY, HEADER, TAIL = 4_096, 352, 12, 4
NAMES = [b"\0", b"\3com\0", b"\7example\3com\0", b"\3www\7example\3com\0", b"\1*\7example\3com\0"]
LONG = (b"\x3f" + b"l" * 63) * 3 + b"\x3d" + b"l" * 61 + b"\0"  # 255 octets
MANY = b"\1m" * 127 + b"\0"  # 127 labels
SIZES = (
    0,
    1,
    2,
    11,
    12,
    13,
    16,
    17,
    18,
    MAX_KEY + 1,
    MAX_KEY + 2,
    MAX_KEY + 3,
    MAX_MESSAGE - 1,
    MAX_MESSAGE,
    4_097,
    9_000,
)
REPLY_SIZES = (0, 1, 2, 11, 12, 28, 29, 30, 512, 1_232, MAX_MESSAGE, MAX_MESSAGE + 1, 65_507, 65_600)
MAX_KNOWN = (-1, 0, 1, 5, 600, 65_536)

KINDS = (None, b"", b"kind", bytes(300))
OPT_SIZES = (0, 1, 11, 300, 2**62)
STRANGE_REPLIES: tuple[Any, ...] = (
    None,
    (),
    (b"", 0, None, b""),
    [b"", 0, None, b"", 0],
    ("x", 0, None, b"", 0),
    (bytearray(20), 1, "a", b"", 0),
    (b"x" * 20, "1", "a", b"", 0),
    (b"x" * 20, -1, "a", b"", 0),
    (b"x" * 20, 5, "a", b"", 0),
    (b"x" * 20, 2**70, "a", b"", 0),
    (b"x" * 20, 1, "a", "kind", 0),
    (b"x" * 20, 1, "a", b"", -1),
    (b"x" * 20, 1, "a", b"", 2**70),
    (b"x" * 20, 1, "a", b"", None),
)

Pair = tuple[socket.socket, socket.socket]  # the server's socket, and a client's socket connected to it


class BoomError(Exception):
    """An exception raised by the answering side."""


def inet(family: int, address: str, target: str) -> Callable[[], Pair]:
    def pair() -> Pair:
        server, client = socket.socket(family, socket.SOCK_DGRAM), socket.socket(type=socket.SOCK_DGRAM)
        if family == socket.AF_INET:
            server.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
        else:
            server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
        server.bind((address, 0))
        if ":" in target:
            client.close()
            client = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        client.connect((target, server.getsockname()[1]))
        return server, client

    return pair


def unix(*, is_named: bool) -> Callable[[], Pair]:
    def pair() -> Pair:
        if not is_named:
            return socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        server, client = (socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) for _ in range(2))
        server.bind("")  # to a name chosen by the system
        client.bind(b"\0" + secrets.token_bytes(100))
        client.connect(server.getsockname())
        return server, client

    return pair


PAIRS = [
    inet(socket.AF_INET, "127.0.0.1", "127.0.0.1"),
    inet(socket.AF_INET, "0.0.0.0", "127.0.0.3"),
    inet(socket.AF_INET6, "::1", "::1"),
    inet(socket.AF_INET6, "::", "::1"),
    inet(socket.AF_INET6, "::", "127.0.0.1"),  # comes from an IPv4-mapped address
    unix(is_named=True),
    unix(is_named=False),
]


def packets(rng: random.Random) -> Iterator[bytes]:
    """Queries, malformed ones, and octets of every size; often repeated."""
    seeds = [question(name, 1, opt=opt) for name in (*NAMES, LONG, MANY, b"\1x" + NAMES[2]) for opt in (b"", OPT)]
    broken = mutations(rng, seeds)
    sent = list(seeds)
    while True:
        kind = rng.randrange(8)
        if kind < 3:
            packet = in_any_case(rng, rng.choice(sent))
        elif kind == 3:
            packet = next(broken)
        elif kind == 4:
            packet = rng.randbytes(rng.choice(SIZES))
        elif kind == 5:
            packet = sized(rng, rng.choice(SIZES))
        elif kind == 6:
            packet = rng.choice(seeds)[: rng.randrange(80)]
        else:
            packet = question(some_name(rng), rng.choice((1, 28, 255)), opt=rng.choice((b"", OPT)))
        sent[rng.randrange(len(seeds)) :] = [packet]
        yield packet


def in_any_case(rng: random.Random, packet: bytes) -> bytes:
    return rng.randbytes(2) + (packet[2:].upper() if rng.random() < 0.2 else packet[2:])


def sized(rng: random.Random, size: int) -> bytes:
    """A query followed by enough octets, or with a name that runs up to the end or past it."""
    labels = b"".join(rng.choice((b"\1a", b"\x3f" + b"b" * 63)) for _ in range(size // 2))
    name = rng.choice((rng.choice(NAMES), labels))
    return (question(name, 1) + bytes(size))[:size]


def some_name(rng: random.Random) -> bytes:
    name = rng.choice(NAMES)
    while len(name) < 240 and rng.random() < 0.7:
        label = rng.randbytes(rng.choice((1, 2, 9, min(63, 253 - len(name)))))
        name = bytes([len(label)]) + label + name
    return name


def question_end(query: bytes) -> int:
    """The end of a query's question if its name is uncompressed; else 0."""
    at = HEADER
    while at < len(query) and 0 < query[at] < 64:
        at += 1 + query[at]
    end = at + 1 + TAIL
    return end if at < len(query) and query[at] == 0 and end <= len(query) and at - HEADER < 255 else 0


def table(rng: random.Random, key: bytes = bytes(16), *, is_overlay: bool = False) -> bytes:
    """A table of some names, stored in every way."""
    rows = []
    for name in NAMES[1 if is_overlay else 0 :]:
        if is_overlay and rng.random() < 0.5:
            continue
        flags = rng.choice((PLAIN, PLAIN, SPECIAL, GONE if is_overlay else PLAIN))
        types = rng.sample((1, 2, 28, 43, 255), rng.randrange(4))
        rows.append(row(flags, rng.randrange(3), name, [] if flags == GONE else [stored(rng, one) for one in types]))
    return pack([(b"\0", 0, b"".join(rows))], key, is_overlay)


def stored(rng: random.Random, rtype: int) -> tuple[int, int, bytes]:
    """A set of records, mostly well-formed."""
    if rng.random() < 0.1:
        return rtype, rng.randrange(65_536), rng.randbytes(rng.choice((0, 1, 11, 12, 13, 177, 178, 300)))
    body = b""
    count = rng.choice((1, 1, 2, 9))
    for _ in range(count):
        data = rng.randbytes(rng.choice((4, 4, 16, 40)))
        body += b"\xc0\x0c" + struct.pack("!HHIH", rtype, 1, 300, len(data)) + data
    return rtype, count, body


def damaged(rng: random.Random, octets: bytes) -> ctypes.Array[ctypes.c_char]:
    """A table with some octets changed, in memory of exactly its size."""
    array = (ctypes.c_char * len(octets)).from_buffer_copy(octets)
    for _ in range(rng.choice((0, 1, 3, 20))):
        array[rng.randrange(len(octets))] = rng.randrange(256)
    return array


def use_some_table(rng: random.Random, batch: Batch) -> None:
    octets, overlay = table(rng), table(rng, is_overlay=True) if rng.random() < 0.5 else None
    if rng.random() < 0.5:
        octets, overlay = damaged(rng, octets), overlay and damaged(rng, overlay)
    batch.forget(octets, overlay, limiter(rng))


class Honest:
    """Answers equal queries equally, and counts them."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.asked = 0

    def said_to(self, query: bytes) -> bytes:
        end = question_end(query)
        if not end:
            return query[:HEADER]
        rest = query[2:HEADER] + query[HEADER : end - TAIL].lower() + query[end - TAIL :]
        said = hashlib.shake_128(rest).digest(300)
        return query[:2] + said[:10] + query[HEADER:end] + said[10 : 10 + said[9]]

    def answer(self, query: bytes, peer: bytes) -> DnsReply:
        self.asked += 1
        scope = Scope.SAME_QUESTION if question_end(query) else Scope.ONCE
        reply = self.said_to(query)
        return DnsReply(
            reply, scope, "account", query[HEADER:][:40], max(0, min(self.rng.randrange(12), len(reply) - HEADER))
        )


class Hostile:
    """Returns arbitrary values and changes state, also in the middle of a batch."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.batch: Batch | None = None
        self.meddling = rng.choice((0.02, 0.3))

    def meddle(self) -> None:
        batch, rng = self.batch, self.rng
        if batch is None or rng.random() > self.meddling:
            return
        with contextlib.suppress(RuntimeError, ValueError, BoomError):
            rng.choice(
                (
                    batch.take,
                    batch.picked,
                    batch.exchange,
                    gc.collect,
                    lambda: use_some_table(rng, batch),
                    lambda: batch.__init__(-1, None, None, False, 1),  # type: ignore[misc]
                    self.fail,
                )
            )()

    def fail(self) -> None:
        raise BoomError

    def answer(self, query: bytes, peer: bytes) -> Any:
        assert len(peer) in (4, 16)
        self.meddle()
        rng = self.rng
        if rng.random() < 0.03:
            return rng.choice(STRANGE_REPLIES)
        reply = rng.choice((query, query[:HEADER], rng.randbytes(rng.choice(REPLY_SIZES)), query + bytes(300), None))
        account = rng.choice((None, "account", ("a", 1), object()))
        return reply, rng.choice(list(Scope)), account, rng.choice(KINDS), rng.choice(OPT_SIZES)

    def not_sent(self, reply: bytes) -> None:
        assert isinstance(reply, bytes)
        self.meddle()


def limiter(rng: random.Random) -> Limiter | None:
    """A limiter that is used up soon, with a table of its own that vanishes with it."""
    if rng.random() < 0.3:
        return None
    slots = rng.choice((1, 2, 7, 1_000))
    exempt = b"".join(sorted(rng.randbytes(4) for _ in range(2 * rng.randrange(4)))), bytes(32 * rng.randrange(3))
    made = Limiter(
        memoryview(bytearray(8 * slots)).cast("d"),
        bytearray(rng.randbytes(slots + rng.randrange(3))),
        rng.randbytes(16),
        rng.choice((0.0, 0.001, 1e9, float("inf"), float("nan"))),
        rng.choice((0.0, 0.5, -1.0, float("nan"))),
        rng.randrange(256),
        rng.random() < 0.2,
        (rng.randrange(33), rng.randrange(129)),
        exempt,
    )
    for ip in (bytes(4), bytes(16), *(rng.randbytes(rng.choice((4, 16))) for _ in range(8))):
        assert made.verdict(ip, rng.randbytes(rng.randrange(300)), rng.random()) in (0, 1, 2)
        made.drops(ip, b"", float("nan"))
    dropped, slipped, logged, last = made.take()
    assert bool(dropped + slipped + logged) == bool(last)
    return made


@contextlib.contextmanager
def open_pair(rng: random.Random) -> Iterator[Pair]:
    server, client = rng.choice(PAIRS)()
    with server, client:
        server.setblocking(False)
        client.setblocking(False)
        yield server, client


def send_some(rng: random.Random, source: Iterator[bytes], client: socket.socket) -> list[bytes]:
    """Send as many packets as the server's socket accepts; return the sent ones."""
    sent = []
    for _ in range(rng.choice((1, 3, BATCH_SIZE, 2 * BATCH_SIZE + 1))):
        packet = next(source)
        with contextlib.suppress(BlockingIOError, ConnectionRefusedError):
            client.send(packet)
            sent.append(packet)
    return sent


def received(client: socket.socket) -> Iterator[bytes]:
    with contextlib.suppress(BlockingIOError):
        while True:
            with contextlib.suppress(ConnectionRefusedError):
                yield client.recv(70_000)


def attack_honestly(rng: random.Random) -> None:
    """Assert that every reply is the expected one, whether remembered or not."""
    honest, source = Honest(rng), packets(rng)
    with open_pair(rng) as (server, client):
        has_name = bool(client.getsockname())
        batch = Batch(server.fileno(), honest.answer, lambda reply: None, True, 65_536)
        batch.forget(table(rng), table(rng, is_overlay=True), None)
        total = passed = 0
        for _ in range(30):
            expected = [honest.said_to(packet[:MAX_MESSAGE]) for packet in send_some(rng, source, client)]
            while count := batch.exchange():
                total += max(count, 0)
            if rng.random() < 0.3:
                picked, number = batch.picked()
                passed += number
                assert len(picked) <= min(number, PICKS)
                assert all(question_end(bytes(HEADER) + one + bytes(2)) for one in filter(None, picked))
            replies = list(received(client))
            assert replies or not (has_name and any(expected))
            rest = iter(expected)
            assert all(reply in rest for reply in replies)  # in order; a full socket drops some
        assert passed + batch.picked()[1] == total
        assert sum(sent for _, sent, *_ in batch.take()) == total - honest.asked


class Faithful:
    """Answers from a table: with a name's own records of the type, or else alike for all names."""

    def __init__(self, octets: object) -> None:
        self.names = EntryTable(octets)  # type: ignore[arg-type]

    def said_to(self, query: bytes) -> tuple[bytes, Scope]:
        end = question_end(query)
        if not end or end < HEADER + TAIL:
            return query[:HEADER].ljust(HEADER, b"\0"), Scope.ONCE
        entry = self.names.find(query[HEADER : end - TAIL].lower())
        found = [one for one in entry.sets if one.rtype.to_bytes(2) == query[end - TAIL : end - 2]] if entry else []
        if entry is None or not entry.flags & PLAIN:
            return query[:end], Scope.ONCE
        records, body = (found[0].records, found[0].body) if found else (0, b"none")
        head = query[:4] + b"\0\1" + records.to_bytes(2) + bytes(4)
        return head + query[HEADER:end] + body, Scope.STORED if found else Scope.SAME_KIND

    def answer(self, query: bytes, peer: bytes) -> DnsReply:
        octets, scope = self.said_to(query)
        return DnsReply(octets, scope, "account", None)


def attack_stored(rng: random.Random) -> None:
    """Assert that replies by template are the expected ones; then change the table under them."""
    octets = (ctypes.c_char * len(whole := table(rng))).from_buffer_copy(whole)
    faithful = Faithful(octets)
    with open_pair(rng) as (server, client):
        has_name = bool(client.getsockname())
        batch = Batch(server.fileno(), faithful.answer, lambda reply: None, True, rng.choice((2, 65_536)))
        is_limited = rng.random() < 0.5
        batch.forget(octets, None, limiter(rng) if is_limited else None)  # type: ignore[arg-type]
        for turn in range(60):
            if turn >= 40:
                for _ in range(rng.choice((1, 5))):
                    octets[rng.randrange(len(octets))] = rng.randrange(256)
            for _ in range(BATCH_SIZE):
                packet = in_any_case(rng, question(rng.choice(NAMES), rng.choice((1, 2, 28, 43, 255)), opt=b""))
                with contextlib.suppress(BlockingIOError, ConnectionRefusedError):
                    client.send(packet)
                    with contextlib.suppress(ValueError):
                        batch.exchange()
                    replies = list(received(client))
                    if turn < 40 and has_name and not is_limited:
                        assert replies == [faithful.said_to(packet)[0]], packet.hex()
        batch.take()


def attack_hostilely(rng: random.Random) -> None:
    """Exchange batches with a hostile answering side; no crash may follow."""
    hostile, source = Hostile(rng), packets(rng)
    with open_pair(rng) as (server, client):
        callbacks = hostile.answer, hostile.not_sent
        batch = Batch(server.fileno(), *callbacks, rng.random() < 0.5, rng.choice(MAX_KNOWN))
        hostile.batch = batch
        for _ in range(60):
            send_some(rng, source, client)
            for _ in range(5):
                with contextlib.suppress(BoomError, TypeError, OverflowError):
                    batch.exchange()
            for reply in received(client):
                assert reply
            with contextlib.suppress(ValueError):
                if rng.random() < 0.2:
                    use_some_table(rng, batch)
            if rng.random() < 0.2:
                assert all(sent + cut + dropped > 0 for _, sent, cut, dropped, _ in batch.take())
            assert batch.is_full in (True, False)
        hostile.batch = None


def attack_batches(rng: random.Random) -> None:
    """All attacks with one seed."""
    for _ in range(4):
        attack_honestly(rng)
        attack_stored(rng)
        attack_hostilely(rng)
    bare = Batch.__new__(Batch)
    assert (bare.exchange(), bare.take(), bare.picked(), bare.is_full) == (-1, [], ([], 0), False)


if __name__ == "__main__":
    attack(attack_batches)
