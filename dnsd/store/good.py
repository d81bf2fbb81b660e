"""The last good version of each account: a copy of the served files, in the state folder.

`good/ACCOUNT/…` has the layout of the accounts folder. Each copy is replaced by renaming. The first time, the whole
folder is made under another name and renamed, so that it exists completely or not at all. The file `.incomplete` lists
damaged copies until all are whole again: an account is not held at a version that lacks them.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from dnsd.errors import Problem, printable, shown
from dnsd.store.directory import Files, SourceFile, account_of, read_files
from dnsd.store.kept_file import move_aside, read_octets
from dnsd.store.text_file import FileChangedError, octets_again
from dnsd.whole_file import make_folder, replacing

FOLDER = "good"  # its name, in the state folder
INCOMPLETE = ".incomplete"  # in the folder: the keys of damaged copies, one a line
MAX_INCOMPLETE = 1024 * 1024  # octets
UNSYNCED_FROM = 64  # number of copies at once from which the system decides when they go to disk


class GoodTexts:
    """The copies of served files; `problem` says why they may be older than the served data."""

    def __init__(self, state: Path) -> None:
        self.problem: str | None = None
        self._folder = state / FOLDER
        self.damaged: list[str] = []  # messages about copies that were moved aside
        self._files: Files | None = None
        self._forgiven: frozenset[str] = frozenset()  # keys of damaged copies whose accounts are left out

    def read(self) -> Files | None:
        """Read the copies; None if no data was ever served from this state folder."""
        if self._files is None and self._folder.is_dir():
            self._files = self._without_damage(read_files(self._folder))
        return self._files

    def _without_damage(self, found: Files) -> Files:
        """The copies without damaged ones, which are moved aside under names that readers ignore."""
        damaged = [file for file in found.files if file.problem]
        others = [problem.place.file for problem in found.problems if problem.place]
        known = {file.path: file.key for file in found.files}
        self._move_aside({path: known.get(path, "") for path in (*(file.path for file in damaged), *others)})
        incomplete = self._incomplete()
        problems = tuple(_missing(key) for key in sorted(incomplete - self._forgiven))
        without = {account_of(key) for key in incomplete & self._forgiven}
        files = tuple(file for file in found.files if not file.problem and account_of(file.key) not in without)
        return Files(found.root, tuple(one for one in found.accounts if one not in without), files, problems)

    def set_aside(self, wrong: Collection[SourceFile]) -> None:
        """Move copies aside that can be read, but have errors."""
        self._move_aside({file.path: file.key for file in wrong})
        self._files = None

    def forgive(self) -> bool:
        """Do without the accounts with damaged copies. Returns whether this changes anything."""
        before, self._forgiven = self._forgiven, self._forgiven | self._incomplete()
        self._files = None
        return self._forgiven != before

    def _move_aside(self, damaged: Mapping[str, str]) -> None:
        """Move copies aside, given their keys by path."""
        if lost := {key for key in damaged.values() if key}:
            self._note_incomplete(self._incomplete() | lost)
        self.damaged += [str(move_aside(Path(path), prefix=".")) for path in damaged]

    def _note_incomplete(self, keys: Collection[str]) -> None:
        file, there = self._folder / INCOMPLETE, {key for key in keys if os.path.isdir(self._folder / account_of(key))}
        with suppress(OSError):
            if not there:
                file.unlink(missing_ok=True)
            elif there != self._incomplete():
                with replacing(file) as out:
                    out.write("".join(f"{key}\n" for key in sorted(there)).encode(errors="surrogateescape"))

    def _incomplete(self) -> set[str]:
        """The keys of damaged copies."""
        try:
            octets = read_octets(self._folder / INCOMPLETE, MAX_INCOMPLETE)
        except (OSError, ValueError):
            return set()
        return set(filter(None, octets.decode(errors="surrogateescape").splitlines()))

    def read_policies(self) -> Files | None:
        """The copies without the zones, which are most of the octets; None as for `read`."""
        if not self._folder.is_dir():
            return None
        return self._without_damage(read_files(self._folder, folders=("maps",)))

    def copies_of(self, served: Files) -> Files:
        """The served files, or their copies where these are up to date: a copy stays when users edit its file."""
        copies = self._files.by_key() if self._files else {}
        files = (_same(copies.get(file.key), file) or file for file in served.files)
        return Files(str(self._folder), served.accounts, tuple(files))

    def keep(self, served: Files) -> None:
        """Bring the copies up to date with the served files; if that fails, set `problem`."""
        try:
            self._keep(served)
            self.problem = None
        except OSError as error:
            path = error.filename2 or error.filename or self._folder
            self.problem = printable(f"{shown(path)} cannot be written: {os.strerror(error.errno or 0)}")

    def _keep(self, served: Files) -> None:
        """Bring all copies up to date. Raises the OSError of the first that fails, after the others."""
        if not self._folder.is_dir():  # no data was served yet, or the folder was removed
            self._files = None
        known = self.read()
        folder = self._folder if known else self._folder.with_name(f"{FOLDER}.new")
        if known is None:
            shutil.rmtree(folder, ignore_errors=True)
            known = Files(str(self._folder))
        make_folder(folder)
        copies = dict(known.by_key())
        failures = list(self._copy_outdated(served, folder, copies))
        current = served.by_key()
        for key in copies.keys() - current.keys():
            Path(copies.pop(key).path).unlink(missing_ok=True)
        _match_folders(folder, known.accounts, served.accounts)
        if folder != self._folder:
            if failures:
                raise failures[0]
            os.rename(folder, self._folder)
        self._files = Files(str(self._folder), served.accounts, tuple(copies.values()))
        if failures:
            raise failures[0]
        self._note_incomplete({key for key in self._incomplete() if account_of(key) not in served.accounts})

    def _copy_outdated(self, served: Files, folder: Path, copies: dict[str, SourceFile]) -> Iterator[OSError]:
        """Copy all files that differ from `copies`, and update `copies`; yield the error of each failed copy."""
        outdated = [file for file in served.files if not _same(copies.get(file.key), file)]
        for file in outdated:
            path, old = _path(folder, file), copies.get(file.key)
            try:
                _copy(file, path, is_synced=len(outdated) < UNSYNCED_FROM)
                if old and old.kind is not file.kind:
                    Path(old.path).unlink(missing_ok=True)
            except FileChangedError:  # it is read again soon, and copied if served then
                continue
            except OSError as error:
                yield error
                continue
            copies[file.key] = replace(file, path=str(_path(self._folder, file)), problem=None, stamp=None)


def _missing(key: str) -> Problem:
    return Problem(key, (), "has an error, and so has its last good version: fix the file")


def _same(copy: SourceFile | None, file: SourceFile) -> SourceFile | None:
    """The copy, if it equals this file."""
    is_same = copy and (copy.kind, copy.content) == (file.kind, file.content) and not copy.problem
    return copy if is_same else None


def _path(folder: Path, file: SourceFile) -> Path:
    """The path of a file's copy."""
    account, _, rest = file.key.partition("/")
    return folder / account / os.path.dirname(rest) / os.path.basename(file.path)


def _copy(file: SourceFile, path: Path, *, is_synced: bool) -> None:
    make_folder(path.parent)
    octets = octets_again(file.path, file.content)
    # The temporary name is short, as the name in `path` may already have the greatest possible length.
    with replacing(path, other_name=".new", is_synced=is_synced) as out:
        out.write(octets)
        out.flush()
        os.utime(out.fileno(), (file.modified, file.modified))


def _match_folders(folder: Path, before: Iterable[str], accounts: Iterable[str]) -> None:
    """Make the folders of new accounts and remove those of former ones."""
    known = set(before)
    for account in set(accounts) - known:
        make_folder(folder / account)
    for account in known.difference(accounts):
        shutil.rmtree(folder / account, ignore_errors=True)
