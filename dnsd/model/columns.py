"""The records of one zone, stored in columns: about 12 octets per record if there are a million, plus names and data.

A column is a buffer, of octets or of numbers, and may be part of a mapped file. `Record` objects are built on access.
"""

from __future__ import annotations

import secrets
from array import array
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence, Set
from itertools import compress, count
from operator import eq
from typing import overload

from dnsd.compiled import require
from dnsd.model.octet_column import Numbers, OctetColumn, count_alike
from dnsd.model.record_parts import RecordParts
from dnsd.model.records import UNWRITTEN, Identity, Record, Traits
from dnsd.model.repeats import find_repeats
from dnsd.model.runs import ItemRun, Runs, values_between, without_unused

try:
    require("dnsd.model._columns")
    from dnsd.model._columns import chosen, group, outside, together
except ImportError:  # no compiler was found
    from dnsd.model.plain_columns import chosen, group, outside, together

NO_INDEX = 2**32 - 1
HASH_KEY = secrets.token_bytes(16)  # of tables of names: tenants do not know it, so they cannot make names collide
FEW = 64  # records for which a column of their own would need more memory than objects
FEW_NAMES = 8  # that are each searched for by themselves
MANY_CHANGED = 4096  # records, with which finding the names that changed costs more
RUN_COST = 8  # records copied in the time for one that goes by itself
MANY_GROUPED = 100_000  # records, with which finding all names with several again costs less


