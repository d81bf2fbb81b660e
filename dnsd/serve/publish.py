"""Publishing: one snapshot to the file, and what changed in it to every worker; and what workers count in return."""

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

from dnsd import __version__
from dnsd.engine.snapshot import Snapshot
from dnsd.engine.transfer import Part, delta, is_small
from dnsd.log import Log
from dnsd.metrics import NO_ZONE, Counts, Key
from dnsd.serve.link import Kind, packed, read_message
from dnsd.serve.shared import Number, Shared
from dnsd.serve.tasks import in_thread
from dnsd.settings import LiveSettings
from dnsd.store.snapshot_file import FILE_NAME, Title, pickled, save_snapshot, share_octets
from dnsd.wire.names import name_text

MAX_UNREAD = 64 * 1024 * 1024  # octets that wait for one worker
SAVED_WITHIN_S = 5.0  # else workers are sent all of it
MAX_PAUSE_S = 0.1
SAVE_AGAIN_S = 30.0  # after a disk had no room
MANY_COUNTS = 300  # counters: when there are more, and twice as many as there were, those of what is gone are dropped


@dataclass(slots=True, eq=False)
class WorkerLink:
    """The connection to one worker."""

    index: int
    pid: int
    writer: asyncio.StreamWriter
    serves: int  # revision
    sent: int  # revision: what it serves once it has taken in what it was sent
    told: LiveSettings | None = None  # the settings that it was sent last
    asked: int = 0  # the last request for counts that it has answered
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)  # held while it is being brought up to date


