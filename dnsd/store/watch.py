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

# The part of watchfiles that is documented for direct use: what stands above it begins to watch on the first wait only.
from watchfiles._rust_notify import RustNotify, WatchfilesRustInternalError

from dnsd.errors import printable
from dnsd.store.directory import SUFFIXES, visible_entries

QUIET_MS = 50  # a change is told of once nothing more has happened for so long
MOST_MS = 500  # or after this long, should it never be quiet
RETRY_AFTER = 10  # waits without an event, where something cannot be watched
MAX_LINKS = 40  # on the way to one file, as in Linux


class Watch:
    """Watches the folders that `folders` lists, which it asks anew after each change."""

    def __init__(self, folders: Callable[[], Iterable[str]]) -> None:
        self.problem: str | None = None  # why changes may not be told of; scan from time to time then
        self._folders = folders
        self._notify: RustNotify | None = None
        self._idle_waits = 0
        self.renew()

    def wait(self, timeout_s: float) -> bool:
        """Block until something happened in the folders, or for `timeout_s`; whether something did.

        When it returns True, the folders as they are now are watched: who looks at them then misses nothing.
        """
        happened = self._wait_for_event(timeout_s)
        self._idle_waits = 0 if happened else self._idle_waits + 1
        if self.problem and self._idle_waits == RETRY_AFTER:
            happened = True  # as far as anybody knows
        if happened:
            self.renew()
        return happened

    def renew(self) -> None:
        """Watch the folders as they are now: another one may bear a name, even with the same inode. Never raises."""
        self._idle_waits = 0
        folders, missing = _present(self._folders())
        try:
            self._notify = RustNotify(folders, False, False, 0, False, True)
            self.problem = missing
        except (OSError, WatchfilesRustInternalError) as error:
            self._notify = None
            self.problem = f"changes of files cannot be watched: {error}"

    def _wait_for_event(self, timeout_s: float) -> bool:
        if self._notify is None:
            time.sleep(timeout_s)
            return False
        try:
            return isinstance(self._notify.watch(MOST_MS, QUIET_MS, max(1, int(timeout_s * 1000)), None), set)
        except WatchfilesRustInternalError:  # the name of what has changed is no text; it would be said again for ever
            self._notify = None
            return True


def _present(folders: Iterable[str]) -> tuple[list[str], str | None]:
    """The folders that there are, each once; and a sentence about one that there is not."""
    found: dict[tuple[int, int], str] = {}
    missing = None
    for folder in folders:
        try:
            status = os.stat(folder)
            folder.encode()
        except OSError as error:
            missing = f"the folder {folder} cannot be watched: {error.strerror}"
        except UnicodeEncodeError:
            missing = printable(f"the folder {folder} cannot be watched: its name is not UTF-8")
        else:
            found.setdefault((status.st_dev, status.st_ino), folder)
    return list(found.values()), missing


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