class Records(Sequence[Record]):
    """The records of a zone, in order; immutable."""

    __slots__ = (
        "_most",
        "_parts",
        "_repeats",
        "_types",
        "distinct",
        "grouped",
        "identities",
        "owners",
        "rdatas",
        "traits",
    )

    def __init__(
        self,
        owners: OctetColumn,
        rdatas: OctetColumn,
        traits: Numbers,
        distinct: tuple[Traits, ...],
        grouped: Numbers,
        most: int | None,
        identities: Mapping[int, Identity],
        repeats: Mapping[int, int] | None = None,
    ) -> None:
        self.owners = owners
        self.rdatas = rdatas
        self.traits = traits  # for each record the index of its traits in `distinct`
        self.distinct = distinct
        self.grouped = grouped  # indexes of records that share their owner name with others, in order within a name
        self.identities = identities  # by index, for records with an identity in their file
        self._most = most  # records of one name; None: not counted yet
        self._repeats = repeats  # None: not found yet
        self._parts: RecordParts | None = None
        self._types: frozenset[int] | None = None

    @classmethod
    def of(cls, records: Iterable[Record]) -> Records:
        """Store `records` in columns; a `Records` is returned unchanged."""
        if isinstance(records, Records):
            return records
        columns = Columns()
        for record in records:
            columns.add(record)
        return columns.records()

    def __len__(self) -> int:
        return len(self.owners)

    @overload
    def __getitem__(self, index: int) -> Record: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Record, ...]: ...
    def __getitem__(self, index: int | slice) -> Record | tuple[Record, ...]:
        if isinstance(index, slice):
            return tuple(self[number] for number in range(*index.indices(len(self))))
        rtype, ttl, proxied, settings, comment, tags = self.distinct[self.traits[index]]
        identity = self.identities.get(index % len(self), UNWRITTEN)
        return Record(self.owners[index], rtype, ttl, self.rdatas[index], proxied, settings, comment, tags, identity)

    def __iter__(self) -> Iterator[Record]:
        rows = zip(count(), self.owners, self.rdatas, self.traits, strict=False)
        for index, owner, rdata, number in rows:
            rtype, ttl, proxied, settings, comment, tags = self.distinct[number]
            identity = self.identities.get(index, UNWRITTEN)
            yield Record(owner, rtype, ttl, rdata, proxied, settings, comment, tags, identity)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Records):
            return NotImplemented
        is_same_data = self.owners == other.owners and self.rdatas == other.rdatas and self.has_traits_of(other)
        return is_same_data and self.identities == other.identities

    def __hash__(self) -> int:
        return hash((self.owners, self.rdatas))

    def has_traits_of(self, other: Records) -> bool:
        """Whether the records of others, of which there are as many, have the same traits in the same order."""
        if self.distinct == other.distinct:
            return self.traits == other.traits
        return all(
            self.distinct[mine] == other.distinct[theirs]
            for mine, theirs in zip(self.traits, other.traits, strict=True)
        )

    @property
    def parts(self) -> RecordParts:
        """The same records in parts, each with what has been found out about it."""
        if self._parts is None:
            self._parts = RecordParts.of(len(self))
        return self._parts

    @property
    def has_parts(self) -> bool:
        """Whether a question about parts has been asked."""
        return self._parts is not None

    def take_parts(self, parts: RecordParts) -> None:
        """Set the parts: those of the records before an edit, where it left them alone."""
        self._parts = parts

    def rtype(self, index: int) -> int:
        """The type of the record at `index`."""
        return self.distinct[self.traits[index]].rtype

    @property
    def types(self) -> frozenset[int]:
        """The types of all records."""
        if self._types is None:
            self._types = frozenset([traits.rtype for traits in self.distinct])
        return self._types

    def owners_and_types(self) -> Iterator[tuple[bytes, int]]:
        """The owner name and type of each record."""
        types = [traits.rtype for traits in self.distinct]
        return zip(self.owners, map(types.__getitem__, self.traits), strict=True)

    def has_names_of(self, other: Records) -> bool:
        """Whether both have the same owner names and types, in the same order."""
        if self is other:
            return True
        if self.owners != other.owners:
            return False
        is_same = self.traits == other.traits and self.distinct == other.distinct  # the quick way for most
        return is_same or all(map(eq, self.owners_and_types(), other.owners_and_types()))

    def indexes_of(self, owners: Set[bytes]) -> dict[bytes, list[int]]:
        """The indexes of the records of these names, by name."""
        if len(owners) <= FEW_NAMES:
            return {owner: [*places] for owner in owners if (places := self.owners.places(owner))}
        found: dict[bytes, list[int]] = {}
        for index in compress(count(), map(owners.__contains__, self.owners)):
            found.setdefault(self.owners[index], []).append(index)
        return found

    def followed_by(self, records: Iterable[Record]) -> Records:
        """These records followed by `records`, which should be few."""
        more = Records.of(records)
        if not self or not more:
            return self or more
        return self.spliced(len(self), len(self), len(self), more)

    def spliced(self, start: int, stop: int, end: int, new: Records) -> Records:
        """The records up to `end`, with those from `start` to `stop` replaced by new ones."""
        return self.replaced((ItemRun(start, stop, 0, len(new)), ItemRun(end, len(self), len(new), len(new))), new)

    def without(self, indexes: Collection[int]) -> Records:
        """The records except those at `indexes`."""
        gone = {*indexes}
        if RUN_COST * len(gone) > len(self):
            return Records.of(record for index, record in enumerate(self) if index not in gone)
        runs = [ItemRun(index, index + 1, 0, 0) for index in sorted(gone) if index < len(self)]
        return self.replaced(runs, Records.of(()))

    def replaced(self, runs: Iterable[ItemRun], new: Records) -> Records:
        """The records after runs of new ones took the place of runs of them; these records if nothing changes."""
        known = {traits: number for number, traits in enumerate(self.distinct)}
        mine = [known.setdefault(traits, len(known)) for traits in new.distinct]
        numbers = array("I", map(mine.__getitem__, new.traits))
        short = [self._without_alike(run, new, numbers) for run in runs]
        there = Runs([run for run in short if run.start < run.stop or run.first < run.last], len(self))
        if not there.runs:
            return self
        owners, rdatas = there.octets(self.owners, new.owners), there.octets(self.rdatas, new.rdatas)
        identities = there.by_index(self.identities, new.identities)
        lost = there.gone(self.traits).union(range(len(self.distinct), len(known))) - there.put(numbers)
        traits, distinct = without_unused(there.numbers(self.traits, numbers), tuple(known), lost)
        return Records(owners, rdatas, traits, distinct, *self._grouped_again(owners, there, new), identities)

    def _without_alike(self, run: ItemRun, new: Records, numbers: Numbers) -> ItemRun:
        """A run without the records at its begin and at its end that are there already."""
        start, stop, first, last = run

        def are_alike(at: int, place: int, size: int) -> bool:
            end, after = at + size, place + size
            return (
                self.traits[at:end] == numbers[place:after]
                and self.rdatas.is_same(at, end, new.rdatas, place)
                and self.owners.is_same(at, end, new.owners, place)
                and values_between(self.identities, at, end) == values_between(new.identities, place, after)
            )

        most = min(stop - start, last - first)
        begin = count_alike(most, lambda low, high: are_alike(start + low, first + low, high - low))
        end = count_alike(most - begin, lambda low, high: are_alike(stop - high, last - high, high - low))
        return ItemRun(start + begin, stop - end, first + begin, last - end)

    def _grouped_again(self, owners: OctetColumn, there: Runs, new: Records) -> tuple[Numbers, int | None]:
        """The indexes of records that share their owner name, after runs of new ones took their places.

        Also the largest number of records of one name, if it is known.
        """
        runs = [run for run in there.runs if not self._has_owners(run, new)]
        if not runs:
            return self.grouped, self._most
        others = Runs(runs, len(self))
        if others.count > MANY_CHANGED or len(self.grouped) > MANY_GROUPED:
            return _grouped(owners)
        changed = others.gone(self.owners) | others.put(new.owners)
        if len(changed) > FEW_NAMES:
            return _grouped(owners)
        names = zip(self.grouped, self.owners.at(self.grouped), strict=True)
        found = [there.moved(index) for index, owner in names if owner not in changed]
        for owner in changed:
            if len(places := owners.places(owner)) > 1:
                found += places
        return array("I", sorted(found)), None

    def _has_owners(self, run: ItemRun, new: Records) -> bool:
        """Whether a run leaves the owner names as they are."""
        start, stop, first, last = run
        return stop - start == last - first and self.owners.is_same(start, stop, new.owners, first)

    def at(self, name: bytes) -> list[Record]:
        """The records with the owner name `name`."""
        return [self[index] for index in self.owners.places(name)]

    def of_types(self, types: Collection[int]) -> array[int]:
        """The indexes of the records of these types."""
        if self.types.isdisjoint(types):
            return array("I")
        return self.of_traits(bytes([traits.rtype in types for traits in self.distinct]))

    def of_traits(self, wanted: bytes) -> array[int]:
        """The indexes of the records whose traits, of all `distinct` ones, have an octet that is not 0."""
        return array("I", chosen(self.traits, wanted))

    @property
    def most_of_a_name(self) -> int:
        """The largest number of records of one name."""
        if self._most is None:
            self._most = max(self.shared().values(), default=1)
        return self._most

    def repeats(self) -> Mapping[int, int]:
        """For each record that repeats an earlier one, with any TTL, the index of the first (RFC 2181 §5)."""
        if self._repeats is None:
            self._repeats = dict(find_repeats(self, HASH_KEY))
        return self._repeats

    def of_names(self, names: Collection[bytes]) -> Iterator[int]:
        """The indexes of the records of those of these names that own several."""
        if not names:
            return iter(())
        return compress(self.grouped, map(names.__contains__, self.owners.at(self.grouped)))

    def shared(self) -> Mapping[bytes, int]:
        """For each name that owns several records, their number."""
        return Counter(self.owners.at(self.grouped))

    def outside(self, name: bytes, most: int) -> Sequence[int]:
        """The indexes of records with owners that are neither `name` nor below it, the first `most` of them."""
        return array("I", outside(self.owners.octets, self.owners.ends, name, most))

    def together(self, indexes: Numbers) -> tuple[memoryview, memoryview]:
        """These indexes of records name by name, and where each name's end; names in the order of their first ones."""
        order, ends = together(self.owners.octets, self.owners.ends, indexes, HASH_KEY)
        return memoryview(order).cast("I"), memoryview(ends).cast("I")


