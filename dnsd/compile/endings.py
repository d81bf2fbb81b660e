"""Endings: the addresses with which the answers to one name end, taken from the answering code itself.

A name *ends at the edge* if its A, AAAA or HTTPS answer has edge addresses: it is proxied, or an alias leads to a
proxied name.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from dnsd.compile.edge import hints
from dnsd.engine.answer import Answer, EdgeSource, Rrset
from dnsd.engine.derive import answer_at
from dnsd.engine.node import Node
from dnsd.engine.snapshot import Snapshot
from dnsd.wire.message import NOERROR
from dnsd.wire.rdata import AAAA, CNAME, HTTPS, A

Rdatas = tuple[bytes, ...]


class EndKind(StrEnum):
    """The kind of place where a name ends."""

    EDGE = "edge"  # edge addresses
    STORED = "stored"  # the addresses of its records, or a name outside of the zones served here
    NOTHING = "nothing"  # no addresses


@dataclass(frozen=True, slots=True)
class Ending:
    """The end of the answers to a name for A, AAAA and HTTPS; packed addresses in the order of the answers."""

    v4: Rdatas
    v6: Rdatas
    hints: frozenset[bytes]  # addresses in HTTPS records
    v4_source: EdgeSource | None  # None if the IPv4 addresses are not edge addresses
    v6_source: EdgeSource | None
    kind: EndKind
    outside: bytes | None  # the last name of a chain that leaves the zones served here
    shown: tuple[object, ...]  # all that a plan shows of it
    rrsets: frozenset[Rrset]  # all RRsets in the three answers; without an owner: of the name itself

    @property
    def addresses(self) -> tuple[frozenset[bytes], frozenset[bytes], frozenset[bytes], bytes | None]:
        """A key, equal for endings that clients cannot tell apart: the order of addresses is not part of it."""
        return frozenset(self.v4), frozenset(self.v6), self.hints, self.outside


def ending(snapshot: Snapshot, node: Node, name: bytes) -> Ending:
    """The ending of canonical `name`, for which `node` answers."""
    v4, v6, https = (answer_at(snapshot, node, name, qtype) for qtype in (A, AAAA, HTTPS))
    found = {A: tuple(_rdatas(v4, A)), AAAA: tuple(_rdatas(v6, AAAA))}
    outside = _outside(v4)
    if v4.edge or v6.edge or https.edge:
        kind = EndKind.EDGE
    elif found[A] or found[AAAA] or outside:
        kind = EndKind.STORED
    else:
        kind = EndKind.NOTHING
    rrsets = frozenset(rrset for answer in (v4, v6, https) for rrset in answer.answer)
    hinted = frozenset(ip for rdata in _rdatas(https, HTTPS) for ip in hints(rdata)) if https.edge else frozenset()
    shown = (found[A], found[AAAA], v4.edge, v6.edge, kind, outside)
    return Ending(found[A], found[AAAA], hinted, v4.edge, v6.edge, kind, outside, shown, rrsets)


def _rdatas(answer: Answer, rtype: int) -> Iterator[bytes]:
    return (rdata for rrset in answer.answer if rrset.rtype == rtype for rdata in rrset.rdatas)


def _outside(answer: Answer) -> bytes | None:
    """The last target of a chain that resolvers must follow elsewhere."""
    last = answer.answer[-1] if answer.answer else None
    if last is None or last.rtype != CNAME or answer.rcode != NOERROR or answer.authority:
        return None
    return last.rdatas[0].lower()
