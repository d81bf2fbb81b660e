"""What a start finds in the state folder: the snapshot served before, and the zones kept with it."""

from __future__ import annotations

from dataclasses import replace

from dnsd.app import Loaded
from dnsd.control.code_digest import code_digest
from dnsd.control.current import Current
from dnsd.control.guarded import snapshot_of
from dnsd.control.model_keeper import ModelKeeper
from dnsd.control.publish import Publisher
from dnsd.control.zones_of_model import ZonesOfModel
from dnsd.engine.snapshot import Snapshot
from dnsd.errors import shown
from dnsd.log import Log
from dnsd.process.garbage import garbage_paused
from dnsd.process.model_file import ModelTitle, load_model, model_of
from dnsd.process.snapshot_file import DamagedSnapshotError
from dnsd.process.snapshot_log import SavedSnapshot
from dnsd.store.directory import Files
from dnsd.store.kept_file import move_aside
from dnsd.store.kept_zones import NOTHING_KEPT, KeptZones
from dnsd.store.port import Store


class SavedStart:
    """The snapshot file and the model file, as a start finds them; both are let go once it has used them, or cannot."""

    def __init__(self, store: Store, current: Current, publisher: Publisher, keeper: ModelKeeper, log: Log) -> None:
        self._kept: ZonesOfModel | None = None
        self._saved: SavedSnapshot | None = None
        self._noted: Files | None = None
        self._store = store
        self._current = current
        self._publisher = publisher
        self._keeper = keeper
        self._log = log

    def open(self) -> None:
        """Look for the files. Blocks."""
        self._saved = self._current.open_snapshot()
        self._kept = self._zones_of(self._saved) if self._saved else None

    @property
    def zones(self) -> KeptZones:
        """The zones kept with the snapshot file."""
        return self._kept or NOTHING_KEPT

    def _zones_of(self, saved: SavedSnapshot) -> ZonesOfModel | None:
        """The zones kept with a snapshot file; None without any, or if they are of no use to this version."""
        file = model_of(self._current.snapshot_file)
        try:
            model = load_model(file, ModelTitle(saved.name.hex(), code_digest()))
            return ZonesOfModel(saved.base, model) if model else None
        except DamagedSnapshotError as error:
            self._log.error(f"{error}; {move_aside(file)}")
        except ValueError as error:
            self._log.info(f"{error}: the zones' files are read")
        return None

    def take_over(self, loaded: Loaded) -> None:
        """Go on with the files as they are, if they have all that the start has loaded."""
        kept, self._kept = self._kept, None
        if kept is None or self._saved is None:
            return
        self._noted = kept.noted
        if kept.damaged:
            file = shown(model_of(self._current.snapshot_file))
            self._log.error(f"{file} is damaged: {kept.damaged}; the zones' files are read")
        if kept.has_all(loaded):
            self._publisher.resume(kept.base, self._saved.name)
        self._keeper.begin(kept, loaded.stored.objects.zones)

    async def keep_times(self, loaded: Loaded) -> None:
        """Have the store keep the serials of files that changed while the server was down, as a reload does.

        Without the files as they were, the serials are the times on the disk.
        """
        if self._noted:
            await self._store.keep_times(loaded.files, self._noted)

    def let_go(self) -> None:
        """Let go of the zones, whether or not they were used."""
        self._kept = self._noted = None

    @garbage_paused()
    def snapshot(self) -> Snapshot | None:
        """The snapshot in the file, to be served again; None if it is unusable. Blocks for a long time.

        The file stays, and its model with it: the start after this one has them.
        """
        saved = self._saved
        snapshot = snapshot_of(saved.steps()) if saved else None
        if saved and snapshot:
            self._publisher.resume(saved.base, saved.name)
        return snapshot

    def before(self, loaded: Loaded | None) -> Snapshot | None:
        """The snapshot served before the start, once; with its zones, if it has the names of the loaded data. Blocks.

        Then only other addresses can move a name, and no name is looked at. Without loaded data, it is served again.
        """
        saved, self._saved = self._saved, None
        before = snapshot_of(saved.steps()) if saved and loaded else None
        if before is None or loaded is None:
            return None
        names, now = before.names, loaded.snapshot.names
        is_same = names.table.has_same_entries(now.table) and [*map(id, names.zones)] == [*map(id, now.zones)]
        return replace(before, zones=loaded.snapshot.zones) if is_same else before
