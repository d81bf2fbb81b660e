"""The store of an edge: the accounts' files of a fleet, read from the edge's copy of the state, which it follows.

An edge writes nothing. Without the fleet's servers it goes on with the copy as it is.
"""

from __future__ import annotations

import asyncio
import errno
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from dnsd.errors import DnsdError, shown
from dnsd.fleet.files import changed_fleet_files, read_fleet_files
from dnsd.fleet.identity import IdentityError, load_identity
from dnsd.fleet.intake import Flushed
from dnsd.fleet.node import edge_node
from dnsd.log import Log
from dnsd.manage.state_names import REPLICA
from dnsd.process.garbage import garbage_paused
from dnsd.process.tasks import in_thread, run_until
from dnsd.settings.server import Settings
from dnsd.store.directory import FileKind, Files, SourceFile
from dnsd.store.files_edit import FilesEdit
from dnsd.store.folder import read_file
from dnsd.store.port import Noted, Op, Seen
from dnsd.store.replica import open_replica
from dnsd.store.replica_reader import ReplicaReader
from dnsd.store.replica_rows import DamagedReplicaError
from dnsd.store.write import BegunFile, FileChange

AGAIN_S = 1.0  # after the copy could not be opened
NOT_HERE = "the fleet's state has not come yet"
READ_ONLY = "an edge changes nothing: send changes to the fleet's source"


class EdgeStore:
    """Follows a fleet while `run` runs."""

    def __init__(self, config: Path, state: Path, settings: Settings, log: Log) -> None:
        """`config` is the settings file; `settings` are those of the server's start, which has a fleet."""
        assert settings.fleet
        self._config = config
        self._path = state / REPLICA
        self._fleet = settings.fleet
        self._max_drop_percent = settings.reload.max_drop_percent
        self._log = log
        self._problem = ""  # the reason why the copy may not be what the fleet has; empty without one
        self._reader: ReplicaReader | None = None
        self._moved = asyncio.Event()
        self._changed: set[str] | None = None  # subjects of objects changed since `_files`; None: all
        self._files: Files | None = None
        self._settings: SourceFile | None = None
        self._looking = asyncio.Lock()
        self._is_damaged = asyncio.Event()  # the copy is to be opened anew

    def problems(self) -> list[str]:
        """The reason why the copy may not be what the fleet has, and the end of the edge's papers if it is near."""
        return [*([f"fleet: {self._problem}"] if self._problem else ()), *self._papers()]

    def _papers(self) -> Iterator[str]:
        folder = self._fleet.identity_folder(self._config)
        try:
            identity = load_identity(folder)
        except (IdentityError, OSError) as error:
            yield f"fleet: {error}"
            return
        if datetime.now(UTC) >= identity.renew_at():
            end = f"{identity.expires:%Y-%m-%d %H:%M} UTC"
            yield f"fleet: the papers in {shown(folder)} are valid until {end}: use `dnsd fleet edge` to renew them"

    async def run(self) -> None:
        """Keep the copy like the fleet's state, until cancelled."""
        while True:
            try:
                await self._follow()
            except (DnsdError, OSError) as error:
                if self._problem != str(error):
                    self._note(str(error))
            await asyncio.sleep(AGAIN_S)

    async def _follow(self) -> None:
        """Follow until the copy turns out to be damaged. Raises DamagedReplicaError, IdentityError and OSError."""
        self._is_damaged.clear()
        replica, problem = await in_thread(partial(open_replica, self._path))
        if problem:
            self._log.error(problem)
        self._reader, self._changed = ReplicaReader(self._path), None
        self._moved.set()
        try:
            identity = self._fleet.identity_folder(self._config)
            node = edge_node(identity, self._fleet.servers, max_drop_percent=self._max_drop_percent)
            follower = node.follower(replica, take=self._take, note=self._note, caught_up=self._note_whole)
            try:
                await run_until(self._is_damaged, [follower.run()])
            finally:
                await node.line.close()
        finally:
            replica.close()

    def _take(self, step: Flushed) -> None:
        if step.subjects is None:
            self._changed = None
        elif self._changed is not None:
            self._changed |= step.subjects
        self._moved.set()

    def _note(self, reason: str) -> None:
        self._problem = reason
        self._log.warning(f"warning: fleet: {reason}")

    def _note_whole(self) -> None:
        if self._problem:
            self._problem = ""
            self._log.info("fleet: the copy has all again")

    def _value(self, account: str, subject: str) -> bytes | None:
        """The value of an object; None without it. Raises OSError."""
        if self._reader is None:
            raise OSError(errno.EAGAIN, NOT_HERE)
        try:
            return self._reader.value(account, subject)
        except DamagedReplicaError as error:
            raise OSError(errno.EIO, str(error)) from None

    async def arrival(self) -> bool:
        """Wait for the copy to have a state."""
        while (await self.look(None)).files is None:
            await self.changed(AGAIN_S)
        return True

    async def open(self, known: Seen | None = None, *, noted: Noted, is_patient: bool = False) -> Seen:
        """See the files in the copy."""
        return await self.look(known)

    async def look(self, known: Seen | None) -> Seen:
        """See the files in the copy: each state of it is whole."""
        async with self._looking:
            changed, self._changed = self._changed, set()
            try:
                self._files = await in_thread(partial(self._read, changed))
            except (DamagedReplicaError, OSError) as error:
                self._changed = None
                self._note(str(error))
                self._is_damaged.set()
            except BaseException:
                self._changed = None
                raise
            file = await in_thread(self._read_settings)
            return Seen(file, None, self._files, "" if self._files else NOT_HERE)

    async def settled(self, known: Seen | None) -> Seen:
        """See the files in the copy."""
        return await self.look(known)

    async def still(self, seen: Seen) -> Seen:
        """See the files in the copy."""
        return await self.look(seen)

    async def changed(self, within_s: float) -> None:
        """Wait for a step of the follower."""
        try:
            async with asyncio.timeout(within_s):
                await self._moved.wait()
        except TimeoutError:
            return
        self._moved.clear()

    def _read_settings(self) -> SourceFile:
        config, now_ns = str(self._config), time.time_ns()
        self._settings = read_file(config, "", FileKind.SETTINGS, previous=self._settings, now_ns=now_ns)
        return self._settings

    @garbage_paused()
    def _read(self, changed: set[str] | None) -> Files | None:
        reader = self._reader
        if reader is None:
            return self._files
        with reader.one_state() as place:
            if not place.epoch:
                return None
            if changed is None or self._files is None:
                return read_fleet_files(reader, self._value)
            if not changed:
                return self._files
            return changed_fleet_files(self._files, changed, reader, self._value)

    async def begin(self, changes: Sequence[FileChange]) -> Sequence[BegunFile]:
        """Begin nothing."""
        return ()

    async def forget(self, begun: Sequence[BegunFile]) -> None:
        """Nothing was begun."""

    async def write(self, seen: Seen, edit: FilesEdit, op: Op) -> Seen:
        """Raise OSError."""
        raise OSError(errno.EROFS, READ_ONLY)

    async def finish(self, op: Op, revision: int) -> None:
        """Nothing was written."""

    async def keep_times(self, files: Files, previous: Files) -> None:
        """Files have the times that they have in the fleet."""
