"""Nodes: the answers of a name, the rules for answers that depend on more than the name, and the name's zone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from dnsd.engine.answer import Answer, Rrset, build_answer
from dnsd.wire.message import EDE_NOT_AUTHORITATIVE, REFUSED, pack_extended_error


@dataclass(frozen=True, slots=True)
class Edge:
    """A proxied name: the keys of the effective map's answers."""

    keys: Mapping[int, int]  # type -> key into Addresses.answers


@dataclass(frozen=True, slots=True)
class Alias:
    """A CNAME that is answered as it is and followed."""

    rrset: Rrset
    target: bytes  # canonical


@dataclass(frozen=True, slots=True)
class Flattened:
    """A CNAME answered with the addresses of its target."""

    ttl: int  # seconds
    target: bytes  # canonical


@dataclass(frozen=True, slots=True)
class Redirection:
    """The names below a DNAME (RFC 6672)."""

    rrset: Rrset  # the DNAME, with its owner
    owner: bytes  # canonical
    target: bytes  # canonical


Rule = Edge | Alias | Flattened | Redirection


@dataclass(frozen=True, slots=True, eq=False)
class Apex:
    """The common properties of all names of a zone."""

    zone_id: str
    account_id: str
    name: bytes  # canonical
    verified: bool


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """The answers of a name: those in `answers`, else the result of its rule, else `otherwise`.

    `below` answers for all names below a delegation, and below a DNAME for those without a node of their own. At the
    apex of a zone whose parent zone is served too, `parent` is the parent's node of the same name, which answers
    queries for DS (RFC 4035 §3.1.4.1).
    """

    apex: Apex | None  # None: not in our zones
    answers: Mapping[int, Answer]
    otherwise: Answer
    rule: Rule | None = None
    below: Node | None = None
    parent: Node | None = None
    ready: Mapping[int, Answer] = field(default_factory=dict)  # those of `answers` that are compiled already


NOT_OUR_ZONE = build_answer(rcode=REFUSED, aa=False, option=pack_extended_error(EDE_NOT_AUTHORITATIVE))
REFUSED_NODE = Node(None, {}, NOT_OUR_ZONE)
UNVERIFIED_NODE = Node(None, {}, NOT_OUR_ZONE)  # stands for unverified zones in chains from other accounts


class OwnedZone(Protocol):
    """A zone's account, and whether the operator has verified that the zone belongs to it."""

    @property
    def account_id(self) -> str:
        """The account's id."""

    @property
    def verified(self) -> bool:
        """Whether the operator has verified the zone."""


def is_followed(zone: OwnedZone, leading: OwnedZone) -> bool:
    """Whether `zone` may answer for names to which the zone `leading` leads.

    An unverified zone may do so for its own account only; for other accounts it counts as served elsewhere.
    """
    return zone.verified or zone.account_id == leading.account_id
