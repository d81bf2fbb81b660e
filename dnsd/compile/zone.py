"""One zone compiled to nodes: its existing names and their answers (RFC 1034 §4.3.2, decided in advance)."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain, compress, count
from operator import not_

from dnsd.compile.edge import edge
from dnsd.engine.answer import ALWAYS_FITS, QUESTION_NAME, Answer, Rrset, build_answer
from dnsd.engine.node import REFUSED_NODE, Alias, Apex, Edge, Flattened, Node, Redirection, Rule
from dnsd.engine.snapshot import BuiltZone, ShownNames
from dnsd.model.records import Record
from dnsd.model.zones import Status, Zone
from dnsd.wire.message import NXDOMAIN, RECORD_FIXED
from dnsd.wire.names import ASTERISK, ancestors, is_below
from dnsd.wire.rdata import AAAA, ANY, CNAME, DNAME, DS, HINFO, NS, SOA, A

ANY_ANSWER = build_answer([Rrset(None, HINFO, 3789, (b"\x07RFC8482\x00",))])  # RFC 8482 §4.2; the TTL Cloudflare uses

HIDDEN_BY = {Edge: (A, AAAA, CNAME), Flattened: (CNAME,)}  # types for which the rule decides, not the data
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
    """The state while one zone is built."""

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
        soa = self.special[zone.name][SOA][0]
        minimum = int.from_bytes(soa.rdata[-4:])
        # RFC 2308 §3: the lower of the SOA's TTL and its minimum field
        denial = (Rrset(zone.name, SOA, min(soa.ttl_s, minimum), (soa.rdata,)),)
        self.nodata = build_answer(authority=denial, below=zone.name)
        nxdomain = build_answer(authority=denial, rcode=NXDOMAIN, below=zone.name)
        self.nxdomain_node = Node(self.apex, {}, nxdomain)
        self.nodes: dict[bytes, Node] = {}
        self.plain_edges: dict[int, Node] = {}
        self.alike: dict[object, Node] = {}
        # Traits of records replaced by edge answers: their node does not depend on their data.
        self.hidden = {
            index
            for index, traits in enumerate(self.records.distinct)
            if applies_maps and traits.proxied and traits.rtype in HIDDEN_BY[Edge]
        }

    def build(self) -> tuple[list[bytes], list[Node]]:
        """The distinct existing names of the zone and their nodes."""
        existing = (name for name in self.special if not self._is_occluded(name))
        # The node above a wildcard needs the wildcard's node, which may itself have a wildcard below it.
        for name in sorted(
            {*existing, *self.wildcards, *self.enclosers}, key=lambda name: (not name.startswith(ASTERISK), -len(name))
        ):
            self.nodes[name] = self._node(name, self.special.get(name, {}))
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
        node = self._node(owner, _rrsets(records))
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
        nodes |= dict.fromkeys(above.difference(names), Node(self.apex, {}, self.nodata, None, self.nxdomain_node))

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

    def _by_owner(self, indexes: Iterable[int]) -> dict[bytes, Rrsets]:
        """The records at `indexes`, by owner and type."""
        found: dict[bytes, list[Record]] = defaultdict(list)
        for index in indexes:
            found[self.records.owners[index]].append(self.records[index])
        return {owner: _rrsets(records) for owner, records in found.items()}

    def _is_occluded(self, owner: bytes) -> bool:
        return bool(self.cuts) and any(ancestor in self.cuts for ancestor in ancestors(owner))

    def _below(self, owner: bytes) -> Node:
        """The node for nonexistent names below `owner`."""
        return self.nodes.get(ASTERISK + owner, self.nxdomain_node)

    def _node(self, owner: bytes, rrsets: Rrsets) -> Node:
        if owner in self.cuts:
            return self._cut(owner, rrsets)
        rule = self._rule(owner, rrsets)
        shown = {rtype: records for rtype, records in rrsets.items() if rtype not in HIDDEN_BY.get(type(rule), ())}
        below = self._redirection(owner, rrsets) if DNAME in rrsets else self._below(owner)
        if isinstance(rule, Edge) and not shown and below is self.nxdomain_node:
            # Proxied names of a zone with the same rule share one node.
            return self.plain_edges.setdefault(id(rule), Node(self.apex, {ANY: ANY_ANSWER}, self.nodata, rule, below))
        answers = {rtype: self._answer(owner, rtype, records) for rtype, records in shown.items()}
        if rrsets:
            answers[ANY] = ANY_ANSWER
        return Node(self.apex, answers, self.nodata, rule, below)

    def _answer(self, owner: bytes, rtype: int, records: list[Record]) -> Answer:
        rrset = _rrset(None, records)
        if rtype == NS and owner == self.zone.name:
            return build_answer([rrset], optional_glue=self._glue(records), below=owner)
        return build_answer([rrset], below=owner.removeprefix(ASTERISK))

    def _rule(self, owner: bytes, rrsets: Rrsets) -> Rule | None:
        addresses = rrsets.get(A, []) + rrsets.get(AAAA, []) + rrsets.get(CNAME, [])
        if self.applies_maps and any(record.proxied for record in addresses):
            return self._edge(addresses)
        if CNAME not in rrsets:
            return None
        cname = rrsets[CNAME][0]
        flattens = self.zone.settings.flatten_all_cnames or cname.settings.flatten_cname or owner == self.zone.name
        # A proxied CNAME answered as stored is never flattened.
        if flattens and not cname.proxied:
            return Flattened(cname.ttl_s, cname.target)
        return Alias(_rrset(None, [cname]), cname.target)

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

    def _redirection(self, owner: bytes, rrsets: Rrsets) -> Node:
        dname = rrsets[DNAME][0]
        rule = Redirection(_rrset(owner, [dname]), owner, dname.target)
        return Node(self.apex, {}, self.nodata, rule)

    def _cut(self, owner: bytes, rrsets: Rrsets) -> Node:
        """A delegation: a referral for all types but DS, which the parent answers (RFC 4035 §3.1.4.1)."""
        glue = self._glue(rrsets[NS])
        inside = [rrset for rrset in glue if rrset.owner == owner or is_below(rrset.owner or b"", owner)]
        referral = build_answer(
            authority=[_rrset(owner, rrsets[NS])],
            glue=inside,
            optional_glue=[rrset for rrset in glue if rrset not in inside],
            aa=False,
            below=owner,
        )
        ds = build_answer([_rrset(None, rrsets[DS])], below=owner) if DS in rrsets else self.nodata
        return Node(self.apex, {DS: ds}, referral, below=Node(self.apex, {}, referral))

    def _glue(self, nameservers: Iterable[Record]) -> list[Rrset]:
        """The addresses of name servers in this zone, as stored; authoritative proxied names are left out."""
        glue = []
        for host in dict.fromkeys(record.target for record in nameservers):
            rrsets = self.special.get(host, {})
            is_glue = host in self.cuts or self._is_occluded(host)
            if not is_glue and isinstance(self._rule(host, rrsets), Edge):
                continue
            glue += [_rrset(host, rrsets[rtype]) for rtype in (A, AAAA) if rtype in rrsets]
        return glue


def _rrsets(records: Iterable[Record]) -> Rrsets:
    """The records of one name by type."""
    rrsets: Rrsets = defaultdict(list)
    for record in records:
        rrsets[record.rtype].append(record)
    return rrsets


def _rrset(owner: bytes | None, records: list[Record]) -> Rrset:
    """The records as one RRset, with the lowest of their TTLs (RFC 2181 §5.2)."""
    ttl = min(record.ttl_s for record in records)
    return Rrset(owner, records[0].rtype, ttl, tuple(record.rdata for record in records))
