"""The header and the OPT record of DNS messages (RFC 1035 §4.1.1, RFC 6891): flags, codes, and their octets."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from dnsd.errors import WireError

HEADER_SIZE = 12  # octets, RFC 1035 §4.1.1

QR, OPCODE, AA, TC, RD, CD = 0x8000, 0x7800, 0x0400, 0x0200, 0x0100, 0x0010
NOERROR, FORMERR, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED, YXDOMAIN, NOTAUTH, BADVERS = 0, 1, 2, 3, 4, 5, 6, 9, 16
IN, CH, ANY_CLASS = 1, 3, 255

MIN_UDP_SIZE = 512  # octets, RFC 1035 §4.2.1
OUR_UDP_SIZE = 1232  # octets: fits every path without fragments (DNS flag day 2020)
MAX_MESSAGE_SIZE = 65_535  # octets, RFC 1035 §4.2.2

DO = 0x8000  # RFC 3225
NSID, EDE = 3, 15  # option codes: RFC 5001, RFC 8914
EDE_NOT_AUTHORITATIVE, EDE_PROHIBITED, EDE_NETWORK_ERROR = 20, 18, 23  # RFC 8914 §4

_OPT = struct.Struct("!BHHBBHH")  # root owner, type, size, extended rcode, version, flags, length of the options
_FIXED = struct.Struct("!HHIH")  # type, class, ttl, length of the record data
_OPTION = struct.Struct("!HH")


@dataclass(frozen=True, slots=True)
class Opt:
    """What a client said in its OPT record."""

    size: int  # octets it can take over UDP
    version: int
    do: bool
    options: frozenset[int]  # codes


def pack_opt(*, do: bool, rcode: int = NOERROR, options: bytes = b"") -> bytes:
    """Our OPT record; the upper eight bits of `rcode` go into it, version 0, the Z bits clear (RFC 6891 §6.1.3)."""
    return _OPT.pack(0, 41, OUR_UDP_SIZE, rcode >> 4, 0, DO if do else 0, len(options)) + options


def pack_option(code: int, data: bytes) -> bytes:
    """One EDNS option."""
    return _OPTION.pack(code, len(data)) + data


def pack_extended_error(code: int) -> bytes:
    """The option that says more about an rcode (RFC 8914 §2), without extra text."""
    return pack_option(EDE, code.to_bytes(2))


def parse_additional(records: bytes, count: int) -> Opt | None:
    """The OPT among `count` additional records, which must be all that `records` holds.

    Raises WireError where they are malformed, where bytes are left over, and as RFC 6891 §6.1.1 asks: for a second OPT
    and for one whose owner is not the root.
    """
    opt: Opt | None = None
    position = 0
    for _ in range(count):
        owner, position = position, _skip_name(records, position)
        if position + _FIXED.size > len(records):
            raise WireError("a record runs past the end of the message")
        rtype, rclass, ttl, length = _FIXED.unpack_from(records, position)
        position += _FIXED.size + length
        if position > len(records):
            raise WireError("record data runs past the end of the message")
        if rtype == 41:
            if opt is not None or records[owner]:
                raise WireError("a second OPT, or one whose owner is not the root")
            codes = _option_codes(records[position - length : position])
            opt = Opt(size=rclass, version=ttl >> 16 & 0xFF, do=bool(ttl & DO), options=codes)
    if position != len(records):
        raise WireError("bytes after the last record")
    return opt


def _skip_name(wire: bytes, position: int) -> int:
    """Offset just past the name at `position`; a pointer ends it (RFC 1035 §4.1.4) and is not followed."""
    while position < len(wire):
        length = wire[position]
        if length >= 0xC0:
            return position + 2
        if length > 63:
            break
        position += 1 + length
        if not length:
            return position
    raise WireError("a malformed owner name")


def _option_codes(options: bytes) -> frozenset[int]:
    codes, position = set(), 0
    while position < len(options):
        if position + _OPTION.size > len(options):
            raise WireError("an EDNS option without its length")
        code, length = _OPTION.unpack_from(options, position)
        position += _OPTION.size + length
        if position > len(options):
            raise WireError("an EDNS option longer than its OPT")
        codes.add(code)
    return frozenset(codes)
