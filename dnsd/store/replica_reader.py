"""Reads a node's copy of a fleet's state (`store/replica.py`), from any thread, while the follower changes it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from threading import Lock

from dnsd.store.replica_rows import KeptObject, read_object, read_objects, read_place, sqlite_errors


class ReplicaState:
    """One state of a copy, whatever the follower writes meanwhile, until it is closed. One thread at a time may use it.

    The state is that of the moment when this is made. All methods raise as those of `Replica` do.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._db = _connected(path)
        try:
            with sqlite_errors(path):
                self._db.execute("BEGIN")
                self._table, self.place = read_place(self._db, path)  # the first reading decides on the state
        except BaseException:
            self._db.close()
            raise

    def objects(self, prefix: str, account: str | None = None) -> Iterator[KeptObject]:
        """The objects whose subjects begin with `prefix`, of all accounts or of one, by account and subject."""
        with sqlite_errors(self._path), closing(self._db.cursor()) as cursor:
            yield from read_objects(cursor, self._table, self._path, account=account, prefix=prefix)

    def value(self, account: str, subject: str) -> bytes | None:
        """The value of an object; None without it."""
        with sqlite_errors(self._path):
            found = read_object(self._db, self._table, self._path, account, subject)
        return found.value if found else None

    def close(self) -> None:
        """Let the state go."""
        with sqlite_errors(self._path):
            self._db.close()


class ReplicaReader:
    """Reads a copy as it is at each call, from any thread. The file must be there."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = Lock()
        self._db = _connected(path)

    def state(self) -> ReplicaState:
        """The state of now."""
        return ReplicaState(self._path)

    def value(self, account: str, subject: str) -> bytes | None:
        """The value of an object now; None without it."""
        with self._lock, sqlite_errors(self._path):
            found = read_object(self._db, read_place(self._db, self._path)[0], self._path, account, subject)
        return found.value if found else None

    def close(self) -> None:
        """Close the file."""
        with self._lock, sqlite_errors(self._path):
            self._db.close()


def _connected(path: Path) -> sqlite3.Connection:
    with sqlite_errors(path):
        db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        db.execute("PRAGMA query_only=ON")
        return db
