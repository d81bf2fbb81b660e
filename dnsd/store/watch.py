"""Waiting for changes of the source: which folders to watch, and how to learn that something happened in one.

What wakes us says nothing of what changed; whether the content did is asked of directory.py. Folders are watched one by
one, not with all below them: a folder that is swapped by renaming a link to it (as Kubernetes does) is seen by the
folder that the link is in. No clocks of ours and no threads: `wait` blocks.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from watchfiles._rust_notify import RustNotify, WatchfilesRustInternalError

from dnsd.store.directory import SUFFIXES, visible_entries

QUIET_MS = 50  # a change is told of once nothing more has happened for so long
MOST_MS = 500  # or after this long, should it never be quiet
MAX_LINKS = 40  # on the way to one file, as in Linux

Identity = tuple[int, int]  # device, inode


class Watch:
    """Watches the folders that `folders` lists, which it asks anew after each change."""

    def __init__(self, folders: Callable[[], Iterable[str]]) -> None:
        self.problem: str | None = None  # why not all changes are told of; scan from time to time then
        self._folders = folders
        self._watched: dict[Identity, str] = {}
        self._notify: RustNotify | None = None
        self.renew()

    def wait(self, timeout_s: float) -> bool:
        """Block until something happened in the folders, or for `timeout_s`; whether something did.

        The folders are watched from before it returns, so whoever looks at them then misses nothing.
        """
        if self._notify is None:
            time.sleep(timeout_s)
            return self.renew()
        found = self._notify.watch(MOST_MS, QUIET_MS, max(1, int(timeout_s * 1000)), None)
        happened = isinstance(found, set)
        renewed = self.renew() if happened or self.problem else False
        return happened or renewed

    def renew(self) -> bool:
        """Watch what is to be watched now; whether that is something else than before. Never raises OSError."""
        wanted, self.problem = _identified(self._folders())
        if wanted.keys() == self._watched.keys():
            return False
        self._watched = {}
        try:
            self._notify = RustNotify(list(wanted.values()), False, False, 0, False, True)
        except (OSError, WatchfilesRustInternalError) as error:
            self._notify = None
            self.problem = f"changes of files cannot be watched: {error}"
            return False
        self._watched = wanted
        return True

    def close(self) -> None:
        """Watch nothing any more."""
        if self._notify is not None:
            self._notify.close()


def _identified(folders: Iterable[str]) -> tuple[dict[Identity, str], str | None]:
    """The folders that there are by their identity, as another one may have come to bear a name; and which lacks."""
    found: dict[Identity, str] = {}
    problem = None
    for folder in folders:
        try:
            status = os.stat(folder)
        except OSError as error:
            problem = f"the folder {folder} cannot be watched: {error.strerror}"
        else:
            found.setdefault((status.st_dev, status.st_ino), folder)
    return found, problem


def watched_folders(config: Path, data: Path | None) -> list[str]:
    """The folders where a change may change the source: settings in the file `config`, accounts in the folder `data`.

    They are those that `read_files` looks into, and those that hold a link on the way to a file or folder.
    """
    found = dict.fromkeys(_ways_to(str(config)))
    if data is not None:
        found.update(dict.fromkeys(_ways_to(str(data))))
        found.update(dict.fromkeys(_below(str(data), depth=0)))
    return list(found)


def _below(folder: str, *, depth: int) -> Iterator[str]:
    """The folder, those of accounts and objects in it, and whatever the links in them lead through."""
    yield folder
    try:
        entries = visible_entries(folder)
    except OSError:
        return
    for entry in entries:
        if entry.is_symlink():
            yield from _ways_to(entry.path)
        if depth == 0 or (depth == 1 and entry.name in SUFFIXES):
            try:
                is_folder = entry.is_dir()
            except OSError:
                continue
            if is_folder:
                yield from _below(entry.path, depth=depth + 1)


def _ways_to(path: str) -> Iterator[str]:
    """The folder of each link on the way to what `path` means, and of that itself."""
    at = "/"
    steps = os.path.abspath(path).split("/")[::-1]
    links = 0
    while steps:
        step = steps.pop()
        if step in ("", "."):
            continue
        following = os.path.dirname(at) if step == ".." else os.path.join(at, step)
        try:
            target = os.readlink(following)
        except OSError:  # it is no link, or is not there
            at = following
            continue
        yield at
        links += 1
        if links > MAX_LINKS:
            return
        at = "/" if target.startswith("/") else at
        steps += target.split("/")[::-1]
    yield os.path.dirname(at)
