"""Write an edit to the accounts' folder, if nobody else has edited its files."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from dnsd.store.files_edit import FilesEdit, note_links
from dnsd.store.journal import Settle
from dnsd.store.port import Op, StaleError
from dnsd.store.text_file import Stamp
from dnsd.store.write import write_files


def write_edit(edit: FilesEdit, op: Op, journal: Path, *, settle: Settle) -> None:
    """Make an edit with what belongs to it, or nothing; `settle` is as for `write_files`. Blocks.

    Raises StaleError, OSError and the exceptions of the evidence; nothing has changed then.
    """
    seen: dict[str, Stamp] = {}

    def verify() -> None:
        if not edit.is_current(seen):
            raise StaleError(edit.touched_keys())

    try:
        changes, linked = [*edit.changes(), *op.beside], partial(note_links, seen)
        write_files(changes, journal, verify, linked=linked, evidence=op.evidence, settle=settle, begun=op.begun)
    except FileNotFoundError:
        verify()  # the folder of a file may have been moved away
        raise
