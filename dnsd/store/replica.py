"""A node's copy of a fleet's state: an SQLite file with each object's value as it came, by account.

A flush is one transaction: after a kill, the copy has all of it or nothing. A copy that is fetched anew grows in a
second table, and takes the place of the first in one transaction. SQLite has no checksums, so each row has its own: a
file that is cut or changed is refused as a whole, moved aside and named. This module does not know the meaning of a
value.
"""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from pathlib import Path

from dnsd.errors import shown
from dnsd.store.kept_file import ASIDE, move_aside
from dnsd.store.replica_rows import (
    COLUMNS,
    OBJECTS,
    DamagedReplicaError,
    KeptObject,
    Removal,
    ReplicaPlace,
    account_octets,
    count_objects,
    place_check,
    read_object,
    read_objects,
    read_place,
    row_check,
    sqlite_errors,
)
from dnsd.whole_file import create_file, sync

FORMAT = 1  # `user_version` of the file
APPLICATION = 0x646E7364  # `application_id`: "dnsd"
EXTRA = ("-wal", "-shm")  # the files that SQLite has next to its own
SCHEMA = [
    *(f"CREATE TABLE {name}({COLUMNS}, PRIMARY KEY(account, subject)) WITHOUT ROWID" for name in OBJECTS),
    "CREATE TABLE place(id INTEGER PRIMARY KEY, served INTEGER, epoch TEXT, seq INTEGER, at INTEGER, digest BLOB)",
]


