"""The names of all zones: what is stored at them, and their nodes, which are made when asked for.

What is stored stands in a table (`engine/table.py`) in memory that processes share. A process keeps the nodes that it
was asked for last, up to a limit, and the parts that the nodes of one zone share.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from dnsd.engine.answer import Rrset
from dnsd.engine.compile_node import (
    StoredName,
    answering_node,
    child_apex_node,
    compile_node,
    denials,
    is_plain_edge,
)
from dnsd.engine.edge_rules import AS_STORED, FLATTENED, NOT_SERVED, edge_rule
from dnsd.engine.entry import CUT, OCCLUDED, SHADOWED, SPECIAL, NameEntry
from dnsd.engine.node import REFUSED_NODE, Apex, Node, is_followed
from dnsd.engine.table import Table
from dnsd.wire.message import RECORD_FIXED
from dnsd.wire.names import ASTERISK, ancestors
from dnsd.wire.rdata import SOA

GENERATION = 10_000  # nodes or zones made before those that were not asked for meanwhile are forgotten
RULE_BITS = 8  # of an entry's kind; the others are the zone's number
OWNER_SIZE = 2  # octets of the pointer to the question's name

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


def stored_name(entry: NameEntry) -> StoredName:
    """What stands in an entry of the table."""
    rule = rule_number(entry.kind)
    rrsets = {rtype: _rrset(rtype, body) for rtype, _, body in entry.sets}
    return StoredName(entry.flags, rrsets, edge_rule(rule), rule == FLATTENED)


def _rrset(rtype: int, body: bytes) -> Rrset:
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
        entry = self.table.find(name)
        if entry is None or entry.flags & (SPECIAL | CUT | OCCLUDED) or ASTERISK + name in self.table:
            node = self.node_at(name)
            return None if node is None else node.below
        return self.stored_zones[zone_number(entry.kind)].nowhere

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

    def rule_at(self, name: bytes) -> int:
        """The rule of a name, without its node; AS_STORED for a name that does not exist."""
        entry = self.entry(name)
        return AS_STORED if entry is None else rule_number(entry.kind)

    def apex(self, entry: NameEntry) -> Apex:
        """The zone of an entry."""
        apex = self.zones[zone_number(entry.kind)]
        assert apex is not None, "the zone of an entry is in use"
        return apex

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
        self._old: dict[K, V] = {}

    def __missing__(self, key: K) -> V | None:
        value = self._old.get(key) or self.make(key)
        if value is not None:
            if len(self) >= GENERATION:
                self._old = dict(self)
                self.clear()
            self[key] = value
        return value

    def make(self, key: K) -> V | None:
        """Make a value."""
        raise NotImplementedError


class _Nodes(_AskedLast[bytes, Node]):
    """Nodes by name."""

    def make(self, key: bytes) -> Node | None:
        names = self.names
        entry = names.table.find(key)
        if entry is None or entry.flags & OCCLUDED:
            return None
        zone = names.stored_zones[zone_number(entry.kind)]
        node = zone.made(entry)
        if key == zone.apex.name and (above := self._parent_node(zone.apex)):
            return child_apex_node(node, above)
        return node

    def _parent_node(self, apex: Apex) -> Node | None:
        """The node that answers for the name of a zone in the closest zone around it; None without one.

        That zone must be served here, and may answer for the name (RFC 4035 §3.1.4.1: it has the DS records).
        """
        above = next((zone for zone in self._zones_around(apex) if is_followed(zone, apex)), None)
        return answering_node(self.names.nodes_in(above), apex.name) if above else None

    def _zones_around(self, apex: Apex) -> Iterator[Apex]:
        for name in ancestors(apex.name):
            entry = self.names.table.find(name)
            if entry is not None and (found := self.names.apex(entry)).name == name:
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
        at_apex = self.stored(apex.name)
        if at_apex is not None and SOA in at_apex.rrsets:  # else the zone is not served
            self.nodata, self.nowhere = denials(apex, at_apex.rrsets[SOA])

    def stored(self, name: bytes) -> StoredName | None:
        """What is stored at a name."""
        entry = self._entry(name)
        return None if entry is None else stored_name(entry)

    def node(self, name: bytes) -> Node | None:
        """The node of a name."""
        if not self._is_hidden:
            node = self._names.node_at(name)
            if node is None or node.apex is self.apex:
                return node
        entry = self._entry(name)
        return None if entry is None or entry.flags & OCCLUDED else self.made(entry)

    def made(self, entry: NameEntry) -> Node:
        """Make the node of an entry."""
        rule, name = rule_number(entry.kind), entry.name
        if rule == NOT_SERVED:
            return REFUSED_NODE
        known = None if entry.sets or self._is_hidden else self._edges.get(rule)
        if known is not None and ASTERISK + name not in self._names.table:
            return known
        stored = stored_name(entry)
        if not is_plain_edge(self, name, stored):
            return compile_node(self, name, stored)
        return self._edges.setdefault(rule, compile_node(self, name, stored))

    def _entry(self, name: bytes) -> NameEntry | None:
        return self._names.table.find_in(self.apex.name, name)
