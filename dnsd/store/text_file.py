"""Text files up to a size limit, read in pieces of whole lines so that a large file need not fit in memory.

A content is known by its blocks (`store/blocks.py`): an earlier one is read again, and compared, block by block. Files
are UTF-8. A master file may contain other octets too (`any_octets`); they are written back unchanged.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import accumulate, chain, islice
from pathlib import Path
from typing import TypeAlias

from dnsd.formats.odd_octets import octets_of
from dnsd.store.blocks import Cutter, TextBlock, cut, digest_of, text_block
from dnsd.store.kept_file import DamagedFileError, open_regular

MAX_FILE_SIZE = 16 * 1024**3  # octets of a zone's file; the setting `limits.file_mib` is lower
MAX_TEXT_SIZE = 64 * 1024**2  # octets of any other file
MAX_KEPT = 64 * 1024  # characters of a text kept in memory, less than a block; a larger text is cheaper to read again
MAX_LINE = 64 * 1024**2  # octets
BLOCK = 1024 * 1024  # octets
LEAST_READ = 4096  # octets
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
OTHER_MARKS = {  # UTF-32 first: its mark begins with UTF-16's
    b"\xff\xfe\0\0": "UTF-32",
    b"\0\0\xfe\xff": "UTF-32",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
}
MARKS = (BYTE_ORDER_MARK, *OTHER_MARKS)
SAVE_AS_UTF8 = "save it as UTF-8"
MIB = 1024**2
LARGER_LIMIT = "raise the limit, or divide the zone"


ReadBlock: TypeAlias = Callable[[TextBlock], bytes]
Stamp: TypeAlias = tuple[int, ...]  # the identity and change times in a file's status


@dataclass(frozen=True, slots=True)
class Content:
    """The content of a file: the digest of its blocks, the blocks, and its text unless large."""

    digest: bytes
    text: str | None = field(compare=False)  # None: large
    blocks: tuple[TextBlock, ...] = field(compare=False)
    read: ReadBlock | None = field(default=None, compare=False)  # reads a block from the state folder; None: a file
    octets: bytes | None = field(default=None, compare=False, repr=False)  # of a large text that is not on disk yet

    @property
    def size(self) -> int:
        """The octets of the text."""
        blocks = self.blocks
        return blocks[0].size if len(blocks) == 1 else sum(block.size for block in blocks)

    @property
    def on_disk(self) -> Content:
        """The same without a large text, which is on the disk now."""
        return self if self.octets is None else replace(self, octets=None)


class NotTextError(Exception):
    """The file is not text; `line` and `column` are the first position at fault."""

    def __init__(self, message: str, line: int = 1, column: int = 1) -> None:
        self.line, self.column = line, column
        super().__init__(message)


class TooLargeError(NotTextError):
    """The file, or the part of it that was read, is larger than allowed; `size` are its octets."""

    def __init__(self, size: int, most: int) -> None:
        self.size = size
        super().__init__(f"has {size:,} octets; the limit is {most:,}")


class FileChangedError(Exception):
    """The file no longer has the content read earlier."""

    def __init__(self) -> None:
        super().__init__("the file was edited since it was read")


def over_limit(size: int, most: int, end: str = LARGER_LIMIT) -> str:
    """The message about a zone's text that is larger than the setting allows."""
    return f"{size:,} octets are over `limits.file_mib` ({most // MIB:,} MiB): {end}"


def read_text(path: Path) -> str:
    """Read the text of a regular file, which must not be large. Raises OSError and NotTextError."""
    return "".join(_texts(_pieces(path, MAX_TEXT_SIZE, os.stat(path)), any_octets=False))


