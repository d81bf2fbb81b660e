"""The last good version of each account: a copy of the texts that are served, in the state folder.

`good/ACCOUNT/…` is laid out as the folder of accounts is. A copy is replaced by renaming, and the first time all of it
is made aside, so that it is there whole or not at all.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from dnsd.errors import printable
from dnsd.store.directory import Files, SourceFile, read_files
from dnsd.store.text_file import FileChangedError, copy_content

FOLDER = "good"  # its name, in the state folder
MANY = 64  # copies that are made at once are left to the system to bring to the disk


class GoodTexts:
    """The copies, and what is known of them; `problem` says why they may be older than what is served."""

    def __init__(self, state: Path) -> None:
        self.problem: str | None = None
        self._folder = state / FOLDER
        self._files: Files | None = None

    def read(self) -> Files | None:
        """What is in the copies; None where nothing was ever served from this state folder."""
        if self._files is None and self._folder.is_dir():
            self._files = read_files(self._folder)
        return self._files

    def of(self, served: Files) -> Files:
        """What is served, as its copies where these are up to date: they stay when people edit the files."""
        copies = self._files.by_key() if self._files else {}
        files = (_same(copies.get(file.key), file) or file for file in served.files)
        return Files(str(self._folder), served.accounts, tuple(files))

    def keep(self, served: Files) -> None:
        """Bring the copies up to date with what is served; where that fails, `problem` says so."""
        try:
            self._keep(served)
            self.problem = None
        except OSError as error:
            path = error.filename2 or error.filename or self._folder
            self.problem = printable(f"{path} cannot be written: {os.strerror(error.errno or 0)}")

    def _keep(self, served: Files) -> None:
        """Raises OSError for the first copy that cannot be made; the others are up to date all the same."""
        if not self._folder.is_dir():  # nothing was served yet, or somebody has removed it
            self._files = None
        known = self.read()
        folder = self._folder if known else self._folder.with_name(f"{FOLDER}.new")
        if known is None:
            shutil.rmtree(folder, ignore_errors=True)
            known = Files(str(self._folder))
        folder.mkdir(mode=0o700, exist_ok=True)
        copies = dict(known.by_key())
        failures = list(self._copy_outdated(served, folder, copies))
        current = served.by_key()
        for key in copies.keys() - current.keys():
            Path(copies.pop(key).path).unlink(missing_ok=True)
        _make_alike(folder, known.accounts, served.accounts)
        if folder != self._folder:
            if failures:
                raise failures[0]
            os.rename(folder, self._folder)
        self._files = Files(str(self._folder), served.accounts, tuple(copies.values()))
        if failures:
            raise failures[0]

    def _copy_outdated(self, served: Files, folder: Path, copies: dict[str, SourceFile]) -> Iterator[OSError]:
        """Copy what has changed since `copies`, which are brought up to date; why some cannot be."""
        outdated = [file for file in served.files if not _same(copies.get(file.key), file)]
        for file in outdated:
            path, old = _path(folder, file), copies.get(file.key)
            try:
                _copy(file, path, is_synced=len(outdated) < MANY)
                if old and old.kind is not file.kind:
                    Path(old.path).unlink(missing_ok=True)
            except FileChangedError:  # it is read anew soon, and copied if it is served then
                continue
            except OSError as error:
                yield error
                continue
            copies[file.key] = replace(file, path=str(_path(self._folder, file)), problem=None, stamp=None)


def _same(copy: SourceFile | None, file: SourceFile) -> SourceFile | None:
    """The copy, if it is one of this file as it is."""
    is_same = copy and (copy.kind, copy.content) == (file.kind, file.content) and not copy.problem
    return copy if is_same else None


def _path(folder: Path, file: SourceFile) -> Path:
    """Where the copy of a file is."""
    account, _, rest = file.key.partition("/")
    return folder / account / os.path.dirname(rest) / os.path.basename(file.path)


def _copy(file: SourceFile, path: Path, *, is_synced: bool) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    new = path.with_name(".new")  # no longer than the name it gets, which may be as long as names can be
    copy_content(file.path, new, file.content, is_synced=is_synced)
    os.utime(new, (file.modified, file.modified))
    os.replace(new, path)


def _make_alike(folder: Path, before: Iterable[str], accounts: Iterable[str]) -> None:
    """Have a folder for each account, and for no other."""
    known = set(before)
    for account in set(accounts) - known:
        (folder / account).mkdir(mode=0o700, exist_ok=True)
    for account in known.difference(accounts):
        shutil.rmtree(folder / account, ignore_errors=True)
