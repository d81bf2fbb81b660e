"""The server and the reference answer the same questions over generated worlds, and must never differ.

A failure prints its seed, the relevant files and both answers; `WORLDS=first-last` selects other seeds by hand.
"""

from __future__ import annotations

import os
import pathlib
import random
from collections.abc import Iterable, Iterator

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdata
import dns.rdatatype
import dnslib
import pytest
from dns.message import QueryMessage
from dns.name import Name
from dns.rdatatype import RdataType

from dnsd.app import load
from dnsd.engine.respond import respond
from tests.reference import Answered, Expected, Reference
from tests.worlds import POOLS, USABLE, World, files_of, random_world, write_world

FIRST, LAST = map(int, os.environ.get("WORLDS", "1-60").split("-"))
SEEDS = range(FIRST, LAST + 1)
QUESTIONS_A_WORLD = 400
MOST_SHOWN = 3
TYPES = ["A", "A", "A", "AAAA", "AAAA", "CNAME", "TXT", "MX", "NS", "SOA", "DS", "HTTPS", "HTTPS", "SVCB", "ANY"]
TYPES += ["CAA", "DNAME", "SRV", "RRSIG", "TYPE65280"]
FOREIGN = ["x.other.example.", "com.", ".", "test.", "nothing.here."]
EDNS_SIZE = 1232
EDGE_ADDRESSES = {ip for ips in (*POOLS, *USABLE.values()) for ip in ips}
MAX_NAME = 255  # RFC 1035 §2.3.4
ODD_LABEL = b"\x02x\xff"  # the only label of the generator that is not text
DECODED_TWICE = 8  # one in so many replies is also decoded by dnslib, which is slow

Comparable = tuple[str, str, int, str]


def test_enough_questions_are_asked() -> None:
    assert len(SEEDS) * QUESTIONS_A_WORLD >= 20_000 or "WORLDS" in os.environ


@pytest.mark.parametrize("seed", SEEDS)
def test_server_agrees_with_reference(seed: int, tmp_path: pathlib.Path) -> None:
    rng = random.Random(seed)
    world = random_world(rng)
    reference = Reference(world)
    hidden = [dns.rdata.from_text("IN", "AAAA" if ":" in ip else "A", ip).to_wire() for ip in reference.origins()]
    snapshot = load(write_world(world, tmp_path)).snapshot
    failures = []
    for number, (qname, qtype) in enumerate(random_questions(rng, reference)):
        query = question(rng, qname, qtype)
        wire = query.to_wire()
        try:
            reply = respond(snapshot, wire, stream=True)
        except Exception as error:
            raise AssertionError(f"seed {seed}: {qname} {dns.rdatatype.to_text(qtype)} raised") from error
        assert reply is not None, f"seed {seed}: no reply to {qname} {dns.rdatatype.to_text(qtype)}"
        expected = reference.expect(qname, qtype, query.question[0].rdclass)
        wrong = list(differences(expected, query, wire, reply))
        wrong += [f"reply holds the origin {ip!r} of a proxied name" for ip in hidden if ip and ip in reply]
        wrong += list(differences_over_udp(snapshot, wire, reply))
        if number % DECODED_TWICE == 0:
            wrong += list(differences_to_dnslib(reply))
        if wrong:
            failures.append(f"seed {seed}: {qname} {dns.rdatatype.to_text(qtype)}\n" + "\n".join(wrong))
            failures.append(matching_files(world, reference, qname, qtype))
        if len(failures) >= 2 * MOST_SHOWN:
            break
    if failures:
        pytest.fail("\n".join(failures), pytrace=False)


# Questions.


def random_questions(rng: random.Random, reference: Reference) -> Iterator[tuple[Name, RdataType]]:
    """Interesting names and types; mostly those of records."""
    names = interesting_names(reference)
    records = [record for zone in reference.zones for record in zone.records]
    for _ in range(QUESTIONS_A_WORLD):
        kind = rng.random()
        record = rng.choice(records)
        if kind < 0.4:
            name = record.owner
        elif kind < 0.6:
            name = rng.choice(instances(record.owner) or [record.owner])
        else:
            name = rng.choice(names)
        yield name, record.type if kind < 0.2 else dns.rdatatype.from_text(rng.choice(TYPES))


