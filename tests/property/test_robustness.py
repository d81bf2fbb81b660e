"""`respond` never raises and never reveals the origin of a proxied name, for any query, valid or broken."""

import itertools
import random
from pathlib import Path

import dns.message
import dns.name
import dns.rcode
import pytest

from dnsd.app import load
from dnsd.engine.respond import respond
from dnsd.engine.snapshot import Snapshot
from dnsd.wire.message import MAX_MESSAGE_SIZE, QR
from tests.mutations import OPT, mutations, question, seeds

CONFIG = Path(__file__).parents[2] / "config" / "dnsd.yaml"
MUTATED = 200_000
PROXIED = [
    "www.example.com",
    "example.com",
    "a.b.tenants.example.com",
    "shop.example",
    "www.shop.example",
    "initech.example",
]
CLASSES = [0, 1, 2, 3, 4, 254, 255, 1000, 65535]


class Served:
    """The example configuration, and the octets that must never be sent: the origins of its proxied records."""

    def __init__(self) -> None:
        loaded = load(CONFIG, {})
        self.snapshot: Snapshot = loaded.snapshot
        self.owners: list[bytes] = sorted(
            {record.owner for zone in loaded.dataset.zones.values() for record in zone.records}
        )
        applying = [zone for zone in loaded.dataset.zones.values() if loaded.dataset.applies_maps(zone)]
        hidden = {record.rdata for zone in applying for record in zone.records if record.proxied}
        stored = {
            record.rdata
            for zone in loaded.dataset.zones.values()
            for record in zone.records
            if not record.proxied or zone not in applying
        }
        self.origins = hidden - stored
        # CNAME targets that are also served names may be shown; addresses and outside names may not.
        self.origins -= set(self.owners)
        assert len(self.origins) >= 10

    def check(self, query: bytes, *, stream: bool = False) -> bytes | None:
        """Ask; the reply is well-formed or missing."""
        reply = respond(self.snapshot, query, stream=stream)
        if len(query) < 12 or query[2] & 0x80:
            assert reply is None
            return None
        assert reply is not None
        assert len(reply) <= (MAX_MESSAGE_SIZE if stream else 1232)
        assert reply[:2] == query[:2]
        assert int.from_bytes(reply[2:4]) & QR
        for origin in self.origins:
            assert origin not in reply, f"{origin!r} in the reply to {query.hex()}"
        return reply


@pytest.fixture(scope="module")
def served() -> Served:
    return Served()


def test_mutated_packets(served: Served) -> None:
    rng = random.Random(20)
    probe = question(b"\x03www\x07example\x03com\x00", 1)
    before = served.check(probe)
    for number, query in enumerate(itertools.islice(mutations(rng, seeds(served.owners)), MUTATED)):
        reply = respond(served.snapshot, query, stream=bool(number & 1))
        if reply is None:
            assert len(query) < 12 or query[2] & 0x80
        else:
            assert reply[:2] == query[:2]
            assert not any(origin in reply for origin in served.origins if len(origin) > 4), query.hex()
            if number % 20 == 0:
                # As a reply to a query: dnspython has special rules for the zone section of an UPDATE.
                dns.message.from_wire(reply[:2] + bytes([reply[2] & 0x87]) + reply[3:])
    assert served.check(probe) == before


@pytest.mark.parametrize("name", PROXIED)
def test_every_type(served: Served, name: str) -> None:
    qname = dns.name.from_text(name).to_wire()
    for qtype in range(65_536):
        reply = served.check(question(qname, qtype, opt=OPT))
        assert reply is not None
        assert reply[3] & 0xF in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN, dns.rcode.REFUSED, dns.rcode.NOTAUTH)


def test_every_opcode_class_and_flag(served: Served) -> None:
    rng = random.Random(21)
    for opcode, qclass, low in itertools.product(range(16), CLASSES, range(0, 256, 5)):
        for high in (0, 1, 2, 4, 7):
            flags = opcode << 11 | high << 8 | low
            qtype = rng.choice((1, 16, 28, 65, 252, 255))
            reply = served.check(question(rng.choice(served.owners), qtype, qclass, flags=flags))
            assert reply is not None
            if opcode:
                assert reply[3] & 0xF == dns.rcode.NOTIMP
                assert reply[2] >> 3 & 0xF == opcode
            elif qclass not in (1, 255):  # QCLASS ANY is answered as class IN
                assert reply[3] & 0xF == dns.rcode.REFUSED


def test_responses_get_no_reply(served: Served) -> None:
    for flags in range(0x8000, 0x10000, 7):
        assert respond(served.snapshot, question(b"\x03www\x07example\x03com\x00", 1, flags=flags)) is None
