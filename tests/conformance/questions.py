"""The questions: names of zones, names near them, and unusual messages. Makes bytes; no sockets."""

from __future__ import annotations

import random
import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import dns.name
import dns.rdatatype
import dns.zone

TYPES = ("A", "AAAA", "NS", "CNAME", "DNAME", "DS", "TXT", "MX", "SOA", "ANY", "HTTPS", "RRSIG", "TYPE65280")


@dataclass(frozen=True, slots=True)
class Question:
    """One message to send, with a zero ID, and a description for reports of differences."""

    wire: bytes
    qname: str
    qtype: str
    tcp: bool = False
    edns: int | None = None  # the client's size
    label: str = ""  # of an unusual message

    def __str__(self) -> str:
        transport = "tcp" if self.tcp else "udp"
        edns = f" edns={self.edns}" if self.edns is not None else ""
        return self.label or f"{self.qname} {self.qtype} {transport}{edns}"

    @property
    def limit(self) -> int:
        """The largest allowed reply (RFC 1035 §4.2.1, RFC 6891 §6.2.3, and the 1232 of all four servers)."""
        return 65535 if self.tcp else min(1232, max(512, self.edns or 0))


def wire_name(text: str) -> bytes:
    return bytes(dns.name.from_text(text).to_wire() or b"")


def question(qname: str, qtype: str, *, tcp: bool = False, edns: int | None = None) -> Question:
    """The plain query for a name and a type."""
    body = wire_name(qname) + struct.pack("!HH", dns.rdatatype.from_text(qtype), 1)
    opt = b"" if edns is None else b"\x00\x00\x29" + struct.pack("!HIH", edns, 0, 0)
    header = struct.pack("!6H", 0, 0, 1, 0, 0, 0 if edns is None else 1)
    return Question(header + body + opt, qname, qtype, tcp, edns)


def every_way(pairs: Iterable[tuple[str, str]]) -> list[Question]:
    """Each name and type over UDP and TCP, with and without EDNS."""
    ways = ((False, None), (False, 4096), (True, None), (True, 1232))
    return [question(qname, qtype, tcp=tcp, edns=edns) for qname, qtype in pairs for tcp, edns in ways]


def pairs_of(zones: Mapping[str, str], rng: random.Random, most: int) -> list[tuple[str, str]]:
    """Up to `most` names and types: every existing RRset, then a sample of other types, near names and letter case."""
    exact: dict[tuple[str, str], None] = {}
    near: dict[tuple[str, str], None] = {}
    for origin, text in zones.items():
        zone = dns.zone.from_text(text, origin, relativize=False, check_origin=False)
        for name, rdataset in zone.iterate_rdatasets():
            exact[name.to_text(), dns.rdatatype.to_text(rdataset.rdtype)] = None
        names = sorted(zone.nodes)
        for name in names:
            for other in names_near(name, zone.origin or dns.name.root, rng):
                near.update({(other, qtype): None for qtype in TYPES})
    others = [pair for pair in near if pair not in exact]
    room = max(0, most - len(exact))
    return [*exact, *(others if len(others) <= room else rng.sample(others, room))]


def names_near(name: dns.name.Name, origin: dns.name.Name, rng: random.Random) -> Iterator[str]:
    """The name, also in mixed case, its ancestors, and names below and next to it, as text."""
    yield name.to_text()
    yield "".join(rng.choice((char.upper(), char.lower())) for char in name.to_text())
    if name != origin:
        yield name.parent().to_text()
        yield from _prefixed(("nope", "*", "ns"), name.parent())
    yield from _prefixed(("nope", "*", "a", "deep.er", "www"), name)


def _prefixed(labels: tuple[str, ...], name: dns.name.Name) -> Iterator[str]:
    for label in labels:
        text = f"{label}.{name.to_text()}" if name != dns.name.root else f"{label}."
        try:
            yield dns.name.from_text(text).to_text()
        except dns.name.NameTooLong:
            continue


def header(*, flags: int = 0, counts: tuple[int, int, int, int] = (1, 0, 0, 0)) -> bytes:
    return struct.pack("!6H", 0, flags, *counts)