class Publisher:
    """Knows what is published, what the file holds, and what each worker serves."""

    def __init__(self, shared: Shared, state: Path, log: Log) -> None:
        self.snapshot: Snapshot | None = None
        self.links: dict[int, WorkerLink] = {}
        self.counts = Counts()  # of all workers, for ever
        self.save_problem: str | None = None
        self._shared = shared
        self._file = state / FILE_NAME
        self._log = log
        self._live = LiveSettings()
        self._saved: Snapshot | None = None
        self._unsaved: Snapshot | None = None  # what could not be saved
        self._previous: Snapshot | None = None
        self._news = asyncio.Condition()  # something about a link has changed
        self._asked = 0
        self._saving = asyncio.Lock()
        self._many_counts = MANY_COUNTS
        self._packed: tuple[tuple[int, int], bytes] = ((0, 0), b"")  # the last delta: its base, its revision

    async def publish(self, snapshot: Snapshot, live: LiveSettings) -> None:
        """Send what is new to every worker, and to those that connect from now on."""
        self._previous, self.snapshot, self._live = self.snapshot, snapshot, live
        self._shared.set(self._shared.control, Number.REVISION, snapshot.revision)
        if len(self.counts) > self._many_counts:
            self._forget_counts(snapshot)
        for link in tuple(self.links.values()):
            await self._bring_up_to_date(link)

    @property
    def revision(self) -> int:
        """What is published; 0 before anything is."""
        return self.snapshot.revision if self.snapshot else 0

    @property
    def is_behind(self) -> bool:
        """Whether the snapshot file may hold less than what somebody was told is done; outlasts this process."""
        return bool(self._shared.get(self._shared.control, Number.IS_BEHIND))

    @is_behind.setter
    def is_behind(self, is_behind: bool) -> None:
        self._shared.set(self._shared.control, Number.IS_BEHIND, is_behind)

    def late(self, revision: int) -> list[str]:
        """The workers that do not serve a revision, or a later one, or are not there."""
        served = {index for index, link in self.links.items() if link.serves >= revision}
        return [worker.name for worker in self._shared.workers if worker.index not in served]

    async def wait_until_served(self, revision: int, within_s: float | None = None) -> bool:
        """Return once every worker serves a revision; False where it takes too long."""
        return await self._wait_for(lambda: not self.late(revision), within_s)

    async def attend(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, hello: bytes) -> None:
        """Keep one worker up to date, and take in what it counts, for as long as it is connected."""
        said = json.loads(hello)
        link = WorkerLink(said["worker"], said["pid"], writer, serves=said["revision"], sent=said["revision"])
        self.links[link.index] = link
        try:
            if link.sent == self.revision:
                self._tell_settings(link)
            await self._bring_up_to_date(link)
            await self._tell()
            while True:
                kind, payload = await read_message(reader)
                if kind is Kind.SERVING:
                    link.serves = json.loads(payload)["revision"]
                elif kind is Kind.COUNTED:
                    counted = json.loads(payload)
                    self.counts.merge((tuple(key), value) for key, value in counted["counts"])
                    link.asked = counted["asked"] or link.asked
                await self._tell()
        except (EOFError, OSError):
            pass  # it has ended; the supervisor starts another
        finally:
            if self.links.get(link.index) is link:
                del self.links[link.index]
            await self._tell()

    async def collect(self, within_s: float) -> None:
        """Have every worker send what it has counted by now; those that take longer than `within_s` are left out."""
        self._asked += 1
        asked = self._asked
        for link in tuple(self.links.values()):
            link.writer.write(packed(Kind.COUNT, {"asked": asked}))
        await self._wait_for(lambda: all(link.asked >= asked for link in self.links.values()), within_s)

    async def save(self, *, gently: bool = False) -> None:
        """Write what is published to the snapshot file, for workers that start and for a start without the source.

        `gently`: in twice the time, and with the other half of it left to whoever else has something to do.
        """
        async with self._saving:
            snapshot = self.snapshot
            if snapshot is None or self._saved is snapshot:
                return
            title = Title(
                version=__version__,
                revision=snapshot.revision,
                saved_at=int(time.time()),
                names=len(snapshot.names),
            )
            try:
                await in_thread(partial(self._save, snapshot, title, gently=gently))
            except OSError as error:
                self._unsaved = snapshot
                self.save_problem = f"{self._file} cannot be written: {os.strerror(error.errno or 0)}"
                self._log.error(f"{self.save_problem}; a start without the source would serve an older revision")
                return
            self._saved, self._unsaved, self.save_problem = snapshot, None, None
            self._packed = ((0, 0), b"")

    def _save(self, snapshot: Snapshot, title: Title, *, gently: bool) -> None:
        parts = delta(None, snapshot)
        save_snapshot(self._file, title, _with_pauses(parts) if gently else parts)
        share_octets(self._file, snapshot.names)

    async def save_again(self) -> None:
        """Try for ever to save what could not be saved."""
        while True:
            await asyncio.sleep(SAVE_AGAIN_S)
            await self.save()

    def _forget_counts(self, snapshot: Snapshot) -> None:
        """Forget what was counted of zones and maps that are gone: ever new ones may come."""
        zones = {name_text(built.zone.name) for built in snapshot.zones.values()}
        used = (*snapshot.by_zone.values(), *snapshot.by_account.values(), snapshot.default)
        maps = {source.map for addresses in used for source in addresses.sources}

        def is_gone(key: Key) -> bool:
            if key[0] == "dnsd_zone_requests_total":
                return key[1] not in zones and key[1] != NO_ZONE
            return key[0] == "dnsd_edge_answers_total" and key[2] not in maps

        if zones:  # else nobody knows: it is what a snapshot file held
            self.counts.forget(is_gone)
            self._many_counts = max(MANY_COUNTS, 2 * len(self.counts))

    async def _bring_up_to_date(self, link: WorkerLink) -> None:
        async with link.lock:
            while self.snapshot and link.sent != self.snapshot.revision:
                snapshot = self.snapshot
                message = await self._change(link, snapshot)
                if link.writer.transport.get_write_buffer_size() > MAX_UNREAD:
                    link.writer.close()  # it hangs: one that comes back is sent what it needs
                    return
                self._tell_settings(link)
                link.writer.write(message)
                link.sent = snapshot.revision

    async def _change(self, link: WorkerLink, snapshot: Snapshot) -> bytes:
        """What makes a worker serve the snapshot: a change, else the file, else all of it."""
        base = next((one for one in (self._previous, self._saved) if one and one.revision == link.sent), None)
        if base is None or not is_small(base, snapshot):
            base = None
            if link.sent and await self._is_saved(snapshot):  # 0: the file was of no use to it
                return packed(Kind.LOAD, {"revision": snapshot.revision})
        return packed(Kind.DELTA, await self._delta(base, snapshot))

    async def _is_saved(self, snapshot: Snapshot) -> bool:
        """Have it saved, unless that has failed; a disk that hangs is not waited for."""
        if self._unsaved is not snapshot:
            with suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(asyncio.ensure_future(self.save())), SAVED_WITHIN_S)
        return self._saved is snapshot

    def _tell_settings(self, link: WorkerLink) -> None:
        """Send a worker the settings, unless they are what it was sent before."""
        if link.told != self._live:
            link.told = self._live
            link.writer.write(packed(Kind.LIMITS, self._live.model_dump_json().encode()))

    async def _delta(self, base: Snapshot | None, snapshot: Snapshot) -> bytes:
        """The change as octets; made once for all workers, beside everything else that control does."""
        revisions = (base.revision if base else 0, snapshot.revision)
        if self._packed[0] != revisions:
            self._packed = revisions, await in_thread(partial(b"".join, pickled(delta(base, snapshot))))
        return self._packed[1]

    async def _tell(self) -> None:
        async with self._news:
            self._news.notify_all()

    async def _wait_for(self, condition: Callable[[], bool], within_s: float | None) -> bool:
        async with self._news:
            try:
                await asyncio.wait_for(self._news.wait_for(condition), within_s)
            except TimeoutError:
                return False
        return True


def _with_pauses(parts: Iterable[Part]) -> Iterator[Part]:
    """The same, with a pause after each as long as it was used: whoever packs parts keeps other threads waiting."""
    for part in parts:
        start = time.monotonic()
        yield part
        time.sleep(min(MAX_PAUSE_S, time.monotonic() - start))
