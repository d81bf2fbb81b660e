"""Text files up to a size limit, read in blocks of whole lines so that a large file need not fit in memory.

Files are UTF-8. A master file may contain other octets too (`any_octets`); they are written back unchanged.
"""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from dnsd.formats.odd_octets import octets_of

MAX_FILE_SIZE = 16 * 1024**3  # octets of a zone's file; the setting `limits.file_mib` is lower
MAX_TEXT_SIZE = 64 * 1024**2  # octets of any other file
MAX_KEPT = 64 * 1024  # characters of a text kept in memory; a larger text is cheaper to read again
BLOCK = 1024 * 1024  # octets
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
OTHER_MARKS = {  # UTF-32 first: its mark begins with UTF-16's
    b"\xff\xfe\0\0": "UTF-32",
    b"\0\0\xfe\xff": "UTF-32",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
}
SAVE_AS_UTF8 = "save it as UTF-8"


@dataclass(frozen=True, slots=True)
class Content:
    """The content of a file: its digest, its size, and its text unless large."""

    digest: bytes
    text: str | None = field(compare=False)  # None: large
    size: int = field(compare=False)  # octets


class NotTextError(Exception):
    """The file is not text; `line` and `column` are the first position at fault."""

    def __init__(self, message: str, line: int = 1, column: int = 1) -> None:
        self.line, self.column = line, column
        super().__init__(message)


class FileChangedError(Exception):
    """The file no longer has the content read earlier."""


def read_text(path: Path) -> str:
    """Read the text of a regular file, which must not be large. Raises OSError and NotTextError."""
    _check_size(path.stat().st_size, MAX_TEXT_SIZE)
    return "".join(_blocks(path, _new_digest()))


def read_content(path: Path, *, any_octets: bool = False) -> Content:
    """Read the content of a regular file. Raises OSError and NotTextError."""
    digest = _new_digest()
    text: str | None = ""
    size = 0
    for block in _blocks(path, digest, any_octets=any_octets):
        text = text + block if text is not None and len(text) + len(block) <= MAX_KEPT else None
        size += len(octets_of(block))
    return Content(digest.digest(), text, size)


def content_of(text: str) -> Content:
    """The content of a file with this text, which is kept at any size, not being on disk yet. Raises NotTextError."""
    octets = octets_of(text)
    _check_size(len(octets), MAX_FILE_SIZE)
    digest = _new_digest()
    digest.update(octets)
    return Content(digest.digest(), text, len(octets))


def decoded(octets: bytes, *, any_octets: bool = False) -> str:
    """Decode octets to text, without a byte order mark. Raises NotTextError."""
    return _decode(octets, 1, any_octets=any_octets)


def blocks_again(path: Path, digest: bytes, *, any_octets: bool = False) -> Iterator[str]:
    """Re-read a file that had this digest, in blocks of whole lines.

    Raises FileChangedError if the digest differs now, possibly only after the last block.
    """
    found = _new_digest()
    try:
        yield from _blocks(path, found, any_octets=any_octets)
    except (OSError, NotTextError):
        raise FileChangedError from None
    if found.digest() != digest:
        raise FileChangedError


def octets_again(path: str, content: Content) -> bytes:
    """The octets of a file if it still has this content, else those of the text in `content`.

    Raises FileChangedError if the file has changed and `content` holds no text.
    """
    octets = _octets(path)
    found = _new_digest()
    found.update(octets)
    if found.digest() != content.digest:
        if content.text is None:
            raise FileChangedError
        octets = octets_of(content.text)
    return octets


def _octets(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError:
        return b""


def _new_digest() -> hashlib.blake2b:
    return hashlib.blake2b(digest_size=16)


def _blocks(path: Path, digest: hashlib.blake2b, *, any_octets: bool = False) -> Iterator[str]:
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):  # a pipe would block forever
        raise NotTextError("is not a regular file")
    size, line = 0, 1
    _check_size(status.st_size, MAX_FILE_SIZE)  # before any of it is read
    for octets in _whole_lines(path):
        size += len(octets)
        _check_size(size, MAX_FILE_SIZE)
        digest.update(octets)
        yield _decode(octets, line, any_octets=any_octets)
        line += octets.count(b"\n")


def _check_size(size: int, most: int) -> None:
    if size > most:
        raise NotTextError(f"has {size:,} octets; the limit is {most:,}")


def _whole_lines(path: Path) -> Iterator[bytes]:
    """Read a file in pieces that end with a newline; the last piece may lack one."""
    waiting: list[bytes] = []
    with open(path, "rb", buffering=0) as file:
        while octets := file.read(BLOCK):
            end = octets.rfind(b"\n") + 1
            if end:
                yield b"".join((*waiting, octets[:end]))
                waiting = []
            waiting.append(octets[end:])
    if rest := b"".join(waiting):
        yield rest


def _decode(octets: bytes, line: int, *, any_octets: bool) -> str:
    """Decode octets whose first line has this number. Raises NotTextError."""
    if line == 1:
        if charset := next((name for mark, name in OTHER_MARKS.items() if octets.startswith(mark)), None):
            raise NotTextError(f"the text is in {charset}; {SAVE_AS_UTF8}")
        octets = octets.removeprefix(BYTE_ORDER_MARK)
    try:
        text = octets.decode(errors="surrogateescape" if any_octets else "strict")
    except UnicodeDecodeError as error:
        before = octets[: error.start].decode(errors="replace")
        message = f"not UTF-8: octet 0x{octets[error.start]:02x}; {SAVE_AS_UTF8}"
        raise NotTextError(message, *_position(before, line)) from None
    if "\0" in text:
        message = f"a NUL character: the file is UTF-16, UTF-32 or not text; {SAVE_AS_UTF8}"
        raise NotTextError(message, *_position(text[: text.index("\0")], line))
    return text


def _position(before: str, line: int) -> tuple[int, int]:
    """Line and column, from 1, of the position after the text `before`, which begins in `line`."""
    return line + before.count("\n"), len(before) - before.rfind("\n")
