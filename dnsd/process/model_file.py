"""The model file: the zones of a snapshot file as control read and packed them, so that a start need not parse them.

It holds what no worker may know, such as the origins of proxied names: control alone opens it. It belongs to one
snapshot file, whose name it has, and to the code that reads and packs zones: with another one it is of no use.

A line of JSON, the octets of the zones one after the other, an index of plain values, where it stands, and a digest of
all that. This module knows neither the keys nor the octets of zones, nor the notes next to them.
"""

from __future__ import annotations

import hashlib
import io
import json
import mmap
import pickle
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from struct import Struct
from typing import Any, BinaryIO, NamedTuple

from dnsd.engine.entry import Octets
from dnsd.errors import shown
from dnsd.process.snapshot_file import BLOCK_SIZE, DamagedSnapshotError, SnapshotFileError, open_file
from dnsd.whole_file import replacing

SUFFIX = ".model"  # of the snapshot file's name
ANY_MAGIC = b"dnsd model "
FORMAT = 2
MAGIC = ANY_MAGIC + b"%d " % FORMAT
TITLE_SIZE = 512  # octets
ALIGNED = 8  # octets: zones begin at multiples of it
INDEX_AT = Struct("<QQ")  # offset and size
DIGEST_SIZE = 32  # octets, of SHA-256: most processors compute it in hardware
END_SIZE = INDEX_AT.size + DIGEST_SIZE

ZoneKey = tuple[Any, ...]  # of plain values
ZonePlaces = dict[ZoneKey, tuple[int, int]]  # where the octets of each zone begin and end
Notes = tuple[Any, ...]  # of plain values


class ModelTitle(NamedTuple):
    """The first line of a model file."""

    base: str  # the name of the snapshot file, in hexadecimal digits
    code: str  # the digest of the code that read and packed the zones


class SavedModel(NamedTuple):
    """The content of a model file."""

    octets: memoryview
    places: ZonePlaces
    notes: Notes = ()  # as read from the file

    def zone(self, key: ZoneKey) -> memoryview:
        """The octets of a zone. Raises KeyError."""
        start, end = self.places[key]
        return self.octets[start:end]


def model_of(file: Path) -> Path:
    """The path of a snapshot file's model."""
    return file.with_name(file.name + SUFFIX)


def save_model(
    file: Path, title: ModelTitle, zones: Iterable[tuple[ZoneKey, Iterable[Octets]]], notes: Notes = ()
) -> SavedModel:
    """Write the octets of zones, and notes, to a model file, all or nothing; return its content. Raises OSError."""
    places: ZonePlaces = {}
    with replacing(file) as out:
        written = _Written(out)
        written.add((MAGIC + json.dumps(title._asdict()).encode()).ljust(TITLE_SIZE - 1) + b"\n")
        for key, pieces in zones:
            start = written.size
            for piece in pieces:
                written.add(piece)
            places[key] = start, written.size
            written.add(bytes(-written.size % ALIGNED))
        index = pickle.dumps((places, notes), protocol=pickle.HIGHEST_PROTOCOL)
        written.add(index + INDEX_AT.pack(written.size, len(index)))
        out.write(written.digest.digest())
    with open_file(file) as stream:
        return SavedModel(memoryview(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)), places)


class _Written:
    """Octets written to a file, and their digest."""

    def __init__(self, out: BinaryIO) -> None:
        self.size = 0
        self.digest = hashlib.sha256()
        self._out = out

    def add(self, octets: Octets) -> None:
        """Write more octets."""
        self._out.write(octets)
        self.digest.update(octets)
        self.size += memoryview(octets).nbytes


def load_model(file: Path, title: ModelTitle) -> SavedModel | None:
    """The content of a model file with this title; None without a file. Raises SnapshotFileError, which says why."""
    try:
        with open_file(file) as stream:
            head = stream.read(TITLE_SIZE)
            _check_title(file, head, title)
            if not _is_whole(stream, head):
                raise DamagedSnapshotError(f"{shown(file)} is corrupt: digest mismatch")
            octets = memoryview(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise SnapshotFileError(f"{shown(file)} cannot be read: {error.strerror}") from None
    except ValueError as error:
        if isinstance(error, SnapshotFileError):
            raise
        raise DamagedSnapshotError(f"{shown(file)} is empty, or not a file") from None
    return SavedModel(octets, *_index(file, octets))


def _check_title(file: Path, head: bytes, title: ModelTitle) -> None:
    """Raise SnapshotFileError for a file of another format, or with another title."""
    number = head.removeprefix(ANY_MAGIC).partition(b" ")[0]
    if not head.startswith(ANY_MAGIC) or not number.isdigit() or len(head) < TITLE_SIZE:
        raise DamagedSnapshotError(f"{shown(file)} is not a model file")
    if not head.startswith(MAGIC):
        raise SnapshotFileError(
            f"{shown(file)} has format {number.decode()}, of another version of dnsd; this one has format {FORMAT}"
        )
    try:
        found = json.loads(head.removeprefix(MAGIC))
        base, code = found["base"], found["code"]
    except (ValueError, TypeError, KeyError, RecursionError):
        raise DamagedSnapshotError(f"{shown(file)} is corrupt: it has no title") from None
    if code != title.code:
        raise SnapshotFileError(f"{shown(file)} was written by other code than this dnsd's")
    if base != title.base:
        raise SnapshotFileError(f"{shown(file)} belongs to another snapshot file")


def _is_whole(stream: BinaryIO, head: bytes) -> bool:
    """Whether a file, whose first octets were read, ends with the digest of the rest; it is read, not mapped."""
    digest, last = hashlib.sha256(head), b""
    while octets := stream.read(BLOCK_SIZE):
        octets = last + octets
        digest.update(memoryview(octets)[:-DIGEST_SIZE])
        last = octets[-DIGEST_SIZE:]
    return digest.digest() == last


def _index(file: Path, octets: memoryview) -> tuple[ZonePlaces, Notes]:
    """The index of a file with the right digest: the places of zones, and the notes."""
    try:
        at, size = INDEX_AT.unpack_from(octets, len(octets) - END_SIZE)
        places, notes = _PlainUnpickler(io.BytesIO(octets[at : at + size])).load()
    except Exception:  # of any kind, as the octets may be anything
        raise DamagedSnapshotError(f"{shown(file)} is corrupt: it has no index") from None
    if not _are_places(places, at) or not isinstance(notes, tuple):
        raise DamagedSnapshotError(f"{shown(file)} is corrupt: its index is wrong")
    return places, notes


def _are_places(places: object, end: int) -> bool:
    if not isinstance(places, Mapping):
        return False
    spans: Iterator[object] = iter(places.values())
    return all(
        isinstance(span, tuple) and len(span) == 2 and all(isinstance(one, int) and 0 <= one <= end for one in span)
        for span in spans
    )


class _PlainUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        raise SnapshotFileError(f"{module}.{name} is not allowed in a model file")