def interesting_names(reference: Reference) -> list[Name]:
    """Owners, targets, names above and below them, instances of wildcards, and names outside of our zones."""
    names = {dns.name.from_text(text) for text in FOREIGN}
    for zone in reference.zones:
        names.add(zone.name.parent())
        for record in zone.records:
            names |= {record.owner, *instances(record.owner), *below(record.owner)}
            names |= {ancestor for ancestor in above(record.owner) if ancestor.is_subdomain(zone.name)}
            for field in ("target", "exchange"):
                target = getattr(record.rdata, field, dns.name.root).canonicalize()
                names |= {target, *below(target)}
    return sorted(names)


def above(name: Name) -> list[Name]:
    return [name.split(depth)[1] for depth in range(1, len(name))]


def below(name: Name) -> list[Name]:
    """Names below, if they are not too long."""
    prefixes = [dns.name.Name([b"b"]), dns.name.Name([b"x", b"www"])]
    return [prefix.concatenate(name) for prefix in prefixes if wire_size(name) + 8 < MAX_NAME]


def instances(name: Name) -> list[Name]:
    """Names that a wildcard covers, or would cover if they did not exist."""
    if name.labels[0] != b"*":
        return [dns.name.Name([b"*", *name.labels[1:]])] if len(name) > 1 else []
    return [dns.name.Name([*labels, *name.labels[1:]]) for labels in ([b"q"], [b"a"], [b"q", b"r"])]


def wire_size(name: Name) -> int:
    return sum(len(label) + 1 for label in name.labels)


def question(rng: random.Random, qname: Name, qtype: RdataType) -> QueryMessage:
    """A query in random case (0x20), sometimes of class ANY or with an OPT record."""
    labels = [bytes(rng.choice((octet, swapped_case(octet))) for octet in label) for label in qname.labels]
    edns = 0 if rng.random() < 0.5 else False
    qclass = "IN" if rng.random() < 0.9 else "ANY"
    query_id = rng.getrandbits(16)
    query = dns.message.make_query(Name(labels), qtype, qclass, use_edns=edns, payload=EDNS_SIZE, id=query_id)
    if rng.random() < 0.5:
        query.flags &= ~dns.flags.RD
    return query


def swapped_case(octet: int) -> int:
    return ord(chr(octet).swapcase()) if chr(octet).isascii() and chr(octet).isalpha() else octet


# Comparison.


def differences(expected: Expected, query: QueryMessage, wire: bytes, reply: bytes) -> Iterator[str]:
    """All differences between a reply and the expected reply."""
    question_end = 12 + wire_size(query.question[0].name) + 4
    if reply[12:question_end] != wire[12:question_end]:
        yield "the question is not echoed byte for byte"
    message = dns.message.from_wire(reply, one_rr_per_rrset=True)  # duplicates are counted
    if message.id != query.id or message.opcode() != query.opcode() or not message.flags & dns.flags.QR:
        yield "the header is not that of a reply to this query"
    wanted_flags = dns.flags.QR | (query.flags & dns.flags.RD) | (dns.flags.AA if expected.aa else 0)
    flags = message.flags & ~0xF  # without the rcode
    if flags != wanted_flags:
        yield f"flags {dns.flags.to_text(flags)}, expected {dns.flags.to_text(wanted_flags)}"
    if message.rcode() != expected.rcode:
        yield f"rcode {dns.rcode.to_text(message.rcode())}, expected {dns.rcode.to_text(expected.rcode)}"
    if (message.edns >= 0) != (query.edns >= 0):
        yield f"EDNS {message.edns}, asked with {query.edns}"
    yield from section_differences("answer", in_order(message.answer), wanted(expected.answer))
    yield from section_differences("authority", sorted(in_order(message.authority)), sorted(wanted(expected.authority)))
    yield from section_differences(
        "additional", sorted(in_order(message.additional)), sorted(wanted(expected.additional))
    )


