"""The value of a fleet's object: a line about the file, then its octets; compressed where that is shorter.

The line is JSON: `{"v":1,"modified":1764400000}`, with the time of the file in seconds since 1970, from which a YAML
zone has its serial. A large file travels in blocks, which are objects of their own; with `"blocks":true` in the line,
the octets are the list of them. A value whose `v` is another number comes from a later version: it is kept as it is,
and not read.
"""

from __future__ import annotations

import json
import zlib
from typing import NamedTuple, TypeGuard

from dnsd.errors import DnsdError

VERSION = 1  # of the line
MAX_LINE = 4096  # octets
MAX_FILE = 256 * 1024  # octets of a file, a block or a list of blocks
MAX_VALUE = MAX_LINE + MAX_FILE  # octets, before compression
LATEST_S = 2**63 - 1
PLAIN = b"{"  # the first octet of a value that is not compressed
ZLIB = b"x"  # RFC 1950 §2.2: deflate with a window of 32 KiB


class FleetFile(NamedTuple):
    """A file as it travels: its octets or the list of its blocks, and its time in seconds since 1970."""

    octets: bytes
    modified: int
    is_list: bool = False


class ValueFormatError(DnsdError):
    """A value that no version of dnsd writes, or whose file is too large."""


class LaterValueError(DnsdError):
    """A value of a later version of dnsd, whose `v` the message names."""


def pack_value(file: FleetFile) -> bytes:
    """The value of a file. Raises ValueFormatError if it is too large or its time has no form."""
    if len(file.octets) > MAX_FILE:
        raise ValueFormatError(f"a file of {len(file.octets):,} octets; the limit of one object is {MAX_FILE:,}")
    if not 0 <= file.modified <= LATEST_S:
        raise ValueFormatError(f"a file's time must be from 0 to {LATEST_S}")
    head = {"v": VERSION, "modified": file.modified, **({"blocks": True} if file.is_list else {})}
    line = json.dumps(head, separators=(",", ":")).encode()
    plain = line + b"\n" + file.octets
    small = zlib.compress(plain, 1)
    return small if len(small) < len(plain) else plain


def parse_value(value: bytes) -> FleetFile:
    """The file of a value. Raises LaterValueError and ValueFormatError; a value is never unpacked beyond MAX_VALUE."""
    plain = _unpacked(value)
    line, newline, octets = plain.partition(b"\n")
    if not newline or len(line) > MAX_LINE:
        raise ValueFormatError(f"the value does not begin with a line of at most {MAX_LINE:,} octets")
    head = json_object(line)
    version, modified, blocks = head.get("v"), head.get("modified"), head.get("blocks", False)
    if not is_count(version):
        raise ValueFormatError("the value's line has no version")
    if version != VERSION:
        raise LaterValueError(f"the value has version {version}; this version of dnsd reads {VERSION}")
    if not is_count(modified) or modified > LATEST_S:
        raise ValueFormatError("the value's line has no time")
    if not isinstance(blocks, bool):
        raise ValueFormatError("the value's line does not say whether it has blocks")
    if len(octets) > MAX_FILE:
        raise ValueFormatError(f"the value has more than {MAX_FILE:,} octets")
    return FleetFile(octets, modified, blocks)


def json_object(line: bytes) -> dict[str, object]:
    """An object in JSON, of a bounded size. Raises ValueFormatError for anything else."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ValueFormatError(f"a line that is not JSON: {type(error).__name__}") from None
    if not isinstance(found, dict):
        raise ValueFormatError("a line that is not an object in JSON")
    return found


def is_count(found: object) -> TypeGuard[int]:
    """Whether a value from JSON is an integer from 0."""
    return isinstance(found, int) and not isinstance(found, bool) and found >= 0


def _unpacked(value: bytes) -> bytes:
    """The value without compression; of a large one of a later version, the beginning. Raises ValueFormatError."""
    if value[:1] == PLAIN:
        return value
    if value[:1] != ZLIB:
        raise ValueFormatError("the value begins neither as a line nor as compressed octets")
    unpacker = zlib.decompressobj()
    try:
        plain = unpacker.decompress(value, MAX_VALUE + 2)  # one more than the largest with its newline
    except zlib.error:
        raise ValueFormatError("the value's compressed octets are damaged") from None
    if len(plain) <= MAX_VALUE + 1 and (not unpacker.eof or unpacker.unused_data):
        raise ValueFormatError("the value's compressed octets are incomplete, or too many")
    return plain
