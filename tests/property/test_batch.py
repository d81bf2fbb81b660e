"""The compiled loop sends the reply of `respond`, also when repeated, for another name, or for a name in capitals."""

from __future__ import annotations

import asyncio
import importlib
import pathlib
import random
import socket
import struct
from collections.abc import Iterator
from contextlib import closing

import pytest

from dnsd.app import load
from dnsd.engine.respond import respond
from dnsd.engine.snapshot import Snapshot
from dnsd.log import Log
from dnsd.metrics import Counts
from dnsd.net import limits, udp
from dnsd.net.limits import RateLimiter
from dnsd.net.udp import BatchingUdpServer
from dnsd.wire.addresses import packed_ip
from dnsd.wire.cookies import Cookies
from dnsd.worker.answering import Answering, Serving
from tests.limits import HANG_S
from tests.refusals import CASES
from tests.worlds import random_world, write_world

pytestmark = pytest.mark.skipif(not udp.IS_BUILT, reason="the compiled loop was not built: no C compiler")

SEEDS = range(12)
TYPES = (1, 1, 28, 5, 2, 6, 16, 65, 255, 43, 39, 252)
OPTS = [
    bytes.fromhex(one)
    for one in ("", "000029 04d0 0000 8000 0000", "000029 0200 0000 0000 0000", "000029 04d0 0001 0000 0000")
]
FLAGS = (0, 0x0100, 0x0110, 0x0120)


class Asked:
    """A batching server on its own socket, with turns by hand, and a client."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self.counts = Counts()
        self.serving = Serving(snapshot, Cookies((bytes(16),)), None, query_sample=0)
        self.answering = Answering(self.serving, self.counts, Log(), "udp", "ipv4")
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind(("127.0.0.1", 0))
        self.sock.setblocking(False)
        self.loop = asyncio.new_event_loop()
        self.server = BatchingUdpServer(self.loop, self.sock, self.answering)
        self.serve(snapshot)
        self.client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.client.connect(self.sock.getsockname())
        self.client.settimeout(HANG_S)

    def serve(self, snapshot: Snapshot, limiter: RateLimiter | None = None) -> None:
        self.serving.snapshot = snapshot
        self.serving.limiter = limiter
        self.server.forget(snapshot.names.table, limiter)

    def close(self) -> None:
        self.sock.close()
        self.client.close()
        self.loop.close()

    def ask(self, *queries: bytes) -> list[bytes | None]:
        """The replies in the order of the queries, by their distinct ids."""
        for query in queries:
            self.client.send(query)
        while self.server._turn():
            pass
        self.client.setblocking(False)
        replies: dict[bytes, bytes] = {}
        while True:
            try:
                reply = self.client.recv(65535)
            except BlockingIOError:
                return [replies.get(query[:2]) for query in queries]
            replies[reply[:2]] = reply

    def again(self) -> int:
        """The number of replies sent from the cache since the last call."""
        hits = self.server._batch.take()
        for account, sent, cut, dropped, truncated in hits:
            self.answering.repeated(account, sent, cut, dropped, truncated=truncated)
        return sum(sent + cut + dropped for _, sent, cut, dropped, _ in hits)


def questions(rng: random.Random, snapshot: Snapshot) -> Iterator[bytes]:
    for name in list(snapshot.names):
        for _ in range(3):
            asked = name
            for _ in range(rng.randrange(3)):
                label = bytes(rng.choice(b"abcXYZ*-\x00") for _ in range(rng.randrange(1, 8)))
                if len(asked) + len(label) < 250:
                    asked = bytes([len(label)]) + label + asked
            opt = rng.choice(OPTS)
            rclass = rng.choice((1,) * 18 + (3, 255))
            yield (
                struct.pack("!5H", rng.choice(FLAGS), 1, 0, 0, bool(opt))
                + asked
                + struct.pack("!2H", rng.choice(TYPES), rclass)
                + opt
            )


def in_capitals(rng: random.Random, rest: bytes) -> bytes:
    """The question's name in mixed case; the rest unchanged."""
    end = 10
    while rest[end]:
        end += 1 + rest[end]
    name = bytes(octet ^ 0x20 if chr(octet).isalpha() and rng.random() < 0.5 else octet for octet in rest[10:end])
    return rest[:10] + name + rest[end:]


@pytest.mark.parametrize("seed", SEEDS)
def test_same_as_respond(seed: int, tmp_path: pathlib.Path) -> None:
    rng = random.Random(seed)
    snapshot = load(write_world(random_world(rng), tmp_path), {}).snapshot
    asked = list(questions(rng, snapshot))
    asked *= 3  # a reply is kept the second time and repeated the third time
    asked += [in_capitals(rng, rest) for rest in asked]
    rng.shuffle(asked)
    with closing(Asked(snapshot)) as server:
        for start in range(0, len(asked), 60):
            batch = [number.to_bytes(2) + rest for number, rest in enumerate(asked[start : start + 60])]
            for query, reply in zip(batch, server.ask(*batch), strict=True):
                assert reply == respond(snapshot, query), query.hex()
        assert server.again() > len(asked) / 3


