"""`compile_node`: a name's node, decided in advance from its own records and those that its answers need besides.

These are the rules of RFC 1034 §4.3.2: delegations and their glue, wildcards, DNAMEs, and aliases. They ask a zone for
what it stores at a name, wherever it stores it. Whatever depends on settings is decided before: the rule of a proxied
name, whether a CNAME is flattened, and which records are hidden.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import NamedTuple, Protocol

from dnsd.engine.answer import Answer, Rrset, build_answer
from dnsd.engine.entry import CUT, EMPTY
from dnsd.engine.node import REFUSED_NODE, Alias, Apex, Edge, Flattened, Node, Redirection
from dnsd.wire.message import NXDOMAIN
from dnsd.wire.names import ASTERISK, ancestors, is_below
from dnsd.wire.rdata import AAAA, ANY, CNAME, DNAME, DS, HINFO, NS, A

ANY_ANSWER = build_answer([Rrset(None, HINFO, 3789, (b"\x07RFC8482\x00",))])  # RFC 8482 §4.2; the TTL Cloudflare uses


class StoredName(NamedTuple):
    """What a zone stores at one of its names."""

    flags: int  # of its entry: CUT, OCCLUDED, EMPTY
    rrsets: Mapping[int, Rrset]  # by type, without owners; those hidden by `edge` are left out
    edge: Edge | None = None  # the rule of a proxied name
    is_flattened: bool = False  # of the CNAME, if there is one


class StoredZone(Protocol):
    """A zone, and the parts that its nodes share."""

    apex: Apex
    nodata: Answer  # no data of a type
    nowhere: Node  # for names that do not exist

    def stored(self, name: bytes) -> StoredName | None:
        """What is stored at canonical `name`; None if it neither has records nor is an empty non-terminal."""

    def node(self, name: bytes) -> Node | None:
        """The node of canonical `name`; None if it does not exist, or is occluded."""


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
        return _cut(zone, name, stored.rrsets)
    rule = _rule(stored)
    hidden = CNAME if isinstance(rule, Flattened) else None
    answers = {rtype: _answer(zone, name, rrset) for rtype, rrset in stored.rrsets.items() if rtype != hidden}
    if not stored.flags & EMPTY:
        answers[ANY] = ANY_ANSWER
    return Node(zone.apex, answers, zone.nodata, rule, _below(zone, name, stored))


def is_plain_edge(zone: StoredZone, name: bytes, stored: StoredName) -> bool:
    """Whether the node of a name is that of all names of the zone with the same rule."""
    return stored.edge is not None and not stored.rrsets and zone.node(ASTERISK + name) is None


def answering_node(node: Callable[[bytes], Node | None], name: bytes) -> Node:
    """The node that answers for a name at or below the apex of a zone: its own, else its closest encloser's `below`.

    `node` gives the node of an existing name of the zone.
    """
    found = node(name)
    if found is None:
        found = next(above for part in ancestors(name) if (above := node(part))).below
    return found or REFUSED_NODE


def child_apex_node(node: Node, above: Node) -> Node:
    """The node of an apex if the parent zone is served too, where `above` answers for it.

    The parent zone answers queries for DS (RFC 4035 §3.1.4.1).
    """
    answers = {rtype: answer for rtype, answer in node.answers.items() if rtype != DS}
    return replace(node, answers=answers, parent=above if above.apex else None)


def _answer(zone: StoredZone, name: bytes, rrset: Rrset) -> Answer:
    if rrset.rtype == NS and name == zone.apex.name:
        return build_answer([rrset], optional_glue=_glue(zone, rrset), below=name)
    return build_answer([rrset], below=name.removeprefix(ASTERISK))


def _rule(stored: StoredName) -> Edge | Flattened | Alias | None:
    if stored.edge:
        return stored.edge
    cname = stored.rrsets.get(CNAME)
    if cname is None:
        return None
    target = _target(cname.rdatas[0])
    return Flattened(cname.ttl, target) if stored.is_flattened else Alias(cname, target)


def _below(zone: StoredZone, name: bytes, stored: StoredName) -> Node:
    """The node for nonexistent names below `name`."""
    dname = stored.rrsets.get(DNAME)
    if dname is not None:
        rule = Redirection(dname._replace(owner=name), name, _target(dname.rdatas[0]))
        return Node(zone.apex, {}, zone.nodata, rule)
    return zone.node(ASTERISK + name) or zone.nowhere


def _cut(zone: StoredZone, name: bytes, rrsets: Mapping[int, Rrset]) -> Node:
    """A delegation: a referral for all types but DS, which the parent answers (RFC 4035 §3.1.4.1)."""
    glue = _glue(zone, rrsets[NS])
    inside = [rrset for rrset in glue if rrset.owner == name or is_below(rrset.owner or b"", name)]
    referral = build_answer(
        authority=[rrsets[NS]._replace(owner=name)],
        glue=inside,
        optional_glue=[rrset for rrset in glue if rrset not in inside],
        aa=False,
        cut=name,
    )
    ds = build_answer([rrsets[DS]], below=name) if DS in rrsets else zone.nodata
    return Node(zone.apex, {DS: ds}, referral, below=Node(zone.apex, {}, referral))


def _glue(zone: StoredZone, nameservers: Rrset) -> list[Rrset]:
    """The addresses of name servers in this zone, as stored; those of proxied names are hidden."""
    found = ((host, zone.stored(host)) for host in dict.fromkeys(map(_target, nameservers.rdatas)))
    return [
        stored.rrsets[rtype]._replace(owner=host)
        for host, stored in found
        if stored
        for rtype in (A, AAAA)
        if rtype in stored.rrsets
    ]


def _target(rdata: bytes) -> bytes:
    """The canonical target name of a CNAME, NS or DNAME record."""
    return rdata.lower()
