"""Publish a snapshot: to the snapshot file or its log, and a delta to every worker; and collect the workers' counts."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import NamedTuple

from dnsd import __version__
from dnsd.control.worker_samples import WorkerSamples
from dnsd.engine.delta import DeltaPart, delta, is_small
from dnsd.engine.snapshot import Snapshot
from dnsd.errors import shown
from dnsd.log import Log
from dnsd.metrics import NO_ZONE, Counts, Key
from dnsd.process.link import MessageKind, packed, read_message
from dnsd.process.shared import Shared, Slot
from dnsd.process.snapshot_file import (
    FILE_NAME,
    BegunTable,
    Title,
    begin_snapshot,
    pickled,
    save_snapshot,
    share_octets,
)
from dnsd.process.snapshot_log import SnapshotLog
from dnsd.process.tasks import in_thread
from dnsd.process.verified import Verified
from dnsd.process.worker_settings import WorkerSettings
from dnsd.questions import slot_at
from dnsd.store.objects import ReadZone
from dnsd.whole_file import remove_new
from dnsd.wire.names import name_text

MAX_UNREAD = 64 * 1024 * 1024  # octets queued for one worker
SAVED_WITHIN_S = 5.0  # for a save; if it takes longer, workers are sent the whole snapshot instead
MAX_PAUSE_S = 0.1
SAVE_AGAIN_S = 30.0  # pause between attempts, as after a full disk
MANY_COUNTS = 300  # counters before those of removed zones and maps are dropped; then twice the number left


@dataclass(slots=True, eq=False)
class WorkerLink:
    """The connection to one worker."""

    index: int
    pid: int
    writer: asyncio.StreamWriter
    serves: int  # revision
    sent: int  # the last revision sent to it
    settings: WorkerSettings | None = None  # the last ones sent to it
    answered: int = 0  # the last request for counts that it answered
    sampled: int = 0  # the last request for its sample that it answered
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)  # held during an update


class NewBase(NamedTuple):
    """A snapshot file that was written: its name, the snapshot, and the zones of which that was built."""

    name: bytes
    snapshot: Snapshot
    zones: Iterable[ReadZone]


class Publisher:
    """Keeps track of the published snapshot, the saved one, and the revision that each worker serves."""

    def __init__(self, shared: Shared, state: Path, log: Log) -> None:
        self.snapshot: Snapshot | None = None
        self.links: dict[int, WorkerLink] = {}
        self.counts = Counts()  # of all workers, since the start
        self.samples = WorkerSamples()  # of questions
        self.save_problem: str | None = None
        self._shared = shared
        self._file = state / FILE_NAME
        self._changes = SnapshotLog(self._file)
        self._log = log
        self._settings: WorkerSettings | None = None
        self._saved: Snapshot | None = None
        self._unsaved: Snapshot | None = None  # could not be saved
        self._previous: Snapshot | None = None
        self._zones: Iterable[ReadZone] | None = None  # of the published snapshot; None: it is that of a file
        self.new_base: NewBase | None = None  # the last snapshot file written, until somebody takes it
        self.has_new_base = asyncio.Event()
        self._news = asyncio.Condition()  # notified when a link changes
        self._asked = 0  # the last request for counts
        self._saving = asyncio.Lock()
        self._begun: BegunTable | None = None  # of a snapshot that may be published soon
        self._many_counts = MANY_COUNTS
        self._packed: tuple[tuple[int, int], bytes] = ((0, 0), b"")  # the last delta: (its base, its revision), octets

    async def publish(
        self, snapshot: Snapshot, settings: WorkerSettings, zones: Iterable[ReadZone] | None = None
    ) -> None:
        """Publish a snapshot, built of `zones` if known, and settings to every worker, now or when it connects."""
        self._previous = self.snapshot.for_workers() if self.snapshot else None
        self.snapshot, self._settings = snapshot, settings
        self._zones = zones
        self._shared.set(self._shared.control, Slot.REVISION, snapshot.revision)
        if len(self.counts) > self._many_counts:
            self._forget_counts(snapshot)
        for link in tuple(self.links.values()):
            await self._bring_up_to_date(link)

    @property
    def verified(self) -> Verified:
        """The note of the snapshot file whose digests need not be verified again."""
        return self._shared.verified

    def resume(self, base: Snapshot, name: bytes) -> None:
        """Take the snapshot in the file with this name as saved: what follows it is appended to its log."""
        self._saved = base
        self._changes.resume(name)

    @property
    def revision(self) -> int:
        """The published revision; 0 before the first."""
        return self.snapshot.revision if self.snapshot else 0

    @property
    def is_behind(self) -> bool:
        """Whether the snapshot file may lack changes confirmed to a client; outlives this process."""
        return bool(self._shared.get(self._shared.control, Slot.IS_BEHIND))

    @is_behind.setter
    def is_behind(self, is_behind: bool) -> None:
        self._shared.set(self._shared.control, Slot.IS_BEHIND, is_behind)

    @property
    def has_good_texts(self) -> bool:
        """Whether the last good texts are those served since the start; outlives this process."""
        return bool(self._shared.get(self._shared.control, Slot.HAS_GOOD_TEXTS))

    @has_good_texts.setter
    def has_good_texts(self, has: bool) -> None:
        self._shared.set(self._shared.control, Slot.HAS_GOOD_TEXTS, has)

    def late(self, revision: int) -> list[str]:
        """The names of workers that do not serve this revision or a later one, or are not connected."""
        served = {index for index, link in self.links.items() if link.serves >= revision}
        return [worker.name for worker in self._shared.workers if worker.index not in served]

    async def wait_until_served(self, revision: int, within_s: float | None = None) -> bool:
        """Return True once every worker serves this revision, False after `within_s`."""
        return await self._wait_for(lambda: not self.late(revision), within_s)

    async def serve_worker(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, hello: bytes) -> None:
        """Keep one worker up to date and add up its counts, for as long as it is connected."""
        worker = json.loads(hello)
        revision = worker["revision"]
        link = WorkerLink(worker["worker"], worker["pid"], writer, serves=revision, sent=revision)
        self.links[link.index] = link
        try:
            if link.sent == self.revision:
                self._tell_settings(link)
            await self._bring_up_to_date(link)
            await self._notify()
            while True:
                kind, payload = await read_message(reader)
                if kind is MessageKind.SERVING:
                    link.serves = json.loads(payload)["revision"]
                elif kind is MessageKind.COUNTED:
                    counted = json.loads(payload)
                    self.counts.merge((tuple(key), value) for key, value in counted["counts"])
                    link.answered = counted["asked"] or link.answered
                elif kind is MessageKind.SAMPLED:
                    self.samples.add(link, payload)
                elif kind is MessageKind.SAMPLE_END:
                    self.samples.end(link, payload)
                await self._notify()
        except (EOFError, OSError):
            pass  # the worker ended; the supervisor starts another
        finally:
            if self.links.get(link.index) is link:
                del self.links[link.index]
            await self._notify()

    async def collect(self, within_s: float) -> None:
        """Collect every worker's counts; workers slower than `within_s` are left out."""
        self._asked += 1
        asked = self._asked
        for link in tuple(self.links.values()):
            link.writer.write(packed(MessageKind.COUNT, {"asked": asked}))
        await self._wait_for(lambda: all(link.answered >= asked for link in self.links.values()), within_s)

    async def collect_samples(self, within_s: float) -> list[str]:
        """Collect every worker's sample; return the names of workers slower than `within_s`, or not connected."""
        asked = self.samples.ask(self.links, slot_at(time.monotonic()))
        late = partial(self.samples.late, self._shared.workers, self.links, asked)
        await self._wait_for(lambda: not late(), within_s)
        return late()

    async def begin_to_save(self, snapshot: Snapshot) -> BegunTable | None:
        """Write the names of a snapshot that may be published soon, if they will need a file of their own.

        Meanwhile the changes of others go on; once it is published, workers wait for little. Not while a save is made:
        the next is late already. To be followed by `forget_begun`.
        """
        if self._saving.locked() or not self._saved or is_small(self._saved, snapshot):
            return None
        async with self._saving:
            self._begun = None
            with suppress(OSError):  # the save itself will tell
                self._begun = await in_thread(partial(begin_snapshot, self._file, snapshot.names.table))
            return self._begun

    async def forget_begun(self, begun: BegunTable | None) -> None:
        """Remove what was written of a snapshot, if nothing was saved with it."""
        async with self._saving:
            if begun and self._begun is begun:
                self._begun = None
                with suppress(OSError):  # the next one takes its place
                    await in_thread(partial(remove_new, self._file))

    async def save(self, *, gently: bool = False) -> None:
        """Save the published snapshot to the file, for starting workers and for a start with unusable files.

        `gently` takes twice as long and leaves half of the time to other threads.
        """
        async with self._saving:
            snapshot, zones = self.snapshot, self._zones
            if snapshot is None or self._saved is snapshot:
                return
            saved_at, names = int(time.time()), len(snapshot.names)
            title = Title(version=__version__, revision=snapshot.revision, saved_at=saved_at, names=names)
            try:
                name = await in_thread(partial(self._save, snapshot, title, gently=gently))
            except OSError as error:
                self._unsaved = snapshot
                self.save_problem = f"{shown(self._file)} cannot be written: {os.strerror(error.errno or 0)}"
                self._log.error(f"{self.save_problem}; a start with unusable files would serve an older revision")
                return
            self._saved, self._unsaved, self.save_problem = snapshot, None, None
            self._packed = ((0, 0), b"")
            if name and zones is not None:
                self.new_base = NewBase(name, snapshot, zones)
                self.has_new_base.set()
            for link in self.links.values() if name else ():
                if link.sent == snapshot.revision:  # its octets are its own, or those of a file that was replaced
                    link.writer.write(packed(MessageKind.LOAD, {"revision": snapshot.revision}))

    def _save(self, snapshot: Snapshot, title: Title, *, gently: bool) -> bytes | None:
        """Append the changes since the last save to the log, or write the file anew and return its name.

        Raises OSError.
        """
        base = self._saved
        if base and is_small(base, snapshot) and self._changes.append(title, b"".join(pickled(delta(base, snapshot)))):
            return None
        parts = delta(None, snapshot)
        begun, self._begun = self._begun, None
        name = save_snapshot(self._file, title, _with_pauses(parts) if gently else parts, begun)
        self._changes.begin(name)
        kept = (snapshot, self._previous, self.snapshot)  # else the file before would stay mapped
        share_octets(self._file, self._shared.verified, *(one.names.table for one in kept if one))
        return name

    async def save_again(self) -> None:
        """Save what is not saved yet every SAVE_AGAIN_S, forever."""
        while True:
            await asyncio.sleep(SAVE_AGAIN_S)
            await self.save()

    def _forget_counts(self, snapshot: Snapshot) -> None:
        """Drop the counters of removed zones and maps, as their number has no bound."""
        zones = {name_text(built.zone.name) for built in snapshot.zones.values()}
        used = (*snapshot.by_zone.values(), *snapshot.by_account.values(), snapshot.default)
        maps = {source.map for addresses in used for source in addresses.sources}

        def is_gone(key: Key) -> bool:
            if key[0] == "dnsd_zone_requests_total":
                return key[1] not in zones and key[1] != NO_ZONE
            return key[0] == "dnsd_edge_answers_total" and key[2] not in maps

        if zones:  # a snapshot from the file lists no zones
            self.counts.forget(is_gone)
            self._many_counts = max(MANY_COUNTS, 2 * len(self.counts))

    async def _bring_up_to_date(self, link: WorkerLink) -> None:
        async with link.lock:
            while self.snapshot and link.sent != self.snapshot.revision:
                snapshot = self.snapshot
                message = await self._update_for(link, snapshot)
                if link.writer.transport.get_write_buffer_size() > MAX_UNREAD:
                    link.writer.close()  # it hangs; once it connects again, it is brought up to date
                    return
                self._tell_settings(link)
                link.writer.write(message)
                link.sent = snapshot.revision

    async def _update_for(self, link: WorkerLink, snapshot: Snapshot) -> bytes:
        """The message that makes a worker serve the snapshot: a small delta, else a load of the file, else all."""
        base = next((one for one in (self._previous, self._saved) if one and one.revision == link.sent), None)
        if base is None or not is_small(base, snapshot):
            base = None
            if link.sent and await self._is_saved(snapshot):  # 0: the worker could not use the file
                return packed(MessageKind.LOAD, {"revision": snapshot.revision})
        return packed(MessageKind.DELTA, await self._delta(base, snapshot))

    async def _is_saved(self, snapshot: Snapshot) -> bool:
        """Save the snapshot, unless that failed before; return whether it is saved. Does not wait for a hung disk."""
        if self._unsaved is not snapshot:
            with suppress(TimeoutError):
                async with asyncio.timeout(SAVED_WITHIN_S):
                    await asyncio.shield(asyncio.ensure_future(self.save()))
        return self._saved is snapshot

    def _tell_settings(self, link: WorkerLink) -> None:
        """Send a worker the settings if they differ from the last ones sent."""
        if self._settings is not None and link.settings != self._settings:
            link.settings = self._settings
            link.writer.write(packed(MessageKind.LIMITS, self._settings.to_json()))

    async def _delta(self, base: Snapshot | None, snapshot: Snapshot) -> bytes:
        """The delta as octets, made once for all workers, in a thread."""
        revisions = (base.revision if base else 0, snapshot.revision)
        if self._packed[0] != revisions:
            self._packed = revisions, await in_thread(partial(b"".join, pickled(delta(base, snapshot))))
        return self._packed[1]

    async def _notify(self) -> None:
        async with self._news:
            self._news.notify_all()

    async def _wait_for(self, condition: Callable[[], bool], within_s: float | None) -> bool:
        async with self._news:
            try:
                async with asyncio.timeout(within_s):
                    await self._news.wait_for(condition)
            except TimeoutError:
                return False
        return True


def _with_pauses(parts: Iterable[DeltaPart]) -> Iterator[DeltaPart]:
    """Yield the parts, and pause after each for as long as its use took: packing a part blocks other threads."""
    for part in parts:
        start = time.monotonic()
        yield part
        time.sleep(min(MAX_PAUSE_S, time.monotonic() - start))
