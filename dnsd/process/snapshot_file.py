"""The snapshot file: the served snapshot, compiled, for workers to load, and a fallback if the source is lost.

A line of JSON, then pickled parts (see engine/delta.py), then the octets of the name table, their count, and a
digest of all of it: an incomplete file is not a snapshot. The names are mapped, not read, so that processes share them,
even after the file was replaced. Only this package's data classes are unpickled, whatever a file contains.
"""

from __future__ import annotations

import hashlib
import io
import json
import mmap
import os
import pickle
import stat
import struct
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

from dnsd import __version__
from dnsd.engine.delta import DeltaPart
from dnsd.engine.names import KEY_SIZE, NameTable, Octets
from dnsd.errors import DnsdError, shown
from dnsd.whole_file import replacing

FILE_NAME = "snapshot"  # in the state folder
ANY_MAGIC = b"dnsd snapshot "
MAGIC = ANY_MAGIC + b"5 "  # the format's number
SIZE = struct.Struct("<Q")  # of the table of names
DIGEST_SIZE = 32  # octets
MAX_TITLE = 4096  # octets
BLOCK_SIZE = 1024 * 1024  # octets per read
KNOWN_CLASSES = {
    "dnsd.engine.answer": {"Answer", "Rrset", "EdgeSource"},
    "dnsd.engine.node": {"Alias", "Apex", "Edge", "Flattened", "Node", "Redirection"},
    "dnsd.engine.snapshot": {"Addresses"},
    "dnsd.engine.delta": {"AddressChanges", "Heading"},
    "ipaddress": {"IPv4Address", "IPv6Address"},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Title:
    """The first line of a snapshot file."""

    version: str  # of the package: another version may compile answers differently
    revision: int
    saved_at: int  # seconds since 1970
    names: int


class SnapshotFileError(DnsdError, ValueError):
    """A snapshot file cannot be used; the message says why."""


class DamagedSnapshotError(SnapshotFileError):
    """The content of a snapshot file is of no use to any version."""


def save_snapshot(file: Path, title: Title, parts: Iterable[DeltaPart]) -> None:
    """Write the parts of a whole snapshot to the file, all or nothing. Raises OSError."""
    *parts, table = parts
    assert isinstance(table, bytes | memoryview)
    with replacing(file) as out:
        digest = hashlib.blake2b(digest_size=DIGEST_SIZE)
        hashing = _Hashing(out, digest)
        hashing.write(MAGIC + json.dumps(asdict(title)).encode() + b"\n")
        for octets in pickled(parts):
            hashing.write(octets)
        hashing.write(table)
        hashing.write(SIZE.pack(len(table)))
        out.write(digest.digest())


def load_snapshot(file: Path) -> tuple[Title, Iterator[DeltaPart]]:
    """The title of a snapshot file, and its parts, unpickled on demand. Raises SnapshotFileError."""
    octets = _mapped(file, check=True)
    line, _, _ = bytes(octets[len(MAGIC) : len(MAGIC) + MAX_TITLE]).partition(b"\n")
    title = _parsed_title(line)
    if title is None:
        raise DamagedSnapshotError(f"{shown(file)} is corrupt: it has no title")
    if title.version != __version__:
        raise SnapshotFileError(f"{shown(file)} was written by dnsd {title.version}; this is {__version__}")
    table = _table_in(octets)
    parts = octets[len(MAGIC) + len(line) + 1 : -len(table) - SIZE.size - DIGEST_SIZE]
    return title, chain(unpickled(io.BytesIO(parts)), [table])


def share_octets(file: Path, names: NameTable) -> None:
    """Switch a name table that was saved in the file to the file's octets, which processes share."""
    with suppress(SnapshotFileError):
        table = _table_in(_mapped(file))
        if table[:KEY_SIZE] == names.octets[:KEY_SIZE]:  # the key differs for each packing
            names.move(table)


def _mapped(file: Path, *, check: bool = False) -> memoryview:
    """Map the octets of a snapshot file; if `check`, verify their digest.

    The digest is computed from octets read, not mapped: an unreadable disk then raises an error instead of killing the
    process.
    """
    try:
        with _opened(file) as stream:
            octets = memoryview(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ))
            is_ours = octets[: len(MAGIC)] == MAGIC and len(octets) >= len(MAGIC) + SIZE.size + DIGEST_SIZE
            is_whole = is_ours and (not check or _digest(stream, len(octets) - DIGEST_SIZE) == stream.read())
    except OSError as error:
        raise SnapshotFileError(f"{shown(file)} cannot be read: {error.strerror}") from None
    except ValueError:
        raise DamagedSnapshotError(f"{shown(file)} is empty, or not a file") from None
    if not is_ours:
        is_of_another_version = octets[: len(ANY_MAGIC)] == ANY_MAGIC and octets[: len(MAGIC)] != MAGIC
        kind = SnapshotFileError if is_of_another_version else DamagedSnapshotError
        raise kind(f"{shown(file)} is not a snapshot file{' of this version' * is_of_another_version}")
    if not is_whole:
        raise DamagedSnapshotError(f"{shown(file)} is corrupt: digest mismatch")
    return octets


