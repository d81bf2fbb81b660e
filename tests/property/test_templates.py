"""Replies by template: the loop puts each name's own stored records into the reply of another name.

Every reply is that of `respond`, and most names are never asked of Python.
"""

from __future__ import annotations

import random
import tracemalloc
from collections.abc import Iterator
from contextlib import closing

import pytest

from dnsd.engine.respond import respond
from dnsd.engine.snapshot import Snapshot
from dnsd.model.records import RecordFields
from dnsd.net import udp
from dnsd.net.reply import DnsReply
from dnsd.worker.answering import Answering
from tests.models import proxied, record, zone, zone_map
from tests.packets import opt, query
from tests.property.test_batch import Asked, in_capitals
from tests.unit.compile.test_snapshot_build import OPTIONS, built

pytestmark = pytest.mark.skipif(not udp.IS_BUILT, reason="the compiled loop was not built: no C compiler")

COUNT = 120
OPTS = (b"", opt(), opt(size=512))
TYPES = ("A", "AAAA", "TXT", "MX", "NS", "DS", "HTTPS", "ANY", "SOA", "CNAME", 4711)
MAPS = {"a1/m": zone_map("example.com", "203.0.113.1")}


def records(seed: int) -> list[RecordFields]:
    """Names stored in every way, most of them alike but for their data."""
    found = []
    for n in range(COUNT):
        name = f"{'x' * (n % 30)}h{n}"
        found += [record(f"{name} A 192.0.2.{1 + (n + seed) % 250}")]
        found += [record(f"{name} A 198.51.100.{n + 1}")] if n % 3 == 0 else []
        found += [record(f"m{n} MX 10 mail{n}.example.net"), record(f"m{n} TXT {'t' * (n * 3)}x")]
        found += [proxied(f"p{n} A 192.0.2.{1 + n}")]
        found += [record(f"p{n} TXT t{n}")] if n % 5 == 0 else []
        found += [record(f"deep.e{n} AAAA 2001:db8::{n + 1:x}")]
        found += [record(f"d{n} NS ns{n}.example.net"), record(f"d{n} NS ns.example.org")]
        found += [record(f"d{n} DS {n} 13 2 {'ab' * 32}")] if n % 4 == 0 else []
        found += [record(f"g{n} NS ns.g{n}.example.com"), record(f"ns.g{n} A 192.0.2.9")] if n % 2 else []
        found += [record(f"h{n}.d{n} A 192.0.2.7")] if n % 6 == 0 else []  # below a delegation, and no name server
    found += [
        record("*.w A 192.0.2.8"),
        record("a CNAME xh1.example.com"),
        record("b CNAME p1.example.com"),
        record("r DNAME example.org"),
    ]
    return found


def names() -> Iterator[str]:
    for n in range(COUNT):
        stored = (f"{'x' * (n % 30)}h{n}", f"m{n}", f"p{n}", f"deep.e{n}", f"e{n}", f"d{n}", f"g{n}")
        for name in (*stored, f"www.d{n}", f"a.b.d{n}", f"h{n}.d{n}", f"w.g{n}", f"ns.g{n}", f"q{n}.w", f"no{n}"):
            yield f"{name}.example.com"
    yield from ("example.com", "a.example.com", "b.example.com", "x.r.example.com", "example.net", "in.example.com")


def questions(rng: random.Random) -> list[bytes]:
    """Each once, in any order and any case."""
    asked = [query(name, qtype, after=after) for name in names() for qtype in TYPES for after in OPTS]
    rng.shuffle(asked)
    return [in_capitals(rng, one[2:]) for one in asked]


