"""What a name answers: its node, the rules that derive answers which depend on more than the name, and its zone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from dnsd.engine.answer import Answer, Rrset, build_answer
from dnsd.wire.message import EDE_NOT_AUTHORITATIVE, REFUSED, pack_extended_error


@dataclass(frozen=True, slots=True)
class Edge:
    """A proxied name: which of the effective map's answers goes with which type."""

    keys: Mapping[int, int]  # type -> key into Addresses.answers


@dataclass(frozen=True, slots=True)
class Alias:
    """A CNAME that is answered as one, and followed."""

    rrset: Rrset
    target: bytes  # canonical


@dataclass(frozen=True, slots=True)
class Flattened:
    """A CNAME that is answered with the addresses of its target."""

    ttl: int
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
    """What the names of one zone have in common."""

    zone_id: str
    account_id: str
    name: bytes  # canonical
    verified: bool


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """What is said about a name: its own answers, else what its rule derives, else `otherwise`.

    `below` speaks for the names under this one that are not in the snapshot: a wildcard, a delegation, a DNAME or
    NXDOMAIN; None where no such name is ever looked up. `parent` is what the zone above says of this name, where that
    is an apex and the zone above is served too: DS is the parent's to answer (RFC 4035 §3.1.4.1).
    """

    apex: Apex | None  # None: not our zone
    answers: Mapping[int, Answer]
    otherwise: Answer
    rule: Rule | None = None
    below: Node | None = None
    parent: Node | None = None


NOT_OUR_ZONE = build_answer(rcode=REFUSED, aa=False, option=pack_extended_error(EDE_NOT_AUTHORITATIVE))
REFUSED_NODE = Node(None, {}, NOT_OUR_ZONE)
UNVERIFIED_NODE = Node(None, {}, NOT_OUR_ZONE)  # in place of a zone that is not verified, for other accounts' aliases


class Held(Protocol):
    """What says which account holds a zone, and whether the operator has verified that it may."""

    @property
    def account_id(self) -> str:
        """The account."""

    @property
    def verified(self) -> bool:
        """Whether the zone is the account's beyond its own word."""


def is_followed(zone: Held, leading: Held) -> bool:
    """Whether `zone` may say what becomes of a name of the zone `leading` that leads into it.

    A zone that is not verified concerns its own account alone. To all others it is a zone that is served elsewhere.
    """
    return zone.verified or zone.account_id == leading.account_id
