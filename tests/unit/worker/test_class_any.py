"""QCLASS ANY is answered like class IN, with AA clear and without the SOA of a negative answer, as by NSD 4.6.1."""

from __future__ import annotations

import struct

import dns.flags
import dns.message
import pytest

from dnsd.compile.build import Options, build_snapshot
from dnsd.engine.respond import respond
from dnsd.engine.snapshot import Snapshot
from dnsd.log import Log
from dnsd.metrics import Counts
from dnsd.model.fields import parse_ip
from dnsd.net.reply import Scope
from dnsd.wire.addresses import packed_ip
from dnsd.worker.answering import Answering, Serving
from tests.models import dataset, proxied, record, zone, zone_map
from tests.packets import opt, query, rcode_text, shown

POOL = ("198.51.100.10", "2001:db8:f::10")
LABEL = "l" * 60

ZONES = [
    zone(
        "example.net",
        [
            record("host A 192.0.2.1"),
            record("host TXT hello"),
            proxied("edge A 192.0.2.7"),
            record("*.wild MX 10 mail.example.net"),
            record("cut NS ns.cut.example.net"),
            record("ns.cut A 192.0.2.53"),
            record("cut DS 1 8 2 " + "ab" * 32),
            record("to-host CNAME host.example.net"),
            record("to-nothing CNAME nothing.example.net"),
            record("to-cut CNAME x.cut.example.net"),
            record("to-outside CNAME www.example.edu"),
            record("renamed DNAME example.net"),
            record(f"long DNAME {LABEL}.{LABEL}.{LABEL}.example.net"),
            record("flat CNAME www.example.edu", settings={"flatten_cname": True}),
            *(record(f"many TXT {n:02}{'x' * 60}") for n in range(12)),
        ],
    ),
    zone("held.example", [record("www A 192.0.2.9")], status="initializing"),
]

# name, type: rcode, records in answer and authority, whether class IN has AA
CASES = {
    "data": ("host.example.net", "A", "NOERROR", 1, 0, True),
    "no data": ("host.example.net", "AAAA", "NOERROR", 0, 0, True),
    "no such name": ("nothing.example.net", "A", "NXDOMAIN", 0, 0, True),
    "an empty non-terminal": ("wild.example.net", "A", "NOERROR", 0, 0, True),
    "a wildcard": ("x.y.wild.example.net", "MX", "NOERROR", 1, 0, True),
    "no data at a wildcard": ("x.wild.example.net", "A", "NOERROR", 0, 0, True),
    "a proxied name": ("edge.example.net", "A", "NOERROR", 1, 0, True),
    "a proxied name's HTTPS": ("edge.example.net", "HTTPS", "NOERROR", 1, 0, True),
    "a proxied name's CNAME": ("edge.example.net", "CNAME", "NOERROR", 0, 0, True),
    "the apex": ("example.net", "SOA", "NOERROR", 1, 0, True),
    "a delegation": ("cut.example.net", "A", "NOERROR", 0, 1, False),
    "below a delegation": ("x.cut.example.net", "TXT", "NOERROR", 0, 1, False),
    "DS at a delegation": ("cut.example.net", "DS", "NOERROR", 1, 0, True),
    "a chain": ("to-host.example.net", "A", "NOERROR", 2, 0, True),
    "a chain to no data": ("to-host.example.net", "AAAA", "NOERROR", 1, 0, True),
    "a chain to nothing": ("to-nothing.example.net", "A", "NXDOMAIN", 1, 0, True),
    "a chain to a delegation": ("to-cut.example.net", "A", "NOERROR", 1, 1, True),
    "a chain that leaves": ("to-outside.example.net", "A", "NOERROR", 1, 0, True),
    "below a DNAME": ("host.renamed.example.net", "A", "NOERROR", 3, 0, True),
    "below a DNAME, nothing": ("nothing.renamed.example.net", "A", "NXDOMAIN", 2, 0, True),
    "below a DNAME, too long": (f"{LABEL}.{LABEL}.long.example.net", "A", "YXDOMAIN", 1, 0, True),
    "a flattened name that leads outside": ("flat.example.net", "A", "SERVFAIL", 0, 0, False),
    "type ANY": ("host.example.net", "ANY", "NOERROR", 1, 0, True),
    "a foreign name": ("www.example.edu", "A", "REFUSED", 0, 0, False),
    "a zone that is not set up": ("www.held.example", "A", "REFUSED", 0, 0, False),
    "a name of class CH": ("id.server", "TXT", "REFUSED", 0, 0, False),
    "AXFR": ("example.net", "AXFR", "REFUSED", 0, 0, False),
    "IXFR of a name": ("host.example.net", "IXFR", "NOTAUTH", 0, 0, False),
}


