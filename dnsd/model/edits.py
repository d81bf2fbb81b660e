"""Edits of a zone's records: removals, replacements and additions, and their application."""

from __future__ import annotations

from array import array
from bisect import bisect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import compress

from dnsd.model.columns import NO_INDEX, Columns, Records
from dnsd.model.records import UNWRITTEN, Identity, Record


@dataclass(frozen=True, slots=True)
class RecordEdit:
    """Changes to records, by index; no index is in both `removed` and `replaced`."""

    removed: frozenset[int] = frozenset()
    replaced: Mapping[int, Record] = field(default_factory=dict)
    added: tuple[Record, ...] = ()


def apply_edit(records: Records, edit: RecordEdit) -> Records:
    """The records after an edit: the remaining ones in their order, then the added ones."""
    columns = Columns(records)
    for index, record in edit.replaced.items():
        columns.owners[index], columns.rdatas[index] = record.owner, record.rdata
        columns.traits[index] = columns.index_of(record.traits)
        columns.identities[index] = record.identity
    if edit.removed:
        _remove(columns, edit.removed)
    columns.identities = {index: one for index, one in columns.identities.items() if one != UNWRITTEN}
    for record in edit.added:
        columns.add(record)
    return columns.records()


def is_edited(before: Records, edit: RecordEdit, after: Records) -> bool:
    """Whether `after` are the records `before` with an edit, as a comparison with the result of `apply_edit` says."""
    if len(after) != len(before) - len(edit.removed) + len(edit.added):
        return False
    known = {traits: number for number, traits in enumerate(after.distinct)}
    numbers = [known.get(traits, NO_INDEX) for traits in before.distinct]  # before -> after
    start = removed = 0
    for index in (*sorted((*edit.removed, *edit.replaced)), len(before)):
        if not _is_same_run(before, after, start, index, removed, numbers):
            return False
        if index in edit.replaced and after[index - removed] != edit.replaced[index]:
            return False
        removed += index in edit.removed
        start = index + 1
    if after[len(before) - removed :] != edit.added:
        return False
    touched = edit.removed.union(edit.replaced)
    kept = {index: one for index, one in before.identities.items() if index not in touched and one != UNWRITTEN}
    new = {*(index - bisect(sorted(edit.removed), index) for index in edit.replaced)}
    new.update(range(len(before) - removed, len(after)))
    found = {index: one for index, one in after.identities.items() if index not in new and one != UNWRITTEN}
    return _renumbered(kept, edit.removed) == found


def _is_same_run(before: Records, after: Records, start: int, stop: int, removed: int, numbers: Sequence[int]) -> bool:
    """Whether records in a row are the same after the removal of `removed` earlier ones, apart from identities."""
    first, last = start - removed, stop - removed
    if not before.owners.is_same(start, stop, after.owners, first):
        return False
    if not before.rdatas.is_same(start, stop, after.rdatas, first):
        return False
    traits = before.traits[start:stop]
    if any(number != place for place, number in enumerate(numbers)):
        traits = array("I", map(numbers.__getitem__, traits))
    return traits == after.traits[first:last]


def keep_parts(before: Records, after: Records, edit: RecordEdit, written: int) -> None:
    """Keep what is known about the records that an edit left alone. `written` of those before stood in the file."""
    if before.has_parts:
        after.take_parts(before.parts.after(edit.removed, edit.replaced, written, len(after)))


def _remove(columns: Columns, indexes: frozenset[int]) -> None:
    is_left = [index not in indexes for index in range(len(columns.owners))]
    columns.owners = list(compress(columns.owners, is_left))
    columns.rdatas = list(compress(columns.rdatas, is_left))
    columns.traits = array("I", compress(columns.traits, is_left))
    columns.identities = _renumbered(columns.identities, indexes)


def _renumbered(identities: Mapping[int, Identity], removed: frozenset[int]) -> dict[int, Identity]:
    """The identities of the remaining records, by their new indexes."""
    before = sorted(removed)
    return {index - bisect(before, index): one for index, one in identities.items() if index not in removed}
