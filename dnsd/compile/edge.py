"""Edge addresses: the answers of a zone's proxied names, compiled once per address map.

The answer that a name uses depends on the settings of its zone and record. Each combination has a key: the type for A
and AAAA, the type and the missing parts for HTTPS.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address
from itertools import product

from dnsd.engine.answer import POOL, Answer, EdgeSource, Rrset, build_answer
from dnsd.engine.edge_rules import NO_H2, NO_H3, NO_V4, NO_V6, https_key
from dnsd.engine.snapshot import Addresses
from dnsd.wire.rdata import AAAA, HTTPS, A

EDGE_TTL_S = 300
ALPN, IPV4HINT, IPV6HINT = 1, 4, 6  # service parameters, RFC 9460 §14.3.2

_PARAMETER = struct.Struct("!HH")
_HINTED = {IPV4HINT: 4, IPV6HINT: 16}  # octets of an address


def build_addresses(
    v4: Sequence[IPv4Address], v6: Sequence[IPv6Address], sources: tuple[EdgeSource, EdgeSource] = (POOL, POOL)
) -> Addresses:
    """Compile the answers of a map, or of the default pool, in the order of its addresses; a missing family is omitted.

    `sources` are the sources of the IPv4 and the IPv6 addresses; an HTTPS record counts for the first family present.
    """
    answers: dict[int, Answer] = {}
    if v4:
        answers[A] = _answer(A, [ip.packed for ip in v4], sources[0])
    if v6:
        answers[AAAA] = _answer(AAAA, [ip.packed for ip in v6], sources[1])
    for parts in product((0, NO_V4), (0, NO_V6), (0, NO_H3), (0, NO_H2)):
        lacks = sum(parts)
        answers[https_key(lacks)] = _answer(HTTPS, [_https_rdata(lacks, v4, v6)], sources[0 if v4 else 1])
    return Addresses((*v4, *v6), sources, answers)


def _answer(rtype: int, rdatas: Sequence[bytes], source: EdgeSource) -> Answer:
    return build_answer([Rrset(None, rtype, EDGE_TTL_S, tuple(rdatas))], edge=source)


def _https_rdata(lacks: int, v4: Sequence[IPv4Address], v6: Sequence[IPv6Address]) -> bytes:
    """Priority 1, the owner itself as target, then the parameters in numerical order (RFC 9460 §2.2)."""
    protocols = [name for name, part in ((b"h3", NO_H3), (b"h2", NO_H2)) if not lacks & part]
    parameters: Mapping[int, bytes] = {
        ALPN: b"".join(bytes([len(name)]) + name for name in protocols),
        IPV4HINT: b"" if lacks & NO_V4 else b"".join(ip.packed for ip in v4),
        IPV6HINT: b"" if lacks & NO_V6 else b"".join(ip.packed for ip in v6),
    }
    packed = (_PARAMETER.pack(number, len(value)) + value for number, value in parameters.items() if value)
    return b"\x00\x01\x00" + b"".join(packed)


@lru_cache
def hints(rdata: bytes) -> frozenset[bytes]:
    """The packed addresses in the hints of an HTTPS record that was made here."""
    found, position = [], 3  # after priority and target
    while position < len(rdata):
        number, size = _PARAMETER.unpack_from(rdata, position)
        position += _PARAMETER.size
        if octets := _HINTED.get(number):
            found += [rdata[start : start + octets] for start in range(position, position + size, octets)]
        position += size
    return frozenset(found)
