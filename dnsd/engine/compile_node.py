"""`compile_node`: a name's node, from its own records and those that its answers need besides.

These are the rules of RFC 1034 §4.3.2: delegations and their glue, wildcards, DNAMEs, and aliases. They ask a zone for
what it stores at a name, wherever it stores it, and read no other RRset than an answer needs: a question costs the same
whatever else its name has. Whatever depends on settings is decided before: the rule of a proxied name, whether a CNAME
is flattened, and which records are hidden.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, Protocol

from dnsd.engine.answer import Answer, Rrset, build_answer
from dnsd.engine.entry import CUT, EMPTY, is_within
from dnsd.engine.node import Alias, Apex, Edge, Flattened, Node, Redirection
from dnsd.wire.message import MAX_MESSAGE_SIZE, NXDOMAIN, RECORD_FIXED
from dnsd.wire.names import ASTERISK, ancestors
from dnsd.wire.rdata import AAAA, ANY, CNAME, DNAME, DS, HINFO, NS, A

ANY_ANSWER = build_answer([Rrset(None, HINFO, 3789, (b"\x07RFC8482\x00",))])  # RFC 8482 §4.2; the TTL Cloudflare uses
OWNER_SIZE = 2  # octets of a pointer to a name


class StoredName(NamedTuple):
    """What a zone stores at one of its names, without the data."""

    flags: int  # of its entry: CUT, OCCLUDED, EMPTY
    types: tuple[int, ...]  # of its RRsets; those hidden by `edge` are left out
    edge: Edge | None = None  # the rule of a proxied name
    is_flattened: bool = False  # of the CNAME, if there is one


class StoredZone(Protocol):
    """A zone, and the parts that its nodes share."""

    apex: Apex
    nodata: Answer  # no data of a type
    nowhere: Node  # for names that do not exist

    def rrset(self, name: bytes, rtype: int) -> Rrset | None:
        """One of the RRsets at canonical `name`, without an owner; also at an occluded name."""

    def node(self, name: bytes) -> Node | None:
        """The node of canonical `name`; None if it does not exist, or is occluded."""

    def keep(self, answer: Answer) -> None:
        """Count an answer that a node keeps from now on."""


class StoredAnswers(Mapping[int, Answer]):
    """The answers with the RRsets of a name by type, each compiled when it is first asked for."""

    __slots__ = ("_name", "_types", "_zone", "octets", "ready")

    def __init__(self, zone: StoredZone, name: bytes, types: tuple[int, ...]) -> None:
        self._zone = zone
        self._name = name
        self._types = types
        self.ready: dict[int, Answer] = {}  # those that are compiled
        self.octets = 0  # of their bodies

    def get(self, rtype: int, default: Any = None, /) -> Any:
        """The answer for a type."""
        answer = self.ready.get(rtype)
        if answer is None:
            return self._compiled(rtype) if rtype in self._types else default
        return answer

    def __getitem__(self, rtype: int) -> Answer:
        if rtype not in self._types:
            raise KeyError(rtype)
        answer: Answer = self.get(rtype)
        return answer

    def __contains__(self, rtype: object) -> bool:
        return rtype in self._types

    def __iter__(self) -> Iterator[int]:
        return iter(self._types)

    def __len__(self) -> int:
        return len(self._types)

    def without(self, rtype: int) -> StoredAnswers:
        """These answers but for one type."""
        return StoredAnswers(self._zone, self._name, tuple(one for one in self._types if one != rtype))

    def _compiled(self, rtype: int) -> Answer:
        answer = ANY_ANSWER if rtype == ANY else _answer(self._zone, self._name, rtype)
        self.ready[rtype] = answer
        self.octets += len(answer.body)
        self._zone.keep(answer)
        return answer


def denials(apex: Apex, soa: Rrset) -> tuple[Answer, Node]:
    """The parts that nodes of a zone share: `nodata` and `nowhere`."""
    # RFC 2308 §3: the lower of the SOA's TTL and its minimum field
    minimum = int.from_bytes(soa.rdatas[0][-4:])
    denial = (soa._replace(owner=apex.name, ttl=min(soa.ttl, minimum)),)
    nxdomain = build_answer(authority=denial, rcode=NXDOMAIN, below=apex.name)
    return build_answer(authority=denial, below=apex.name), Node(apex, {}, nxdomain)


def compile_node(zone: StoredZone, name: bytes, stored: StoredName) -> Node:
    """The node of a name that is not occluded."""
    if stored.flags & CUT:
        return _cut(zone, name, stored)
    rule = _rule(zone, name, stored)
    types = tuple(one for one in stored.types if one != CNAME) if isinstance(rule, Flattened) else stored.types
    below = _redirected(zone, name, stored)
    if not types:  # so the node has no reference to the zone, which may keep it for other names
        return Node(zone.apex, {} if stored.flags & EMPTY else {ANY: ANY_ANSWER}, zone.nodata, rule, below)
    answers = StoredAnswers(zone, name, (*types, ANY))
    return Node(zone.apex, answers, zone.nodata, rule, below, ready=answers.ready)


def answering_node(zone: StoredZone, name: bytes) -> Node:
    """The node of a zone that answers for a name at or below its apex: its own, else by its closest encloser."""
    found = zone.node(name)
    if found is None:
        found = node_below(zone, next(part for part in ancestors(name) if zone.node(part)))
    return found


def node_below(zone: StoredZone, name: bytes) -> Node:
    """The node for names that do not exist, below an existing name: of a cut or DNAME, a wildcard, or `nowhere`."""
    node = zone.node(name)
    return (node and node.below) or zone.node(ASTERISK + name) or zone.nowhere


def child_apex_node(node: Node, above: Node) -> Node:
    """The node of an apex if the parent zone is served too, where `above` answers for it.

    The parent zone answers queries for DS (RFC 4035 §3.1.4.1).
    """
    parent = above if above.apex else None
    if not isinstance(node.answers, StoredAnswers):
        return replace(node, parent=parent)
    answers = node.answers.without(DS)
    return replace(node, answers=answers, parent=parent, ready=answers.ready)


def _answer(zone: StoredZone, name: bytes, rtype: int) -> Answer:
    rrset = zone.rrset(name, rtype)
    assert rrset is not None, "a name has RRsets of the types stored at it"
    if rtype == NS and name == zone.apex.name:
        return build_answer([rrset], optional_glue=_glue(zone, _hosts(zone, rrset)), below=name)
    return build_answer([rrset], below=name.removeprefix(ASTERISK))


def _rule(zone: StoredZone, name: bytes, stored: StoredName) -> Edge | Flattened | Alias | None:
    if stored.edge:
        return stored.edge
    cname = zone.rrset(name, CNAME) if CNAME in stored.types else None
    if cname is None:
        return None
    target = _target(cname.rdatas[0])
    return Flattened(cname.ttl, target) if stored.is_flattened else Alias(cname, target)


def _redirected(zone: StoredZone, name: bytes, stored: StoredName) -> Node | None:
    """The node for the names below a DNAME."""
    dname = zone.rrset(name, DNAME) if DNAME in stored.types else None
    if dname is None:
        return None
    rule = Redirection(dname._replace(owner=name), name, _target(dname.rdatas[0]))
    return Node(zone.apex, {}, zone.nodata, rule)


def _cut(zone: StoredZone, name: bytes, stored: StoredName) -> Node:
    """A delegation: a referral for all types but DS, which the parent answers (RFC 4035 §3.1.4.1)."""
    nameservers = zone.rrset(name, NS)
    assert nameservers is not None, "a delegation has NS records"
    hosts = _hosts(zone, nameservers)
    inside = [host for host in hosts if is_within(host, name)]
    referral = build_answer(
        authority=[nameservers._replace(owner=name)],
        glue=_glue(zone, inside),
        optional_glue=_glue(zone, [host for host in hosts if not is_within(host, name)]),
        aa=False,
        cut=name,
    )
    answers = StoredAnswers(zone, name, (DS,)) if DS in stored.types else {DS: zone.nodata}
    return Node(zone.apex, answers, referral, below=Node(zone.apex, {}, referral))


def _hosts(zone: StoredZone, nameservers: Rrset) -> list[bytes]:
    """The name servers that may be in this zone, each once."""
    apex = zone.apex.name
    return [host for host in dict.fromkeys(map(_target, nameservers.rdatas)) if host.endswith(apex)]


def _glue(zone: StoredZone, hosts: Sequence[bytes]) -> list[Rrset]:
    """The addresses of name servers, as stored, until no reply has room for more; those of proxied names are hidden."""
    found = []
    room = MAX_MESSAGE_SIZE
    for host in hosts:
        for rtype in (A, AAAA):
            if room >= 0 and (rrset := zone.rrset(host, rtype)):
                found.append(rrset._replace(owner=host))
                room -= sum(OWNER_SIZE + RECORD_FIXED.size + len(rdata) for rdata in rrset.rdatas)
    return found


def _target(rdata: bytes) -> bytes:
    """The canonical target name of a CNAME, NS or DNAME record."""
    return rdata.lower()
