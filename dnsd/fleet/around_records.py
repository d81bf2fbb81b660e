"""The lines of a zone's YAML file outside of its records, which alone can change its name, id or claim.

A large file is looked at block by block. What was found in a block is remembered by its digest, so that an edit of a
zone of a million records costs the blocks that it changed.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from dnsd.store.blocks import TextBlock
from dnsd.store.directory import SourceFile
from dnsd.store.text_file import BYTE_ORDER_MARK, FileChangedError

RECORDS = "records:"  # how the line begins after which a zone's YAML file has its records
WITHIN = ("", " ", "\t", "-", "#")  # how lines of a block begin
NEXT_KEY = re.compile(rb"\n[^ \t\-#\r\n]")
ODD_BREAKS = tuple(text.encode() for text in "\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029")  # of `str.splitlines`
ALIAS = re.compile(r"(?:^|[\s\[{,:?\-])[&*]\S")  # or anchor: what a key has may stand among the records
FLOW = re.compile(r"[\[{\"'?]|--- *\S")  # begins a file whose keys need not begin a line
MAX_LINES = 64 * 1024  # characters outside of the records: nearly all files have a few hundred
MAX_REMEMBERED = 512  # characters of the lines in one block
MAX_KNOWN = 50_000  # blocks that are remembered, of some 200 octets each


class FoundLines(NamedTuple):
    """The lines in a part of a text, whether the next ones may be of records, and whether the part ends with a line."""

    lines: tuple[str, ...]
    is_within: bool
    is_whole: bool


class AroundRecords:
    """Finds these lines. Any thread may use it: what is found twice is the same."""

    def __init__(self) -> None:
        self._known: dict[tuple[bytes, bool], FoundLines] = {}

    def lines(self, file: SourceFile) -> tuple[str, ...] | None:
        """The lines; all lines of a file in another form.

        None if they do not tell all, as with an alias to a value among the records, or if they are too many, or cannot
        be read now.
        """
        found = self._lines(file)
        return found if found is not None and _tell_all(found) else None

    def _lines(self, file: SourceFile) -> tuple[str, ...] | None:
        if file.content.text is not None:
            return _lines_in(file.content.text, is_within=False)[0]
        blocks, read = file.content.blocks, file.block_reader()
        lines, size, is_within = list[str](), 0, False
        try:
            for number, block in enumerate(blocks):
                found = self._in_block(block, partial(read, number), is_within=is_within)
                if found is None or (not found.is_whole and number < len(blocks) - 1):
                    return None
                is_within = found.is_within
                lines += found.lines
                size += sum(map(len, found.lines))
                if size > MAX_LINES:
                    return None
        except FileChangedError:
            return None
        return tuple(lines)

    def _in_block(self, block: TextBlock, read: Callable[[], bytes], *, is_within: bool) -> FoundLines | None:
        """The lines in a block. Raises FileChangedError."""
        place = (block.digest, is_within)
        if known := self._known.get(place):
            return known
        found = _found_in(read(), is_within=is_within)
        if found and sum(map(len, found.lines)) <= MAX_REMEMBERED:
            if len(self._known) >= MAX_KNOWN:
                self._known.clear()
            self._known[place] = found
        return found


def _found_in(octets: bytes, *, is_within: bool) -> FoundLines | None:
    """The lines in octets; None if these do not end with a character."""
    is_whole = octets.endswith(b"\n")
    if is_within and _has_records_alone(octets):
        return FoundLines((), is_within=True, is_whole=is_whole)
    try:
        lines, is_within = _lines_in(octets.removeprefix(BYTE_ORDER_MARK).decode(), is_within=is_within)
    except UnicodeDecodeError:  # a line that is longer than a block
        return None
    return FoundLines(lines, is_within, is_whole)


def _tell_all(lines: tuple[str, ...]) -> bool:
    """Whether lines outside of records have all but the records, in a file in the common form."""
    if any(map(ALIAS.search, lines)) or any(map(FLOW.match, lines)):
        return False
    first = next((line for line in lines if line.strip() and not line.startswith("#")), "")
    return not first[:1].isspace()


def _has_records_alone(octets: bytes) -> bool:
    """Whether all lines in octets begin like those of records; looks for less than `_lines_in` does."""
    if NEXT_KEY.search(b"\n" + octets[:1]) or NEXT_KEY.search(octets) or any(one in octets for one in ODD_BREAKS):
        return False
    return octets.count(b"\r") == octets.count(b"\r\n")


def _lines_in(text: str, *, is_within: bool) -> tuple[tuple[str, ...], bool]:
    """The lines outside of records, and whether the next ones may be of records."""
    found = list[str]()
    for line in text.splitlines():
        is_within = line.startswith(RECORDS) or (is_within and line[:1] in WITHIN)
        if not is_within:
            found.append(line)
    return tuple(found), is_within
