"""The edge addresses that names are answered with, by family, and what answers a name without them.

An existing name is looked up in the table of names; its node is not made.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple

from dnsd.engine.edge_rules import EDGE, NO_V4, NO_V6
from dnsd.engine.entry import CUT
from dnsd.engine.names import rule_number
from dnsd.engine.node import Alias, Apex, Edge, Flattened, Node, Redirection
from dnsd.engine.snapshot import Addresses, BuiltZone, Snapshot
from dnsd.model.fields import IPAddress
from dnsd.wire.rdata import AAAA, CNAME, A

Families = tuple[frozenset[IPAddress], frozenset[IPAddress]]  # IPv4, IPv6
Shown = tuple[bool, bool]  # whether a proxied name shows them

SHOWN_BY: tuple[Shown, ...] = tuple((not rule & NO_V4, not rule & NO_V6) for rule in range(256))  # by rule
NONE: frozenset[IPAddress] = frozenset()
STORED = frozenset((A, AAAA, CNAME))


class After(NamedTuple):
    """The answer to a name after a change, as far as names with the same rule share it."""

    apex: Apex | None
    shown: Shown | None  # the families of edge addresses; None without any
    is_stored: bool = False  # with the records as stored: addresses, or an alias


def families(addresses: Addresses) -> Families:
    """The addresses of each family, without their order."""
    v4 = frozenset([ip for ip in addresses.ips if isinstance(ip, IPv4Address)])
    v6 = (
        frozenset([ip for ip in addresses.ips if isinstance(ip, IPv6Address)]) if len(v4) < len(addresses.ips) else NONE
    )
    return v4, v6


def answered(snapshot: Snapshot, name: bytes) -> Families | None:
    """The edge addresses that canonical `name` is answered with; None if it is not answered from a map or the pool."""
    now = answer_to(snapshot, name)
    if now.shown is None or now.apex is None:
        return None
    return of_shown(families(snapshot.addresses(now.apex.zone_id, now.apex.account_id)), now.shown)


def answer_to(snapshot: Snapshot, name: bytes) -> After:
    """The answer to canonical `name`, without its node if it exists."""
    entry = snapshot.names.entry(name)
    if entry is None:
        node = snapshot.search(name)
        rule = node.rule
        edge = (A in rule.keys, AAAA in rule.keys) if isinstance(rule, Edge) and node.apex else None
        return After(node.apex, edge, is_stored(node))
    apex, number = snapshot.names.apex(entry), rule_number(entry.kind)
    if number & EDGE:
        return After(apex, SHOWN_BY[number])
    return After(apex, None, not entry.flags & CUT and any(rtype in STORED for rtype, _, _ in entry.sets))


def edge_answer(built: BuiltZone, rule: int) -> After:
    """The answer to proxied names of a zone with this rule."""
    return After(built.apex, SHOWN_BY[rule])


def of_shown(both: Families, shown: Shown) -> Families:
    """The addresses of the shown families; the others are empty."""
    return both[0] if shown[0] else NONE, both[1] if shown[1] else NONE


def is_stored(node: Node) -> bool:
    """Whether a node answers with the records as stored: addresses, or an alias."""
    return isinstance(node.rule, Alias | Flattened | Redirection) or not STORED.isdisjoint(node.answers)
