"""Send a folder's changes to a fleet, and take back nothing that others have done there since (`fleet/three_way.py`).

What the fleet had is in the folder's note. The change is judged as an import is, on top of all that the fleet has now.
If others write meanwhile, it is drawn up anew, and may then be a conflict. A push that was cut is continued by the
next: what is stored already is the same in folder and fleet.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

from dnsd.app import Loaded
from dnsd.errors import DnsdError, InvalidDataError
from dnsd.fleet.fetch import FetchedState, fetched_state
from dnsd.fleet.import_files import (
    FilesDifference,
    ImportRefusedError,
    OvertakenImportError,
    check_difference,
    difference_writes,
    guards_now,
    later,
    send_writes,
    together,
)
from dnsd.fleet.import_judge import as_new, with_files
from dnsd.fleet.node import FleetNode
from dnsd.fleet.readable_accounts import load_readable
from dnsd.fleet.revision_note import FILE_NAME, RevisionNote, read_note, versions_of, write_note
from dnsd.fleet.settings_change import fleet_settings
from dnsd.fleet.three_way import PushSteps, compared, noted_after
from dnsd.process.tasks import in_thread
from dnsd.source import Source, read_source
from dnsd.store.directory import Files, account_of

MOST_TRIES = 5  # of a push that others overtake
PUSH_FORCE = "`dnsd fleet push --force`"
NO_NOTE = RevisionNote("", 0, {})


class PushConflictError(DnsdError):
    """Objects that both the fleet and the folder have changed."""

    def __init__(self, number: int, *, has_note: bool) -> None:
        what = "1 object has" if number == 1 else f"{number:,} objects have"
        since = "since" if has_note else f"perhaps: the folder has no {FILE_NAME}, as an export has"
        super().__init__(f"{what} changed in the fleet, {since}: nothing was changed; --force has those of the folder")


@dataclass(frozen=True, slots=True)
class PushOptions:
    """What a push may do: remove what the folder lacks, pass conflicts and the guard, or only say what it would do."""

    prune: bool = False
    is_forced: bool = False
    is_plan: bool = False


class PushDone(NamedTuple):
    """The steps of a push, and how many of the written objects are new."""

    steps: PushSteps
    new: int


async def push_files(node: FleetNode, config: Path, folder: Path, options: PushOptions) -> PushDone:
    """Send the changes of a folder of accounts, and note in it what the fleet has then.

    Raises PushConflictError, ImportRefusedError, NoteError, InvalidDataError, OSError, and the errors of
    `fetched_state` and `Writer.commit`.
    """
    noted = await in_thread(partial(read_note, folder))
    shared = await fleet_settings(node)
    environment = {**os.environ, "DNSD_DATA": str(folder.absolute())}
    source = await in_thread(partial(read_source, config, environment, shared=shared))
    if isinstance(source.settings, InvalidDataError):
        raise source.settings
    if source.files is None:
        raise ImportRefusedError(f"{source.seen.absence}; nothing was changed")
    for attempt in range(MOST_TRIES):
        try:
            return await _push(node, _Folder(config, folder, source, source.files, noted or NO_NOTE), options)
        except OvertakenImportError:
            if attempt == MOST_TRIES - 1:
                raise
    raise AssertionError("not reached")


@dataclass(frozen=True, slots=True)
class _Folder:
    """A folder as it was read, with its note."""

    config: Path
    path: Path
    source: Source
    files: Files
    note: RevisionNote


async def _push(node: FleetNode, folder: _Folder, options: PushOptions) -> PushDone:
    """One attempt. Raises as `push_files` does, and OvertakenImportError."""
    guards = await guards_now(node)
    async with fetched_state(node) as state:
        if state.is_filling:
            raise ImportRefusedError("the first import is not complete, and nothing was changed: import again")
        versions, there = versions_of(folder.files.files), versions_of(state.files.files)
        noted = folder.note.versions
        if folder.note.epoch not in ("", state.epoch):
            node.note(f"warning: the fleet's state was made anew or restored after {FILE_NAME} was written")
        steps = compared(noted, versions, there, prune=options.prune, is_forced=options.is_forced)
        if steps.conflicts:
            for key in steps.conflicts:
                node.note(f"conflict: {key}")
            raise PushConflictError(len(steps.conflicts), has_note=folder.note is not NO_NOTE)
        difference = _difference(folder.files, state.files, steps)
        if steps.written or steps.removed:
            await in_thread(partial(_check, folder, difference, steps, state, is_forced=options.is_forced))
        done = PushDone(steps, sum(old is None for old, _ in difference.written))
        if options.is_plan:
            return done
        if writes := await in_thread(lambda: together(difference_writes(difference, state))):
            await send_writes(node, writes, state, "fleet.push", guards)
        note = RevisionNote(state.epoch, state.seq, noted_after(noted, versions, there, steps))
        await in_thread(partial(_keep_note, folder, note))
        return done


def _difference(folder: Files, fleet: Files, steps: PushSteps) -> FilesDifference:
    old, new = fleet.by_key(), folder.by_key()
    written = tuple((old.get(key), later(old.get(key), new[key])) for key in steps.written)
    return FilesDifference(written, tuple(old[key] for key in steps.removed), len(old))


def _check(
    folder: _Folder, difference: FilesDifference, steps: PushSteps, state: FetchedState, *, is_forced: bool
) -> None:
    """Judge the fleet's files with the steps made. Raises ImportRefusedError and InvalidDataError."""
    files = merged_files(folder.files, state.files, steps)
    touched = {account_of(key) for key in (*steps.written, *steps.removed)}
    after = _loaded(folder, files, touched)
    check_difference(difference, state, after, is_forced=is_forced, force=PUSH_FORCE)


def _loaded(folder: _Folder, files: Files, touched: set[str]) -> Loaded:
    source = replace(folder.source, seen=replace(folder.source.seen, files=files))
    return load_readable(folder.config, source, needed=touched)


def merged_files(folder: Files, fleet: Files, steps: PushSteps) -> Files:
    """The files of a fleet with the steps of a push made, as if they were in the folder."""
    there, taken = folder.by_key(), {*steps.written, *steps.removed}
    kept = [as_new(file, there, folder.root) for file in fleet.files if file.key not in taken]
    return with_files(folder, [*kept, *(there[key] for key in steps.written)])


def _keep_note(folder: _Folder, note: RevisionNote) -> None:
    """Note what the fleet has now, if that is news. Raises ImportRefusedError."""
    if (folder.note.epoch, folder.note.versions) != (note.epoch, note.versions):
        try:
            write_note(folder.path, note)
        except OSError as error:
            raise ImportRefusedError(
                f"all is stored, but {folder.path / FILE_NAME} cannot be written ({error}): push again"
            ) from None
