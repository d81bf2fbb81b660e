"""The snapshot file: what is served, compiled, as one file that workers load, and that is left when the source is gone.

A line of JSON, then pickled parts (see engine/delta.py), then the octets of the table of names, how many they are,
and a digest of all before it: a file that was not written to its end is no snapshot. The names are mapped, not read:
processes share them, also after the file was replaced. Only this package's data classes are unpickled, whatever a file
says.
"""

from __future__ import annotations

import hashlib
import io
import json
import mmap
import os
import pickle
import struct
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

from dnsd import __version__
from dnsd.engine.delta import Part
from dnsd.engine.names import KEY_SIZE, NameTable, Octets
from dnsd.errors import DnsdError

FILE_NAME = "snapshot"  # in the state folder
MAGIC = b"dnsd snapshot 5 "  # the format's number
SIZE = struct.Struct("<Q")  # of the table of names
DIGEST_SIZE = 32  # octets
MAX_TITLE = 4096  # octets
BLOCK_SIZE = 1024 * 1024  # octets that are read at once
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

    version: str  # of the package: another one may compile answers otherwise
    revision: int
    saved_at: int  # seconds since 1970
    names: int


class SnapshotFileError(DnsdError, ValueError):
    """A snapshot file that cannot be used; says why."""


def save_snapshot(file: Path, title: Title, parts: Iterable[Part]) -> None:
    """Write the parts of a whole snapshot to the file, all or nothing: under another name, to the disk, then renamed.

    The other name is always the same, so that writers that were killed leave one file behind, which the next one uses.
    Raises OSError.
    """
    beside = file.with_name(file.name + ".new")
    *parts, table = parts
    assert isinstance(table, bytes | memoryview)
    try:
        with open(beside, "wb") as out:
            digest = hashlib.blake2b(digest_size=DIGEST_SIZE)
            hashing = _Hashing(out, digest)
            hashing.write(MAGIC + json.dumps(asdict(title)).encode() + b"\n")
            for octets in pickled(parts):
                hashing.write(octets)
            hashing.write(table)
            hashing.write(SIZE.pack(len(table)))
            out.write(digest.digest())
            out.flush()
            os.fsync(out.fileno())
        os.replace(beside, file)
    except OSError:
        beside.unlink(missing_ok=True)  # what fills a full disk
        raise
    folder = os.open(file.parent, os.O_RDONLY)
    try:
        os.fsync(folder)  # the new name itself
    finally:
        os.close(folder)


def load_snapshot(file: Path) -> tuple[Title, Iterator[Part]]:
    """What the file says of itself, and its parts, read as they are asked for. Raises SnapshotFileError."""
    octets = _mapped(file, check=True)
    line, _, _ = bytes(octets[len(MAGIC) : len(MAGIC) + MAX_TITLE]).partition(b"\n")
    said = json.loads(line)  # what has a good digest was written by us
    if said["version"] != __version__:
        raise SnapshotFileError(f"{file} was written by dnsd {said['version']}; this is {__version__}")
    table = _table_in(octets)
    parts = octets[len(MAGIC) + len(line) + 1 : -len(table) - SIZE.size - DIGEST_SIZE]
    return Title(**said), chain(unpickled(io.BytesIO(parts)), [table])


def share_octets(file: Path, names: NameTable) -> None:
    """Have names that were saved in the file use its octets, which other processes have, too."""
    with suppress(SnapshotFileError):
        table = _table_in(_mapped(file))
        if table[:KEY_SIZE] == names.octets[:KEY_SIZE]:  # of one packing
            names.move(table)


def _mapped(file: Path, *, check: bool = False) -> memoryview:
    """The octets of a snapshot file; their digest is looked at where that is wanted.

    It is that of what was read, not mapped: a disk that cannot be read is an error then, not the end of the process.
    """
    try:
        with open(file, "rb") as stream:
            octets = memoryview(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ))
            is_whole = not check or _digest(stream, len(octets) - DIGEST_SIZE) == stream.read()
    except OSError as error:
        raise SnapshotFileError(f"{file} cannot be read: {error.strerror}") from None
    except ValueError:
        raise SnapshotFileError(f"{file} is empty") from None
    if octets[: len(MAGIC)] != MAGIC:
        raise SnapshotFileError(f"{file} is no snapshot file")
    if not is_whole:
        raise SnapshotFileError(f"{file} is damaged: its digest is another one")
    return octets


def _digest(stream: BinaryIO, size: int) -> bytes:
    """The digest of the next so many octets."""
    digest = hashlib.blake2b(digest_size=DIGEST_SIZE)
    while size > 0 and (octets := stream.read(min(size, BLOCK_SIZE))):
        digest.update(octets)
        size -= len(octets)
    return digest.digest()


def _table_in(octets: memoryview) -> memoryview:
    """Where the names stand in a whole snapshot file."""
    end = len(octets) - DIGEST_SIZE - SIZE.size
    (size,) = SIZE.unpack_from(octets, end)
    return octets[end - size : end]


def load_title(file: Path) -> Title | None:
    """What a file says of itself, its digest not looked at; None where there is none, or it is another version's."""
    try:
        with open(file, "rb") as stream:
            line = stream.read(len(MAGIC) + MAX_TITLE).removeprefix(MAGIC).partition(b"\n")[0]
        return Title(**json.loads(line))
    except (OSError, ValueError, TypeError):
        return None


def pickled(parts: Iterable[Part]) -> Iterator[bytes]:
    """Each part as octets; what parts share is written once."""
    buffer = io.BytesIO()
    pickler = pickle.Pickler(buffer, protocol=pickle.HIGHEST_PROTOCOL)
    for part in parts:
        pickler.dump(bytes(part) if isinstance(part, memoryview) else part)
        yield buffer.getvalue()
        buffer.seek(0)
        buffer.truncate()


def unpickled(octets: BinaryIO) -> Iterator[Part]:
    """The parts again. Raises SnapshotFileError for what is not made of this package's data."""
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
        raise SnapshotFileError(f"{module}.{name} has no place in a snapshot")


class _Hashing:
    def __init__(self, out: BinaryIO, digest: hashlib.blake2b) -> None:
        self._out = out
        self._digest = digest

    def write(self, octets: Octets) -> None:
        self._out.write(octets)
        self._digest.update(octets)
