"""Queries as octets and replies as dnspython messages, for tests of the exact wire format."""

from __future__ import annotations

import struct

import dns.message
import dns.name
import dns.rcode
import dns.rdatatype

QUERY_ID = 0xBEEF
RD = 0x0100
NSID_OPTION = struct.pack("!HH", 3, 0)


def wire_name(name: str | bytes) -> bytes:
    """The wire form of a name; octets are returned unchanged."""
    return name if isinstance(name, bytes) else dns.name.from_text(name).to_wire() or b"\0"


def query(
    name: str | bytes,
    qtype: str | int = "A",
    *,
    qclass: int = 1,
    flags: int = RD,
    counts: tuple[int, int, int, int] | None = None,
    after: bytes = b"",
) -> bytes:
    """A query; `after` follows the question, and is one additional record unless `counts` are given."""
    rtype = qtype if isinstance(qtype, int) else int(dns.rdatatype.from_text(qtype))
    header = struct.pack("!6H", QUERY_ID, flags, *(counts or (1, 0, 0, bool(after))))
    return header + wire_name(name) + struct.pack("!2H", rtype, qclass) + after


def opt(
    *,
    size: int = 4096,
    version: int = 0,
    rcode: int = 0,
    flags: int = 0,
    options: bytes = b"",
    owner: bytes = b"\0",
) -> bytes:
    """An OPT record of a query."""
    return owner + struct.pack("!HHBBHH", 41, size, rcode, version, flags, len(options)) + options


def rcode_text(reply: bytes) -> str:
    """The rcode of a reply, including its upper bits in the OPT record."""
    return dns.rcode.to_text(dns.message.from_wire(reply).rcode())


def shown(reply: bytes) -> dict[str, list[str]]:
    """The records of a reply, one line each, by section."""
    message = dns.message.from_wire(reply)
    sections = {"answer": message.answer, "authority": message.authority, "additional": message.additional}
    return {name: [line for rrset in rrsets for line in str(rrset).splitlines()] for name, rrsets in sections.items()}


def answers(reply: bytes) -> list[str]:
    """The data of the answer section, in the order of the reply."""
    return [str(rdata) for rrset in dns.message.from_wire(reply).answer for rdata in rrset]
