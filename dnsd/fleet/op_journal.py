"""What belongs to a commit in this node's own folders: noted before the commit is sent, done once it is stored.

The note has the commit's id, the entries of the audit log that are its evidence, and the changes of files beside. After
a kill, or if no server told the outcome, the id tells whether the commit was stored (`fleet/op_verdict.py`): then the
rest is done, else nothing was.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from dnsd.errors import shown
from dnsd.process.tasks import in_thread
from dnsd.store.journal import Entries, Settle
from dnsd.store.kept_file import ASIDE, DamagedFileError, kept, read_octets
from dnsd.store.port import ChangeTooLargeError
from dnsd.store.write import FileChange, write_files
from dnsd.whole_file import replacing, sync

KNOWN_S = 23 * 3600.0  # the servers know a commit for a day
MAX_NOTE = 64 * 1024 * 1024  # octets
SURROGATES = "surrogateescape"


@dataclass(frozen=True, slots=True)
class OpNote:
    """A commit's id, its evidence and its changes beside, and whether these are made."""

    op: str
    entries: Entries
    beside: tuple[FileChange, ...]
    there: frozenset[str] = frozenset()  # which of the files beside existed when the commit was noted
    is_made: bool = False

    def packed(self) -> bytes:
        """The note as JSON."""
        beside = [[one.path, _text(one.text), one.modified, one.template] for one in self.beside]
        note = {"op": self.op, "entries": list(self.entries), "beside": beside, "there": sorted(self.there)}
        return json.dumps({**note, "is_made": self.is_made}).encode()

    def left(self) -> list[FileChange]:
        """The changes beside that are to be made; not of files that have gone since: removed, perhaps by this."""
        return [
            one
            for one in self.beside
            if os.path.lexists(one.path) or (one.text is not None and one.path not in self.there)
        ]


class OpJournal:
    """The note of the one commit that is under way, or whose outcome is not known or not written yet."""

    def __init__(self, path: Path, settle: Settle) -> None:
        """`settle` writes the outcome of entries, and raises as `Settle` says."""
        self._path = path
        self._settle = settle

    def begin(self, op: str, entries: Entries, beside: Sequence[FileChange]) -> None:
        """Note a commit, before it is sent. Blocks. Raises OSError."""
        there = frozenset(one.path for one in beside if os.path.lexists(one.path))
        self._write(OpNote(op, entries, tuple(beside), there))

    def complete(self) -> None:
        """Make the changes beside a commit that is stored; its outcome is still to be written. Blocks. OSError."""
        if (note := self._read()) is not None:
            self._make(note)

    def finish(self) -> None:
        """Forget a commit: its outcome is written, or it was not stored. Blocks. Raises OSError."""
        self._path.unlink(missing_ok=True)
        sync(self._path.parent)

    async def recover(self, is_stored: Callable[[str], Awaitable[bool]]) -> bool:
        """Find out what became of an earlier commit, and do the rest; return whether there was one that is stored.

        Raises OSError, DamagedFileError for a note that nobody can read or answer any more, and as `is_stored` does.
        """
        note = await in_thread(self._read)
        if note is None:
            return False
        is_made = note.is_made or await is_stored(note.op)
        await in_thread(partial(self._end, note, is_made=is_made))
        return is_made

    def _end(self, note: OpNote, *, is_made: bool) -> None:
        if is_made:
            self._make(note)
        if note.entries:
            kept(self._path, lambda _: self._settle(note.entries, is_made))
        self.finish()

    def _make(self, note: OpNote) -> None:
        if not note.is_made:
            write_files(note.left(), self._path.with_name(f"{self._path.name}.files"))
            self._write(OpNote(note.op, note.entries, (), is_made=True))

    def _write(self, note: OpNote) -> None:
        if len(packed := note.packed()) > MAX_NOTE:
            raise ChangeTooLargeError(f"{len(packed):,} octets belong to one change; the limit is {MAX_NOTE:,}")
        with replacing(self._path) as out:
            out.write(packed)

    def _read(self) -> OpNote | None:
        """The note; None without one. Raises DamagedFileError, which has moved it aside, and OSError."""
        try:
            note = kept(self._path, _parsed)
            age_s = abs(time.time() - os.stat(self._path).st_mtime)
        except FileNotFoundError:
            return None
        if not note.is_made and age_s > KNOWN_S:
            aside = self._path.with_name(f"{self._path.name}{ASIDE}")
            os.replace(self._path, aside)
            place = f"{shown(self._path)}: moved aside as {aside.name}"
            raise DamagedFileError(f"the fleet's servers no longer know the change in {place}")
        return note


def _parsed(path: Path) -> OpNote:
    found = json.loads(read_octets(path, MAX_NOTE))
    beside = tuple(FileChange(place, _octets(text), modified, like) for place, text, modified, like in found["beside"])
    return OpNote(str(found["op"]), found["entries"], beside, frozenset(found["there"]), bool(found["is_made"]))


def _text(text: str | bytes | None) -> Any:
    return text.decode("utf-8", SURROGATES) if isinstance(text, bytes) else text


def _octets(text: str | None) -> bytes | None:
    return None if text is None else text.encode("utf-8", SURROGATES)
