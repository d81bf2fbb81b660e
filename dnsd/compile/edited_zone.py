"""A zone of which a few records have changed: the rows of the names that changed, without packing the others again."""

from __future__ import annotations

from collections.abc import Iterable, Set
from itertools import compress, repeat
from typing import NamedTuple

from dnsd.compile.zone import ZonePacker
from dnsd.engine.node import Apex
from dnsd.engine.snapshot import BuiltZone
from dnsd.engine.table import NameRows
from dnsd.model.zones import Status, Zone
from dnsd.wire.rdata import CNAME

MAX_EDITED = 1_000  # records between the first and the last one changed


class PackedEdit(NamedTuple):
    """A zone as control knows it, and the rows of the names that differ from those before."""

    built: BuiltZone
    rows: NameRows


def edited_zone(zone: Zone, apex: Apex, old: BuiltZone) -> PackedEdit | None:
    """A zone as it was packed before, but for a few changes; None if it must be packed again."""
    before, now = old.zone.records, zone.records
    if Status.INITIALIZING in (zone.status, old.zone.status) or zone.settings != old.zone.settings:
        return None
    new, gone = now.changed_since(before)
    if max(len(new), len(gone)) > MAX_EDITED:
        return None
    names = {*(before.owners[index] for index in gone), *(now.owners[index] for index in new)}
    packer = ZonePacker(zone, old.number, applies_maps=old.applies_maps)
    packed_before = ZonePacker(old.zone, old.number, applies_maps=old.applies_maps)
    if not _is_apart(packer, packed_before) or _covers_many(packer.cuts ^ packed_before.cuts, now.owners):
        return None
    indexes = now.indexes_of(names)
    rows = {name: packer.row(name, indexes[name]) if name in indexes else None for name in names}
    is_kept = [name not in names for name in old.proxied_names]
    packer.proxied_names[:0] = compress(old.proxied_names, is_kept)
    packer.rules[:0] = bytes(compress(old.rules, is_kept))
    return PackedEdit(packer.built(apex), rows)


def _covers_many(cuts: Set[bytes], owners: Iterable[bytes]) -> bool:
    """Whether many names lie below delegations that come or go: then packing the zone again costs less."""
    return bool(cuts) and sum(map(bytes.endswith, owners, repeat(tuple(cuts)))) > MAX_EDITED


def _is_apart(packer: ZonePacker, before: ZonePacker) -> bool:
    """Whether each row follows from the records of its name alone, and each alias from its record."""
    hides = any(treatment.is_hidden for treatment in packer.treatments)
    if hides and (packer.cuts or before.cuts):
        return False
    records = packer.records
    aliases = {index for index in records.of_types({CNAME}) if not packer.is_hidden(index)} if hides else set()
    return aliases.isdisjoint(records.grouped) if aliases else True
