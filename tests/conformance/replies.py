"""Replies as views: the compared parts of a message. A separate reader, as dnspython takes milliseconds for a referral.

It is strict: a forward pointer, a wrong count or an extra octet makes a view that equals no other.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

import dns.exception
import dns.flags
import dns.rcode
import dns.rdata
import dns.rdatatype

import dnsd.wire.rdata  # noqa: F401 - dnspython alone refuses parameters in AliasMode

OPT = 41
# Type to (octets before its names, number of names): RFC 1035 types whose names may be compressed, and DNAME.
NAMES_IN_RDATA = {2: (0, 1), 5: (0, 1), 6: (0, 2), 12: (0, 1), 14: (0, 2), 15: (2, 1), 39: (0, 1)}
NAMES_IN_RDATA |= {7: (0, 1), 8: (0, 1), 9: (0, 1)}
OPAQUE = frozenset({1, 13, 16, 28, 43, 48, 52})  # no names inside


class Rr(NamedTuple):
    """One record, its names in lower case and in full."""

    owner: bytes
    rtype: str
    ttl: int
    rdata: bytes


Rrset = tuple[Rr, ...]  # sorted


@dataclass(frozen=True, slots=True)
class View:
    """The compared parts of a reply, without meaningless order: of records in an RRset, of glue."""

    rcode: str
    flags: frozenset[str]
    question: bytes | None  # as received, or None for only a header
    answer: tuple[Rrset, ...]  # the RRsets in their order: a chain is in sequence
    authority: tuple[Rrset, ...]
    glue: frozenset[Rr]  # additional records of a reply that has NS records
    opt: tuple[int, int, bool] | None  # version, size, DO
    additional: frozenset[Rr] = field(compare=False)  # all of them
    size: int = field(compare=False)

    @property
    def is_referral(self) -> bool:
        return any(rrset[0].rtype == "NS" for rrset in self.authority)

    @property
    def has_ns(self) -> bool:
        return any(rrset[0].rtype == "NS" for rrset in (*self.answer, *self.authority))

    def __str__(self) -> str:
        parts = [f"{self.rcode} {','.join(sorted(self.flags))}{'' if self.question else ' (header only)'} {self.size}"]
        for title, rrsets in (("answer", self.answer), ("authority", self.authority)):
            parts += [f"{title}: {_text(rrset)}" for rrset in rrsets]
        if self.additional:
            parts.append(f"additional: {_text(tuple(sorted(self.additional)))}")
        if self.opt:
            parts.append(f"OPT {self.opt}")
        return "\n      ".join(parts)


def _text(rrset: Rrset) -> str:
    shown = "; ".join(f"{rr.owner!r} {rr.ttl} {rr.rtype} {rr.rdata[:40]!r}" for rr in rrset[:6])
    return shown + (f" … {len(rrset)} records" if len(rrset) > 6 else "")


SILENCE = View("silence", frozenset(), None, (), (), frozenset(), None, frozenset(), 0)


def view_of(reply: bytes | None) -> View:
    """The view of a reply without its ID, or of no reply."""
    return SILENCE if reply is None else _view(reply)


@lru_cache(maxsize=50_000)
def _view(reply: bytes) -> View:
    message = b"\x00\x00" + reply
    try:
        return _Reader(message).view()
    except (ValueError, IndexError, struct.error, dns.exception.DNSException) as error:
        rcode = f"unreadable ({error!r})"
        return View(rcode, frozenset(), message, (), (), frozenset(), None, frozenset(), len(message))


class _Reader:
    """A position in one message, and the names read so far."""

    def __init__(self, message: bytes) -> None:
        self.message = message
        self.position = 12
        self.names: dict[int, bytes] = {}

    def view(self) -> View:
        _, flags, *counts = struct.unpack_from("!6H", self.message)
        question = self._question(counts[0])
        answer, authority, additional = (self._records(count) for count in counts[1:])
        if self.position != len(self.message):
            raise ValueError("octets after the last record")
        opts = [opt for opt in additional if isinstance(opt, _Opt)]
        others = frozenset(rr for rr in additional if isinstance(rr, Rr))
        if len(opts) > 1:
            raise ValueError("more than one OPT")
        view = View(
            rcode=dns.rcode.to_text(dns.rcode.Rcode(flags & 15 | (opts[0].rcode << 4 if opts else 0))),
            flags=frozenset(dns.flags.to_text(flags).split()),
            question=question,
            answer=_rrsets(answer),
            authority=tuple(sorted(_rrsets(authority))),
            glue=frozenset(),
            opt=opts[0].shown if opts else None,
            additional=others,
            size=len(self.message),
        )
        object.__setattr__(view, "glue", others if view.has_ns else frozenset())
        return view

    def _question(self, count: int) -> bytes | None:
        start = self.position
        for _ in range(count):
            self._name()
            self.position += 4
        return self.message[start : self.position] if count else None

    def _records(self, count: int) -> list[Rr | _Opt]:
        return [self._record() for _ in range(count)]

    def _record(self) -> Rr | _Opt:
        owner = self._name()
        rtype, rclass, ttl, size = struct.unpack_from("!HHIH", self.message, self.position)
        self.position += 10
        end = self.position + size
        if end > len(self.message):
            raise ValueError("a record longer than the message")
        if rtype == OPT:
            self.position = end
            return _Opt(ttl >> 24, (ttl >> 16 & 0xFF, rclass, bool(ttl & 0x8000)))
        return Rr(owner, dns.rdatatype.to_text(dns.rdatatype.RdataType.make(rtype)), ttl, self._rdata(rtype, end))

    def _rdata(self, rtype: int, end: int) -> bytes:
        start, self.position = self.position, end
        if rtype in OPAQUE:
            return self.message[start:end]
        if rtype not in NAMES_IN_RDATA:
            known = dns.rdata.from_wire("IN", dns.rdatatype.RdataType.make(rtype), self.message, start, end - start)
            return bytes(known.to_digestable())
        before, names = NAMES_IN_RDATA[rtype]
        self.position = start + before
        rdata = self.message[start : self.position] + b"".join(self._name() for _ in range(names))
        rdata += self.message[self.position : end]
        self.position = end
        return rdata

    def _name(self) -> bytes:
        name, self.position = self._name_at(self.position)
        return name

    def _name_at(self, start: int) -> tuple[bytes, int]:
        """The name at `start`, lower case and in full, and the offset after it."""
        size = self.message[start]
        if size >= 0xC0:
            target = (size & 0x3F) << 8 | self.message[start + 1]
            if target >= start:
                raise ValueError("a pointer that leads forward")
            if target not in self.names:
                self.names[target] = self._name_at(target)[0]
            return self.names[target], start + 2
        if size > 63:
            raise ValueError("a label of unknown type")
        if size == 0:
            return b"\x00", start + 1
        rest, end = self._name_at(start + 1 + size)
        name = self.message[start : start + 1 + size].lower() + rest
        self.names[start] = name
        return name, end


class _Opt(NamedTuple):
    """The OPT record: the upper bits of the rcode, and the compared parts of the rest."""

    rcode: int
    shown: tuple[int, int, bool]


def _rrsets(records: list[Rr | _Opt]) -> tuple[Rrset, ...]:
    """Consecutive records of one owner, type and TTL, as sorted groups in their order."""
    groups: list[list[Rr]] = []
    for rr in records:
        if not isinstance(rr, Rr):
            raise ValueError("an OPT outside the additional section")
        if groups and groups[-1][0][:3] == rr[:3]:
            groups[-1].append(rr)
        else:
            groups.append([rr])
    return tuple(tuple(sorted(group)) for group in groups)