def section_differences(name: str, got: list[Comparable], want: list[Comparable]) -> Iterator[str]:
    if stored_in_any_order(got) != stored_in_any_order(want):
        yield f"{name}:\n{as_lines('  got      ', got)}\n{as_lines('  expected ', want)}"


def stored_in_any_order(section: list[Comparable]) -> list[Comparable]:
    """The section with sorted records in each RRset, except edge addresses, which keep the order of their map."""

    def place(one: Comparable) -> tuple[int, str]:
        rrset = next(index for index, other in enumerate(section) if other[:2] == one[:2])
        return rrset, "" if one[3] in EDGE_ADDRESSES else one[3]

    return sorted(section, key=place)


def in_order(section: Iterable[dns.rrset.RRset]) -> list[Comparable]:
    return [comparable(rrset.name, rrset.rdtype, rrset.ttl, rdata) for rrset in section for rdata in rrset]


def wanted(section: list[Answered]) -> list[Comparable]:
    """The expected records."""
    return [comparable(*one) for one in section]


def comparable(owner: Name, rdtype: RdataType, ttl: int, rdata: dns.rdata.Rdata) -> Comparable:
    """A record without unspecified differences: the case of names, the SOA's serial, the TTL of ANY."""
    if rdtype == dns.rdatatype.SOA:
        rdata = rdata.replace(serial=0)
    if rdtype == dns.rdatatype.HINFO:
        ttl = 0
    text = rdata.to_text()
    named = rdtype in (dns.rdatatype.CNAME, dns.rdatatype.DNAME, dns.rdatatype.NS, dns.rdatatype.MX, dns.rdatatype.SOA)
    return owner.to_text().lower(), dns.rdatatype.to_text(rdtype), ttl, text.lower() if named else text


def as_lines(head: str, section: list[Comparable]) -> str:
    return "\n".join(f"{head}{' '.join(map(str, one))}" for one in section) or f"{head}(nothing)"


def differences_over_udp(snapshot: object, wire: bytes, reply: bytes) -> Iterator[str]:
    """A datagram has the same answer, or TC and no record except the OPT."""
    datagram = respond(snapshot, wire)  # type: ignore[arg-type]
    if datagram == reply:
        return
    if datagram is None or not datagram[2] & 0x02:
        yield "over UDP the reply is another one"
    elif datagram[6:10] != bytes(4):
        yield "a truncated reply holds records"


def differences_to_dnslib(reply: bytes) -> Iterator[str]:
    """A second decoder must read the reply and find the same number of records."""
    if ODD_LABEL in reply.lower():
        return  # dnslib reads only labels that are text
    second = dnslib.DNSRecord.parse(reply)
    counts = [int.from_bytes(reply[start : start + 2], "big") for start in (4, 6, 8, 10)]
    if [len(second.questions), len(second.rr), len(second.auth), len(second.ar)] != counts:
        yield "dnslib reads other records"
    ttls = {(str(rr.rname).lower(), rr.rtype, rr.ttl) for rr in second.rr}  # dnspython hides unequal TTLs
    if len(ttls) != len({one[:2] for one in ttls}):
        yield "records of one RRset have different TTLs"


def matching_files(world: World, reference: Reference, qname: Name, qtype: RdataType) -> str:
    """The settings, and the accounts and zones that may affect the answer."""
    names = {qname} | {owner for owner, *_ in reference.expect(qname, qtype).answer}
    names |= {getattr(rdata, "target", qname) for *_, rdata in reference.expect(qname, qtype).answer}
    zones = [zone for zone in map(reference.zone_of, names) if zone is not None]
    zones += [zone for zone in reference.zones if any(name.is_subdomain(zone.name) for name in names)]
    stems = {zone.name.to_text(omit_final_dot=True) for zone in zones}
    folders = {zone.account.folder for zone in zones}
    shown = []
    for path, text in files_of(world).items():
        parts = path.split("/")
        if "zones" in parts:
            stem = parts[-1].rsplit(".", 1)[0].removeprefix("file-").replace("-", ".")
            relevant = stem in stems
        else:
            relevant = len(parts) == 1 or parts[1] in folders
        if relevant:
            shown.append(f"# {path}\n{text}")
    return "\n".join(shown)
