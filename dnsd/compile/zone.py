"""One zone packed for the table of names: a row for each name, from the zone's records and settings.

Everything that depends on settings is decided here. The addresses and CNAMEs of proxied names are left out, as the edge
answers in their place: an origin never stands in the table.
"""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence, Set
from functools import cached_property
from itertools import compress, count, filterfalse
from operator import not_
from typing import NamedTuple

from dnsd.engine.answer import QUESTION_NAME
from dnsd.engine.edge_rules import AS_STORED, EDGE, FLATTENED, NO_H2, NO_H3, NO_HTTPS, NO_V4, NO_V6, NOT_SERVED
from dnsd.engine.entry import PLAIN, SPECIAL, row
from dnsd.engine.names import kind_of
from dnsd.engine.node import Apex
from dnsd.engine.snapshot import OWN_HTTPS, BuiltZone
from dnsd.engine.table import rows
from dnsd.model.octet_column import OctetColumn
from dnsd.model.records import RecordSettings, Traits, answered_ttl_s
from dnsd.model.zones import Status, Zone
from dnsd.wire.message import IN, RECORD_FIXED
from dnsd.wire.names import ASTERISK, ancestors
from dnsd.wire.rdata import AAAA, CNAME, DNAME, HTTPS, NS, A

HIDDEN_BY_EDGE = frozenset((A, AAAA, CNAME))  # types for which the edge decides, not the data


# Marks of records while they are packed, by the other records of their names.
ALIKE = 0  # the name has this record alone, and is packed together with others
APART = 1  # the name has this record alone, and its place matters
SEVERAL = 2  # the name has several records

PACKED = 50_000  # records packed at once


class PackedZone(NamedTuple):
    """A zone as control knows it, and the rows of its names."""

    built: BuiltZone
    rows: bytes


def pack_zone(zone: Zone, apex: Apex, number: int, *, applies_maps: bool) -> PackedZone:
    """Pack a zone; without `applies_maps`, its proxied records are answered as stored."""
    if zone.status is Status.INITIALIZING:
        refused = row(SPECIAL, kind_of(number, NOT_SERVED), zone.name, ())
        return PackedZone(BuiltZone(zone, applies_maps, apex, number), refused)
    return ZonePacker(zone, number, applies_maps=applies_maps).packed(apex)


def existing_names(zone: Zone) -> dict[bytes, None]:
    """The existing names of a zone: owners in the order of its records, then empty non-terminals (RFC 4592 §2.2.2)."""
    if zone.status is Status.INITIALIZING:
        return {zone.name: None}
    cuts, shortest = _cuts(zone), len(zone.name)
    names = dict.fromkeys(owner for owner in zone.records.owners if not (cuts and _is_occluded(owner, cuts)))
    above: dict[bytes, None] = {}
    for name in dict.fromkeys(name[1 + name[0] :] for name in names if len(name) > shortest):
        while name not in names and name not in above and len(name) > shortest:
            above[name] = None
            name = name[1 + name[0] :]
    return names | above


class _Treatment(NamedTuple):
    """The row of a name with one record."""

    flags: int
    rule: int
    rtype: int = 0
    ttl: int = 0  # seconds
    is_hidden: bool = False  # the edge answers in place of the record