@pytest.fixture(scope="module")
def snapshot() -> Snapshot:
    options = Options(tuple(map(parse_ip, POOL)), identity="lab-1")
    return build_snapshot(dataset(ZONES, {"a1/m": zone_map("example.net", "203.0.113.10")}), options)


@pytest.mark.parametrize("stream", [False, True], ids=["udp", "tcp"])
@pytest.mark.parametrize(("name", "qtype", "rcode", "answer", "authority", "aa"), CASES.values(), ids=CASES.keys())
def test_answer(
    snapshot: Snapshot, name: str, qtype: str, rcode: str, answer: int, authority: int, aa: bool, stream: bool
) -> None:
    of_any, of_in = (
        respond(snapshot, query(name, qtype, qclass=qclass, after=opt(flags=0x8000)), stream=stream)
        for qclass in (255, 1)
    )
    assert of_any is not None
    assert of_in is not None
    assert (rcode_text(of_any), rcode_text(of_in)) == (rcode, rcode)
    assert struct.unpack_from("!3H", of_any, 4) == (1, answer, authority)
    assert not has_aa(of_any)
    assert has_aa(of_in) == aa
    sections = shown(of_in)
    sections["authority"] = [line for line in sections["authority"] if " SOA " not in line]
    assert shown(of_any) == sections
    options = [dns.message.from_wire(reply).options for reply in (of_any, of_in)]
    assert options[0] == options[1]


def has_aa(reply: bytes) -> bool:
    return bool(dns.message.from_wire(reply).flags & dns.flags.AA)


def test_truncated_reply_has_no_aa(snapshot: Snapshot) -> None:
    reply = respond(snapshot, query("many.example.net", "TXT", qclass=255))
    assert reply is not None
    assert dns.message.from_wire(reply).flags == dns.flags.QR | dns.flags.TC | dns.flags.RD


@pytest.mark.parametrize("flags", [0, 0x0100, 0x0110])
def test_flags_are_copied_and_the_question_is_repeated(snapshot: Snapshot, flags: int) -> None:
    message = query(b"\x04HoSt\x07eXample\x03net\0", "A", qclass=255, flags=flags)
    reply = respond(snapshot, message)
    assert reply is not None
    assert int.from_bytes(reply[2:4]) == 0x8000 | flags
    assert reply[12 : len(message)] == message[12:]


@pytest.mark.parametrize("name", ["host.example.net", "nothing.example.net", "edge.example.net"])
def test_reply_is_not_confused_with_class_in(snapshot: Snapshot, name: str) -> None:
    """Neither reply is repeated for the other class, and both are counted."""
    counts = Counts()
    serving = Serving(snapshot, None, None, query_sample=0)
    answering = Answering(serving, counts, Log(), "udp", "ipv4")
    for qclass, is_kept in ((1, True), (255, False), (1, True)):
        reply = answering.answer(query(name, "A", qclass=qclass), packed_ip("192.0.2.9"))
        assert reply.octets == respond(snapshot, query(name, "A", qclass=qclass))
        assert (reply.scope != Scope.ONCE) == is_kept
    answering.flush_tally()
    taken = dict(counts.take())
    assert sum(value for key, value in taken.items() if key[0] == "dnsd_responses_total") == 3
    edge = sum(value for key, value in taken.items() if key[0] == "dnsd_edge_answers_total")
    assert edge == (3 if name.startswith("edge") else 0)