class Replica:
    """An open copy. All methods raise OSError, such as for a full disk, and DamagedReplicaError."""

    def __init__(self, path: Path) -> None:
        """Open a copy that is there, without a look at its rows."""
        self._path = path
        with self._errors():
            self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            try:
                for pragma in ("synchronous=NORMAL", "trusted_schema=OFF"):
                    self._db.execute(f"PRAGMA {pragma}")
                self._served, self._place = self._read_place()
            except BaseException:
                self._db.close()
                raise
        self._fills = self._served  # the table that flushes change

    @property
    def place(self) -> ReplicaPlace:
        """How far the served objects are."""
        return self._place

    @property
    def is_anew(self) -> bool:
        """Whether flushes go to a second copy that is not served yet."""
        return self._fills != self._served

    def objects(self, account: str | None = None) -> Iterator[KeptObject]:
        """The served objects, of one account or of all, by account and subject."""
        with self._errors(), closing(self._db.cursor()) as cursor:
            yield from read_objects(cursor, self._served, self._path, account=account)

    def get(self, account: str, subject: str) -> KeptObject | None:
        """An object where flushes go: in the second copy if that is not served yet; None without it."""
        with self._errors():
            return read_object(self._db, self._fills, self._path, account, subject)

    def counts(self, prefix: str) -> tuple[int, int]:
        """How many objects the served copy has, and the one where flushes go, whose subjects begin with `prefix`."""
        with self._errors():
            served, filled = (count_objects(self._db, table, prefix) for table in (self._served, self._fills))
        return served, filled

    def flush(self, changes: Iterable[KeptObject | Removal], place: ReplicaPlace) -> None:
        """Make all changes, and note how far the copy is then, in one transaction.

        The place of a copy that is not served yet is noted when it is.
        """
        with self._transaction():
            self._change(changes)
            if not self.is_anew:
                self._note(self._served, place)

    def begin_anew(self) -> None:
        """Have flushes go to an empty second copy; what another one had is forgotten."""
        other = 1 - self._served
        with self._transaction():
            self._db.execute(f"DELETE FROM {OBJECTS[other]}")
        self._fills = other

    def forget_anew(self) -> None:
        """Have flushes go to the served copy again; a second one that is not finished is forgotten."""
        self._fills = self._served

    def serve_anew(self, place: ReplicaPlace) -> None:
        """Serve the copy where flushes go, in the place of the first, in one transaction."""
        old, new = self._served, self._fills
        with self._transaction():
            self._note(new, place)
            if old != new:
                self._db.execute(f"DELETE FROM {OBJECTS[old]}")
        self._served = new

    def doubt(self) -> None:
        """Note that the served copy is not the fleet's state, until another one is served: its time becomes 0."""
        with self._transaction():
            self._note(self._served, self._place._replace(caught_up_at=0))

    def close(self) -> None:
        """Close the file; a second copy that was not served is never used."""
        with self._errors():
            self._db.close()

    def check(self) -> None:
        """Read everything. Raises DamagedReplicaError at the first row that is not as it was written."""
        with self._errors():
            if [said for (said,) in self._db.execute("PRAGMA quick_check(1)")] != ["ok"]:
                raise DamagedReplicaError(f"{shown(self._path)} is damaged")
        for _ in self.objects():
            pass

    def _change(self, changes: Iterable[KeptObject | Removal]) -> None:
        table = OBJECTS[self._fills]
        for one in changes:
            if isinstance(one, Removal):
                self._db.execute(
                    f"DELETE FROM {table} WHERE account = ? AND subject = ?", (account_octets(one.account), one.subject)
                )
            else:
                row = (account_octets(one.account), one.subject, one.seq, one.value, row_check(*one))
                self._db.execute(f"INSERT OR REPLACE INTO {table} VALUES (?, ?, ?, ?, ?)", row)

    def _note(self, served: int, place: ReplicaPlace) -> None:
        row = (0, served, *place, place_check(served, place))
        self._db.execute("INSERT OR REPLACE INTO place VALUES (?, ?, ?, ?, ?, ?)", row)
        self._place = place

    def _read_place(self) -> tuple[int, ReplicaPlace]:
        numbers = [self._db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")]
        if numbers != [APPLICATION, FORMAT]:
            raise DamagedReplicaError(f"{shown(self._path)} is not a copy of a fleet's state")
        return read_place(self._db, self._path)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        place = self._place
        with self._errors():
            try:
                self._db.execute("BEGIN IMMEDIATE")
                yield
                self._db.execute("COMMIT")
            except BaseException:
                self._place = place
                with suppress(sqlite3.Error):  # SQLite has rolled back by itself after some errors
                    self._db.execute("ROLLBACK")
                raise

    def _errors(self) -> AbstractContextManager[None]:
        return sqlite_errors(self._path)


def open_replica(path: Path) -> tuple[Replica, str]:
    """The copy at `path`, read as a whole, and a problem in words; empty without one.

    A missing copy is made, for its owner alone; a damaged one is moved aside first. Raises OSError.
    """
    problem = ""
    if os.path.lexists(path):
        try:
            return _read_through(path), ""
        except DamagedReplicaError as error:
            problem = f"{error}; {_moved_aside(path)}, and its content is fetched anew"
    _make(path)
    return Replica(path), problem


def _read_through(path: Path) -> Replica:
    if not path.is_file() or path.is_symlink():
        raise DamagedReplicaError(f"{shown(path)} is not a regular file")
    path.chmod(0o600)
    replica = Replica(path)
    try:
        replica.check()
    except BaseException:
        replica.close()
        raise
    return replica


def _moved_aside(path: Path) -> str:
    """Move a damaged file aside, with SQLite's other files: they would change the next one. Raises OSError."""
    for extra in EXTRA:
        with suppress(FileNotFoundError):
            os.replace(f"{path}{extra}", f"{path}{ASIDE}{extra}")
    move_aside(path)
    if os.path.lexists(path):
        raise OSError(errno.EACCES, "the damaged file cannot be moved aside", str(path))
    return f"moved aside as {path.name}{ASIDE}"


def _make(path: Path) -> None:
    """Make an empty copy under another name, and put it in place whole: a kill leaves none that looks damaged."""
    new = path.with_name(f"{path.name}.new")
    for name in (new, *(Path(f"{base}{extra}") for base in (new, path) for extra in EXTRA)):
        name.unlink(missing_ok=True)
    create_file(new, mode=0o600).close()
    with sqlite_errors(path), closing(sqlite3.connect(new, isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode=WAL")  # stays with the file
        for statement in (f"PRAGMA application_id={APPLICATION}", f"PRAGMA user_version={FORMAT}", *SCHEMA):
            db.execute(statement)
        place = ReplicaPlace()
        db.execute("INSERT INTO place VALUES (?, ?, ?, ?, ?, ?)", (0, 0, *place, place_check(0, place)))
    os.replace(new, path)
    sync(path.parent)
