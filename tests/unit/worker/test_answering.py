"""A worker's other tasks for a message: cookies, rate limits, counting."""

from __future__ import annotations

import random
import time
from collections import Counter
from ipaddress import ip_network
from types import SimpleNamespace

import dns.edns
import dns.message
import pytest

from dnsd.engine.respond import respond
from dnsd.engine.snapshot import Snapshot
from dnsd.log import Log
from dnsd.metrics import Counts
from dnsd.net.limits import RateLimits, rate_limiter
from dnsd.wire.addresses import packed_ip
from dnsd.wire.cookies import Cookies
from dnsd.worker import answering as module
from dnsd.worker import tally
from dnsd.worker.answering import Answering, Serving
from tests.models import proxied, record, zone, zone_map
from tests.packets import answers, opt, query, rcode_text
from tests.unit.compile.test_snapshot_build import built

SECRET = bytes(range(16))
RECORDS = [proxied("www A 192.0.2.1"), proxied("*.any A 192.0.2.1"), record("dns A 192.0.2.2")]
RECORDS += [record("a CNAME www.example.com"), record(f"large TXT {' '.join(['x' * 200] * 4)}")]
PEER, LOOPBACK = packed_ip("192.0.2.77"), packed_ip("127.0.0.1")


@pytest.fixture(scope="module")
def snapshot() -> Snapshot:
    return built([zone("example.com", RECORDS)], {"a1/m": zone_map("example.com", "203.0.113.1")})


@pytest.fixture(autouse=True)
def _in_one_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stop the clock, so that rates do not depend on the machine's speed."""
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: 1000.0, time=time.time))


class Worker:
    """An `Answering` with a snapshot, counters and a log."""

    def __init__(self, snapshot: Snapshot, *, rate: int = 0, slip: int = 2, log_only: bool = False) -> None:
        self.counts = Counts()
        table = memoryview(bytearray(8 * 10_000)).cast("d")
        limits = RateLimits(
            responses_per_second=rate,
            slip=slip,
            ipv4_prefix=24,
            ipv6_prefix=56,
            exempt=(ip_network("127.0.0.0/8"),),
            log_only=log_only,
        )
        limiter = rate_limiter(limits, table, bytes(16), bytearray(10_000))
        serving = Serving(snapshot, Cookies((SECRET,)), limiter, query_sample=0)
        self.udp = Answering(serving, self.counts, Log("test"), "udp", "ipv4")
        self.tcp = Answering(serving, self.counts, Log("test"), "tcp", "ipv4")

    def counted(self) -> dict[str, float]:
        """Counts by metric and labels, such as `responses_total udp NOERROR`, since the last call."""
        for one in (self.udp, self.tcp):
            one.flush_tally()
        return {" ".join(key).removeprefix("dnsd_"): value for key, value in self.counts.take()}


def kinds(replies: list[bytes | None]) -> Counter[str]:
    return Counter("dropped" if one is None else "cut" if one[2] & 2 else "whole" for one in replies)


# Replies equal those of `respond`


def test_the_same_as_respond(snapshot: Snapshot) -> None:
    worker = Worker(snapshot)
    names = ["www.example.com", "x.any.example.com", "dns.example.com", "large.example.com", "no.example.com", "a.test"]
    for name in names:
        for qtype in ("A", "AAAA", "TXT", "ANY"):
            for after in (b"", opt(size=4096), opt(size=512), opt(version=1)):
                asked = query(name, qtype, after=after)
                assert worker.udp.respond(asked, PEER) == respond(snapshot, asked)
                assert worker.tcp.respond(asked, PEER) == respond(snapshot, asked, stream=True)
    for octets in (b"", b"x", query("a.test")[:-1], query("a.test", flags=0x8000), random.Random(1).randbytes(60)):
        assert worker.udp.respond(octets, PEER) == respond(snapshot, octets)


# Counting


