"""Write a fleet's files into a new folder, octet for octet and with their times."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

from dnsd.errors import DnsdError
from dnsd.fleet.fetch import fetched_state
from dnsd.fleet.node import FleetNode
from dnsd.process.tasks import in_thread
from dnsd.store.directory import Files, path_of
from dnsd.store.text_file import FileChangedError
from dnsd.whole_file import create_file, sync


class NotExportedError(DnsdError):
    """Files that cannot be written; the message says why."""


async def export_files(node: FleetNode, folder: Path) -> int:
    """Write all files; the number of them. Raises NotExportedError, OSError and the errors of `fetched_state`."""
    if os.path.lexists(folder):
        raise NotExportedError(f"{folder} exists, and nothing was written: choose a new name")
    async with fetched_state(node) as state:
        await in_thread(partial(_write_all, state.files, folder))
        return len(state.files.files)


def _write_all(files: Files, folder: Path) -> None:
    folder.mkdir(mode=0o700)
    for file in files.files:
        if file.problem:
            raise NotExportedError(f"{file.path}: {file.problem.message}; the files before it were written")
        path = Path(path_of(str(folder), file.key, file.kind))
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with create_file(path, mode=0o600) as out:
                for number in range(len(file.content.blocks)):
                    out.write(file.block_reader()(number))
        except FileChangedError:
            raise NotExportedError(f"{file.path}: its blocks did not come; the files before it were written") from None
        os.utime(path, (file.modified, file.modified))
    sync(folder)
