"""Keeps the zones of each snapshot file that is written, so that the next start need not read their texts."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path

from dnsd.control.code_digest import code_digest
from dnsd.control.publish import NewBase, Publisher
from dnsd.control.zones_of_model import ZonesOfModel
from dnsd.engine.entry import Octets
from dnsd.engine.snapshot import BuiltZone
from dnsd.errors import shown
from dnsd.log import Log
from dnsd.process.memory import trim
from dnsd.process.model_file import ModelTitle, SavedModel, ZoneKey, model_of, save_model
from dnsd.process.tasks import in_thread
from dnsd.store.noted_files import noted
from dnsd.store.objects import ReadZone
from dnsd.store.packed_zone import PackedRead, key_of, packed_zone, rest_on

TURN_S, MAX_PAUSE_S = 0.005, 0.1  # of work, and of a pause after it, in which other threads go on


class ModelKeeper:
    """Writes the model file; zones that it has already are copied from it, not packed again."""

    def __init__(self, snapshot_file: Path, publisher: Publisher, log: Log) -> None:
        self._file = model_of(snapshot_file)
        self._publisher = publisher
        self._log = log
        self._model: SavedModel | None = None  # the file as it is
        self._kept: dict[ZoneKey, PackedRead] = {}  # the zones in it

    def begin(self, known: ZonesOfModel, zones: Mapping[str, ReadZone]) -> None:
        """Begin with the model file that a start has found, and the zones that it took from there."""
        self._model = known.model._replace(notes=())
        self._kept = {_key(one.read): one for one in known.taken(zones)}

    async def watch(self) -> None:
        """Write the file each time after a snapshot file was written, forever."""
        while True:
            await self._publisher.has_new_base.wait()
            await self.save_new()

    async def save_new(self) -> None:
        """Write the file if a snapshot file was written since the last time."""
        base, self._publisher.new_base = self._publisher.new_base, None
        self._publisher.has_new_base.clear()
        if base is not None:
            try:
                await in_thread(partial(self.save, base))
            except Exception as error:  # of any kind: without the file, the next start is slower, but no other
                number = error.errno if isinstance(error, OSError) else None
                reason = os.strerror(number) if number else f"{type(error).__name__}: {error}"
                self._log.error(f"{shown(self._file)} cannot be written: {reason}; the next start reads all files")

    def save(self, base: NewBase) -> None:
        """Write the zones of a snapshot file; their columns are those in the file then. Blocks. Raises OSError."""
        zones = [PackedRead(read, _built(read, base)) for read in base.zones if _is_sound(read)]
        pace = _Pace()
        title = ModelTitle(base.name.hex(), code_digest())
        octets = ((_key(one.read), pace.of(self._octets(one))) for one in zones)
        self._model = save_model(self._file, title, octets, noted(one.read.file for one in zones))
        self._kept = {_key(one.read): one for one in zones}
        for key, one in self._kept.items():
            rest_on(one, self._model.zone(key))
        trim()

    def _octets(self, zone: PackedRead) -> Iterable[Octets]:
        """The octets of a zone, as they are in the file if it has the same one."""
        key = _key(zone.read)
        before = self._kept.get(key)
        if self._model and before and before.read.zone is zone.read.zone and before.built is zone.built:
            return (self._model.zone(key),)
        return packed_zone(*zone)


def _key(read: ReadZone) -> ZoneKey:
    return key_of(read.file, read.account_id, read.nameservers)


def _is_sound(read: ReadZone) -> bool:
    return read.zone is not None and all(problem.warning for problem in read.problems)


def _built(read: ReadZone, base: NewBase) -> BuiltZone | None:
    """The zone as it was packed; None if it is not served, as another one has its name."""
    built = base.snapshot.zones.get(read.zone.id) if read.zone else None
    return built if built and (built.zone is read.zone or built.zone == read.zone) else None


class _Pace:
    """Work with a pause after each few milliseconds: it may keep other threads waiting."""

    def __init__(self) -> None:
        self._start = time.monotonic()

    def of(self, pieces: Iterable[Octets]) -> Iterator[Octets]:
        """The pieces, with pauses."""
        for piece in pieces:
            yield piece
            if (used := time.monotonic() - self._start) > TURN_S:
                time.sleep(min(MAX_PAUSE_S, used))
                self._start = time.monotonic()
