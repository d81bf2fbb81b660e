"""Edits of a zone's records: removals, replacements and additions, and their application."""

from __future__ import annotations

from array import array
from bisect import bisect
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import compress

from dnsd.model.columns import Columns, Records
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


def keep_parts(before: Records, after: Records, edit: RecordEdit, written: int) -> None:
    """Keep what is known about the records that an edit left alone. `written` of those before stood in the file."""
    if before.has_parts:
        after.take_parts(before.parts.after(edit.removed, edit.replaced, written, len(after)))


def spliced(before: Records, start: int, stop: int, end: int, new: Columns) -> Records:
    """The records of `before` up to `end`, with those from `start` to `stop` replaced by new ones."""
    columns, traits = Columns(before), new.records().distinct
    columns.owners[start:] = [*new.owners, *before.owners[stop:end]]
    columns.rdatas[start:] = [*new.rdatas, *before.rdatas[stop:end]]
    columns.traits[start:] = array("I", [columns.index_of(traits[number]) for number in new.traits])
    columns.traits.extend(before.traits[stop:end])
    more = start + len(new.owners) - stop
    columns.identities = {
        index if index < start else index + more: one
        for index, one in before.identities.items()
        if index < start or stop <= index < end
    }
    columns.identities.update((start + index, one) for index, one in new.identities.items())
    columns.forget_unused()
    return columns.records()


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