def opt(
    *, size: int = 1232, rcode: int = 0, version: int = 0, flags: int = 0, options: bytes = b"", owner: bytes = b"\x00"
) -> bytes:
    return owner + struct.pack("!HHBBHH", 41, size, rcode, version, flags, len(options)) + options


WWW = wire_name("www.example.com.")
NOPE = wire_name("nope.example.com.")
FOREIGN = wire_name("www.example.edu.")
APEX = wire_name("example.com.")
A = b"\x00\x01\x00\x01"
ASKED = WWW + A
RECORD = WWW + struct.pack("!HHIH4s", 1, 1, 60, 4, b"\xc0\x00\x02\x01")
WITH_OPT = (1, 0, 0, 1)

# label, message without its ID
UNUSUAL: list[tuple[str, bytes]] = [
    *((f"opcode {op}", header(flags=op << 11) + ASKED) for op in (1, 2, 3, *range(6, 16))),
    ("opcode 2 with EDNS", header(flags=2 << 11, counts=WITH_OPT) + ASKED + opt()),
    ("no question", header(counts=(0, 0, 0, 0))),
    ("no question with EDNS", header(counts=(0, 0, 0, 1)) + opt()),
    ("question not counted", header(counts=(0, 0, 0, 0)) + ASKED),
    ("two questions", header(counts=(2, 0, 0, 0)) + ASKED + NOPE + A),
    ("two questions counted, one there", header(counts=(2, 0, 0, 0)) + ASKED),
    ("two questions with EDNS", header(counts=(2, 0, 0, 1)) + ASKED + ASKED + opt()),
    ("record in the answer section", header(counts=(1, 1, 0, 0)) + ASKED + RECORD),
    ("record in the authority section", header(counts=(1, 0, 1, 0)) + ASKED + RECORD),
    ("record in the additional section", header(counts=(1, 0, 0, 1)) + ASKED + RECORD),
    ("record before OPT", header(counts=(1, 0, 0, 2)) + ASKED + RECORD + opt()),
    ("record after OPT", header(counts=(1, 0, 0, 2)) + ASKED + opt() + RECORD),
    ("answer counted but missing", header(counts=(1, 1, 0, 0)) + ASKED),
    ("additional counted but missing", header(counts=(1, 0, 0, 1)) + ASKED),
    ("additional cut short", header(counts=(1, 0, 0, 1)) + ASKED + RECORD[:-2]),
    ("qname points at itself", header() + b"\xc0\x0c" + A),
    ("qname points forward", header() + b"\x03www\xc0\x16" + A),
    ("qname points into the header", header() + b"\x03www\xc0\x00" + A),
    ("label type 01", header() + b"\x41abc\x00" + A),
    ("label type 10", header() + b"\x81abc\x00" + A),
    ("name of 257 octets", header() + (b"\x3f" + b"a" * 63) * 4 + b"\x00" + A),
    ("name cut short", header() + b"\x03ww"),
    ("no type", header() + WWW),
    ("no class", header() + WWW + b"\x00\x01"),
    ("question counted but missing", header()),
    ("eleven octets", header()[:11]),
    ("one octet", b"\x00"),
    ("a response", header(flags=0x8000) + ASKED),
    ("a response with EDNS", header(flags=0x8000, counts=WITH_OPT) + ASKED + opt()),
    ("one octet too many", header() + ASKED + b"x"),
    ("fifty octets too many", header() + ASKED + b"x" * 50),
    ("octets after OPT", header(counts=WITH_OPT) + ASKED + opt() + bytes(5)),
    ("OPT not counted", header() + ASKED + opt()),
    ("EDNS version 1", header(counts=WITH_OPT) + ASKED + opt(version=1)),
    ("EDNS version 255", header(counts=WITH_OPT) + NOPE + A + opt(version=255)),
    ("EDNS version 1 with DO", header(counts=WITH_OPT) + ASKED + opt(version=1, flags=0x8000)),
    ("EDNS version 1, name of no zone", header(counts=WITH_OPT) + FOREIGN + A + opt(version=1)),
    ("EDNS version 1, class CH", header(counts=WITH_OPT) + WWW + b"\x00\x01\x00\x03" + opt(version=1)),
    ("two OPT", header(counts=(1, 0, 0, 2)) + ASKED + opt() + opt()),
    ("two OPT, the second of version 1", header(counts=(1, 0, 0, 2)) + ASKED + opt() + opt(version=1)),
    ("OPT owned by a name", header(counts=WITH_OPT) + ASKED + opt(owner=WWW)),
    ("OPT in the answer section", header(counts=(1, 1, 0, 0)) + ASKED + opt()),
    ("OPT in the authority section", header(counts=(1, 0, 1, 0)) + ASKED + opt()),
    ("extended rcode in a query", header(counts=WITH_OPT) + ASKED + opt(rcode=5)),
    ("EDNS Z bits", header(counts=WITH_OPT) + ASKED + opt(flags=0x7FFF)),
    ("DO", header(counts=WITH_OPT) + ASKED + opt(flags=0x8000)),
    ("option cut short", header(counts=WITH_OPT) + ASKED + opt(options=b"\x00\x03")),
    ("option longer than OPT", header(counts=WITH_OPT) + ASKED + opt(options=b"\x00\x03\x00\x05ab")),
    ("OPT longer than the message", header(counts=WITH_OPT) + ASKED + opt()[:-2] + b"\x00\x0a"),
    ("unknown option", header(counts=WITH_OPT) + ASKED + opt(options=b"\xff\xf0\x00\x02ab")),
    ("padding over UDP", header(counts=WITH_OPT) + ASKED + opt(options=b"\x00\x0c\x00\x04" + bytes(4))),
    ("keepalive over UDP", header(counts=WITH_OPT) + ASKED + opt(options=b"\x00\x0b\x00\x00")),
    ("unreadable TSIG", header(counts=WITH_OPT) + ASKED + b"\x00" + struct.pack("!HHIH4s", 250, 255, 0, 4, b"abcd")),
    *((f"flag {name}", header(flags=bits) + ASKED) for name, bits in (("TC", 0x200), ("AA", 0x400), ("RA", 0x80))),
    *((f"flag {name}", header(flags=bits) + ASKED) for name, bits in (("Z", 0x40), ("AD", 0x20), ("RD", 0x100))),
    *((f"flag CD, {name}", header(flags=0x10) + qname + A) for name, qname in (("www", WWW), ("nope", NOPE))),
    ("all flags", header(flags=0x7F0) + ASKED),
    ("all flags with EDNS", header(flags=0x7F0, counts=WITH_OPT) + ASKED + opt()),
    ("all flags, name of no zone", header(flags=0x7F0) + FOREIGN + A),
    ("all flags, two questions", header(flags=0x7F0, counts=(2, 0, 0, 0)) + ASKED + ASKED),
    ("all flags, opcode 2", header(flags=0x7F0 | 2 << 11) + ASKED),
    ("rcode in a query", header(flags=5) + ASKED),
    ("case kept", header() + WWW.swapcase() + A),
    ("case kept in NXDOMAIN", header() + b"\x04NoPe\x07eXample\x03cOm\x00" + A),
    ("name of no zone", header() + FOREIGN + A),
    ("name of no zone with EDNS", header(counts=WITH_OPT) + FOREIGN + A + opt()),
    ("the root", header() + b"\x00" + A),
    *((f"class {number}", header() + WWW + struct.pack("!HH", 1, number)) for number in (0, 2, 3, 4, 254, 255, 1000)),
    *(
        (f"class {number}, name of no zone", header() + FOREIGN + struct.pack("!HH", 1, number))
        for number in (0, 2, 3, 4, 254, 255, 1000)
    ),
    *(
        (f"type {number} at {name}", header() + qname + struct.pack("!HH", number, 1))
        for number in (0, 41, 128, 249, 250, 251, 252, 253, 254, 65535)
        for name, qname in (("a name", WWW), ("no name", NOPE), ("the apex", APEX), ("a name of no zone", FOREIGN))
    ),
]


def unusual() -> list[Question]:
    """The unusual messages, as questions."""
    return [Question(wire, "", "", edns=1232 if _has_opt(wire) else None, label=label) for label, wire in UNUSUAL]


def _has_opt(wire: bytes) -> bool:
    return b"\x00\x00\x29\x04\xd0" in wire
