"""The port of the store: what control asks of the place that holds the accounts' files. Types alone.

Control reads, writes and follows files over a `Store` only. The folder of YAML files is one
(`control/folder_store.py`), with its watching, its waiting for half-written files, and its journal. Other files of
the server (tokens, history, audit log …) have modules of their own.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, TypeAlias

from dnsd.errors import DnsdError
from dnsd.store.directory import Files, SourceFile
from dnsd.store.files_edit import FilesEdit
from dnsd.store.write import BegunFile, Evidence, FileChange

Noted: TypeAlias = Callable[[str], Files | None]  # the files below a root as an earlier process has read them


class StaleError(DnsdError):
    """A file of a change was edited since it was loaded; `keys` are the keys of all files of the change."""

    def __init__(self, keys: Iterable[str] = ()) -> None:
        self.keys = frozenset(keys)
        super().__init__("a file was edited since it was loaded")


class OvertakenError(StaleError):
    """Another server has written the accounts of a change: it may soon be drawn up on that, and overtaken again."""


class StoreAwayError(OSError):
    """The store cannot be reached, or does not tell yet whether a change was made."""

    def __init__(self, words: str, retry_after_s: int) -> None:
        self.retry_after_s = retry_after_s
        super().__init__(errno.EHOSTUNREACH, words)


class ChangeTooLargeError(OSError):
    """A change of more than the store writes at once; the message has the numbers and the remedy."""

    def __init__(self, words: str) -> None:
        super().__init__(errno.EFBIG, words)


class EvidenceError(OSError):
    """The evidence of a change cannot be written."""


@dataclass(frozen=True, slots=True)
class Seen:
    """All that a store holds, at one moment. What holds the same content is equal, whatever the times of the files."""

    settings_file: SourceFile
    folder: Path | None  # of accounts; None without one, or if the settings cannot be read
    files: Files | None  # None: there are none, for the reason in `absence`
    absence: str = ""
    shared: SourceFile | None = None  # the settings that all nodes of a fleet share, without errors; None without them

    @property
    def unstamped(self) -> Seen:
        """The same, of which each file is read again, whatever its status."""
        return replace(
            self, settings_file=replace(self.settings_file, stamp=None), files=self.files and self.files.unstamped
        )


@dataclass(frozen=True, slots=True)
class Op:
    """What belongs to a write in addition to the accounts' files: all is made, or nothing."""

    beside: Sequence[FileChange] = ()  # of files elsewhere
    evidence: Evidence | None = None  # of all changes that the write makes
    begun: Sequence[BegunFile] = ()  # what `begin` has written of it


class Store(Protocol):
    """Holds the settings and the accounts' files.

    The caller sees to it that no two tasks open or write at once. The rest may be called at any time: a change may be
    begun or forgotten while another one of the same files is written, and leaves that one as it is. `known` is what the
    caller has: parts of it that are still so need not be read again.
    """

    async def open(self, known: Seen | None = None, *, noted: Noted, is_patient: bool = False) -> Seen:
        """See all, whole: a write that a killed process left unfinished is undone first. Raises OSError.

        Without `known`, `noted` tells which files need not be read. The word of an impatient caller is that the content
        is complete; else what may be under way is not a problem yet.
        """

    @property
    def is_whole(self) -> bool:
        """Whether what others write is seen whole, so that nothing has to settle; else it may be half written.

        The `seen` of a write is then what was loaded; else what was seen last.
        """

    def problems(self) -> list[str]:
        """Why what is seen may not be what others have written; for the operator."""

    async def run(self) -> None:
        """Follow what others write, forever, where the other methods need that; else return."""

    async def arrival(self) -> bool:
        """Wait for the first files if others bring them; False if nobody does: what is there is all."""

    async def look(self, known: Seen | None) -> Seen:
        """See what is there, which may be half written by others."""

    async def catch_up(self) -> None:
        """Have what other servers have written until now, for `look` to see. Raises StoreAwayError."""

    async def settled(self, known: Seen | None) -> Seen:
        """See all, once it is `known`, or others seem to have written it to the end."""

    async def still(self, seen: Seen) -> Seen:
        """See all once others have written nothing for a while, longer than `settled` waits."""

    async def changed(self, within_s: float) -> None:
        """Wait until others may have written something, or for `within_s` seconds."""

    async def begin(self, changes: Sequence[FileChange]) -> Sequence[BegunFile]:
        """Write what may be part of a `write` soon, which then takes less. Raises OSError: then nothing is written.

        `forget` must follow, after the write.
        """

    async def forget(self, begun: Sequence[BegunFile]) -> None:
        """Remove what `begin` has written and no `write` has used."""

    async def write(self, seen: Seen, edit: FilesEdit, op: Op) -> Seen:
        """Make an edit, all or nothing and durably, if what it touches is as in `edit.before`; see `seen` with it.

        A store that others write asks the same of all files of the accounts that the edit touches.

        `seen` is as `is_whole` says. It may have other files than `edit.before`: of held accounts, the newer ones.
        Others' later edits are not in the result: the caller has not loaded them, and sees them next. With evidence in
        `op`, `finish` must follow. Raises StaleError, EvidenceError, ChangeTooLargeError and other OSErrors: then
        nothing has changed. After a StoreAwayError, the edit may be made, if that cannot be known yet: the store finds
        out, and settles it.
        """

    async def finish(self, op: Op, revision: int) -> None:
        """Write the outcome of a write with evidence, which is served as `revision`.

        Raises OSError: the next `open` or `write` does it.
        """

    async def keep_times(self, files: Files, previous: Files) -> None:
        """Keep the `modified` of files that others wrote since `previous`, as far as permitted.

        They are zones' serials, which must not go back when the server restarts.
        """
