"""One zone packed for the table of names: a row for each name, from the zone's records and settings.

Everything that depends on settings is decided here. The addresses and CNAMEs of proxied names are left out, as the edge
answers in their place: an origin never stands in the table.
"""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence, Set
from functools import cached_property, lru_cache
from itertools import chain, compress, filterfalse
from typing import NamedTuple

from dnsd.engine.answer import QUESTION_NAME
from dnsd.engine.edge_rules import AS_STORED, EDGE, FLATTENED, NO_H2, NO_H3, NO_HTTPS, NO_V4, NO_V6, NOT_SERVED
from dnsd.engine.entry import PLAIN, SPECIAL, Treatment, row
from dnsd.engine.names import kind_of
from dnsd.engine.node import Apex
from dnsd.engine.snapshot import OWN_HTTPS, BuiltZone
from dnsd.engine.table import rows
from dnsd.model.octet_column import Marks, Numbers, OctetColumn
from dnsd.model.records import RecordSettings, Traits, answered_ttl_s
from dnsd.model.zones import Status, Zone
from dnsd.wire.message import IN, RECORD_FIXED
from dnsd.wire.names import ASTERISK, ancestors
from dnsd.wire.rdata import AAAA, CNAME, DNAME, HTTPS, NS, A

SMALL = 256  # records of a zone whose names are all packed at once, those with one record, too
FEW_SERVERS = 1_000  # records of delegations that are all kept as objects while a zone is packed
HIDDEN_BY_EDGE = frozenset((A, AAAA, CNAME))  # types for which the edge decides, not the data
ALIASES = frozenset((CNAME, DNAME))
NO_NAMES = OctetColumn.of([])

# Marks of records while they are packed.
STORED = 0  # the name's records stand in its row
RULED = 1  # likewise, and the name has a rule
APART = 2  # the name's row depends on more than the traits of its records
SEVERAL = 4  # beside the others: the name has several records
HIDDEN = 8  # likewise: the edge answers in place of the record
IS_RULED = bytes(mark & RULED for mark in range(256))
IS_SINGLE = bytes(mark in (STORED, RULED) for mark in range(256))
IS_SINGLE_HIDDEN = bytes(mark in (HIDDEN | STORED, HIDDEN | RULED) for mark in range(256))
IS_APART = bytes(bool(mark & APART) for mark in range(256))


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


class _Treatment(NamedTuple):
    """The row of a name with one record."""

    flags: int
    rule: int
    rtype: int = 0
    ttl: int = 0  # seconds
    is_hidden: bool = False  # the edge answers in place of the record


@lru_cache(maxsize=1024)
def _stored(rtype: int, ttl: int) -> _Treatment:
    """The treatment of a record that decides nothing but its own answer; those of many zones are alike."""
    return _Treatment(PLAIN, AS_STORED, rtype, answered_ttl_s(ttl))


