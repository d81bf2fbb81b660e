"""Texts cut into blocks by their content: an edit changes the blocks that it touches, and hardly another.

A block ends with a line. Of the lines that end between LEAST and MOST octets after the block's beginning, it is the
first whose CRC-32 ends in ten zero bits; without such a line, the one with the most zero bits. Whether a line ends a
block thus depends on its own octets, and on the block's beginning only within these limits, so that the blocks after an
edit soon are the same again. Octets only; no files.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import NamedTuple
from zlib import crc32

LEAST = 80 * 1024  # octets of a block, but for the last one of a text
MOST = 256 * 1024
PIECE = 16 * 1024  # octets that are split into lines at once: most blocks end soon after LEAST
ZERO_BITS = 1023  # of a CRC-32 that ends a block: about one line in a thousand
DIGEST_SIZE = 16  # octets


class TextBlock(NamedTuple):
    """A part of a text: its digest, and its size in octets."""

    digest: bytes
    size: int


class Cutter:
    """Cuts octets that come in pieces of any size; `blocks` are the blocks complete so far.

    `known` are the blocks of an earlier form of the text, if any: where their digests are those of the text, they are
    its blocks, and no line is looked at. The blocks are the same without `known`.
    """

    def __init__(self, known: Sequence[TextBlock] = (), *, least: int = LEAST, most: int = MOST) -> None:
        self.blocks: list[TextBlock] = []
        self._least, self._most = least, most
        self._waiting = b""
        self._known, self._expected = known, 0  # the place in `known` of the block that may be next
        self._places = {block: place for place, block in enumerate(known)}
        self._alike = self._alike_size = 0  # number and octets of the blocks, from that one on, found in the text here

    def add(self, octets: bytes) -> None:
        """Add the next octets of the text."""
        self._waiting += octets
        self._cut(2 * self._most)  # those that decide where a block ends, and the rest of the known block there

    def finished(self) -> tuple[TextBlock, ...]:
        """All blocks, once the whole text was added."""
        self._cut(1)
        return tuple(self.blocks)

    def _cut(self, enough: int) -> None:
        """Cut off blocks while at least `enough` octets wait."""
        start = 0
        while len(self._waiting) - start >= enough:
            if (block := self._as_before(start)) is not None:
                self._alike, self._alike_size = self._alike - 1, self._alike_size - block.size
                self._expected += 1
            else:
                block = text_block(self._waiting[start : _end(self._waiting, start, self._least, self._most)])
                self._alike = self._alike_size = 0
                self._expected = self._places.get(block, self._expected) + 1
            self.blocks.append(block)
            start += block.size
        self._waiting = self._waiting[start:]

    def _as_before(self, start: int) -> TextBlock | None:
        """The block expected next, if the text has it here, and it ends here by its own lines or those after it."""
        if self._expected >= len(self._known):
            return None
        block = self._known[self._expected]
        end = start + block.size
        if not self._least < block.size <= self._most or not self._has_known(start, end):  # the last one may be small
            return None
        return block if _is_end(self._waiting, start, end) or self._has_known(start, start + self._most) else None

    def _has_known(self, start: int, end: int) -> bool:
        """Whether the octets from `start` to `end` are those of the blocks expected next."""
        while start + self._alike_size < end and self._expected + self._alike < len(self._known):
            block, at = self._known[self._expected + self._alike], start + self._alike_size
            if text_block(self._waiting[at : at + block.size]) != block:
                return False
            self._alike, self._alike_size = self._alike + 1, self._alike_size + block.size
        return start + self._alike_size >= end


def cut(
    octets: bytes, known: Sequence[TextBlock] = (), *, least: int = LEAST, most: int = MOST
) -> tuple[TextBlock, ...]:
    """The blocks of a text; `known` is as for `Cutter`."""
    cutter = Cutter(known, least=least, most=most)
    cutter.add(octets)
    return cutter.finished()


def _is_end(octets: bytes, start: int, end: int) -> bool:
    """Whether a block ends after the line that ends here, whatever follows."""
    if octets[end - 1 : end] != b"\n":
        return False
    line = octets[octets.rfind(b"\n", start, end - 1) + 1 or start : end - 1]
    return not crc32(line) & ZERO_BITS


def _end(octets: bytes, start: int, least: int, most: int) -> int:
    """The end of the block that begins at `start`."""
    limit = min(start + most, len(octets))
    if limit <= start + least:
        return limit
    first = end = octets.rfind(b"\n", start, start + least) + 1 or start
    while (begin := end) < limit:
        end = octets.rfind(b"\n", begin, min(begin + PIECE, limit)) + 1 or octets.find(b"\n", begin, limit) + 1
        if not end:  # the last line does not end here
            break
        lines = octets[begin : end - 1].split(b"\n")
        lows = [crc & ZERO_BITS for crc in map(crc32, lines)]
        if 0 in lows:
            number = lows.index(0) + 1
            return begin + sum(map(len, lines[:number])) + number
    if limit == len(octets) and limit < start + most:  # the last block of the text
        return limit
    *lines, _ = octets[first:limit].split(b"\n")
    return _best_end(lines, first) if lines else limit


def _best_end(lines: Iterable[bytes], begin: int) -> int:
    """The end of the first of the lines whose CRC-32 ends in the most zero bits."""
    end = best = begin
    most = 0
    for line in lines:
        end += len(line) + 1
        low = crc32(line) & ZERO_BITS
        if low & -low > most:
            best, most = end, low & -low
    return best


def text_block(octets: bytes) -> TextBlock:
    """The description of a block."""
    return TextBlock(blake2b(octets, digest_size=DIGEST_SIZE).digest(), len(octets))


def digest_of(blocks: Iterable[TextBlock]) -> bytes:
    """The digest of a text: that of the digests of its blocks."""
    return blake2b(b"".join(block.digest for block in blocks), digest_size=DIGEST_SIZE).digest()
