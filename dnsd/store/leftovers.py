"""The names of files of changes that may be made soon, and the removal of those that killed processes have left.

Each such file has a name of its own, so that nobody else writes, renames or removes it. Hence no later write meets the
name again, unlike the other temporary names (`store/journal.py`): the folder is searched for leftovers.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterable
from contextlib import suppress

from dnsd.store.journal import temporary_name

BEGUN_NAME = re.compile(r"\..+\.[0-9a-f]{8}\.new", re.DOTALL)


def begun_name(path: str) -> str:
    """A temporary name next to a path, another one at each call."""
    return temporary_name(path, f"{os.urandom(4).hex()}.new")


class Leftovers:
    """Removes the files that earlier processes have begun: in each folder once, before this process begins one."""

    def __init__(self) -> None:
        self._cleared: set[str] = set()  # folders
        self._lock = threading.Lock()  # held while a folder is cleared: no file is begun in it then

    def remove_beside(self, paths: Iterable[str]) -> None:
        """Clear the folders of these files, or of the targets of links."""
        for folder in {os.path.dirname(os.path.realpath(path)) for path in paths}:
            with self._lock:
                if folder not in self._cleared:
                    self._cleared.add(folder)
                    _clear(folder)


def _clear(folder: str) -> None:
    with suppress(OSError):  # no such folder, or not readable: leftovers are harmless, as readers ignore them
        for name in os.listdir(folder):
            if BEGUN_NAME.fullmatch(name):
                with suppress(OSError):
                    os.unlink(os.path.join(folder, name))
