"""The served data: held here alone, and replaced here alone."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

from dnsd.app import Loaded
from dnsd.control.draining import DrainKeeper
from dnsd.control.kept_routes import KeptRoutes
from dnsd.control.publish import Publisher
from dnsd.control.sightings import KeptTimes
from dnsd.engine.snapshot import Snapshot
from dnsd.log import Log
from dnsd.model.quota_rules import quotas_of
from dnsd.process.snapshot_file import FILE_NAME, DamagedSnapshotError, ForeignSnapshotError
from dnsd.process.snapshot_log import SavedSnapshot, open_saved
from dnsd.process.tasks import in_thread
from dnsd.settings.server import Settings
from dnsd.store.block_store import BlockStore
from dnsd.store.directory import Files, contents_of
from dnsd.store.good import GoodTexts
from dnsd.store.kept_file import move_aside
from dnsd.store.objects import ReadZone
from dnsd.store.port import Seen
from dnsd.store.text_file import Content


class Current:
    """The served data, what was last seen of the store, and the files in the state folder that outlive the process."""

    def __init__(self, state: Path, settings: Settings, publisher: Publisher, log: Log) -> None:
        """`settings` are those of the server's start; those of the loaded data replace them."""
        self.loaded: Loaded | None = None  # None: the snapshot file is served, or nothing yet
        self.seen: Seen | None = None  # by the last attempt to load it, successful or not
        self.settings = settings
        self.turn = asyncio.Lock()  # only its holder may replace the data
        self.blocks = BlockStore(state, lambda message: log.warning(f"warning: {message}"))
        self.good = GoodTexts(state, self.blocks)
        self.times = KeptTimes(state, log)
        self.routes = KeptRoutes(state, log)
        self.drains = DrainKeeper(state, publisher, log)
        self.snapshot_file = state / FILE_NAME
        self._publisher = publisher
        self._log = log
        self._revision = 0  # assigned last
        self._keeping = asyncio.Lock()  # for the good texts
        self._to_keep: Loaded | None = None  # the last data whose texts are to be kept; None: they are
        self._later: asyncio.Future[None] | None = None  # done once the texts of all changes are kept

    def number_from(self, revision: int) -> None:
        """Assign revisions that follow this one, the last of earlier processes."""
        self._revision = revision

    def note_seen(self, seen: Seen) -> Seen:
        """Keep what was seen last, whether or not it can be loaded. Returns it."""
        self.seen = seen
        return seen

    async def replace(self, loaded: Loaded, *, seen: Seen | None = None, keep_good: bool = True) -> None:
        """Serve `loaded`, under the next revision; `seen` is what the store has then, if it was written.

        The caller holds `turn`, except at the start. Times, texts and drains are saved before they are served: if the
        process is killed in between, its successor must not go back to older ones. Without `keep_good`, the texts are
        not: the caller has them saved later, and a successor does not judge the files by older ones.
        """
        if seen:
            self.note_seen(seen)
        await self._keep_times(loaded)
        if keep_good:
            await self.keep_good(loaded)
        elif self.loaded and loaded.files is not self.loaded.files:
            self._publisher.has_good_texts, self._to_keep = False, loaded  # so that no save under way sets it True
        loaded = replace(loaded, snapshot=self._numbered(loaded.snapshot))
        if old := self._publisher.snapshot:
            await self.drains.note(old, self.loaded, loaded, loaded.snapshot.revision)
        self.loaded, self.settings = loaded, loaded.settings
        self._log.format, self._log.level = loaded.settings.log.format, loaded.settings.log.level
        await self._publish(loaded.snapshot, loaded.stored.objects.zones.values())

    async def renew(self, loaded: Loaded) -> None:
        """Replace the data by `loaded`, read again but unchanged; the revision stays. The caller holds `turn`."""
        assert self.loaded is not None
        await self._keep_times(loaded)
        self.loaded = replace(loaded, snapshot=self.loaded.snapshot)

    async def serve_file(self, snapshot: Snapshot) -> None:
        """Serve a snapshot from the snapshot file, when the files cannot be loaded."""
        await self._publish(self._numbered(snapshot))

    async def keep_first_good(self) -> None:
        """Save the served texts as the last good ones: after the start, which does not wait for this, or a loss."""
        async with self.turn:
            if self.loaded:
                await self.keep_good(self.loaded)

    async def keep_good(self, loaded: Loaded) -> None:
        """Save the texts, or those of data that came later, as the last good version of each account."""
        self._to_keep = loaded
        async with self._keeping:
            if self._to_keep is None:
                return
            kept, self._to_keep, before = self._to_keep, None, self.good.problem
            await in_thread(partial(self.good.keep, kept.files))
            self.tell_of_damage("the text was copied again, if it is served")
            self._publisher.has_good_texts = self.good.problem is None and self._to_keep is None
            if self.good.problem and self.good.problem != before:
                self._log.error(f"{self.good.problem}; an account with an error would be held at an older version")

    def keep_good_later(self) -> None:
        """Save the texts of the change just made, while the next ones are made."""
        if self.loaded:
            self._later = asyncio.ensure_future(self.keep_good(self.loaded))

    async def until_kept(self) -> None:
        """Wait until the texts of all changes made so far are kept."""
        if self._later:
            await asyncio.shield(self._later)

    def tell_of_damage(self, consequence: str) -> None:
        """Log the copies of good texts that were moved aside."""
        while self.good.damaged:
            self._log.warning(f"warning: {self.good.damaged.pop(0)}; {consequence}")

    def good_files(self) -> Files | None:
        """The last good version of each account: as served now or, at a start, last. None before the first. Blocks."""
        return self.good.copies_of(self.loaded.files) if self.loaded else self.good.read()

    def served_texts(self) -> Iterator[Content]:
        """The texts served now or, at a start, last. Blocks."""
        return contents_of(self.loaded.files if self.loaded else self.good.read())

    def good_policies(self) -> Files | None:
        """At a start, the last good version of each account without its zones. Blocks."""
        return self.good.read_policies()

    def other_processes(self) -> list[int]:
        """The pids of the supervisor and of the workers."""
        return [os.getppid(), *(link.pid for link in tuple(self._publisher.links.values()))]

    def open_snapshot(self) -> SavedSnapshot | None:
        """The snapshot in the file, made on demand, even after the file was replaced; None if it is unusable."""
        try:
            return open_saved(self.snapshot_file, verified=self._publisher.verified)
        except DamagedSnapshotError as error:
            self._log.error(f"{error}; {move_aside(self.snapshot_file)}")
        except ForeignSnapshotError as error:
            self._log.info(f"{error}: the files of the accounts are read, and the snapshot is written anew")
        except ValueError as error:
            self._log.debug(f"no usable snapshot file: {error}")
        return None

    def audit_room(self, account_id: str) -> int:
        """The octets that an account's entries may have; the settings' for an unknown account."""
        account = self.loaded.dataset.accounts.get(account_id) if self.loaded else None
        quotas = self.settings.quotas
        return (quotas_of(account, quotas) if account else quotas).audit_octets

    async def _keep_times(self, loaded: Loaded) -> None:
        await in_thread(partial(self.times.save, loaded.times))

    async def _publish(self, snapshot: Snapshot, zones: Iterable[ReadZone] | None = None) -> None:
        await self._publisher.publish(snapshot, self.settings.for_workers, zones)

    def _numbered(self, snapshot: Snapshot) -> Snapshot:
        """The snapshot with the next revision, which no worker and no snapshot file of an earlier run can have."""
        self._revision += 1
        return replace(snapshot, revision=self._revision)