class Columns:
    """The columns of a `Records` under construction.

    A bulk reader may fill the lists itself, and calls `pack` now and then: a million objects, freed later, would leave
    memory that is no longer used but not given back. Indexes of identities are then counted from the last call.
    """

    def __init__(self, begin: Records | None = None) -> None:
        self.owners: list[bytes] = list(begin.owners) if begin else []
        self.rdatas: list[bytes] = list(begin.rdatas) if begin else []
        self.traits = array("I", bytes(begin.traits) if begin else b"")
        self.identities = dict(begin.identities) if begin else {}
        self._distinct = {traits: index for index, traits in enumerate(begin.distinct)} if begin else {}
        self._packed: list[tuple[OctetColumn, OctetColumn]] = []  # owners and data
        self._identities: dict[int, Identity] = {}  # of the records packed already

    def add(self, record: Record) -> None:
        """Append a record."""
        if record.identity is not UNWRITTEN and record.identity != UNWRITTEN:
            self.identities[len(self.owners)] = record.identity
        self.put(record.owner, record.traits, record.rdata)

    def put(self, owner: bytes, traits: Traits, rdata: bytes) -> None:
        """Append a record without an identity."""
        self.owners.append(owner)
        self.rdatas.append(rdata)
        self.traits.append(self.index_of(traits))

    def extend(self, owners: OctetColumn, rdatas: OctetColumn, traits: bytes, identities: dict[int, Identity]) -> None:
        """Append records that stand in columns; `traits` are indexes, 4 octets each, and identities are by index."""
        if len(owners) < FEW:
            first, kept = len(self.owners), self.identities
            self.owners += owners[:]
            self.rdatas += rdatas[:]
        else:
            self.pack()
            first, kept = len(self.traits), self._identities
            self._packed.append((owners, rdatas))
        kept.update((first + index, one) for index, one in identities.items())
        self.traits.frombytes(traits)

    @property
    def count(self) -> int:
        """The number of records appended."""
        return len(self.traits)

    def has(self, owner: bytes) -> bool:
        """Whether a record of this name was appended."""
        return owner in self.owners or any(owner in owners for owners, _ in self._packed)

    def index_of(self, traits: Traits) -> int:
        """The index of `traits`, for the column of traits."""
        return self._distinct.setdefault(traits, len(self._distinct))

    def pack(self, *, at_least: int = 1) -> None:
        """Empty the lists, if they have so many records: from now on, these are kept as octets."""
        if len(self.owners) < at_least:
            return
        if self.identities:
            first = len(self.traits) - len(self.owners)
            self._identities.update((first + index, one) for index, one in self.identities.items())
        self._packed.append((OctetColumn.of(self.owners), OctetColumn.of(self.rdatas)))
        for column in (self.owners, self.rdatas, self.identities):
            column.clear()

    def records(self) -> Records:
        """The finished `Records`; the columns here are empty then."""
        self.pack()
        if len(self._packed) == 1:  # as in small zones
            owners, rdatas = self._packed[0]
        else:
            owners, rdatas = (OctetColumn.joined([(one[n], 0, len(one[n])) for one in self._packed]) for n in (0, 1))
        traits, distinct, identities = self.traits, tuple(self._distinct), self._identities
        self.traits, self._distinct, self._packed, self._identities = array("I"), {}, [], {}
        return Records(owners, rdatas, traits, distinct, *_grouped(owners), identities)


def _grouped(owners: OctetColumn) -> tuple[Numbers, int]:
    """The indexes of records that share their owner name, and the largest number of records of one name."""
    grouped, most = group(owners.octets, owners.ends, HASH_KEY)
    return array("I", grouped), most