def test_everything_received_is_answered_or_dropped(snapshot: Snapshot) -> None:
    worker = Worker(snapshot, rate=5)
    rng = random.Random(2)
    received = 0
    for _ in range(3000):
        asked = bytearray(query(rng.choice(("www.example.com", "no.example.com", "dns.example.com")), "A"))
        if rng.random() < 0.3:
            asked[rng.randrange(len(asked))] = rng.randrange(256)
        peer = rng.choice((LOOPBACK, PEER, packed_ip("198.51.100.1")))
        reply = rng.choice((worker.udp, worker.tcp)).respond(bytes(asked), peer)
        received += 1
        if reply and rng.random() < 0.01:
            worker.udp.respond(bytes(asked), LOOPBACK)
            received += 1
    counted = worker.counted()

    def total(name: str) -> float:
        return sum(value for key, value in counted.items() if key.split()[0] == name)

    assert total("requests_total") == received
    assert total("responses_total") + total("dropped_total") == received
    assert total("dropped_total") > 100


def test_counts_of_one_query(snapshot: Snapshot) -> None:
    worker = Worker(snapshot)
    worker.udp.respond(query("www.example.com", "A"), PEER)
    assert worker.counted() == {
        "requests_total udp ipv4 A": 1,
        "zone_requests_total example.com": 1,
        "responses_total udp NOERROR": 1,
        "edge_answers_total zone a1/maps/m": 1,
    }


COUNTED: dict[str, tuple[bytes, set[str]]] = {
    "a name in no zone": (query("a.test"), {"zone_requests_total none", "responses_total udp REFUSED"}),
    "a chain that ends at the edge": (query("a.example.com"), {"edge_answers_total zone a1/maps/m"}),
    "a denial": (query("no.example.com"), {"responses_total udp NXDOMAIN"}),
    "a later EDNS": (query("www.example.com", after=opt(version=1)), {"responses_total udp BADVERS"}),
    "a type without a name": (query("www.example.com", 4711), {"requests_total udp ipv4 other"}),
    "a truncated reply": (query("large.example.com", "TXT"), {"truncated_total udp"}),
    "a cut query": (query("a.test")[:-1], {"requests_total udp ipv4 malformed", "responses_total udp FORMERR"}),
    "another opcode": (query("a.test", flags=0x2000), {"responses_total udp NOTIMP"}),
    "a response": (query("a.test", flags=0x8000), {"dropped_total udp not_a_query"}),
    "a few octets": (b"abc", {"requests_total udp ipv4 malformed", "dropped_total udp too_short"}),
}


@pytest.mark.parametrize(("asked", "expected"), COUNTED.values(), ids=COUNTED.keys())
def test_counted(snapshot: Snapshot, asked: bytes, expected: set[str]) -> None:
    worker = Worker(snapshot)
    worker.udp.respond(asked, PEER)
    counted = worker.counted()
    assert expected <= counted.keys()
    assert all(value == 1 for value in counted.values())


def test_a_reply_that_was_not_sent_is_counted(snapshot: Snapshot) -> None:
    worker = Worker(snapshot)
    for _ in range(2):
        reply = worker.udp.respond(query("no.example.com"), PEER)
    assert reply
    worker.udp.not_sent(reply)
    counted = worker.counted()
    assert counted["responses_total udp NXDOMAIN"] == 2
    assert counted["send_errors_total udp"] == 1


def test_counts_cannot_fill_memory(snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tally, "MAX_TALLY", 50)
    worker = Worker(snapshot)
    for number in range(2000):
        worker.udp.respond(query("www.example.com", number + 1, after=opt(size=512 + number)), PEER)
        worker.udp.observe(1, 1e-5)
        assert len(worker.udp.tally.answered) <= 51
    counted = worker.counted()
    assert sum(value for key, value in counted.items() if key.startswith("requests_total")) == 2000
    assert len(counted) < 200  # labels are bounded too


# Rate limits


def test_a_flood_of_one_name_is_limited(snapshot: Snapshot) -> None:
    worker = Worker(snapshot, rate=20)
    found = kinds([worker.udp.respond(query("www.example.com"), PEER) for _ in range(1000)])
    assert found["whole"] == 20
    assert abs(found["cut"] - found["dropped"]) <= 1
    counted = worker.counted()
    assert counted["rate_limited_total dropped"] == counted["dropped_total udp rate_limited"] == found["dropped"]
    assert counted["rate_limited_total slipped"] == counted["truncated_total udp"] == found["cut"]


FLOODS = {
    "random names": [query(f"{number}.example.com") for number in range(500)],
    "random names under a wildcard": [query(f"{number}.any.example.com") for number in range(500)],
    "not our zones": [query(f"{number}.test") for number in range(500)],
    "broken": [query("a.test")[:-1]] * 500,
}


