"""The names of all zones: what is stored at them, and their nodes, which are made when asked for.

What is stored stands in a table (`engine/table.py`) in memory that processes share. A process keeps the nodes that it
was asked for last, up to a limit, and the parts that the nodes of one zone share.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from dnsd.engine.answer import Answer, Rrset
from dnsd.engine.compile_node import (
    OWNER_SIZE,
    StoredAnswers,
    StoredName,
    answering_node,
    child_apex_node,
    compile_node,
    denials,
    node_below,
)
from dnsd.engine.edge_rules import EDGE, FLATTENED, NOT_SERVED, edge_rule
from dnsd.engine.entry import CUT, OCCLUDED, SHADOWED, SPECIAL, NameEntry, NameHead
from dnsd.engine.node import NOT_OUR_ZONE, REFUSED_NODE, Apex, Node, is_followed
from dnsd.engine.table import Table
from dnsd.wire.message import RECORD_FIXED
from dnsd.wire.names import ASTERISK, ancestors
from dnsd.wire.rdata import SOA

GENERATION = 10_000  # nodes or zones made before those that were not asked for meanwhile are forgotten
GENERATION_OCTETS = 2**21  # of the bodies that these nodes keep: likewise; in memory, an octet of a body needs up to 14
RULE_BITS = 8  # of an entry's kind; the others are the zone's number

Zones = Sequence[Apex | None]  # by number; None: not in use
K = TypeVar("K")
V = TypeVar("V")


def kind_of(zone: int, rule: int) -> int:
    """The kind of an entry: the number of its zone, and its rule."""
    return zone << RULE_BITS | rule


def zone_number(kind: int) -> int:
    """The number of the zone of entries of this kind."""
    return kind >> RULE_BITS


def rule_number(kind: int) -> int:
    """The rule of entries of this kind (`engine/edge_rules.py`)."""
    return kind & (1 << RULE_BITS) - 1


def stored_name(head: NameHead) -> StoredName:
    """What stands in an entry of the table."""
    rule = rule_number(head.kind)
    return StoredName(head.flags, head.types, edge_rule(rule), rule == FLATTENED)


def unpacked_rrset(rtype: int, body: bytes) -> Rrset:
    """The RRset in the body of its answer."""
    rdatas, at, ttl, rclass = [], 0, 0, 0
    while at < len(body):
        start = at + OWNER_SIZE + RECORD_FIXED.size
        _, rclass, ttl, size = RECORD_FIXED.unpack_from(body, at + OWNER_SIZE)
        at = start + size
        rdatas.append(body[start:at])
    return Rrset(None, rtype, ttl, tuple(rdatas), rclass)


class NameTable(Mapping[bytes, Node]):
    """Canonical names and their nodes."""

    def __init__(self, table: Table, zones: Zones) -> None:
        self.table = table
        self.zones = zones
        # A reference back would make a cycle, which is never freed where garbage is frozen, as in workers.
        weak: NameTable = weakref.proxy(self)
        self.stored_zones = _StoredZones(weak)
        self._nodes = _Nodes(weak)
        self.node_at: Callable[[bytes], Node | None] = self._nodes.__getitem__  # `get` without a call of Python code
        self.grow = self._nodes.grow

    def get(self, name: bytes, default: Any = None) -> Any:
        """The node of a name; the same object for as long as it is kept."""
        return self._nodes[name] or default

    def __getitem__(self, name: bytes) -> Node:
        node = self.node_at(name)
        if node is None:
            raise KeyError(name)
        return node

    def below(self, name: bytes) -> Node | None:
        """The node for names that do not exist below an existing name: questions for these come below any name.

        So the node of an ordinary name is not made for them.
        """
        head = self.table.head(name)
        if head is None or head.flags & OCCLUDED:
            return None
        zone = self.stored_zones[zone_number(head.kind)]
        if ASTERISK + name in self.table:
            return node_below(zone, name)
        node = self.node_at(name) if head.flags & (SPECIAL | CUT) else None
        return (node and node.below) or zone.nowhere

    def __contains__(self, name: object) -> bool:
        return name in self.table

    def __len__(self) -> int:
        return len(self.table)

    def __iter__(self) -> Iterator[bytes]:
        return (entry.name for entry in self.entries())

    def entries(self) -> Iterator[NameEntry]:
        """The entries of all names."""
        return (entry for entry in self.table.entries() if not entry.flags & (OCCLUDED | SHADOWED))

    def entry(self, name: bytes) -> NameEntry | None:
        """The entry of a name."""
        entry = self.table.find(name)
        return None if entry is None or entry.flags & OCCLUDED else entry

    def apex(self, entry: NameEntry | NameHead) -> Apex:
        """The zone of an entry."""
        apex = self.zones[zone_number(entry.kind)]
        assert apex is not None, "the zone of an entry is in use"
        return apex

    def zone_at(self, name: bytes) -> Apex | None:
        """The zone that answers at an existing name, without its node; None if that is not served."""
        head = self.table.head(name)
        return None if head is None or rule_number(head.kind) == NOT_SERVED else self.apex(head)

    def nodes_in(self, apex: Apex) -> Callable[[bytes], Node | None]:
        """The nodes by name of one zone, also those at and below a zone inside it, which answers in its place."""
        return _ZoneInTable(weakref.proxy(self), apex, is_hidden=True).node


class _AskedLast(dict[K, V]):
    """What was asked for last, made when it is missing: a young generation and, aside, an old one.

    The old one is forgotten when the young one becomes old; what is asked for meanwhile is young again.
    """

    def __init__(self, names: NameTable) -> None:
        super().__init__()
        self.names = names
        self._octets = 0
        self._old: dict[K, V] = {}

    def __missing__(self, key: K) -> V | None:
        value = self._old.get(key) or self.make(key)
        if value is not None:
            if len(self) >= GENERATION:
                self._age()
            self[key] = value
            self.grow(self.octets_of(value))
        return value

    def make(self, key: K) -> V | None:
        """Make a value."""
        raise NotImplementedError

    def octets_of(self, value: V) -> int:
        """The octets that a value keeps."""
        return 0

    def grow(self, octets: int) -> None:
        """Count octets that a value keeps from now on."""
        self._octets += octets
        if self._octets > GENERATION_OCTETS:
            self._age()

    def _age(self) -> None:
        self._old = dict(self)
        self._octets = 0
        self.clear()


class _Nodes(_AskedLast[bytes, Node]):
    """Nodes by name."""

    def make(self, key: bytes) -> Node | None:
        names = self.names
        head = names.table.head(key)
        if head is None or head.flags & OCCLUDED:
            return None
        zone = names.stored_zones[zone_number(head.kind)]
        node = zone.made(key, head)
        if key == zone.apex.name and (above := self._parent_node(zone.apex)):
            return child_apex_node(node, above)
        return node

    def octets_of(self, value: Node) -> int:
        answers = value.answers
        return len(value.otherwise.body) + (answers.octets if isinstance(answers, StoredAnswers) else 0)

    def _parent_node(self, apex: Apex) -> Node | None:
        """The node that answers for the name of a zone in the closest zone around it; None without one.

        That zone must be served here, and may answer for the name (RFC 4035 §3.1.4.1: it has the DS records).
        """
        above = next((zone for zone in self._zones_around(apex) if is_followed(zone, apex)), None)
        return answering_node(_ZoneInTable(self.names, above, is_hidden=True), apex.name) if above else None

    def _zones_around(self, apex: Apex) -> Iterator[Apex]:
        for name in ancestors(apex.name):
            head = self.names.table.head(name)
            if head is not None and (found := self.names.apex(head)).name == name:
                yield found


class _StoredZones(_AskedLast[int, "_ZoneInTable"]):
    """Zones by number."""

    def make(self, key: int) -> _ZoneInTable:
        apex = self.names.zones[key]
        assert apex is not None, "the zone of an entry is in use"
        return _ZoneInTable(self.names, apex)


class _ZoneInTable:
    """A zone as a `StoredZone`; with `is_hidden`, also where a zone inside it answers in its place."""

    def __init__(self, names: NameTable, apex: Apex, *, is_hidden: bool = False) -> None:
        self.apex = apex
        self._names = names
        self._is_hidden = is_hidden
        self._edges: dict[int, Node] = {}  # of proxied names without other data, by rule
        self.nodata, self.nowhere = NOT_OUR_ZONE, REFUSED_NODE
        soa = self.rrset(apex.name, SOA)
        if soa is not None:  # else the zone is not served
            self.nodata, self.nowhere = denials(apex, soa)

    def rrset(self, name: bytes, rtype: int) -> Rrset | None:
        """One of the RRsets at a name."""
        packed = self._names.table.find_set(rtype, name, self.apex.name)
        return None if packed is None else unpacked_rrset(rtype, packed.body)

    def node(self, name: bytes) -> Node | None:
        """The node of a name."""
        if not self._is_hidden:
            node = self._names.node_at(name)
            if node is None or node.apex is self.apex:
                return node
        head = self._names.table.head(name, self.apex.name)
        return None if head is None or head.flags & OCCLUDED else self.made(name, head)

    def keep(self, answer: Answer) -> None:
        """Count an answer that a node keeps from now on."""
        self._names.grow(len(answer.body))

    def made(self, name: bytes, head: NameHead) -> Node:
        """Make the node of an entry."""
        rule = rule_number(head.kind)
        if rule == NOT_SERVED:
            return REFUSED_NODE
        is_alike = rule & EDGE and not head.types
        known = self._edges.get(rule) if is_alike else None
        if known is not None:
            return known
        node = compile_node(self, name, stored_name(head))
        return self._edges.setdefault(rule, node) if is_alike else node
