"""Wait for changes of the source: find the folders to watch, and wait for an event in one of them.

An event does not tell whether content changed; directory.py compares it. Folders are watched one by one, not
recursively: if a folder is swapped by renaming a link to it (as Kubernetes does), the folder with the link reports
that. No clocks and no threads of its own: `wait` blocks.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

# The part of watchfiles documented for direct use: the layers above begin to watch only on the first wait.
from watchfiles._rust_notify import RustNotify, WatchfilesRustInternalError

from dnsd.errors import printable
from dnsd.store.directory import KINDS
from dnsd.store.folder import visible_entries

QUIET_MS = 50  # a change is reported once no other event has followed for so long,
MOST_MS = 500  # or after so long at the latest
RETRY_AFTER = 10  # waits without an event before a retry to watch, if a folder cannot be watched
MAX_LINKS = 40  # on the way to one file, as in Linux


class Watch:
    """Watches the folders that `folders` returns; calls it again after each change."""

    def __init__(self, folders: Callable[[], Iterable[str]]) -> None:
        self.problem: str | None = None  # why changes may go unreported; if set, scan from time to time
        self._folders = folders
        self._notify: RustNotify | None = None
        self._idle_waits = 0
        self.renew()

    def wait(self, timeout_s: float) -> bool:
        """Block until an event in the folders, or for `timeout_s`; return whether there was an event.

        When it returns True, the current folders are watched already: a reader that looks at them now misses no change.
        """
        happened = self._wait_for_event(timeout_s)
        self._idle_waits = 0 if happened else self._idle_waits + 1
        if self.problem and self._idle_waits == RETRY_AFTER:
            happened = True  # a change may have gone unreported
        if happened:
            self.renew()
        return happened

    def renew(self) -> None:
        """Watch the current folders: one may have been replaced, even with the same inode. Never raises."""
        self._idle_waits = 0
        folders, missing = _existing(self._folders())
        try:
            self._notify = RustNotify(folders, False, False, 0, False, True)
            self.problem = missing
        except (OSError, WatchfilesRustInternalError) as error:
            self._notify = None
            self.problem = f"cannot watch for changes of files: {error}"

    def _wait_for_event(self, timeout_s: float) -> bool:
        if self._notify is None:
            time.sleep(timeout_s)
            return False
        try:
            return isinstance(self._notify.watch(MOST_MS, QUIET_MS, max(1, int(timeout_s * 1000)), None), set)
        except WatchfilesRustInternalError:  # the changed file's name is not text; the error would repeat forever
            self._notify = None
            return True


def _existing(folders: Iterable[str]) -> tuple[list[str], str | None]:
    """The existing folders, each once, and a message about a missing one."""
    found: dict[tuple[int, int], str] = {}
    missing = None
    for folder in folders:
        try:
            status = os.stat(folder)
            folder.encode()
        except OSError as error:
            missing = f"cannot watch the folder {folder}: {error.strerror}"
        except UnicodeEncodeError:
            missing = printable(f"cannot watch the folder {folder}: its name is not UTF-8")
        else:
            found.setdefault((status.st_dev, status.st_ino), folder)
    return list(found.values()), missing


def watched_folders(config: Path, data: Path | None) -> list[str]:
    """The folders whose changes may affect the source: settings in the file `config`, accounts in the folder `data`.

    That is, the folders that `read_files` reads, and the folder of each link on the way to a file or folder.
    """
    found = dict.fromkeys(_link_folders(str(config)))
    if data is not None:
        found.update(dict.fromkeys(_link_folders(str(data))))
        found.update(dict.fromkeys(_below(str(data), depth=0)))
    return list(found)


def _below(folder: str, *, depth: int) -> Iterator[str]:
    """The folder, the folders of accounts and objects in it, and the folders that their links lead through."""
    yield folder
    try:
        entries = visible_entries(folder)
    except OSError:
        return
    for entry in entries:
        if entry.is_symlink():
            yield from _link_folders(entry.path)
        if depth == 0 or (depth == 1 and entry.name in KINDS):
            try:
                is_folder = entry.is_dir()
            except OSError:
                continue
            if is_folder:
                yield from _below(entry.path, depth=depth + 1)


def _link_folders(path: str) -> Iterator[str]:
    """The folder of each link on the way to `path`, and the folder of the file or folder at its end."""
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
        except OSError:  # not a link, or missing
            at = following
            continue
        yield at
        links += 1
        if links > MAX_LINKS:
            return
        at = "/" if target.startswith("/") else at
        steps += target.split("/")[::-1]
    yield os.path.dirname(at)