@pytest.mark.parametrize("asked", FLOODS.values(), ids=FLOODS.keys())
def test_random_names_share_a_rate(snapshot: Snapshot, asked: list[bytes]) -> None:
    worker = Worker(snapshot, rate=20, slip=0)
    assert kinds([worker.udp.respond(one, PEER) for one in asked])["whole"] == 20


def test_each_name_has_its_own_rate(snapshot: Snapshot) -> None:
    worker = Worker(snapshot, rate=20, slip=0)
    asked = [query("www.example.com"), query("dns.example.com"), query("a.example.com")] * 20
    assert kinds([worker.udp.respond(one, PEER) for one in asked]) == {"whole": 60}


NOT_LIMITED = ["127.0.0.1", "127.9.9.9"]


@pytest.mark.parametrize("peer", NOT_LIMITED)
def test_exempt_clients(snapshot: Snapshot, peer: str) -> None:
    worker = Worker(snapshot, rate=1)
    assert kinds([worker.udp.respond(query("www.example.com"), packed_ip(peer)) for _ in range(100)]) == {"whole": 100}


def test_tcp_is_not_limited(snapshot: Snapshot) -> None:
    worker = Worker(snapshot, rate=1)
    assert kinds([worker.tcp.respond(query("www.example.com"), PEER) for _ in range(100)]) == {"whole": 100}


def test_log_only(snapshot: Snapshot) -> None:
    worker = Worker(snapshot, rate=10, log_only=True)
    assert kinds([worker.udp.respond(query("www.example.com"), PEER) for _ in range(100)]) == {"whole": 100}
    counted = worker.counted()
    assert counted["rate_limited_total logged"] == 90
    assert counted["responses_total udp NOERROR"] == 100


# Cookies


def asked_with(cookie: bytes) -> bytes:
    message = dns.message.make_query("www.example.com", "A", use_edns=0)
    message.use_edns(0, options=[dns.edns.GenericOption(dns.edns.OptionType.COOKIE, cookie)])
    return message.to_wire()


def cookie_in(reply: bytes | None) -> bytes:
    assert reply
    (option,) = dns.message.from_wire(reply).options
    assert option.otype == dns.edns.OptionType.COOKIE
    return option.to_wire() or b""


def test_client_with_a_cookie_is_not_limited(snapshot: Snapshot) -> None:
    worker = Worker(snapshot, rate=1, slip=0)
    first = worker.udp.respond(asked_with(b"12345678"), PEER)
    assert answers(first or b"") == ["203.0.113.1"]
    cookie = cookie_in(first)
    assert (len(cookie), cookie[:8]) == (24, b"12345678")
    assert kinds([worker.udp.respond(asked_with(cookie), PEER) for _ in range(50)]) == {"whole": 50}
    counted = worker.counted()
    assert (counted["cookies_total new"], counted["cookies_total valid"]) == (1, 50)
    forged = cookie[:-1] + bytes([cookie[-1] ^ 1])
    assert kinds([worker.udp.respond(asked_with(forged), PEER) for _ in range(50)])["dropped"] >= 49
    assert kinds([worker.udp.respond(asked_with(cookie), packed_ip("192.0.2.78")) for _ in range(50)])["dropped"] >= 49
    assert worker.counted()["cookies_total invalid"] == 100


@pytest.mark.parametrize("size", [0, 1, 7, 9, 15, 41, 100])
def test_cookie_of_an_invalid_size(snapshot: Snapshot, size: int) -> None:
    reply = Worker(snapshot).udp.respond(asked_with(bytes(size)), PEER)
    assert reply
    assert rcode_text(reply) == "FORMERR"


def test_cookies_share_a_shape(snapshot: Snapshot) -> None:
    """Each client's cookie differs: with a shape per cookie, they would evict all other shapes from the cache."""
    worker = Worker(snapshot)
    for number in range(1000):
        worker.udp.respond(asked_with_number(number), PEER)
    assert len(worker.udp.tally.answered) == 1


def asked_with_number(number: int) -> bytes:
    return query("www.example.com", after=opt(options=b"\0\x0a\0\x08" + number.to_bytes(8)))