class ZonePacker:
    """The rows of one zone's names, and the state while they are made."""

    def __init__(self, zone: Zone, number: int, *, applies_maps: bool) -> None:
        self.zone = zone
        self.records = zone.records
        self.number = number
        self.applies_maps = applies_maps
        self.treatments = [self._treatment(traits) for traits in self.records.distinct]  # of a name's only record
        self.proxied_names: list[bytes] = []
        self.rules = bytearray()  # of the proxied names
        self.proxied_apart: set[bytes] = set()  # those that are packed apart

    @cached_property
    def cuts(self) -> set[bytes]:
        """The delegated names."""
        return _cuts(self.zone)

    @cached_property
    def hosts(self) -> set[bytes]:
        """The name servers of the delegations. Below these, only the addresses of name servers are used."""
        servers = self.records.of_types({NS}) if self.cuts else ()
        return {self.records.rdatas[index].lower() for index in servers}

    def packed(self, apex: Apex) -> PackedZone:
        """The zone, packed."""
        marks = self._marks()
        octets = b"".join((*self._rows_alike(marks), *self._rows_apart(marks)))
        return PackedZone(self.built(apex), octets)

    def keep_proxied(self, before: BuiltZone, changed: Set[bytes]) -> None:
        """Put the proxied names of the zone before, without the changed ones, in front of those found here."""
        if changed.isdisjoint(before.proxied_names):
            self.proxied_names[:0], self.rules[:0] = before.proxied_names, before.rules
        else:
            is_kept = [name not in changed for name in before.proxied_names]
            self.proxied_names[:0] = compress(before.proxied_names, is_kept)
            self.rules[:0] = bytes(compress(before.rules, is_kept))

    def built(self, apex: Apex) -> BuiltZone:
        """The zone, after all rows were made."""
        aliases = self._aliases()
        return BuiltZone(
            zone=self.zone,
            applies_maps=self.applies_maps,
            apex=apex,
            number=self.number,
            proxied_names=OctetColumn.of(self.proxied_names),
            rules=bytes(self.rules),
            aliases_at=array("I", aliases),
            flattened_at=frozenset(filter(self._is_flattened, aliases)),
            dnames_at=array("I", filterfalse(self._is_cut_off, self.records.of_types({DNAME}))),
        )

    def _marks(self) -> bytearray:
        """For each record ALIKE, APART or SEVERAL."""
        owners, hidden = self.records.owners, [treatment.is_hidden for treatment in self.treatments]
        marks = bytearray(len(owners))
        for index in (*owners.starting(ASTERISK), *owners.places(self.zone.name)):
            marks[index] = APART
        if self.cuts:
            for index in compress(count(), map(hidden.__getitem__, self.records.traits)):
                marks[index] |= self._is_cut_off(index)
        servers = self.records.of_types({NS})
        for index, rdata in zip(servers, self.records.rdatas.at(servers), strict=True):
            if rdata.lower().endswith(self.zone.name):
                marks[index] = APART
        for index in self.records.grouped:
            marks[index] = SEVERAL
        return marks

    def _has_glue(self, index: int) -> bool:
        """Whether a name server may have addresses in this zone: then a referral is more than the NS records."""
        return self.records.rdatas[index].lower().endswith(self.zone.name)

    def _rows_alike(self, marks: bytearray) -> Iterator[bytes]:
        """The rows of names with one record, packed together with those that are treated alike."""
        records, is_alike = self.records, bytes(map(not_, marks))
        for start in range(0, len(is_alike), PACKED):
            part = slice(start, start + PACKED)
            chosen, owners, rdatas = is_alike[part], records.owners[part], records.rdatas[part]
            traits = list(compress(records.traits[part], chosen))
            if not all(chosen):
                owners, rdatas = list(compress(owners, chosen)), list(compress(rdatas, chosen))
            yield from self._part_alike(owners, rdatas, traits)

    def _part_alike(self, owners: list[bytes], datas: list[bytes], traits: list[int]) -> Iterator[bytes]:
        groups: dict[_Treatment, tuple[list[bytes], list[bytes]]] = defaultdict(lambda: ([], []))
        if len(used := {*traits}) == 1:
            groups[self.treatments[used.pop()]] = owners, datas
        else:
            by_traits = [groups[treatment] for treatment in self.treatments]
            for owner, rdata, number in zip(owners, datas, traits, strict=True):
                names, rdatas = by_traits[number]
                names.append(owner)
                rdatas.append(rdata)
        for (flags, rule, rtype, ttl, is_hidden), (names, rdatas) in groups.items():
            if is_hidden:
                self.proxied_names += names
                self.rules += bytes((rule,)) * len(names)
            yield rows(flags, kind_of(self.number, rule), names, rtype, ttl, None if is_hidden else rdatas)

    def _rows_apart(self, marks: bytearray) -> Iterator[bytes]:
        """The rows of all other names."""
        for index in compress(count(), map(APART.__eq__, marks)):
            yield self.row(self.records.owners[index], [index])
        for indexes in self.records.groups():
            yield self.row(self.records.owners[indexes[0]], indexes)

    def row(self, owner: bytes, indexes: Sequence[int]) -> bytes:
        """The row of the name with the records at these indexes."""
        by_type: dict[int, list[int]] = defaultdict(list)
        for index in indexes:
            by_type[self.records.rtype(index)].append(index)
        proxied = [index for index in indexes if self.is_hidden(index)]
        rule = FLATTENED if CNAME in by_type and self._is_flattened(by_type[CNAME][0]) else AS_STORED
        if proxied and not self._is_cut_off(indexes[0]):
            rule = self._edge({self._traits(index).settings for index in proxied})
            self.proxied_apart.add(owner)
            self.proxied_names.append(owner)
            self.rules.append(rule | (OWN_HTTPS if HTTPS in by_type else 0))
        if proxied and (rule & EDGE or owner not in self.hosts):
            by_type = {rtype: of for rtype, of in by_type.items() if rtype not in HIDDEN_BY_EDGE}
        is_special = owner.startswith((ASTERISK, self.zone.name)) or CNAME in by_type or DNAME in by_type
        is_special = is_special or any(map(self._has_glue, by_type.get(NS, ())))
        sets = [self._set(rtype, of) for rtype, of in by_type.items()]
        return row(SPECIAL if is_special else PLAIN, kind_of(self.number, rule), owner, sets)

    def _set(self, rtype: int, indexes: Sequence[int]) -> tuple[int, int, bytes]:
        """An RRset, as the body of its answer, with the lowest of the TTLs (RFC 2181 §5.2)."""
        ttl = min(answered_ttl_s(self._traits(index).ttl) for index in indexes)
        rdatas = [self.records.rdatas[index] for index in indexes]
        body = [QUESTION_NAME + RECORD_FIXED.pack(rtype, IN, ttl, len(rdata)) + rdata for rdata in rdatas]
        return rtype, len(rdatas), b"".join(body)

    def _treatment(self, traits: Traits) -> _Treatment:
        if self.applies_maps and traits.proxied and traits.rtype in HIDDEN_BY_EDGE:
            return _Treatment(PLAIN, self._edge({traits.settings}), is_hidden=True)
        flags = SPECIAL if traits.rtype in (CNAME, DNAME) else PLAIN
        rule = FLATTENED if traits.rtype == CNAME and self._flattens(traits) else AS_STORED
        return _Treatment(flags, rule, traits.rtype, answered_ttl_s(traits.ttl))

    def _flattens(self, traits: Traits) -> bool:
        """Whether settings flatten a CNAME; one that is proxied, but answered as stored, is not flattened."""
        return bool(self.zone.settings.flatten_all_cnames or traits.settings.flatten_cname) and not traits.proxied

    def _is_flattened(self, index: int) -> bool:
        """Whether a CNAME is flattened: by settings, or as it is at the apex."""
        traits = self._traits(index)
        return self._flattens(traits) or (self.records.owners[index] == self.zone.name and not traits.proxied)

    def _edge(self, settings: Iterable[RecordSettings]) -> int:
        """The rule of a proxied name, from the settings of the zone and of its proxied records."""
        zone = self.zone.settings
        lacks = {
            NO_V4: any(one.ipv6_only for one in settings),
            NO_V6: not zone.ipv6 or any(one.ipv4_only for one in settings),
            NO_H3: not zone.http3,
            NO_H2: not zone.http2,
            NO_HTTPS: not zone.https_records,
        }
        return EDGE | sum(part for part, is_lacking in lacks.items() if is_lacking)

    def _aliases(self) -> list[int]:
        """The indexes of the CNAMEs that are followed or flattened."""
        return [
            index
            for index in self.records.of_types({CNAME})
            if not self.is_hidden(index)
            and self.records.owners[index] not in self.proxied_apart
            and not self._is_cut_off(index)
        ]

    def is_hidden(self, index: int) -> bool:
        """Whether the edge answers in place of a record, unless its name is cut off."""
        return self.treatments[self.records.traits[index]].is_hidden

    def _traits(self, index: int) -> Traits:
        return self.records.distinct[self.records.traits[index]]

    def _is_cut_off(self, index: int) -> bool:
        """Whether the owner of a record is a delegation, or lies below one."""
        owner = self.records.owners[index]
        return bool(self.cuts) and (owner in self.cuts or _is_occluded(owner, self.cuts))


def _cuts(zone: Zone) -> set[bytes]:
    """The delegated names of a zone."""
    return {*zone.records.owners.at(zone.records.of_types({NS}))} - {zone.name}


def _is_occluded(owner: bytes, cuts: set[bytes]) -> bool:
    return any(ancestor in cuts for ancestor in ancestors(owner))
