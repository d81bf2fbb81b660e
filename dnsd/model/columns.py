"""The records of one zone, stored in columns: about 20 octets per record if there are a million, plus names and data,
which are shared with other holders of equal octets. `Record` objects are built on access.
"""

from __future__ import annotations

import secrets
from array import array
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import replace
from itertools import compress, count
from operator import eq
from typing import overload

from dnsd.model.record_parts import RecordParts
from dnsd.model.records import UNWRITTEN, Identity, Record, Traits
from dnsd.wire.rdata import canonical_rdata

try:
    from dnsd.model._columns import group, like, outside
except ImportError:  # no compiler was found
    from dnsd.model.plain_columns import group, like, outside

NO_INDEX = 2**32 - 1
KEY_SIZE = 16  # octets


class Records(Sequence[Record]):
    """The records of a zone, in order; immutable."""

    __slots__ = ("_most", "_parts", "_repeats", "distinct", "grouped", "identities", "owners", "rdatas", "traits")

    def __init__(
        self,
        owners: tuple[bytes, ...],
        rdatas: tuple[bytes, ...],
        traits: array[int],
        distinct: tuple[Traits, ...],
        grouped: array[int],
        identities: Mapping[int, Identity],
    ) -> None:
        self.owners = owners  # equal names are the same object
        self.rdatas = rdatas
        self.traits = traits  # for each record the index of its traits in `distinct`
        self.distinct = distinct
        self.grouped = grouped  # indexes of records that share their owner name with others, in order within a name
        self.identities = identities  # by index, for records with an identity in their file
        self._most: int | None = None  # None: not counted yet
        self._repeats: Mapping[int, int] | None = None  # None: not found yet
        self._parts: RecordParts | None = None

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
        return map(self.__getitem__, range(len(self)))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Records):
            return NotImplemented
        is_same_data = self.owners == other.owners and self.rdatas == other.rdatas and self._has_traits_of(other)
        return is_same_data and self.identities == other.identities

    def __hash__(self) -> int:
        return hash((self.owners, self.rdatas))

    def _has_traits_of(self, other: Records) -> bool:
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
        found: dict[bytes, list[int]] = {}
        for index in compress(count(), map(owners.__contains__, self.owners)):
            found.setdefault(self.owners[index], []).append(index)
        return found

    def followed_by(self, records: Iterable[Record]) -> Records:
        """These records followed by `records`, which should be few."""
        more = list(records)
        if not more:
            return self
        columns, grouped = Columns(self), self.grouped[:]
        for index, record in enumerate(more, len(self)):
            if record.owner in columns.owners:
                first = columns.owners.index(record.owner)
                if first not in grouped:
                    grouped.append(first)
                grouped.append(index)
                record = replace(record, owner=columns.owners[first])
            columns.add(record)
        return columns.finished(grouped)

    def without(self, indexes: Collection[int]) -> Records:
        """The records except those at `indexes`."""
        columns = Columns()
        for index, record in enumerate(self):
            if index not in indexes:
                columns.add(record)
        return columns.records()

    def at(self, name: bytes) -> list[Record]:
        """The records with the owner name `name`."""
        found, start = [], 0
        for _ in range(self.owners.count(name)):
            start = self.owners.index(name, start) + 1
            found.append(self[start - 1])
        return found

    def of_types(self, types: Collection[int]) -> list[int]:
        """The indexes of the records of these types."""
        return list(self.each_of_types(types))

    def each_of_types(self, types: Collection[int]) -> Iterator[int]:
        """The same for types of which a zone may have a million records."""
        is_wanted = [traits.rtype in types for traits in self.distinct]
        return compress(count(), map(is_wanted.__getitem__, self.traits)) if any(is_wanted) else iter(())

    @property
    def most_of_a_name(self) -> int:
        """The largest number of records of one name."""
        if self._most is None:
            self._most = max(self.shared().values(), default=1)
        return self._most

    def repeats(self) -> Mapping[int, int]:
        """For each record that repeats an earlier one, with any TTL, the index of the first (RFC 2181 §5)."""
        if self._repeats is None:
            self._repeats = dict(self._find_repeats())
        return self._repeats

    def _find_repeats(self) -> Iterator[tuple[int, int]]:
        # Records that repeat each other differ in the case of letters at most. Few zones have two like that.
        suspects = array("I", like(self.owners, self.rdatas, self.grouped, secrets.token_bytes(KEY_SIZE)))
        first: dict[tuple[bytes, int, bytes], int] = {}
        for index in self.of_names({self.owners[index] for index in suspects}):
            rtype = self.rtype(index)
            key = self.owners[index], rtype, canonical_rdata(rtype, self.rdatas[index])
            if first.setdefault(key, index) != index:
                yield index, first[key]

    def of_names(self, names: Collection[bytes]) -> Iterator[int]:
        """The indexes of the records of those of these names that own several."""
        named = map(self.owners.__getitem__, self.grouped)
        return compress(self.grouped, map(names.__contains__, named)) if names else iter(())

    def shared(self) -> Mapping[bytes, int]:
        """For each name that owns several records, their number."""
        return Counter(map(self.owners.__getitem__, self.grouped))

    def outside(self, name: bytes, most: int) -> Sequence[int]:
        """The indexes of records with owners that are neither `name` nor below it, the first `most` of them."""
        return array("I", outside(self.owners, name, most))

    def groups(self) -> Iterator[list[int]]:
        """For each name that owns several records, the indexes of its records."""
        # Each record links to the previous one of its name: a list for each of a million names needs far more memory.
        before, last = array("I"), dict[bytes, int]()
        for place, index in enumerate(self.grouped):
            owner = self.owners[index]
            before.append(last.get(owner, NO_INDEX))
            last[owner] = place
        for place in last.values():
            group = []
            while place != NO_INDEX:
                group.append(self.grouped[place])
                place = before[place]
            group.reverse()
            yield group


