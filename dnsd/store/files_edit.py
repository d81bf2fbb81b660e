"""An edit of the accounts' files: its changes on disk, and the check that the files on disk are still as read."""

from __future__ import annotations

import errno
import os
from bisect import insort
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from dnsd.store.directory import Files, SourceFile, account_of, possible_paths
from dnsd.store.folder import as_written, is_as_read, read_files, visible_entries
from dnsd.store.journal import is_temporary_name
from dnsd.store.text_file import Stamp, stamp_of
from dnsd.store.write import FileChange


def edited_files(
    files: Files, written: Mapping[str, SourceFile], removed: Collection[str], gone_accounts: Collection[str]
) -> Files:
    """The files, in order, with the `written` ones (by key) put in and the `removed` ones taken out."""
    known = files.by_key()
    kept = [written.get(file.key, file) for file in files.files if file.key not in removed]
    for key, file in written.items():
        if key in removed or key not in known:
            insort(kept, file, key=lambda file: file.path.removeprefix(files.root).split(os.sep))
    accounts = {*files.accounts, *map(account_of, written)}.difference(gone_accounts)
    return replace(files, accounts=tuple(sorted(accounts)), files=tuple(kept))


@dataclass(frozen=True)
class FilesEdit:
    """The edit from `before`, which is on the disk, to `after`; one change, or several in sequence.

    `read` are the files as last read, if known: their status may spare another reading.
    """

    before: Files
    after: Files
    read: Files | None = None

    @cached_property
    def written(self) -> Mapping[str, SourceFile]:
        """The new and changed files, by key."""
        before = self.before.by_key()
        return {
            key: file
            for key, file in self.after.by_key().items()
            if (one := before.get(key)) is not file and one != file
        }

    @cached_property
    def removed(self) -> Mapping[str, SourceFile]:
        """The removed files, by key, including a file whose object moves to another path."""
        after = self.after.by_key()
        return {key: file for key, file in self.before.by_key().items() if not _has_path(after.get(key), file.path)}

    @cached_property
    def gone_accounts(self) -> frozenset[str]:
        """The removed accounts; their folders are removed with all their content."""
        return frozenset(self.before.accounts).difference(self.after.accounts)

    def applied(self, files: Files) -> Files:
        """Apply the same edit to other files than `before`."""
        return edited_files(files, self.written, self.removed.keys(), self.gone_accounts)

    def made(self, files: Files) -> Files:
        """The same, once the edit is on the disk: what it wrote need not be read again."""
        written = {key: as_written(file) for key, file in self.written.items()}
        return edited_files(files, written, self.removed.keys(), self.gone_accounts)

    def changes(self) -> list[FileChange]:
        """The changes on disk that make the edit."""
        before = self.before.by_key()
        written = [
            FileChange(file.path, file.octets(), file.modified, before[key].path if key in before else None)
            for key, file in self.written.items()
        ]
        gone = [file.path for key, file in self.removed.items() if account_of(key) not in self.gone_accounts]
        folders = [self._folder(account) for account in self.gone_accounts]
        return [*written, *(FileChange(path, None, 0) for path in (*gone, *folders))]

    def is_current(self, seen: dict[str, Stamp] | None = None) -> bool:
        """Whether the files on disk that this edit touches are still those in `before`. Raises OSError.

        The stamps of those whose status says so go to `seen`, by path: a file that has its stamp there is not read.
        """
        are_as_read = all(self._is_as_read(file, {} if seen is None else seen) for file in self._touched())
        return are_as_read and self._has_room() and self._has_known_accounts()

    def _is_as_read(self, file: SourceFile, seen: dict[str, Stamp]) -> bool:
        stamp = _stamp_of(file.path)
        if stamp and seen.get(file.path) == stamp:
            return True
        if not is_as_read(file, self.before.limit):
            return False
        if stamp == file.stamp:
            seen[file.path] = stamp
        return True

    def touched_keys(self) -> set[str]:
        """The keys of all written and removed files."""
        return {*self.written, *self.removed}

    def _touched(self) -> Iterator[SourceFile]:
        before, read = self.before.by_key(), self.read.by_key() if self.read else {}
        for key in self.touched_keys():
            if file := before.get(key):
                yield read[key] if read.get(key) == file else file

    def _has_room(self) -> bool:
        """Whether nobody made another file for a written object, or removed the folder of its account."""
        known = {file.path for file in self._touched()}
        there = self.before.by_key()
        for key in self.written:
            account = account_of(key)
            if account in self.before.accounts and not os.path.isdir(self._folder(account)):
                return False
            others = possible_paths(self.before.root, key) - known
            if any(map(os.path.lexists if key in there else _is_taken, others)):
                return False
        return os.path.isdir(self.before.root)

    def _has_known_accounts(self) -> bool:
        """Whether the removed accounts hold only files in `before`. Raises OSError for a file that is not dnsd's."""
        if not self.gone_accounts:
            return True
        for folder in map(self._folder, self.gone_accounts):
            if foreign := _foreign_file(folder):
                raise OSError(errno.ENOTEMPTY, f"it contains files that are not dnsd's, such as {foreign}", folder)
        now = read_files(Path(self.before.root), self.before, limit=self.before.limit)
        known = [file for file in self.before.files if account_of(file.key) in self.gone_accounts]
        return known == [file for file in now.files if account_of(file.key) in self.gone_accounts]

    def _folder(self, account: str) -> str:
        return os.path.join(self.before.root, account)


def note_links(seen: dict[str, Stamp]) -> None:
    """Have `seen` (see `is_current`) know the files by their status again, right after links to them were made.

    A link changes the last number of a stamp alone, the time of the last change of the status. So does an edit that
    keeps the size, and sets the time of the content back: one between the look before the links and this one, or in the
    same tick of the clock, is not seen.
    """
    for path, before in seen.items():
        stamp = _stamp_of(path)
        if stamp[:-1] == before[:-1]:
            seen[path] = stamp


def _stamp_of(path: str) -> Stamp:
    """What a file's status says; empty without a file."""
    try:
        return stamp_of(os.stat(path))
    except OSError:
        return ()


def _is_taken(path: str) -> bool:
    """Whether the file exists in any mix of upper and lower case: not every disk distinguishes them."""
    folder, name = os.path.split(path)
    return os.path.isdir(folder) and name.lower() in map(str.lower, os.listdir(folder))


def _foreign_file(folder: str) -> str | None:
    """The path of a file that dnsd neither reads nor left over from writing; None without such a file."""
    for parent, folders, names in os.walk(folder):
        read = {entry.name for entry in visible_entries(parent)}
        for name in (*folders, *names):
            if name not in read and not is_temporary_name(name):
                return os.path.relpath(os.path.join(parent, name), folder)
    return None


def _has_path(file: SourceFile | None, path: str) -> bool:
    return file is not None and file.path == path
