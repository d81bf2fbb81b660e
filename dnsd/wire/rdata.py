"""Record types and record data: from presentation form to wire form and back, for every type that dnspython knows, and
by RFC 3597 for all other types. Also the positions of compressible names in RDATA.
"""

from __future__ import annotations

import re
from typing import Any

import dns.exception
import dns.name
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.tokenizer
import dns.ttl

from dnsd.wire import rdata_types

# Types with special treatment in this server.
A, NS, CNAME, SOA, PTR, HINFO, MX, TXT, AAAA, SRV, NAPTR, DNAME = 1, 2, 5, 6, 12, 13, 15, 16, 28, 33, 35, 39
DS, SSHFP, RRSIG, TLSA, SMIMEA, SVCB, HTTPS, IXFR, AXFR, ANY, URI = 43, 44, 46, 52, 53, 64, 65, 251, 252, 255, 256
CAA = 257
MB, MG, MR, MINFO = 7, 8, 9, 14
TRANSFER_TYPES = frozenset({IXFR, AXFR})  # RFC 1995, RFC 5936

# Positions of compressible names in RDATA: octets before the first name, number of names (RFC 3597 §4 allows
# compression for the types of RFC 1035 only).
COMPRESSIBLE = {NS: (0, 1), CNAME: (0, 1), SOA: (0, 2), PTR: (0, 1), MX: (2, 1)}
COMPRESSIBLE |= {MB: (0, 1), MG: (0, 1), MR: (0, 1), MINFO: (0, 2)}

# Types whose data is compared as it is, and octets before the only name in the data of others (RFC 4034 §6.2).
AS_IS = frozenset({A, AAAA, TXT, DS, SSHFP, TLSA, SVCB, HTTPS, CAA})
BEFORE_NAME = {NS: 0, CNAME: 0, PTR: 0, DNAME: 0, MX: 2, SRV: 6}

# Common types -> the size in octets from which all packed data is known to be readable: no part is missing, no number
# out of range. Tests prove it, so that a million records need not be read twice.
PROVEN = {A: 4, NS: 1, CNAME: 1, SOA: 22, PTR: 1, MX: 3, TXT: 1, AAAA: 16, SRV: 7, DNAME: 1, DS: 5, SSHFP: 3, TLSA: 4}

NO_TEXT_FORM = r"generic rdata does not start with \#"

TRAILING = re.compile(r"expected EOL or EOF, got \d+ (.*)", re.DOTALL)

rdata_types.register()

MAX_RDATA = 65_535  # octets, RFC 1035 §4.1.3


def parse_type_text(text: str) -> int:
    """Parse a type's mnemonic, or `TYPE65534` (RFC 3597 §5), to its number. Raises ValueError."""
    try:
        return int(dns.rdatatype.from_text(text))
    except (dns.exception.DNSException, ValueError):
        raise ValueError(f"{text!r} is not a record type") from None


def type_text(rtype: int) -> str:
    """The mnemonic of a type, or `TYPE65534`."""
    return dns.rdatatype.to_text(dns.rdatatype.RdataType.make(rtype))


def is_known_type(rtype: int) -> bool:
    """Whether a type has a mnemonic."""
    return rtype in dns.rdatatype.RdataType.__members__.values()


def parse_rdata_text(rtype: int, text: str) -> dns.rdata.Rdata:
    """Parse record data in presentation form; relative names count as fully qualified.

    Raises ValueError with a message for the user.
    """
    try:
        return _from_text(rtype, text)
    except Exception as error:  # dnspython also raises ValueError, struct.error, binascii.Error and others
        raise ValueError(f"not valid {type_text(rtype)} data: {reason(error)}") from None


def pack_rdata(rdata: dns.rdata.Rdata) -> bytes:
    """The wire form without compression, with names as written.

    Raises ValueError if it is over 65,535 octets or cannot be read again: all packed data is readable.
    """
    rtype = int(rdata.rdtype)
    try:
        wire = bytes(rdata.to_wire() or b"")
    except Exception as error:  # such as struct.error for a number in a LOC that is too large
        raise ValueError(f"not valid {type_text(rtype)} data: {reason(error)}") from None
    if len(wire) > MAX_RDATA:
        raise ValueError(f"{len(wire)} octets of record data; the limit is 65,535")
    if len(wire) < PROVEN.get(rtype, MAX_RDATA + 1):
        _check_readable(rtype, wire)
    return wire


def _check_readable(rtype: int, wire: bytes) -> None:
    """Read data again from its wire form and its presentation form. Raises ValueError if that fails.

    dnspython packs some data that it refuses to read, such as a HIP without a key.
    """
    try:
        again = _from_text(rtype, unpack_rdata(rtype, wire).to_text()).to_wire()
    except Exception as error:
        raise ValueError(f"not valid {type_text(rtype)} data: it cannot be read back: {reason(error)}") from None
    if again != wire:
        raise ValueError(f"not valid {type_text(rtype)} data: it is read back as different data")


def unpack_rdata(rtype: int, wire: bytes) -> Any:
    """Record data from `pack_rdata` as a dnspython object."""
    kind = dns.rdatatype.RdataType.make(rtype)
    return dns.rdata.from_wire(dns.rdataclass.IN, kind, wire, 0, len(wire))


def rdata_text(rtype: int, wire: bytes) -> str:
    """The presentation form of record data."""
    if rtype == A and len(wire) == 4:  # RFC 1035 §3.4.1; dnspython takes ten times longer
        return ".".join(map(str, wire))
    return str(unpack_rdata(rtype, wire).to_text())


def canonical_rdata(rtype: int, wire: bytes) -> bytes:
    """Record data in the form for comparison: names in lower case where RFC 4034 §6.2 requires it."""
    if rtype in AS_IS:
        return wire
    start = BEFORE_NAME.get(rtype)
    if start is None:
        return bytes(unpack_rdata(rtype, wire).to_digestable())
    return wire[:start] + wire[start:].lower()


def _from_text(rtype: int, text: str) -> dns.rdata.Rdata:
    kind = dns.rdatatype.RdataType.make(rtype)
    return dns.rdata.from_text(dns.rdataclass.IN, kind, text, origin=dns.name.root, relativize=False)


def reason(error: Exception) -> str:
    """The message of a dnspython exception, worded as the end of a sentence."""
    if isinstance(error, dns.exception.UnexpectedEnd):
        return "it ends too early; check for an unclosed quote or parenthesis"
    if isinstance(error, dns.ttl.BadTTL):
        return "it has a malformed TTL"
    text = (str(error) or (type(error).__doc__ or type(error).__name__).strip().splitlines()[0]).rstrip(".")
    if match := TRAILING.match(text):
        return f"unexpected text at the end: {match[1]}"
    if text == NO_TEXT_FORM:
        return "no text form is known for this type; write its octets: \\# LENGTH HEX (RFC 3597 §5)"
    if text.startswith("expecting ") or text == "Text input is malformed":
        return f"a part of it is missing or malformed ({text[0].lower()}{text[1:]})"
    return text.replace("\n", " ")
