"""Reads a node's copy of a fleet's state (`store/replica.py`), from any thread, while the follower changes it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from threading import RLock

from dnsd.store.replica_rows import KeptObject, ReplicaPlace, read_object, read_objects, read_place, sqlite_errors


class ReplicaReader:
    """Reads the served objects of a copy while another connection changes it, from any thread.

    The file must be there. All methods raise as those of `Replica` do.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = RLock()
        with sqlite_errors(path):
            self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            self._db.execute("PRAGMA query_only=ON")

    @contextmanager
    def one_state(self) -> Iterator[ReplicaPlace]:
        """What is read within is of one state; it begins with how far that is. Other threads wait."""
        with self._lock, sqlite_errors(self._path):
            self._db.execute("BEGIN")
            try:
                yield read_place(self._db, self._path)[1]
            finally:
                self._db.execute("ROLLBACK")

    def objects(self, prefix: str) -> Iterator[KeptObject]:
        """The objects whose subjects begin with `prefix`, by account and subject."""
        with self._lock, sqlite_errors(self._path), closing(self._db.cursor()) as cursor:
            yield from read_objects(cursor, read_place(self._db, self._path)[0], self._path, prefix=prefix)

    def value(self, account: str, subject: str) -> bytes | None:
        """The value of an object; None without it."""
        with self._lock, sqlite_errors(self._path):
            found = read_object(self._db, read_place(self._db, self._path)[0], self._path, account, subject)
        return found.value if found else None

    def close(self) -> None:
        """Close the file."""
        with self._lock, sqlite_errors(self._path):
            self._db.close()
