"""The snapshot file: the served snapshot, compiled, for workers to load, and a fallback if the source is lost.

A line of JSON, the *title*, with the sizes and digests of the sections that follow it: the octets of the table of
names, those of its overlay, and pickled parts (engine/delta.py). At the end, a digest of the title: an incomplete file
is not a snapshot. The table is mapped, not read, so that processes share it, even after the file was replaced. Only
this package's data classes are unpickled, whatever a file contains.
"""

from __future__ import annotations

import hashlib
import io
import json
import mmap
import os
import pickle
import stat
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from dnsd import __version__
from dnsd.engine.delta import DeltaPart
from dnsd.engine.entry import Octets
from dnsd.engine.table import KEY_AT, Table
from dnsd.errors import DnsdError, shown
from dnsd.process.verified import Verified, unshared
from dnsd.whole_file import begin_new, replacing

FILE_NAME = "snapshot"  # in the state folder
ANY_MAGIC = b"dnsd snapshot "
FORMAT = 7
MAGIC = ANY_MAGIC + b"%d " % FORMAT
DIGEST_SIZE = NAME_SIZE = 32  # octets, of SHA-256: most processors compute it in hardware
MAX_TITLE = 4096  # octets, with the magic
BLOCK_SIZE = 1024 * 1024  # octets per read
SECTIONS = ("table", "overlay", "parts")  # in this order; without an overlay, its section is empty
KNOWN_CLASSES = {
    "dnsd.engine.answer": {"Answer", "Rrset", "EdgeSource"},
    "dnsd.engine.node": {"Apex"},
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


class ForeignSnapshotError(SnapshotFileError):
    """Another version of dnsd wrote the file."""


class DamagedSnapshotError(SnapshotFileError):
    """The content of a snapshot file is of no use to any version."""


class _Section(NamedTuple):
    """A part of the file."""

    offset: int
    size: int
    digest: str


class SavedBase(NamedTuple):
    """The content of a snapshot file: its title, its name, and its parts, unpickled on demand."""

    title: Title
    name: bytes  # the digest of the title, which no other file has
    parts: Iterator[DeltaPart]


class BegunTable(NamedTuple):
    """A table of names that is on the disk already, where `save_snapshot` will need it."""

    key: bytes  # the table's
    digest: str


def begin_snapshot(file: Path, table: Table) -> BegunTable:
    """Write the base of a table as the beginning of the next snapshot file. Raises OSError."""
    begin_new(file, (bytes(MAX_TITLE), table.octets))
    return BegunTable(table.key, _digest_text(table.octets))


def save_snapshot(file: Path, title: Title, parts: Iterable[DeltaPart], begun: BegunTable | None = None) -> bytes:
    """Write the parts of a whole snapshot to the file, all or nothing, and return its name. Raises OSError.

    If the table is the `begun` one, the rest of the file is written around it, unless its beginning has gone.
    """
    small, tables = [], list[Octets]()
    for part in parts:
        if isinstance(part, bytes | memoryview):
            tables.append(part)
        else:
            small.append(part)
    table, overlay = (*tables, b"")[:2]
    contents = (table, overlay, b"".join(pickled(small)))
    is_begun = begun is not None and bytes(table[KEY_AT]) == begun.key
    sections, offset = {}, MAX_TITLE
    for name, content in zip(SECTIONS, contents, strict=True):
        digest = begun.digest if begun and is_begun and content is table else _digest_text(content)
        sections[name] = _Section(offset, len(content), digest)
        offset += len(content)
    line = MAGIC + json.dumps(asdict(title) | {"sections": sections}).encode() + b"\n"
    head = line.ljust(MAX_TITLE, b"\n")
    try:
        _write(file, head, contents, is_begun=is_begun)
    except FileNotFoundError:
        if not is_begun:
            raise
        _write(file, head, contents, is_begun=False)
    return _digest_of(head)


def _write(file: Path, head: bytes, contents: Sequence[Octets], *, is_begun: bool) -> None:
    """Write the file, or, if it `is_begun`, all of it but the table, which is on the disk. Raises OSError."""
    with replacing(file, is_begun=is_begun) as out:
        out.write(head)
        if is_begun:
            out.seek(len(contents[0]), os.SEEK_CUR)
        for content in contents[is_begun:]:
            out.write(content)
        out.write(_digest_of(head))


def _digest_text(octets: Octets) -> str:
    return hashlib.sha256(octets).hexdigest()


def _digest_of(octets: Octets) -> bytes:
    return hashlib.sha256(octets).digest()


def load_base(file: Path, verified: Verified | None = None) -> SavedBase:
    """The content of a snapshot file, without its log (snapshot_log.py). Raises SnapshotFileError.

    Its digests are verified, unless `verified` has the file.
    """
    octets, head = _mapped(file, verified or unshared())
    title, sections = _parsed(head)
    if title is None or sections is None:
        raise DamagedSnapshotError(f"{shown(file)} is corrupt: it has no title")
    if title.version != __version__:
        raise ForeignSnapshotError(f"{shown(file)} was written by dnsd {title.version}; this is {__version__}")
    *tables, parts = (octets[one.offset : one.offset + one.size] for one in sections)
    found = chain(unpickled(io.BytesIO(parts)), (table for table in tables if len(table)))
    return SavedBase(title, _digest_of(head), found)


def share_octets(file: Path, verified: Verified, *tables: Table) -> None:
    """Switch each table that has the octets of the file's table to the file's, which processes share.

    The caller has just written the file: its digests are those of its octets.
    """
    with suppress(SnapshotFileError, ValueError):
        octets, head = _mapped(file, verified, is_new=True)
        _, sections = _parsed(head)
        if sections is None:
            return
        base = sections[SECTIONS.index("table")]
        saved = Table(octets[base.offset : base.offset + base.size])
        for table in filter(saved.shares_octets, tables):
            table.move(saved.octets)


def _mapped(file: Path, verified: Verified, *, is_new: bool = False) -> tuple[memoryview, bytes]:
    """The octets of a snapshot file, mapped, and the first of them; its digests are verified, unless it `is_new`.

    The digests are computed from octets read, not mapped: an unreadable disk then raises an error instead of killing
    the process. Raises SnapshotFileError.
    """
    try:
        with open_file(file) as stream:
            octets = memoryview(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ))
            head = bytes(octets[:MAX_TITLE])
            is_ours = head.startswith(MAGIC) and len(octets) >= MAX_TITLE + DIGEST_SIZE
            status = os.fstat(stream.fileno())
            is_whole = is_ours and (is_new or verified.has(status, head) or _is_whole(stream, head, len(octets)))
            if is_whole:
                verified.note(status, head)
    except OSError as error:
        raise SnapshotFileError(f"{shown(file)} cannot be read: {error.strerror}") from None
    except ValueError:
        raise DamagedSnapshotError(f"{shown(file)} is empty, or not a file") from None
    if not is_ours:
        raise _foreign(file, head)
    if not is_whole:
        raise DamagedSnapshotError(f"{shown(file)} is corrupt: digest mismatch")
    return octets, head