def test_refusals_are_not_kept(tmp_path: pathlib.Path) -> None:
    """Kept replies are not sent to queries that must be refused, with the same name and the same octets after it."""
    snapshot = load(write_world(random_world(random.Random(3)), tmp_path), {}).snapshot
    refused = [one.message for label, one in CASES.items() if not label.startswith(("a foreign name", "a bad cookie"))]
    rests = [message[2:] for message in refused if b"\0\x0a\0" not in message]  # cookies have a separate secret
    asked = [*rests, *(in_capitals(random.Random(4), rest) for rest in questions(random.Random(5), snapshot))] * 4
    random.Random(6).shuffle(asked)
    with closing(Asked(snapshot)) as server:
        for number, rest in enumerate(asked):
            query = number.to_bytes(2) + rest
            reply = respond(snapshot, query)
            assert server.ask(query) == [reply], query.hex()
        hits = server.server._batch.take()
        assert hits
        assert not any(account[0].unknown_key or account[0].version for account, *_ in hits)  # type: ignore[index]


def test_every_reply_is_counted(tmp_path: pathlib.Path) -> None:
    snapshot = load(write_world(random_world(random.Random(3)), tmp_path), {}).snapshot
    asked = list(questions(random.Random(3), snapshot))[:40] * 5
    with closing(Asked(snapshot)) as server:
        for number, rest in enumerate(asked):
            server.ask(number.to_bytes(2) + rest)
        assert server.again()
        server.answering.flush_tally()
        counted = dict(server.counts.take())
    totals = {name: sum(value for key, value in counted.items() if key[0] == name) for name, *_ in counted}
    assert totals["dnsd_requests_total"] == totals["dnsd_responses_total"] == len(asked)


def test_new_snapshot_is_used_at_once(tmp_path: pathlib.Path) -> None:
    first, second = (
        load(write_world(random_world(random.Random(seed)), tmp_path / str(seed)), {}).snapshot for seed in (5, 6)
    )
    rng = random.Random(7)
    asked = [b"\0\1" + rest for rest in questions(rng, first)] + [b"\0\1" + rest for rest in questions(rng, second)]
    with closing(Asked(first)) as server:
        for snapshot in (first, second, first):
            server.serve(snapshot)
            for query in asked * 3:
                assert server.ask(query) == [respond(snapshot, query)]


BROKEN = [
    b"",
    b"x",
    bytes(12),
    b"\0\1" + bytes(300),
    bytes.fromhex("0001 0100 0001 0000 0000 0000") + b"\x3f" + b"a" * 20,
]


@pytest.mark.parametrize("query", [*BROKEN, b"\0\1" + bytes(4200)])
def test_broken_datagrams(query: bytes, tmp_path: pathlib.Path) -> None:
    snapshot = load(write_world(random_world(random.Random(3)), tmp_path), {}).snapshot
    with closing(Asked(snapshot)) as server:
        assert server.ask(query) == [respond(snapshot, query[:4096])]


def in_many_ways(snapshot: Snapshot) -> Iterator[bytes]:
    """One question, each time with another EDNS size."""
    name = next(name for name in snapshot.names if len(name) > 5)
    for size in range(512, 700):
        opt = struct.pack("!BHHIH", 0, 41, size, 0, 0)
        yield struct.pack("!6H", size, 0, 1, 0, 0, 1) + name + struct.pack("!2H", 1, 1) + opt


@pytest.mark.parametrize("times", [1, 2])
def test_the_memory_is_bounded(times: int, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Questions asked only once use no room."""
    monkeypatch.setattr(udp, "MAX_KNOWN", 10)
    snapshot = load(write_world(random_world(random.Random(3)), tmp_path), {}).snapshot
    with closing(Asked(snapshot)) as server:
        for query in in_many_ways(snapshot):
            for _ in range(times):
                assert server.ask(query) == [respond(snapshot, query)]
        assert server.server._batch.is_full == (times > 1)
        server.server.account()
        assert not server.server._batch.is_full


def few_in_a_long_time(slip: int, *, log_only: bool) -> RateLimiter:
    times = memoryview(bytearray(8 * 10_007)).cast("d")
    return limits.Limiter(
        times, bytearray(len(times)), bytes(16), 1000.0, 19_500.0, slip, log_only, (24, 56), (b"", b"")
    )


@pytest.mark.parametrize(("slip", "log_only"), [(2, False), (0, False), (1, False), (2, True)])
def test_limits_are_the_same_for_repeated_replies(slip: int, log_only: bool, tmp_path: pathlib.Path) -> None:
    """The same replies, also truncated ones, and the same counts as without a memory of replies."""
    snapshot = load(write_world(random_world(random.Random(3)), tmp_path), {}).snapshot
    rests = list(questions(random.Random(3), snapshot))[:60]
    with closing(Asked(snapshot)) as server, closing(Asked(snapshot)) as other:
        for one in (server, other):
            one.serve(snapshot, few_in_a_long_time(slip, log_only=log_only))
        for _ in range(20):
            queries = [number.to_bytes(2) + rest for number, rest in enumerate(rests)]
            expected = [other.answering.answer(query, packed_ip("127.0.0.1")).octets for query in queries]
            assert server.ask(*queries) == expected
        assert server.again() > 8 * len(rests)
        counted = []
        for one in (server, other):
            one.answering.flush_tally()
            counted.append({key: value for key, value in one.counts.take() if "seconds" not in key[0]})
    assert counted[0] == counted[1]
    assert sum(value for key, value in counted[0].items() if key[0] == "dnsd_requests_total") == 20 * len(rests)
    assert sum(value for key, value in counted[0].items() if key[0] == "dnsd_rate_limited_total") > 5 * len(rests)


def test_both_loops_have_batches_of_one_size() -> None:
    assert importlib.import_module("dnsd.net._batch").BATCH_SIZE == udp.BATCH_SIZE