def read_content(
    path: str | Path,
    *,
    any_octets: bool = False,
    most: int = MAX_FILE_SIZE,
    before: Content | None = None,
    status: os.stat_result | None = None,
) -> Content:
    """Read the content of a regular file of at most `most` octets, which was `before`. Raises OSError, NotTextError.

    `status` is that of the file, if it is known.
    """
    pieces = _pieces(path, most, status or os.stat(path))
    begin = [*islice(pieces, 2)]
    if len(begin) < 2 and len(octets := b"".join(begin)) <= MAX_KEPT:  # nearly all files: one block
        block = (text_block(octets),) if octets else ()
        return Content(digest_of(block), _decode(octets, 1, any_octets=any_octets), block)
    cutter = Cutter(before.blocks if before else ())

    def seen() -> Iterator[bytes]:
        for octets in chain(begin, pieces):
            cutter.add(octets)
            yield octets

    text = _if_small(_texts(seen(), any_octets=any_octets))
    blocks = cutter.finished()
    return Content(digest_of(blocks), text, blocks)


def stored_content(blocks: tuple[TextBlock, ...], read: ReadBlock, *, any_octets: bool = False) -> Content:
    """The content whose blocks `read` returns, all of which are read. Raises its exceptions, and NotTextError."""
    text = _if_small(_texts(map(read, blocks), any_octets=any_octets))
    return Content(digest_of(blocks), text, blocks, read)


def content_of(text: str | bytes, before: Content | None = None) -> Content:
    """The content of a file with this text, which is kept at any size, as it is not on disk yet. Raises NotTextError.

    A text as octets is UTF-8 without a byte order mark. `before` is its earlier content, if any.
    """
    octets = octets_of(text) if isinstance(text, str) else text
    _check_size(len(octets), MAX_FILE_SIZE)
    blocks = cut(octets, before.blocks if before else ())
    if len(text) > MAX_KEPT:
        return Content(digest_of(blocks), None, blocks, octets=octets)
    return Content(digest_of(blocks), text if isinstance(text, str) else text.decode(), blocks)


def decoded(octets: bytes, *, any_octets: bool = False) -> str:
    """Decode octets to text, without a byte order mark. Raises NotTextError."""
    return _decode(octets, 1, any_octets=any_octets)


def texts_again(path: Path, content: Content, *, any_octets: bool = False, stamp: Stamp | None = None) -> Iterator[str]:
    """Re-read the text of a file with this content, in pieces of whole lines.

    Raises FileChangedError if the file differs now, before the first piece that does; with the file's `stamp` when it
    was read, if that may be trusted, possibly after the last piece: the status of the file then says whether it does.
    """
    try:
        yield from _texts(_blocks_again(path, content, stamp), any_octets=any_octets)
    except (OSError, DamagedFileError, NotTextError):
        raise FileChangedError from None


def octets_again(path: Path, content: Content, stamp: Stamp | None = None) -> bytes:
    """Re-read the octets of a file with this content. Raises FileChangedError if it has another one.

    If the file's `stamp` when it was read may be trusted, its status says that.
    """
    try:
        return b"".join(_blocks_again(path, content, stamp))
    except (OSError, DamagedFileError):
        raise FileChangedError from None


class BlockReader:
    """Reads blocks of a content, by number, from the text in the content, if it has one, else from its file.

    With the file's `stamp` when it was read, if that may be trusted, no digest is computed while the file has it.
    """

    def __init__(self, path: str, content: Content, *, any_octets: bool = False, stamp: Stamp | None = None) -> None:
        self._path = Path(path)
        self._content = content
        self._any_octets = any_octets
        self._stamp = stamp

    def __call__(self, number: int) -> bytes:
        """The octets of a block. Raises FileChangedError if they are nowhere."""
        block = self._content.blocks[number]
        start, is_known = self._starts[number], False
        with suppress(OSError, ValueError, DamagedFileError):
            if self._content.octets is not None or self._content.text is not None:
                octets = self._octets[start : start + block.size]
            elif self._content.read:
                return self._content.read(block)
            else:
                with open_regular(self._path, most=sys.maxsize) as file:
                    file.seek(start)
                    octets = file.read(block.size)
                    is_known = self._stamp is not None and stamp_of(os.fstat(file.fileno())) == self._stamp
            if (is_known and len(octets) == block.size) or text_block(octets) == block:
                return octets
        raise FileChangedError

    def text_of(self, start: int, stop: int) -> tuple[str, int]:
        """The text of some blocks, and of the next ones if they do not end with a line; the first block after it.

        Raises FileChangedError.
        """
        pieces = [self(number) for number in range(start, stop)]
        while stop < len(self._content.blocks) and not pieces[-1].endswith(b"\n"):
            pieces.append(self(stop))
            stop += 1
        try:
            return _decode(b"".join(pieces), 2 if start else 1, any_octets=self._any_octets), stop
        except NotTextError:
            raise FileChangedError from None

    @cached_property
    def _starts(self) -> Sequence[int]:
        return [*accumulate((one.size for one in self._content.blocks), initial=0)]

    @cached_property
    def _octets(self) -> bytes:
        if self._content.octets is not None:
            return self._content.octets
        octets = octets_of(self._content.text or "")
        return BYTE_ORDER_MARK + octets if len(octets) < self._content.size else octets


