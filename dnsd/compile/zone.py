"""One zone compiled to nodes: its existing names, and what is stored at each, from its records and settings."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain, compress, count
from operator import not_

from dnsd.compile.edge import edge
from dnsd.engine.answer import ALWAYS_FITS, QUESTION_NAME, Rrset
from dnsd.engine.compile_node import CUT, EMPTY, OCCLUDED, StoredName, compile_node, denials, is_plain_edge
from dnsd.engine.node import REFUSED_NODE, Apex, Edge, Flattened, Node
from dnsd.engine.snapshot import BuiltZone, ShownNames
from dnsd.model.records import Record
from dnsd.model.zones import Status, Zone
from dnsd.wire.message import RECORD_FIXED
from dnsd.wire.names import ASTERISK, ancestors
from dnsd.wire.rdata import AAAA, CNAME, DNAME, NS, SOA, A

HIDDEN_BY_EDGE = (A, AAAA, CNAME)  # types for which the edge decides, not the data
MAX_ALIKE = 100_000  # nodes kept for reuse by names with equal records while a zone is built

Rrsets = dict[int, list[Record]]


def build_zone(zone: Zone, *, applies_maps: bool) -> BuiltZone:
    """Build the nodes of a zone; without `applies_maps`, its proxied records are answered as stored."""
    if zone.status is Status.INITIALIZING:
        return BuiltZone(zone, applies_maps, (zone.name,), (REFUSED_NODE,))
    names, nodes = _Builder(zone, applies_maps=applies_maps).build()
    counts = Counter(nodes)
    has_flattened = any(isinstance(node.rule, Flattened) for node in counts)
    return BuiltZone(zone, applies_maps, tuple(names), tuple(nodes), has_flattened, _shown(counts))


def _shown(counts: Mapping[Node, int]) -> ShownNames:
    """The numbers of proxied names by the families that they show, from the names of each node."""
    found: Counter[tuple[bool, bool]] = Counter()
    for node, names in counts.items():
        if isinstance(node.rule, Edge):
            found[A in node.rule.keys, AAAA in node.rule.keys] += names
    return ShownNames(found[True, False], found[False, True], found[True, True])


class _Builder:
    """The state while one zone is built, of which it is the `StoredZone`."""

    def __init__(self, zone: Zone, *, applies_maps: bool) -> None:
        self.zone = zone
        self.records = zone.records
        self.applies_maps = applies_maps
        self.apex = Apex(zone.id, zone.account_id, zone.name, zone.verified)
        delegations = self.records.of_types({NS})
        self.cuts = {self.records.owners[index] for index in delegations} - {zone.name}
        self.wildcards = set(self._wildcards())
        self.enclosers = {wildcard[len(ASTERISK) :] for wildcard in self.wildcards - {zone.name}}
        hosts = {self.records.rdatas[index].lower() for index in delegations}
        redirected = {self.records.owners[index] for index in self.records.of_types({DNAME})}
        # Names with special data below them, or with records that other names need.
        special = {zone.name} | self.cuts | self.wildcards | self.enclosers | hosts | redirected
        self.at_special = list(compress(count(), map(special.__contains__, self.records.owners)))
        self.special = self._by_owner(self.at_special)
        for name in self.wildcards | self.enclosers:
            self.special.setdefault(name, self._stored(name, {}))
        self.nodata, self.nowhere = denials(self.apex, self.special[zone.name].rrsets[SOA])
        self.nodes: dict[bytes, Node] = {}
        self.plain_edges: dict[int, Node] = {}
        self.alike: dict[object, Node] = {}
        # Traits of records replaced by edge answers: their node does not depend on their data.
        self.hidden = {
            index
            for index, traits in enumerate(self.records.distinct)
            if applies_maps and traits.proxied and traits.rtype in HIDDEN_BY_EDGE
        }

    def build(self) -> tuple[list[bytes], list[Node]]:
        """The distinct existing names of the zone and their nodes."""
        for name in self.special:
            self.node(name)
        self._add_names_with_several_records()
        names, nodes = self._add_names_with_one_record()
        self._add_empty_nonterminals(names)
        return [*names, *self.nodes], [*nodes, *self.nodes.values()]

    def _add_names_with_several_records(self) -> None:
        for indexes in self.records.groups():
            owner = self.records.owners[indexes[0]]
            if owner not in self.nodes and not self._is_occluded(owner):
                traits = tuple(self.records.traits[index] for index in indexes)
                is_hidden = self.hidden.issuperset(traits)
                key = traits if is_hidden else (traits, tuple(self.records.rdatas[index] for index in indexes))
                self.nodes[owner] = self.alike.get(key) or self._new(owner, indexes, key)

    def _add_names_with_one_record(self) -> tuple[list[bytes], list[Node]]:
        """Add the nodes of the remaining names, but return the names and nodes that the traits alone decide.

        A zone may have a million of these: they need no `Record` and no lookup of a name.
        """
        owners, column, nodes = self.records.owners, self.records.traits, self.nodes
        is_decided = self._decided_by_traits()
        for index in compress(count(), map(not_, is_decided)):
            owner, traits = owners[index], column[index]
            if owner not in nodes and not self._is_occluded(owner):
                key = traits if traits in self.hidden else (traits, self.records.rdatas[index])
                nodes[owner] = self.alike.get(key) or self._new(owner, [index], key)
        decided = list(compress(column, is_decided))
        indexes = dict(zip(decided, compress(count(), is_decided), strict=False))  # traits -> index of such a record
        by_traits = {traits: self._new(owners[index], [index], traits) for traits, index in indexes.items()}
        return list(compress(owners, is_decided)), list(map(by_traits.__getitem__, decided))

    def _decided_by_traits(self) -> bytearray:
        """For each record, 1 if it is the only record of a name without special data, and its own data is hidden."""
        is_hidden = [traits in self.hidden and not self.cuts for traits in range(len(self.records.distinct))]
        found = bytearray(map(is_hidden.__getitem__, self.records.traits))
        for index in chain(self.at_special, self.records.grouped):
            found[index] = False
        return found

    def _new(self, owner: bytes, indexes: Iterable[int], key: object) -> Node:
        """Build the node of a name without special data below it, and keep it for names with equal records."""
        records = [self.records[index] for index in indexes]
        node = self._node(owner, self._stored(owner, _rrsets(records)))
        # The compression of a large answer depends on its owner.
        if sum(len(QUESTION_NAME) + RECORD_FIXED.size + len(record.rdata) for record in records) <= ALWAYS_FITS:
            if len(self.alike) >= MAX_ALIKE:
                self.alike.clear()
            self.alike[key] = node
        return node

    def _add_empty_nonterminals(self, names: Iterable[bytes]) -> None:
        """Add the nodes of empty non-terminals (RFC 4592 §2.2.2); `names` already have nodes."""
        nodes, shortest = self.nodes, len(self.zone.name)
        above: set[bytes] = set()
        for name in {name[1 + name[0] :] for name in chain(names, nodes)}:
            while name not in nodes and name not in above and len(name) > shortest:
                above.add(name)
                name = name[1 + name[0] :]
        nodes |= dict.fromkeys(above.difference(names), Node(self.apex, {}, self.nodata, None, self.nowhere))

    def _wildcards(self) -> Iterator[bytes]:
        """The existing wildcards, also those without records."""
        owners = self.records.owners
        if ASTERISK not in b"".join(owners):  # one search: most zones have no wildcard
            return
        for owner in [owner for owner in owners if ASTERISK in owner]:
            if not self._is_occluded(owner):
                for name in (owner, *ancestors(owner)):
                    if name.startswith(ASTERISK) and len(name) >= len(self.zone.name):
                        yield name

    def _by_owner(self, indexes: Iterable[int]) -> dict[bytes, StoredName]:
        """What is stored at the owners of the records at `indexes`."""
        found: dict[bytes, list[Record]] = defaultdict(list)
        for index in indexes:
            found[self.records.owners[index]].append(self.records[index])
        return {owner: self._stored(owner, _rrsets(records)) for owner, records in found.items()}

    def _is_occluded(self, owner: bytes) -> bool:
        return bool(self.cuts) and any(ancestor in self.cuts for ancestor in ancestors(owner))

    def stored(self, name: bytes) -> StoredName | None:
        """What is stored at a name with special data, which other names may need."""
        return self.special.get(name)

    def node(self, name: bytes) -> Node | None:
        """The node of a name with special data; None if it does not exist, or is occluded."""
        stored = self.special.get(name)
        if stored is None or stored.flags & OCCLUDED:
            return None
        return self.nodes.get(name) or self.nodes.setdefault(name, self._node(name, stored))

    def _node(self, owner: bytes, stored: StoredName) -> Node:
        if stored.edge and is_plain_edge(self, owner, stored):
            # Proxied names of a zone with the same rule share one node.
            known = self.plain_edges.get(id(stored.edge))
            return known or self.plain_edges.setdefault(id(stored.edge), compile_node(self, owner, stored))
        return compile_node(self, owner, stored)

    def _stored(self, owner: bytes, rrsets: Rrsets) -> StoredName:
        """What is stored at a name; of a proxied name without the addresses that the edge's replace."""
        flags = (CUT if owner in self.cuts else 0) | (OCCLUDED if self._is_occluded(owner) else 0)
        if not rrsets:
            return StoredName(EMPTY, {})
        addresses = [record for rtype in HIDDEN_BY_EDGE for record in rrsets.get(rtype, ())]
        edge = None
        if not flags and self.applies_maps and any(record.proxied for record in addresses):
            edge = self._edge(addresses)
        stored = {
            rtype: _rrset(records) for rtype, records in rrsets.items() if not edge or rtype not in HIDDEN_BY_EDGE
        }
        return StoredName(flags, stored, edge, CNAME in stored and self._is_flattened(rrsets[CNAME][0]))

    def _is_flattened(self, cname: Record) -> bool:
        """Whether a CNAME is flattened; one that is proxied, but answered as stored, never is."""
        is_wanted = self.zone.settings.flatten_all_cnames or cname.settings.flatten_cname
        return bool(is_wanted or cname.owner == self.zone.name) and not cname.proxied

    def _edge(self, records: list[Record]) -> Edge:
        zone = self.zone.settings
        proxied = [record.settings for record in records if record.proxied]
        return edge(
            v4=not any(settings.ipv6_only for settings in proxied),
            v6=zone.ipv6 and not any(settings.ipv4_only for settings in proxied),
            http3=zone.http3,
            http2=zone.http2,
            https=zone.https_records,
        )


def _rrsets(records: Iterable[Record]) -> Rrsets:
    """The records of one name by type."""
    rrsets: Rrsets = defaultdict(list)
    for record in records:
        rrsets[record.rtype].append(record)
    return rrsets


def _rrset(records: list[Record]) -> Rrset:
    """The records as one RRset, with the lowest of their TTLs (RFC 2181 §5.2)."""
    ttl = min(record.ttl_s for record in records)
    return Rrset(None, records[0].rtype, ttl, tuple(record.rdata for record in records))
