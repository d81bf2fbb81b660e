"""A zone of which a few records have changed: the rows of the names that changed, without packing the others again."""

from __future__ import annotations

from collections.abc import Set
from itertools import islice, takewhile
from typing import NamedTuple

from dnsd.compile.zone import ZonePacker
from dnsd.engine.entry import is_within
from dnsd.engine.node import Apex
from dnsd.engine.snapshot import BuiltZone
from dnsd.engine.table import NameRows, Table
from dnsd.model.differences import differences
from dnsd.model.zones import Status, Zone
from dnsd.wire.rdata import CNAME, NS

MAX_EDITED = 4_000  # records that differ


class PackedEdit(NamedTuple):
    """A zone as control knows it, and the rows of the names that differ from those before."""

    built: BuiltZone
    rows: NameRows


def edited_zone(zone: Zone, apex: Apex, old: BuiltZone, table: Table) -> PackedEdit | None:
    """A zone as it was packed before into a table, but for a few changes; None if it must be packed again."""
    before, now = old.zone.records, zone.records
    if not before:  # these are not known
        return None
    if Status.INITIALIZING in (zone.status, old.zone.status) or zone.settings != old.zone.settings:
        return None
    found = differences(now, before, MAX_EDITED)
    if found is None:
        return None
    changed = [(now, index) for new, _ in found for index in new]
    changed += [(before, index) for _, gone in found for index in gone]
    names = {records.owners[index] for records, index in changed}
    servers = {records.owners[index] for records, index in changed if records.rtype(index) == NS}
    packer = ZonePacker(zone, old.number, applies_maps=old.applies_maps)
    if not _is_apart(packer, servers) or _covers_many(table, zone.name, servers):
        return None
    indexes = now.indexes_of(names)
    rows = {name: packer.row(name, indexes[name]) if name in indexes else None for name in names}
    packer.keep_proxied(old, names)
    return PackedEdit(packer.built(apex), rows)


def _covers_many(table: Table, apex: bytes, servers: Set[bytes]) -> bool:
    """Whether many names lie below names whose NS records change: then packing the zone again costs less."""
    left = MAX_EDITED
    for name in servers - {apex}:
        below = takewhile(lambda entry: is_within(entry.name, name), table.walk(apex, name))  # noqa: B023 (used here)
        left -= sum(1 for _ in islice(below, left + 1))
        if left < 0:
            return True
    return False


def _is_apart(packer: ZonePacker, servers: Set[bytes]) -> bool:
    """Whether each row follows from the records of its name alone, and each alias from its record.

    `servers` are the names whose NS records change.
    """
    if not packer.hides:
        return True
    if servers:  # they may hide proxied names below them, and make others addresses of name servers
        return False
    records = packer.records
    aliases = {index for index in records.of_types({CNAME}) if not packer.is_hidden(index)}
    return not aliases or aliases.isdisjoint(records.grouped)