def _blocks_again(path: Path, content: Content, stamp: Stamp | None) -> Iterator[bytes]:
    """The blocks of a content, as they were. Raises FileChangedError, OSError and DamagedFileError."""
    if content.read:
        yield from map(content.read, content.blocks)
        return
    with open(path, "rb", buffering=0) as file:
        is_known = stamp is not None and stamp_of(os.fstat(file.fileno())) == stamp
        for block in content.blocks:
            octets = file.read(block.size)
            if len(octets) != block.size or (not is_known and text_block(octets) != block):
                raise FileChangedError
            yield octets
        if file.read(1) or (is_known and stamp_of(os.fstat(file.fileno())) != stamp):
            raise FileChangedError


def stamp_of(status: os.stat_result) -> Stamp:
    """The identity and change times in a file's status."""
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def _if_small(texts: Iterable[str]) -> str | None:
    """The whole text; None if it is large. Reads it to its end."""
    whole: str | None = ""
    for text in texts:
        whole = whole + text if whole is not None and len(whole) + len(text) <= MAX_KEPT else None
    return whole


def _texts(pieces: Iterable[bytes], *, any_octets: bool) -> Iterator[str]:
    """Decode octets, in pieces of whole lines. Raises NotTextError."""
    line = 1
    for octets in _whole_lines(pieces):
        yield _decode(octets, line, any_octets=any_octets)
        line += octets.count(b"\n")


def _pieces(path: str | Path, most: int, status: os.stat_result) -> Iterator[bytes]:
    """The octets of a regular file, at most `most`. Raises OSError, and NotTextError for other and larger files."""
    if not stat.S_ISREG(status.st_mode):  # a pipe would block forever
        raise NotTextError("is not a regular file")
    _check_size(status.st_size, most)  # before any of it is read
    size = 0
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)  # ten thousand files: a file object would double the time of each
    try:
        while octets := os.read(fd, wanted := min(BLOCK, max(status.st_size - size + 1, LEAST_READ))):
            size += len(octets)
            _check_size(size, most)
            yield octets
            if size == status.st_size and len(octets) < wanted:  # the end: ten thousand files need no second read
                break
    finally:
        os.close(fd)


def _check_size(size: int, most: int) -> None:
    if size > most:
        raise TooLargeError(size, most)


def _whole_lines(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Octets in pieces that end with a newline; the last piece may lack one."""
    waiting: list[bytes] = []
    size = 0  # of the octets that wait
    for octets in pieces:
        end = octets.rfind(b"\n") + 1
        if end:
            yield b"".join((*waiting, octets[:end]))
            waiting, size = [], 0
        waiting.append(octets[end:])
        size += len(octets) - end
        if size > MAX_LINE:
            raise NotTextError(f"a line of more than {MAX_LINE:,} octets: not a file of records")
    if rest := b"".join(waiting):
        yield rest


def _decode(octets: bytes, line: int, *, any_octets: bool) -> str:
    """Decode octets whose first line has this number. Raises NotTextError."""
    if line == 1 and octets.startswith(MARKS):
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
