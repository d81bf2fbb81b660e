"""Write a fleet's files into a new folder, octet for octet and with their times; it appears once it is whole."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

from dnsd.errors import DnsdError
from dnsd.fleet.fetch import FetchedState, fetched_state
from dnsd.fleet.node import FleetNode
from dnsd.fleet.revision_note import note_of, write_note
from dnsd.fleet.settings_in_force import octets_of_settings, settings_of
from dnsd.fleet.subjects import SETTINGS, SHARED
from dnsd.process.tasks import in_thread
from dnsd.store.directory import Files, SourceFile, path_of
from dnsd.store.text_file import FileChangedError
from dnsd.whole_file import create_file, sync


class NotExportedError(DnsdError):
    """Files that cannot be written; the message says why."""


class ExportedFiles(NamedTuple):
    """The number of the files written, and the reasons why others could not be."""

    number: int
    problems: tuple[str, ...]


async def export_files(node: FleetNode, folder: Path, settings: Path | None = None) -> ExportedFiles:
    """Write all files with a note of the fleet's revision, and the shared settings into a file, if wanted.

    Raises NotExportedError, OSError and the errors of `fetched_state`: then there is no folder. Raises
    InvalidDataError for settings that this version cannot read.
    """
    for path in filter(None, (folder, settings)):
        if os.path.lexists(path):
            raise NotExportedError(f"{path} exists, and nothing was written: choose a new name")
    async with fetched_state(node) as state:
        if state.is_filling:
            raise NotExportedError("the first import is not complete, and nothing was written: import again")
        if settings:
            await in_thread(partial(_write_settings, state, settings))
        problems = await in_thread(partial(_write_folder, state, folder))
        return ExportedFiles(len(state.files.files) - len(problems), problems)


def _write_settings(state: FetchedState, path: Path) -> None:
    """Write the shared settings. Raises NotExportedError if there are none, InvalidDataError and OSError."""
    value = state.reader.value(SHARED, SETTINGS)
    if value is None:
        raise NotExportedError("the fleet has no settings, and nothing was written: each node has its own")
    found = settings_of(value)
    with create_file(path, mode=0o600) as out:
        out.write(octets_of_settings(found))
    os.utime(path, (found.modified, found.modified))


def _write_folder(state: FetchedState, folder: Path) -> tuple[str, ...]:
    """Write the files into a temporary folder, which takes its name once it is on disk; the problems of others."""
    new = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))  # for its owner alone
    try:
        problems = tuple(_write_all(state.files, new))
        write_note(new, note_of(state.epoch, state.seq, state.files))
        os.sync()  # once: file by file, it would take minutes
        os.rename(new, folder)  # fails where a folder with content has come meanwhile
    except BaseException:
        shutil.rmtree(new, ignore_errors=True)
        raise
    sync(folder.parent)
    return problems


def _write_all(files: Files, folder: Path) -> Iterator[str]:
    for file in files.files:
        if file.problem:
            yield f"{file.path}: {file.problem.message}"
            continue
        path = Path(path_of(str(folder), file.key, file.kind))
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            _write(file, path)
        except FileChangedError:
            path.unlink()
            yield f"{file.path}: its blocks did not come"


def _write(file: SourceFile, path: Path) -> None:
    with create_file(path, mode=0o600) as out:
        for number in range(len(file.content.blocks)):
            out.write(file.block_reader()(number))
    os.utime(path, (file.modified, file.modified))
