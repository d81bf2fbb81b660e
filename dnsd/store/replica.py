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
from contextlib import closing, contextmanager, suppress
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

from dnsd.errors import DnsdError, shown
from dnsd.store.kept_file import ASIDE, move_aside
from dnsd.whole_file import create_file, sync

FORMAT = 1  # `user_version` of the file
APPLICATION = 0x646E7364  # `application_id`: "dnsd"
CHECK_SIZE = 8  # octets
DAMAGES = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR}  # the last: a table is missing
NUMBERS = {sqlite3.SQLITE_FULL: errno.ENOSPC, sqlite3.SQLITE_BUSY: errno.EBUSY, sqlite3.SQLITE_READONLY: errno.EROFS}
EXTRA = ("-wal", "-shm")  # the files that SQLite has next to its own
OBJECTS = ("objects_0", "objects_1")  # one is served, the other is empty or grows
COLUMNS = "account BLOB, subject TEXT, seq INTEGER, value BLOB, digest BLOB"
SCHEMA = [
    *(f"CREATE TABLE {name}({COLUMNS}, PRIMARY KEY(account, subject)) WITHOUT ROWID" for name in OBJECTS),
    "CREATE TABLE place(id INTEGER PRIMARY KEY, served INTEGER, epoch TEXT, seq INTEGER, at INTEGER, digest BLOB)",
]


class ReplicaPlace(NamedTuple):
    """How far a copy is: the fleet's epoch, the last message of which it lacks nothing, and when it was caught up.

    The time is in seconds since 1970; 0 stands for a copy that was never caught up, or is known to be wrong.
    """

    epoch: str = ""
    seq: int = 0
    caught_up_at: int = 0


class KeptObject(NamedTuple):
    """One object's value, and the sequence number of the message that brought it."""

    account: str
    subject: str
    seq: int
    value: bytes


class Removal(NamedTuple):
    """The removal of an object."""

    account: str
    subject: str


class DamagedReplicaError(DnsdError):
    """A copy turned out to be damaged while it was used: open it anew, which moves it aside."""


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
        where, values = ("", ()) if account is None else (" WHERE account = ?", (_octets(account),))
        columns = "account, subject, seq, value, digest"
        with self._errors(), closing(self._db.cursor()) as cursor:
            cursor.execute(f"SELECT {columns} FROM {OBJECTS[self._served]}{where} ORDER BY account, subject", values)
            for found, *rest in cursor:
                yield self._checked(found, *rest)

    def get(self, account: str, subject: str) -> KeptObject | None:
        """An object where flushes go: in the second copy if that is not served yet; None without it."""
        with self._errors():
            rows = self._db.execute(
                f"SELECT seq, value, digest FROM {OBJECTS[self._fills]} WHERE account = ? AND subject = ?",
                (_octets(account), subject),
            ).fetchall()
        return self._checked(_octets(account), subject, *rows[0]) if rows else None

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

    def _checked(self, account: object, subject: object, seq: object, value: object, digest: object) -> KeptObject:
        """The object of a row. Raises DamagedReplicaError."""
        if (
            isinstance(account, bytes)
            and isinstance(subject, str)
            and isinstance(seq, int)
            and isinstance(value, bytes)
        ):
            found = KeptObject(_text(account), subject, seq, value)
            if digest == _check(*found):
                return found
        raise DamagedReplicaError(f"{shown(self._path)} is damaged: an object is not as it was written")

    def _change(self, changes: Iterable[KeptObject | Removal]) -> None:
        table = OBJECTS[self._fills]
        for one in changes:
            if isinstance(one, Removal):
                self._db.execute(
                    f"DELETE FROM {table} WHERE account = ? AND subject = ?", (_octets(one.account), one.subject)
                )
            else:
                row = (_octets(one.account), one.subject, one.seq, one.value, _check(*one))
                self._db.execute(f"INSERT OR REPLACE INTO {table} VALUES (?, ?, ?, ?, ?)", row)

    def _note(self, served: int, place: ReplicaPlace) -> None:
        row = (0, served, *place, _place_check(served, place))
        self._db.execute("INSERT OR REPLACE INTO place VALUES (?, ?, ?, ?, ?, ?)", row)
        self._place = place

    def _read_place(self) -> tuple[int, ReplicaPlace]:
        numbers = [self._db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")]
        rows = self._db.execute("SELECT served, epoch, seq, at, digest FROM place WHERE id = 0").fetchall()
        if numbers == [APPLICATION, FORMAT] and len(rows) == 1:
            served, place = rows[0][0], ReplicaPlace(*rows[0][1:4])
            if served in (0, 1) and rows[0][4] == _place_check(served, place):
                return served, place
        raise DamagedReplicaError(f"{shown(self._path)} is not a copy of a fleet's state")

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

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Turns SQLite's errors into ours."""
        try:
            yield
        except sqlite3.Error as error:
            code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF
            if code in DAMAGES:
                raise DamagedReplicaError(f"{shown(self._path)} is damaged: {error}") from None
            raise OSError(NUMBERS.get(code, errno.EIO), str(error), str(self._path)) from None


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
    with closing(sqlite3.connect(new, isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode=WAL")  # stays with the file
        for statement in (f"PRAGMA application_id={APPLICATION}", f"PRAGMA user_version={FORMAT}", *SCHEMA):
            db.execute(statement)
        place = ReplicaPlace()
        db.execute("INSERT INTO place VALUES (?, ?, ?, ?, ?, ?)", (0, 0, *place, _place_check(0, place)))
    os.replace(new, path)
    sync(path.parent)


def _check(account: str, subject: str, seq: int, value: bytes) -> bytes:
    digest = blake2b(_octets(f"{account}\n{subject}\n{seq}\n"), digest_size=CHECK_SIZE)
    digest.update(value)
    return digest.digest()


def _place_check(served: int, place: ReplicaPlace) -> bytes:
    return blake2b(repr((served, *place)).encode(), digest_size=CHECK_SIZE).digest()


def _octets(text: str) -> bytes:
    """An account's name as octets: those of a file's name, which need not be UTF-8."""
    return text.encode("utf-8", "surrogateescape")


def _text(octets: bytes) -> str:
    return octets.decode("utf-8", "surrogateescape")
