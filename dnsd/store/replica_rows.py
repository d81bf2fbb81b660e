"""The rows of a node's copy of a fleet's state (`store/replica.py`): their form, their checks, and errors of SQLite."""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple

from dnsd.errors import DnsdError, shown

CHECK_SIZE = 8  # octets
DAMAGES = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR}  # the last: a table is missing
NUMBERS = {sqlite3.SQLITE_FULL: errno.ENOSPC, sqlite3.SQLITE_BUSY: errno.EBUSY, sqlite3.SQLITE_READONLY: errno.EROFS}
OBJECTS = ("objects_0", "objects_1")  # one is served, the other is empty or grows
COLUMNS = "account BLOB, subject TEXT, seq INTEGER, value BLOB, digest BLOB"
COLUMN_NAMES = "account, subject, seq, value, digest"


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


@contextmanager
def sqlite_errors(path: Path) -> Iterator[None]:
    """Turns SQLite's errors into ours."""
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF
        if code in DAMAGES:
            raise DamagedReplicaError(f"{shown(path)} is damaged: {error}") from None
        raise OSError(NUMBERS.get(code, errno.EIO), str(error), str(path)) from None


def read_place(db: sqlite3.Connection, path: Path) -> tuple[int, ReplicaPlace]:
    """The number of the served table, and how far the copy is. Raises DamagedReplicaError."""
    rows = db.execute("SELECT served, epoch, seq, at, digest FROM place WHERE id = 0").fetchall()
    if len(rows) == 1:
        served, place = rows[0][0], ReplicaPlace(*rows[0][1:4])
        if served in (0, 1) and rows[0][4] == place_check(served, place):
            return served, place
    raise DamagedReplicaError(f"{shown(path)} is not a copy of a fleet's state")


def read_objects(
    cursor: sqlite3.Cursor, table: int, path: Path, *, account: str | None = None, prefix: str = ""
) -> Iterator[KeptObject]:
    """The objects in a table, of one account or of all, whose subjects begin with `prefix` (ASCII)."""
    where: dict[str, Any] = {"subject >= ?": prefix, "subject < ?": f"{prefix}\x7f"} if prefix else {}
    where |= {} if account is None else {"account = ?": account_octets(account)}
    condition = f" WHERE {' AND '.join(where)}" if where else ""
    query = f"SELECT {COLUMN_NAMES} FROM {OBJECTS[table]}{condition} ORDER BY account, subject"
    cursor.execute(query, [*where.values()])
    for row in cursor:
        yield _checked(path, *row)


def read_object(db: sqlite3.Connection, table: int, path: Path, account: str, subject: str) -> KeptObject | None:
    """An object in a table; None without it."""
    query = f"SELECT {COLUMN_NAMES} FROM {OBJECTS[table]} WHERE account = ? AND subject = ?"
    rows = db.execute(query, (account_octets(account), subject)).fetchall()
    return _checked(path, *rows[0]) if rows else None


def count_objects(db: sqlite3.Connection, table: int, prefix: str) -> int:
    """How many objects of a table have subjects that begin with `prefix` (ASCII)."""
    query = f"SELECT count(*) FROM {OBJECTS[table]} WHERE subject >= ? AND subject < ?"
    return int(db.execute(query, (prefix, f"{prefix}\x7f")).fetchone()[0])


def _checked(path: Path, account: object, subject: object, seq: object, value: object, digest: object) -> KeptObject:
    """The object of a row. Raises DamagedReplicaError."""
    if isinstance(account, bytes) and isinstance(subject, str) and isinstance(seq, int) and isinstance(value, bytes):
        found = KeptObject(_text(account), subject, seq, value)
        if digest == row_check(*found):
            return found
    raise DamagedReplicaError(f"{shown(path)} is damaged: an object is not as it was written")


def row_check(account: str, subject: str, seq: int, value: bytes) -> bytes:
    """The digest that a row has of its other columns."""
    digest = blake2b(account_octets(f"{account}\n{subject}\n{seq}\n"), digest_size=CHECK_SIZE)
    digest.update(value)
    return digest.digest()


def place_check(served: int, place: ReplicaPlace) -> bytes:
    """The digest that the place has of itself, and of the number of the served table."""
    return blake2b(repr((served, *place)).encode(), digest_size=CHECK_SIZE).digest()


def account_octets(text: str) -> bytes:
    """An account's name as octets: those of a file's name, which need not be UTF-8."""
    return text.encode("utf-8", "surrogateescape")


def _text(octets: bytes) -> str:
    return octets.decode("utf-8", "surrogateescape")