class ZonePacker:
    """The rows of one zone's names, and the state while they are made."""

    def __init__(self, zone: Zone, number: int, *, applies_maps: bool) -> None:
        self.zone = zone
        self.records = zone.records
        self.number = number
        self.applies_maps = applies_maps
        self.treatments = [self._treatment(traits) for traits in self.records.distinct]  # of a name's only record
        self.row_treatments: list[Treatment] = [
            (one.flags, kind_of(number, one.rule), one.rtype, one.ttl, one.is_hidden) for one in self.treatments
        ]
        self.hides = any(treatment.is_hidden for treatment in self.treatments)
        self.servers = self.records.of_types({NS})
        self.proxied: list[Sequence[bytes]] = []  # columns of the proxied names, but for those that are packed apart
        self.rules = bytearray()  # of the proxied names, and then of those
        self.proxied_apart: dict[bytes, None] = {}  # those that are packed apart, in order

    @cached_property
    def asked(self) -> set[bytes] | None:
        """The names that may be looked up among the delegations; None for any: so many names, or few delegations."""
        if len(self.servers) <= FEW_SERVERS:
            return None
        is_asked = bytes(one.is_hidden or one.rtype in (CNAME, DNAME) for one in self.treatments)
        indexes = array("I", compress(range(len(self.records)), map(is_asked.__getitem__, self.records.traits)))
        return {*self.records.owners.at(indexes)} if len(indexes) < len(self.servers) else None

    @cached_property
    def cuts(self) -> set[bytes]:
        """The delegated names at and above those that are asked for: a TLD has a million others."""
        cuts = self.records.owners.at(self.servers)
        if self.asked is not None:
            above = {ancestor for name in self.asked for ancestor in ancestors(name)}
            cuts = filter((self.asked | above).__contains__, cuts)
        return {*cuts} - {self.zone.name}

    @cached_property
    def hosts(self) -> set[bytes]:
        """The name servers of the delegations among the names that are asked for.

        Of names below delegations, only the addresses of name servers are used.
        """
        hosts = map(bytes.lower, self.records.rdatas.at(self.servers if self.cuts else ()))
        return {*hosts} if self.asked is None else {*filter(self.asked.__contains__, hosts)}

    def packed(self, apex: Apex) -> PackedZone:
        """The zone, packed."""
        if (marks := self._plain_marks()) is not None:
            order, ends = self.records.together(array("I", range(len(marks))))
            built = BuiltZone(self.zone, self.applies_maps, apex, self.number, NO_NAMES)
            return PackedZone(built, self._rows(order, ends, marks))
        marks = self._marks()
        rows_made = [*filter(None, (self._rows_of_single(marks), *self._rows_of_several(marks)))]
        octets = rows_made[0] if len(rows_made) == 1 else b"".join(rows_made)  # not twice in memory
        return PackedZone(self.built(apex), octets)

    def _plain_marks(self) -> Marks | None:
        """For each record of a small zone STORED or RULED; None if a name may need more than its records."""
        records = self.records
        if self.hides or len(records) > SMALL or not records.types.isdisjoint(ALIASES):
            return None
        at_apex = records.owners.places(self.zone.name)
        if not {*self.servers}.issubset(at_apex):  # a delegation
            return None
        marks = Marks(len(records))
        for index in (*at_apex, *records.owners.starting(ASTERISK)):
            marks[index] = RULED
        return marks

    def keep_proxied(self, before: BuiltZone, changed: Set[bytes]) -> None:
        """Put the proxied names of the zone before, without the changed ones, in front of those found here."""
        if changed.isdisjoint(before.proxied_names):
            self.proxied, self.rules[:0] = [before.proxied_names], before.rules
        else:
            is_kept = [name not in changed for name in before.proxied_names]
            self.proxied = [OctetColumn.of([*compress(before.proxied_names, is_kept)])]
            self.rules[:0] = bytes(compress(before.rules, is_kept))

    def built(self, apex: Apex) -> BuiltZone:
        """The zone, after all rows were made."""
        aliases, dnames = self._aliases(), self.records.of_types({DNAME})
        apart = [OctetColumn.of([*self.proxied_apart])] if self.proxied_apart else []
        columns = [one for one in (*self.proxied, *apart) if isinstance(one, OctetColumn)]
        return BuiltZone(
            zone=self.zone,
            applies_maps=self.applies_maps,
            apex=apex,
            number=self.number,
            proxied_names=OctetColumn.joined([(one, 0, len(one)) for one in columns]) if columns else NO_NAMES,
            rules=bytes(self.rules),
            aliases_at=array("I", aliases) if aliases else (),
            flattened_at=frozenset(filter(self._is_flattened, aliases)),
            dnames_at=array("I", filterfalse(self._is_cut_off, dnames)) if dnames else (),
        )

    def _marks(self) -> Marks:
        """For each record STORED, RULED or APART, and SEVERAL."""
        records = self.records
        marks = Marks(len(records))
        for index in records.owners.starting(ASTERISK):
            marks[index] = APART if self.is_hidden(index) else RULED
        if self.hides and self.cuts:
            for index in filter(self.is_hidden, range(len(records))):
                marks[index] = APART if self._is_cut_off(index) else marks[index]
        marks.set(records.rdatas.ending(self.zone.name, self.servers), RULED)
        for index in records.owners.places(self.zone.name):
            one = self.treatments[records.traits[index]]
            marks[index] = APART if one.is_hidden or one.rtype == CNAME else RULED
        marks.set(records.grouped, SEVERAL)
        return marks

    def _has_glue(self, index: int) -> bool:
        """Whether a name server may have addresses in this zone: then a referral is more than the NS records."""
        return self.records.rdatas[index].lower().endswith(self.zone.name)

    def _rows_of_single(self, marks: Marks) -> bytes:
        """The rows of names with one record that does not stand apart."""
        order = marks.places(IS_SINGLE)
        if self.hides:
            self._find_proxied(marks)
        return self._rows(order, None, marks)

    def _find_proxied(self, marks: Marks) -> None:
        """Find the proxied names among these, without an object for each."""
        records, found, rules = self.records, Marks(marks), Marks(len(marks))
        for rule in {one.rule for one in self.treatments if one.is_hidden}:
            indexes = records.of_traits(bytes(one.is_hidden and one.rule == rule for one in self.treatments))
            found.set(indexes, HIDDEN)
            rules.set(indexes, rule)
        if order := found.places(IS_SINGLE_HIDDEN):
            self.proxied.append(records.owners.among(order))
            self.rules += bytes(compress(rules, found.translate(IS_SINGLE_HIDDEN)))

    def _rows_of_several(self, marks: Marks) -> Iterator[bytes]:
        """The rows of all other names."""
        records = self.records
        index = marks.find(APART)
        while index >= 0:
            yield self.row(records.owners[index], [index])
            index = marks.find(APART, index + 1)
        rest = records.grouped
        if found := array("I", self._apart_of_several(marks)):
            apart = records.indexes_of({*records.owners.at(found)})
            for owner, indexes in apart.items():
                yield self.row(owner, indexes)
            done = {*chain.from_iterable(apart.values())}
            rest = array("I", filterfalse(done.__contains__, rest))
        if rest:
            yield self._rows(*records.together(rest), marks)

    def _apart_of_several(self, marks: Marks) -> Iterator[int]:
        """The indexes of records for which their names, with several records, stand apart."""
        grouped, traits = self.records.grouped, self.records.traits
        if 1 in marks.translate(IS_APART):
            yield from compress(grouped, map(APART.__and__, map(marks.__getitem__, grouped)))
        decides = [one.is_hidden or one.rtype in (CNAME, DNAME) for one in self.treatments]
        if any(decides):
            yield from compress(grouped, map(decides.__getitem__, map(traits.__getitem__, grouped)))

    def _rows(self, order: Numbers, ends: Numbers | None, marks: Marks) -> bytes:
        """The rows of the names of these records, name by name; without `ends`, each name has one."""
        owners, rdatas = self.records.owners, self.records.rdatas
        is_ruled = bytes(marks.translate(IS_RULED))
        columns = owners.octets, owners.ends, rdatas.octets, rdatas.ends, self.records.traits
        return rows(*columns, is_ruled, order, ends, self.row_treatments)

    def row(self, owner: bytes, indexes: Sequence[int]) -> bytes:
        """The row of the name with the records at these indexes."""
        by_type: dict[int, list[int]] = defaultdict(list)
        for index in indexes:
            by_type[self.records.rtype(index)].append(index)
        proxied = [index for index in indexes if self.is_hidden(index)]
        rule = FLATTENED if CNAME in by_type and self._is_flattened(by_type[CNAME][0]) else AS_STORED
        if proxied and not self._is_cut_off(indexes[0]):
            rule = self._edge({self._traits(index).settings for index in proxied})
            self.proxied_apart[owner] = None
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
        if traits.rtype not in ALIASES:
            return _stored(traits.rtype, traits.ttl)
        rule = FLATTENED if traits.rtype == CNAME and self._flattens(traits) else AS_STORED
        return _Treatment(SPECIAL, rule, traits.rtype, answered_ttl_s(traits.ttl))

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
        return bool(self.cuts) and (owner in self.cuts or is_occluded(owner, self.cuts))


def is_occluded(owner: bytes, cuts: set[bytes]) -> bool:
    """Whether a name lies below a delegated one."""
    return any(ancestor in cuts for ancestor in ancestors(owner))