class Columns:
    """The columns of a `Records` under construction; a bulk reader may fill the lists itself."""

    def __init__(self, begin: Records | None = None) -> None:
        self.owners: list[bytes] = list(begin.owners) if begin else []
        self.rdatas: list[bytes] = list(begin.rdatas) if begin else []
        self.traits = begin.traits[:] if begin else array("I")
        self.identities = dict(begin.identities) if begin else {}
        self._distinct = {traits: index for index, traits in enumerate(begin.distinct)} if begin else {}

    def add(self, record: Record) -> None:
        """Append a record."""
        if record.identity is not UNWRITTEN and record.identity != UNWRITTEN:
            self.identities[len(self.owners)] = record.identity
        self.owners.append(record.owner)
        self.rdatas.append(record.rdata)
        self.traits.append(self.index_of(record.traits))

    def index_of(self, traits: Traits) -> int:
        """The index of `traits`, for the column of traits."""
        return self._distinct.setdefault(traits, len(self._distinct))

    def forget_unused(self) -> None:
        """Drop traits that no record has any more."""
        used = set(self.traits)
        if len(used) < len(self._distinct):
            left = [traits for traits, index in self._distinct.items() if index in used]
            new = {self._distinct[traits]: number for number, traits in enumerate(left)}
            self.traits = array("I", map(new.__getitem__, self.traits))
            self._distinct = {traits: number for number, traits in enumerate(left)}

    def records(self) -> Records:
        """The finished `Records`."""
        grouped, most = group(self.owners)
        records = self.finished(array("I", grouped))
        records._most = most
        return records

    def finished(self, grouped: array[int]) -> Records:
        """The finished `Records`; the records at `grouped` indexes must already share one object per name."""
        return Records(
            tuple(self.owners), tuple(self.rdatas), self.traits, tuple(self._distinct), grouped, self.identities
        )