def _opened(file: Path) -> BinaryIO:
    """Open a regular file, as in `store.kept_file`, which workers cannot import. Raises OSError, ValueError."""
    fd = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise ValueError
    return open(fd, "rb")


def _digest(stream: BinaryIO, size: int) -> bytes:
    """The digest of the next `size` octets."""
    digest = hashlib.blake2b(digest_size=DIGEST_SIZE)
    while size > 0 and (octets := stream.read(min(size, BLOCK_SIZE))):
        digest.update(octets)
        size -= len(octets)
    return digest.digest()


def _table_in(octets: memoryview) -> memoryview:
    """The part of a whole snapshot file that holds the name table."""
    end = len(octets) - DIGEST_SIZE - SIZE.size
    (size,) = SIZE.unpack_from(octets, end)
    return octets[end - size : end]


def load_title(file: Path) -> Title | None:
    """The title of a snapshot file, digest not checked; None if there is no file, or one of another format."""
    try:
        with _opened(file) as stream:
            line = stream.read(len(MAGIC) + MAX_TITLE).removeprefix(MAGIC).partition(b"\n")[0]
    except (OSError, ValueError):
        return None
    return _parsed_title(line)


def _parsed_title(line: bytes) -> Title | None:
    try:
        title = Title(**json.loads(line))
    except (ValueError, TypeError, RecursionError):
        return None
    numbers = (title.revision, title.saved_at, title.names)
    is_sound = isinstance(title.version, str) and all(isinstance(one, int) and 0 <= one < 2**53 for one in numbers)
    return title if is_sound else None


def pickled(parts: Iterable[DeltaPart]) -> Iterator[bytes]:
    """Pickle each part; objects shared by parts are written once."""
    buffer = io.BytesIO()
    pickler = pickle.Pickler(buffer, protocol=pickle.HIGHEST_PROTOCOL)
    for part in parts:
        pickler.dump(bytes(part) if isinstance(part, memoryview) else part)
        yield buffer.getvalue()
        buffer.seek(0)
        buffer.truncate()


def unpickled(octets: BinaryIO) -> Iterator[DeltaPart]:
    """Unpickle the parts. Raises SnapshotFileError for objects of foreign classes."""
    unpickler = _Unpickler(octets)
    while True:
        try:
            part = unpickler.load()
        except EOFError:
            return
        yield part


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if name in KNOWN_CLASSES.get(module, ()):
            return super().find_class(module, name)
        raise SnapshotFileError(f"{module}.{name} is not allowed in a snapshot")


class _Hashing:
    def __init__(self, out: BinaryIO, digest: hashlib.blake2b) -> None:
        self._out = out
        self._digest = digest

    def write(self, octets: Octets) -> None:
        self._out.write(octets)
        self._digest.update(octets)