def _foreign(file: Path, head: bytes) -> SnapshotFileError:
    """The error for a file of another format, or of none."""
    number = head.removeprefix(ANY_MAGIC).partition(b" ")[0]
    if not head.startswith(ANY_MAGIC) or not number.isdigit() or number == b"%d" % FORMAT:
        return DamagedSnapshotError(f"{shown(file)} is not a snapshot file")
    return ForeignSnapshotError(
        f"{shown(file)} has format {int(number)}, of another version of dnsd; this one has format {FORMAT}"
    )


def open_file(file: Path) -> BinaryIO:
    """Open a regular file, as in `store.kept_file`, which workers cannot import. Raises OSError, ValueError."""
    fd = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise ValueError
    return open(fd, "rb")


def _is_whole(stream: BinaryIO, head: bytes, size: int) -> bool:
    """Whether title and sections are those that were written."""
    _, sections = _parsed(head)
    end = MAX_TITLE
    for one in sections or ():
        stream.seek(one.offset)
        if one.offset != end or _digest(stream, one.size) != one.digest:
            return False
        end = one.offset + one.size
    stream.seek(size - DIGEST_SIZE)
    return sections is not None and end == size - DIGEST_SIZE and stream.read() == _digest_of(head)


def _digest(stream: BinaryIO, size: int) -> str:
    """The digest of the next `size` octets."""
    digest = hashlib.sha256()
    while size > 0 and (octets := stream.read(min(size, BLOCK_SIZE))):
        digest.update(octets)
        size -= len(octets)
    return digest.hexdigest()


def base_title(file: Path) -> tuple[Title, bytes] | None:
    """The title of a snapshot file and its name, no digest checked; None without a file, or for another format."""
    try:
        with open_file(file) as stream:
            head = stream.read(MAX_TITLE)
    except (OSError, ValueError):
        return None
    title = _parsed(head)[0]
    return (title, _digest_of(head)) if title else None


def _parsed(head: bytes) -> tuple[Title | None, list[_Section] | None]:
    """The title and the sections in the first octets of a file; None for what is not sound."""
    try:
        fields = json.loads(head.removeprefix(MAGIC).partition(b"\n")[0])
        found = [_Section(*fields["sections"][name]) for name in SECTIONS]
        title = Title(**{name: value for name, value in fields.items() if name != "sections"})
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None, None
    sizes = [number for one in found for number in one[:2]]
    numbers = (title.revision, title.saved_at, title.names)
    is_sound = isinstance(title.version, str) and all(_is_number(one) for one in numbers)
    return (title if is_sound else None), (found if all(map(_is_number, sizes)) else None)


def _is_number(value: object) -> bool:
    return isinstance(value, int) and 0 <= value < 2**53


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