class Counting:
    """Counts the questions asked of Python."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        answer = Answering.answer

        def counted(answering: Answering, octets: bytes, peer: bytes) -> DnsReply:
            self.count += 1
            return answer(answering, octets, peer)

        monkeypatch.setattr(Answering, "answer", counted)


def assert_all_as_respond(server: Asked, asked: list[bytes]) -> None:
    for start in range(0, len(asked), 60):
        batch = [number.to_bytes(2) + rest for number, rest in enumerate(asked[start : start + 60])]
        for octets, reply in zip(batch, server.ask(*batch), strict=True):
            assert reply == respond(server.snapshot, octets), octets.hex()


@pytest.fixture(name="snapshot", scope="module")
def _snapshot() -> Snapshot:
    inside = zone("in.example.com", [record("www A 192.0.2.3"), record("d NS ns.example.net")])
    return built([zone("example.com", records(0)), inside], MAPS)


def test_most_names_are_answered_without_python(snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch) -> None:
    counting = Counting(monkeypatch)
    asked = questions(random.Random(1))
    with closing(Asked(snapshot)) as server:
        assert_all_as_respond(server, asked)
        repeated = server.again()
        server.answering.flush_tally()
        counted = server.counts.take()
    assert counting.count + repeated == len(asked)
    assert counting.count < len(asked) / 5
    requests = sum(value for key, value in counted if key[0] == "dnsd_requests_total")
    responses = sum(value for key, value in counted if key[0] == "dnsd_responses_total")
    assert requests == responses == len(asked)


def test_referrals_have_the_glue_of_their_own_names(snapshot: Snapshot) -> None:
    rests = [query(f"{name}{n}.example.com")[2:] for n in range(COUNT) for name in ("d", "www.d", "g", "x.g")]
    random.Random(2).shuffle(rests)
    with closing(Asked(snapshot)) as server:
        assert_all_as_respond(server, rests * 3)


GLUED = (  # records of a delegation NAME, in every way that its name servers may lie
    "NAME NS ns.NAME; ns.NAME A 192.0.2.N",
    "NAME NS NS.Name; ns.NAME A 192.0.2.N; ns.NAME A 192.0.2.250; ns.NAME AAAA 2001:db8::N",
    "NAME NS b.NAME; NAME NS a.NAME; a.NAME A 192.0.2.N; b.NAME AAAA 2001:db8::N; NAME DS N 13 2 DIGEST",
    "NAME NS NAME; NAME A 192.0.2.N",
    "NAME NS NAME; NAME NS deep.er.NAME; NAME A 192.0.2.N; deep.er.NAME AAAA 2001:db8::N",
    "NAME NS ns.NAME; NAME NS ns.example.net.; ns.NAME A 192.0.2.N",
    "NAME NS ns.NAME; NAME NS ns.glued1; ns.NAME A 192.0.2.N",
    "NAME NS gone.NAME; NAME NS ns.NAME; ns.NAME A 192.0.2.N",
    "NAME NS ns.NAME; ns.NAME TXT none",
    "NAME NS ns.in.NAME; ns.in.NAME A 192.0.2.N; in.NAME NS ns.example.net.",
    "NAME NS ns.served; NAME NS ns.NAME; ns.NAME A 192.0.2.N",
    "NAME NS a.NAME; NAME NS b.NAME; NAME NS c.NAME; NAME NS d.NAME; NAME NS e.NAME; "
    "a.NAME A 192.0.2.N; b.NAME A 192.0.2.N; c.NAME A 192.0.2.N; d.NAME A 192.0.2.N; e.NAME A 192.0.2.N",
)


def glued(form: str, number: int, address: int) -> list[RecordFields]:
    words = {"NAME": f"glued{number}", "Name": f"Glued{number}", "DIGEST": "cd" * 32}
    found = []
    for line in form.split("; "):
        text = line.replace("192.0.2.N", f"192.0.2.{address}").replace("::N", f"::{address:x}").replace("DS N", "DS 7")
        for word, given in words.items():
            text = text.replace(word, given)
        owner, rtype, content = text.split(" ", 2)
        if rtype == "NS":
            content = content if content.endswith(".") else f"{content}.example.com."
        found.append(record(f"{owner} {rtype} {content}"))
    return found


@pytest.mark.parametrize("form", [*GLUED[:7], *GLUED[8:10]])
def test_delegations_with_name_servers_of_their_own_are_answered_without_python(
    monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    counting = Counting(monkeypatch)
    numbers = range(2, 50)
    names = [f"{label}glued{n}.example.com" for n in numbers for label in ("", "www.")]
    found = [*glued(GLUED[0], 1, 1), *(one for n in numbers for one in glued(form, n, n + 1))]
    with closing(Asked(built([zone("example.com", found)], MAPS))) as server:
        assert_all_as_respond(server, [query(name)[2:] for name in names])
    assert counting.count == 2  # the delegation and a name below it


def test_glue_is_that_of_each_delegation(monkeypatch: pytest.MonkeyPatch) -> None:
    """The addresses of name servers, changed by edits, hidden by a proxy, and shadowed by a zone that is served."""
    counting, rng = Counting(monkeypatch), random.Random(5)
    child = zone("ns.glued15.example.com", [record("@ A 192.0.2.99")])
    previous = None
    names = [f"{label}glued{n}.example.com" for n in range(240) for label in ("", "www.", "ns.", "a.b.")]
    asked = [query(name, qtype, after=after) for name in names for qtype in ("A", "NS", "DS") for after in OPTS]
    hidden = [
        record("hid NS ns.hid.example.com."),
        proxied("ns.hid A 192.0.2.3"),
        record("hid NS www.hid.example.com."),
    ]
    hidden += [proxied("www.hid A 192.0.2.4")]
    asked += [query(f"{name}.example.com") for name in ("hid", "x.hid", "www.hid", "ns.hid")]
    turns = 3
    with closing(Asked(built([zone("example.com", hidden), child], MAPS))) as server:
        for turn in range(turns):
            found = [one for n in range(240) for one in glued(GLUED[n % len(GLUED)], n, 1 + (n + turn * (n % 5)) % 250)]
            if turn:  # in the overlay
                found = [one for one in found if rng.random() > 0.02 or one.type in ("NS", "DS")]
            previous = built([zone("example.com", [*found, *hidden]), child], MAPS, previous)
            server.serve(previous)
            server.snapshot = previous
            rng.shuffle(asked)
            assert_all_as_respond(server, [in_capitals(rng, one[2:]) for one in asked])
    assert counting.count < turns * len(asked) * 0.8


def test_replies_follow_edits(snapshot: Snapshot) -> None:
    """Changed names stand in the overlay: added, changed, removed, made and unmade delegations."""
    rng = random.Random(3)
    asked = questions(rng)
    with closing(Asked(snapshot)) as server:
        assert_all_as_respond(server, asked[::4])
        previous, kept = snapshot, records(0)
        for turn in range(6):
            changed = rng.sample(range(len(kept)), 12)
            kept = [one for place, one in enumerate(kept) if place not in changed]
            kept += [record(f"d{turn}x NS ns.example.net"), record(f"new{turn} A 192.0.2.{turn + 1}")]
            kept += [record(f"h{200 + turn} NS ns.example.net"), record(f"y.h{200 + turn} A 192.0.2.5")]
            previous = built([zone("example.com", kept), zone("in.example.com", [])], MAPS, previous)
            if turn == 5:
                assert previous.names.table.overlay is not None
            server.serve(previous)
            server.snapshot = previous
            more = [query(f"{name}.example.com")[2:] for name in (f"d{turn}x", f"a.d{turn}x", f"new{turn}")]
            assert_all_as_respond(server, [*asked[turn::9], *more * 3])


def test_large_replies_are_not_repeated_for_longer_names() -> None:
    """A reply that fits for a short name and is truncated for a long one."""
    many = [f"203.0.113.{n}" for n in range(1, 28)]
    hosts = [proxied(f"{'l' * size}.{'m' * size}.{'n' * size} A 192.0.2.1") for size in range(1, 60)]
    texts = [record(f"t{'l' * size}.{'m' * size} TXT {'x' * 200} {'y' * 165}") for size in range(1, 60)]
    snapshot = built([zone("example.com", [*hosts, *texts])], {"a1/m": zone_map("example.com", *many)}, options=OPTIONS)
    asked = [query(f"{'l' * size}.{'m' * size}.{'n' * size}.example.com") for size in range(1, 60)]
    asked += [query(f"t{'l' * size}.{'m' * size}.example.com", "TXT") for size in range(1, 60)]
    truncated = {respond(snapshot, one)[2] & 2 for one in asked}  # type: ignore[index]
    assert truncated == {0, 2}
    with closing(Asked(snapshot)) as server:
        assert_all_as_respond(server, [one[2:] for one in asked] * 3)


def test_names_asked_once_fill_no_memory_of_replies() -> None:
    asked = 20_000
    snapshot = built([zone("example.com", [record(f"h{n} A 192.0.2.1") for n in range(asked)])])
    own = tracemalloc.Filter(inclusive=True, filename_pattern=udp.__file__)
    with closing(Asked(snapshot)) as server:
        assert_all_as_respond(server, [query(f"h{n}.example.com")[2:] for n in range(100)] * 3)
        tracemalloc.start()
        try:
            for start in range(100, asked, 60):
                server.ask(*(query(f"h{n}.example.com") for n in range(start, min(asked, start + 60))))
            kept = tracemalloc.take_snapshot().filter_traces([own]).statistics("filename")
        finally:
            tracemalloc.stop()
    assert sum(one.size for one in kept) < 10_000
