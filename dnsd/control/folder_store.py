"""The store that is a folder of YAML files and the settings file: read, watched and written in threads.

Its files are edited by hand, too: a half-written file may look complete, so control waits until files have settled.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from dnsd.log import Log
from dnsd.process.tasks import in_thread
from dnsd.source import SettingsReader, read_folder
from dnsd.store.directory import Files
from dnsd.store.files_edit import FilesEdit
from dnsd.store.folder import keep_times
from dnsd.store.folder_write import write_edit
from dnsd.store.journal import JOURNAL, Settle, finish_change, undo_unfinished
from dnsd.store.leftovers import Leftovers
from dnsd.store.port import Noted, Op, Seen
from dnsd.store.text_file import Content
from dnsd.store.write import BegunFile, FileChange, begin_files, discard_begun

if TYPE_CHECKING:
    from dnsd.store.watch import Watch

STILL_S, STILL_WITHIN_S = 1.0, 30.0  # files that take names off their maps must be still, waited for at most this long
SETTLE_S, SETTLE_TRIES = 0.1, 10  # files must stay unchanged for this long before they are loaded; number of checks


class FolderStore:
    """The accounts' folder that the settings name, and the journal of its changes in the state folder."""

    def __init__(
        self,
        settings: SettingsReader,
        state: Path,
        *,
        served: Callable[[], Iterable[Content]],
        settle: Settle,
        log: Log,
    ) -> None:
        """`served` returns the texts served before, and blocks; `settle` writes the outcome of entries of evidence."""
        self._settings = settings
        self._journal = state / JOURNAL
        self._served = served
        self._settle = settle
        self._log = log
        self._leftovers = Leftovers()
        self._folder: Path | None = None  # as last seen
        self._watch: Watch | None = None
        self._watched: Path | None = None  # the folder when the last watch began

    async def open(self, known: Seen | None = None, *, noted: Noted, is_patient: bool = False) -> Seen:
        """Undo an unfinished change, and read the files."""
        undo = partial(undo_unfinished, self._journal, self._settle, is_tolerant=True)
        if done := await in_thread(undo):
            self._log.warning(done)
        return await self._read(known, noted=noted, is_patient=is_patient)

    @property
    def is_whole(self) -> bool:
        """Files are edited by hand, too."""
        return False

    def problems(self) -> list[str]:
        """Files are read themselves."""
        return []

    async def run(self) -> None:
        """Return: `changed` watches the folder."""

    async def arrival(self) -> bool:
        """Nobody brings files to an empty folder."""
        return False

    async def look(self, known: Seen | None) -> Seen:
        """Read the files, as far as they have changed."""
        return await self._read(known)

    async def settled(self, known: Seen | None) -> Seen:
        """Read the files until they are known, or stay unchanged for a moment."""
        seen = await self.look(known)
        for _ in range(SETTLE_TRIES):
            if seen == known:
                break
            await asyncio.sleep(SETTLE_S)
            last, seen = seen, await self.look(seen)
            if seen == last:
                break
        return seen

    async def still(self, seen: Seen) -> Seen:
        """Wait until the files have been still for STILL_S: a deletion on a slow disk arrives in pieces."""
        deadline = time.monotonic() + STILL_WITHIN_S
        since = time.monotonic()
        while since + STILL_S > time.monotonic() and time.monotonic() < deadline:
            await asyncio.sleep(SETTLE_S)
            last, seen = seen, await self.look(seen)
            if seen != last:
                since = time.monotonic()
        return seen

    async def changed(self, within_s: float) -> None:
        """Wait for an event in the folders of the files; at once after a move of the accounts' folder."""
        if self._watch is None:
            self._watch = await in_thread(self._new_watch)
        elif self._watched != self._folder:
            await in_thread(self._watch.renew)
            within_s = 0  # the new folder may have changed before it was watched
        self._watched = self._folder
        await in_thread(partial(self._watch.wait, within_s))

    def _new_watch(self) -> Watch:
        from dnsd.store.watch import Watch, watched_folders  # not before DNS is answered

        return Watch(lambda: watched_folders(self._settings.config, self._folder))

    async def begin(self, changes: Sequence[FileChange]) -> Sequence[BegunFile]:
        """Bring the texts of these changes to disk, under names of their own."""
        return await in_thread(partial(self._begin, changes))

    def _begin(self, changes: Sequence[FileChange]) -> Sequence[BegunFile]:
        self._leftovers.remove_beside(change.path for change in changes)
        return begin_files(changes)

    async def forget(self, begun: Sequence[BegunFile]) -> None:
        """Remove begun files that were not renamed."""
        await in_thread(partial(discard_begun, begun))

    async def write(self, seen: Seen, edit: FilesEdit, op: Op) -> Seen:
        """Write the files, unless others have edited one."""
        return await in_thread(partial(self._write, seen, replace(edit, read=seen.files), op))

    def _write(self, seen: Seen, edit: FilesEdit, op: Op) -> Seen:
        self._leftovers.remove_beside(file.path for file in edit.written.values())
        write_edit(edit, op, self._journal, settle=self._settle)
        return replace(seen, files=edit.made(seen.files)) if seen.files else seen

    async def finish(self, op: Op, revision: int) -> None:
        """Write the outcome to the audit log, then forget the change."""
        await in_thread(partial(self._finish, op, revision))

    def _finish(self, op: Op, revision: int) -> None:
        if op.evidence:
            op.evidence.made(revision)
            finish_change(self._journal)

    async def catch_up(self) -> None:
        """Nothing: no other server writes these files."""

    async def keep_times(self, files: Files, previous: Files) -> None:
        """Set the times of the files on the disk."""
        await in_thread(partial(keep_times, files, previous))

    async def _read(self, known: Seen | None, *, noted: Noted = lambda root: None, is_patient: bool = True) -> Seen:
        read = partial(read_folder, self._settings, known, is_patient=is_patient, served=self._served, noted=noted)
        seen = await in_thread(read)
        self._folder = seen.folder
        return seen
