"""The zones that a start knows already: those in the model file of a snapshot file, where their files are as they were.

A zone is taken over if everything that it depends on is as it was when it was kept; all others are read and packed, as
by a reload. The snapshot to build on is that of the snapshot file alone, without its log: the model belongs to it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from dnsd.app import Loaded
from dnsd.engine.node import Apex
from dnsd.engine.snapshot import BuiltZone, Snapshot
from dnsd.model.columns import Records
from dnsd.model.zones import Status, Zone, ZoneSettings
from dnsd.process.model_file import SavedModel
from dnsd.store.directory import Files, SourceFile
from dnsd.store.noted_files import noted_files
from dnsd.store.objects import ReadZone
from dnsd.store.packed_zone import PackedRead, key_of, unpacked_zone


class ZonesOfModel:
    """The zones in a model file; those that were asked for, and had not changed, are taken over."""

    def __init__(self, base: Snapshot, model: SavedModel) -> None:
        self.base = base
        self.model = model
        self.noted: Files | None = None  # the files that need not be read, once they were asked for
        self.damaged: ValueError | None = None  # of the first zone whose octets cannot be used
        self._taken: dict[str, PackedRead] = {}  # by the key of the file

    def files(self, root: str) -> Files | None:
        """The zones' files, below the folder `root`, that need not be read if their status has not changed."""
        self.noted = noted_files(root, self.model.notes)
        return self.noted

    def read(self, file: SourceFile, account_id: str, nameservers: tuple[str, ...]) -> ReadZone | None:
        """The zone in a file, as it was read before; None if it is not known. Its columns stay in the mapped file."""
        key = key_of(file, account_id, nameservers)
        if key not in self.model.places:
            return None
        try:
            taken = unpacked_zone(self.model.zone(key), file, nameservers, self.base.names.zones)
        except ValueError as error:
            self.damaged = self.damaged or error
            return None
        self._taken[file.key] = taken
        return taken.read

    def taken(self, zones: Mapping[str, ReadZone]) -> Iterator[PackedRead]:
        """Those of a load's zones, by the keys of their files, that were taken over."""
        for key, read in zones.items():
            taken = self._taken.get(key)
            if taken and taken.read.zone is read.zone:
                yield taken

    def has_all(self, loaded: Loaded) -> bool:
        """Whether all zones of a load were taken over, and their names are those of the snapshot file."""
        zones = loaded.stored.objects.zones
        return sum(1 for _ in self.taken(zones)) == len(zones) and loaded.snapshot.names is self.base.names

    def snapshot(self, zones: Mapping[str, ReadZone]) -> Snapshot | None:
        """The snapshot of the file, with those of a load's zones that were taken over; None without any."""
        built = {taken.built.number: taken.built for taken in self.taken(zones) if taken.built}
        if not built:
            return None
        found = {
            apex.zone_id: built.get(number) or _unknown(apex, number)
            for number, apex in enumerate(self.base.names.zones)
            if apex is not None
        }
        return replace(self.base, zones=found)


def _unknown(apex: Apex, number: int) -> BuiltZone:
    """A zone that was packed, but with unknown records: it is packed anew, or removed."""
    nothing = Records.of(())
    zone = Zone("", apex.zone_id, apex.account_id, apex.name, Status.ACTIVE, False, ZoneSettings(), nothing)
    return BuiltZone(zone, False, apex, number)
