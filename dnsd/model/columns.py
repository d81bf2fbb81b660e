"""The records of one zone in columns: a million of them take some 20 octets each beside their names and data, which are
shared with whoever holds the same. They are made into records as they are asked for.
"""

from __future__ import annotations

from array import array
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import overload

from dnsd.model.records import Record, Traits

NONE = 2**32 - 1  # in place of an index
BLOCK = 1000  # names that are compared at once


class Records(Sequence[Record]):
    """The records of a zone, in their order; never changed once they are made."""

    __slots__ = ("distinct", "owners", "rdatas", "repeats", "traits")

    def __init__(
        self,
        owners: tuple[bytes, ...],
        rdatas: tuple[bytes, ...],
        traits: array[int],
        distinct: tuple[Traits, ...],
        repeats: array[int],
    ) -> None:
        self.owners = owners  # each name one object, however often it stands there
        self.rdatas = rdatas
        self.traits = traits  # of each record the index of its traits in `distinct`
        self.distinct = distinct
        self.repeats = repeats  # indexes of the records whose name stands before them already

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
        return Record(self.owners[index], rtype, ttl, self.rdatas[index], proxied, settings, comment, tags)

    def __iter__(self) -> Iterator[Record]:
        return map(self.__getitem__, range(len(self)))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Records):
            return NotImplemented
        return self.owners == other.owners and self.rdatas == other.rdatas and self._has_traits_of(other)

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
        columns, repeats = Columns(self), self.repeats[:]
        for index, record in enumerate(records, len(self)):
            if record.owner in columns.owners:
                repeats.append(index)
                record = replace(record, owner=columns.owners[columns.owners.index(record.owner)])
            columns.add(record)
        return columns.finished(repeats)

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
        wanted = {index for index, traits in enumerate(self.distinct) if traits.rtype in types}
        return [index for index, traits in enumerate(self.traits) if traits in wanted] if wanted else []

    def crowds(self) -> Iterator[list[int]]:
        """Of each name that owns several records, the indexes of these."""
        crowded = {self.owners[index] for index in self.repeats}
        # Each record knows the one before it at its name: a list for each of a million names would take far more.
        before, last = array("I", bytes(4 * len(self))) if crowded else array("I"), dict[bytes, int]()
        for index, owner in enumerate(self.owners if crowded else ()):
            if owner in crowded:
                before[index] = last.get(owner, NONE)
                last[owner] = index
        for index in last.values():
            crowd = [index]
            while (index := before[index]) != NONE:
                crowd.append(index)
            crowd.reverse()
            yield crowd


class Columns:
    """Records being collected: owners, data and traits, in lists that a reader of many may fill itself."""

    def __init__(self, begin: Records | None = None) -> None:
        self.owners: list[bytes] = list(begin.owners) if begin else []
        self.rdatas: list[bytes] = list(begin.rdatas) if begin else []
        self.traits = begin.traits[:] if begin else array("I")
        self._distinct = {traits: index for index, traits in enumerate(begin.distinct)} if begin else {}

    def add(self, record: Record) -> None:
        """One more record."""
        self.owners.append(record.owner)
        self.rdatas.append(record.rdata)
        self.traits.append(self.index_of(record.traits))

    def index_of(self, traits: Traits) -> int:
        """What stands for these traits in the column."""
        return self._distinct.setdefault(traits, len(self._distinct))

    def records(self) -> Records:
        """All of them."""
        first = list(dict.fromkeys(self.owners))
        repeats = array("I", _repeats(self.owners, first))
        if repeats:
            repeated = {self.owners[index] for index in repeats}
            one = {owner: owner for owner in first if owner in repeated}
            for index in repeats:
                self.owners[index] = one[self.owners[index]]
        return self.finished(repeats)

    def finished(self, repeats: array[int]) -> Records:
        """All of them; `repeats` are those whose name stands before, the same object."""
        return Records(tuple(self.owners), tuple(self.rdatas), self.traits, tuple(self._distinct), repeats)


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
