"""A replay: a question answered from two snapshots, by the code that answers clients, and the two answers compared.

An answer depends on the name and the type alone: neither the DO bit nor the client's subnet changes one. The order of
records and the serials of zones do not count as differences.
"""

from __future__ import annotations

import struct
from enum import StrEnum
from typing import NamedTuple

import dns.rcode

from dnsd.engine.answer import Answer, Rrset
from dnsd.engine.node import Apex
from dnsd.engine.respond import find, parse
from dnsd.engine.snapshot import Snapshot
from dnsd.wire.message import IN, NOERROR, NXDOMAIN, REFUSED, SERVFAIL
from dnsd.wire.rdata import SOA, rdata_text, type_text

MAX_RECORDS = 4  # of an answer in words
MAX_DATA = 80  # characters of a record in words
SERIAL = slice(-20, -16)  # of SOA data (RFC 1035 §3.3.13)

_HEADER = struct.pack("!6H", 0, 0, 1, 0, 0, 0)
_TAIL = struct.Struct("!HH")


class AnswerChange(StrEnum):
    """The difference between the answers to one question, the worst first."""

    SERVFAIL = "servfail"
    REFUSED = "refused"
    NXDOMAIN = "nxdomain"  # instead of data
    NO_DATA = "no_data"  # instead of data
    ONTO_POOL = "onto_pool"  # the default pool's addresses instead of a map's
    INTO_OPEN = "into_open"  # answered as stored instead of with edge addresses
    OTHER = "other"


class Replayed(NamedTuple):
    """A question with its answers before and after a change."""

    qname: bytes  # canonical
    qtype: int
    apex: Apex | None  # of the zone that answered, else of the one that answers now
    apexes: tuple[Apex | None, Apex | None]  # before, after
    old: Answer
    new: Answer
    change: AnswerChange | None  # None: clients are told the same

    @property
    def map(self) -> str:
        """The key of the map with whose addresses the question was answered; empty without one."""
        return self.old.edge.map if self.old.edge else ""

    @property
    def is_edge(self) -> bool:
        """Whether an answer has edge addresses."""
        return self.old.edge is not None or self.new.edge is not None


def replayed(old: Snapshot, new: Snapshot, qname: bytes, qtype: int) -> Replayed | None:
    """A question of class IN, answered from both snapshots; None if `qname` is not a name."""
    query = _HEADER + qname + _TAIL.pack(qtype, IN)
    before, after = parse(old, query), parse(new, query)
    if before is None or after is None:
        return None
    was, now = find(old, before), find(new, after)
    apexes = before[4].apex, after[4].apex
    return Replayed(qname, qtype, apexes[0] or apexes[1], apexes, was, now, answer_change(was, now))


def answer_change(old: Answer, new: Answer) -> AnswerChange | None:
    """The difference between two answers to a question; None if clients are told the same."""
    if old is new or (old.heads == new.heads and old.body == new.body and old.pointers == new.pointers):
        return None
    if _told(old) == _told(new):
        return None
    if new.rcode in (SERVFAIL, REFUSED) and new.rcode != old.rcode:
        return AnswerChange.SERVFAIL if new.rcode == SERVFAIL else AnswerChange.REFUSED
    if has_data(old) and not has_data(new):
        return AnswerChange.NXDOMAIN if new.rcode == NXDOMAIN else AnswerChange.NO_DATA
    if old.edge and new.edge and old.edge.map and not new.edge.map:
        return AnswerChange.ONTO_POOL
    if old.edge and not new.edge and has_data(new):
        return AnswerChange.INTO_OPEN
    return AnswerChange.OTHER


def has_data(answer: Answer) -> bool:
    """Whether an answer is neither an error nor a denial: it has records, or leads to other servers or names."""
    if answer.rcode != NOERROR or not (answer.answer or answer.authority):
        return False
    return all(rrset.rtype != SOA for rrset in answer.authority)


def answer_words(answer: Answer) -> str:
    """An answer in words: its records, `no data` or its rcode."""
    if answer.rcode != NOERROR:
        return dns.rcode.to_text(dns.rcode.Rcode(answer.rcode))
    if not has_data(answer):
        return "no data"
    shown = answer.answer or answer.authority
    texts = [f"{type_text(rrset.rtype)} {_data_words(rrset.rtype, rdata)}" for rrset in shown for rdata in rrset.rdatas]
    more = ["…"] if len(texts) > MAX_RECORDS else []
    return ", ".join((*texts[:MAX_RECORDS], *more))


def _data_words(rtype: int, rdata: bytes) -> str:
    text = rdata_text(rtype, rdata)
    return text if len(text) <= MAX_DATA else f"{text[:MAX_DATA]}…"


def _told(answer: Answer) -> tuple[object, ...]:
    """A key, equal for answers that tell clients the same."""
    sections = (answer.answer, answer.authority, answer.additional)
    return answer.rcode, *(frozenset(map(_unordered, section)) for section in sections)


def _unordered(rrset: Rrset) -> tuple[object, ...]:
    rdatas = rrset.rdatas
    if rrset.rtype == SOA:
        rdatas = tuple(rdata[: SERIAL.start] + rdata[SERIAL.stop :] for rdata in rdatas)
    return rrset.owner, rrset.rtype, rrset.ttl, rrset.rclass, frozenset(rdatas)
