"""The records of one zone in columns: a million of them take some 20 octets each beside their names and data, which are
shared with whoever holds the same. They are made into records as they are asked for.
"""

from __future__ import annotations

from array import array
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import compress, count
from typing import overload

from dnsd.model.records import UNWRITTEN, Identity, Record, Traits

NONE = 2**32 - 1  # in place of an index
BLOCK = 1000  # names that are compared at once


class Records(Sequence[Record]):
    """The records of a zone, in their order; never changed once they are made."""

    __slots__ = ("crowded", "distinct", "identities", "owners", "rdatas", "traits")

    def __init__(
        self,
        owners: tuple[bytes, ...],
        rdatas: tuple[bytes, ...],
        traits: array[int],
        distinct: tuple[Traits, ...],
        crowded: array[int],
        identities: Mapping[int, Identity],
    ) -> None:
        self.owners = owners  # each name one object, however often it stands there
        self.rdatas = rdatas
        self.traits = traits  # of each record the index of its traits in `distinct`
        self.distinct = distinct
        self.crowded = crowded  # indexes of the records whose name owns others, too; those of one name in their order
        self.identities = identities  # by index, where the record has one that is written down

    @classmethod
    def of(cls, records: Iterable[Record]) -> Records:
        """These records in columns."""
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

    def rtype(self, index: int) -> int:
        """The type of one record."""
        return self.distinct[self.traits[index]].rtype

    def owners_and_types(self) -> Iterator[tuple[bytes, int]]:
        """The owner and the type of each record."""
        types = [traits.rtype for traits in self.distinct]
        return zip(self.owners, map(types.__getitem__, self.traits), strict=True)

    def followed_by(self, records: Iterable[Record]) -> Records:
        """These records, and then those, which are few."""
        columns, crowded = Columns(self), self.crowded[:]
        for index, record in enumerate(records, len(self)):
            if record.owner in columns.owners:
                first = columns.owners.index(record.owner)
                if first not in crowded:
                    crowded.append(first)
                crowded.append(index)
                record = replace(record, owner=columns.owners[first])
            columns.add(record)
        return columns.finished(crowded)

    def without(self, indexes: Collection[int]) -> Records:
        """All but those."""
        columns = Columns()
        for index, record in enumerate(self):
            if index not in indexes:
                columns.add(record)
        return columns.records()

    def at(self, name: bytes) -> list[Record]:
        """The records of one name."""
        found, start = [], 0
        for _ in range(self.owners.count(name)):
            start = self.owners.index(name, start) + 1
            found.append(self[start - 1])
        return found

    def of_types(self, types: Collection[int]) -> list[int]:
        """The indexes of the records of these types."""
        is_wanted = [traits.rtype in types for traits in self.distinct]
        return list(compress(count(), map(is_wanted.__getitem__, self.traits))) if any(is_wanted) else []

    def crowds(self) -> Iterator[list[int]]:
        """Of each name that owns several records, the indexes of these."""
        # Each record knows the one before it at its name: a list for each of a million names would take far more.
        before, last = array("I"), dict[bytes, int]()
        for place, index in enumerate(self.crowded):
            owner = self.owners[index]
            before.append(last.get(owner, NONE))
            last[owner] = place
        for place in last.values():
            crowd = []
            while place != NONE:
                crowd.append(self.crowded[place])
                place = before[place]
            crowd.reverse()
            yield crowd


class Columns:
    """Records being collected: owners, data and traits, in lists that a reader of many may fill itself."""

    def __init__(self, begin: Records | None = None) -> None:
        self.owners: list[bytes] = list(begin.owners) if begin else []
        self.rdatas: list[bytes] = list(begin.rdatas) if begin else []
        self.traits = begin.traits[:] if begin else array("I")
        self.identities = dict(begin.identities) if begin else {}
        self._distinct = {traits: index for index, traits in enumerate(begin.distinct)} if begin else {}

    def add(self, record: Record) -> None:
        """One more record."""
        if record.identity is not UNWRITTEN and record.identity != UNWRITTEN:
            self.identities[len(self.owners)] = record.identity
        self.owners.append(record.owner)
        self.rdatas.append(record.rdata)
        self.traits.append(self.index_of(record.traits))

    def index_of(self, traits: Traits) -> int:
        """What stands for these traits in the column."""
        return self._distinct.setdefault(traits, len(self._distinct))

    def records(self) -> Records:
        """All of them."""
        owners, first = self.owners, list(dict.fromkeys(self.owners))
        repeated = {owners[index] for index in _repeats(owners, first)}
        crowded = array("I")
        if repeated:
            crowded.extend(compress(count(), map(repeated.__contains__, owners)))
            one: dict[bytes, bytes] = {}
            for index in crowded:
                owners[index] = one.setdefault(owners[index], owners[index])
        return self.finished(crowded)

    def finished(self, crowded: array[int]) -> Records:
        """All of them; of the `crowded`, those of one name have it as the same object."""
        return Records(
            tuple(self.owners), tuple(self.rdatas), self.traits, tuple(self._distinct), crowded, self.identities
        )


def _repeats(owners: list[bytes], first: list[bytes]) -> Iterator[int]:
    """The indexes of owners that stand before already; `first` is each of them once, in the same order."""
    index = at = 0
    while at < len(first):
        if owners[index : index + BLOCK] == first[at : at + BLOCK]:  # a million names have hardly any repeated
            index, at = index + BLOCK, at + BLOCK
            continue
        for owner in owners[index : index + BLOCK]:
            if at < len(first) and owner is first[at]:
                at += 1
            else:
                yield index
            index += 1
    yield from range(index, len(owners))
