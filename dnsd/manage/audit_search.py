"""Searches of the audit log, in steps: from its end or its beginning, or from the place where another search ended.

A step reads a bounded number of octets, so that searches can take turns. All functions block.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, TypeAlias

BLOCK_SIZE = 64 * 1024  # octets per read
STEP_SIZE = 1024 * 1024  # octets of a step
MAX_SEARCHED = 32 * 1024 * 1024  # octets that one search reads
MAX_LINE = 1024 * 1024  # octets; an entry has at most about 150 kB
MARK_SIZE = 8  # octets
MARKED = 64 * 1024  # octets of the first line that count

LogLine: TypeAlias = dict[str, Any]  # an entry as it was written


class LogPlace(NamedTuple):
    """A place between two lines of the log. A file is known by the digest of its first line: it may be renamed."""

    mark: bytes
    offset: int


class LogFile(NamedTuple):
    """An open file of the log."""

    mark: bytes
    stream: BinaryIO


@dataclass(frozen=True, slots=True)
class LogQuery:
    """The entries that a search is for: those that `is_wanted`, without the first `skip`, and no more than `limit`."""

    limit: int
    is_wanted: Callable[[LogLine], bool] = lambda entry: True
    skip: int = 0
    text: bytes = b""  # in the lines of all wanted entries: other lines are not parsed
    oldest_first: bool = False
    start: LogPlace | None = None  # None: at the end of the log that the order begins with
    searched: int = MAX_SEARCHED  # octets


@dataclass(frozen=True, slots=True)
class FoundEntries:
    """The entries that a search found; `next` is the place to search on from, None at the end of the log."""

    entries: list[LogLine]
    next: LogPlace | None


class LogSearch:
    """One search; call `step` until it returns False."""

    def __init__(self, paths: Sequence[Path], query: LogQuery) -> None:
        self._paths = paths  # newest first
        self._query = query
        self._place = query.start
        self._skip, self._left = query.skip, query.searched
        self._found: list[tuple[LogLine, LogPlace]] = []
        self._is_at_end = False

    def step(self) -> bool:
        """Read the next part of the log; return whether the search goes on. Raises OSError."""
        query, left = self._query, min(STEP_SIZE, self._left)
        self._left -= left
        with ExitStack() as opened:
            for line, place in self._lines(_opened(self._paths, opened)):
                self._place = place
                left -= len(line) + 1
                entry = _parsed(line) if query.text in line else None
                if entry is not None and query.is_wanted(entry):
                    if self._skip:
                        self._skip -= 1
                    else:
                        self._found.append((entry, place))
                if len(self._found) > query.limit:  # one more tells that there are more
                    return False
                if left <= 0:
                    return self._left > 0
        self._is_at_end = True
        return False

    def result(self) -> FoundEntries:
        """The entries found, and the place after the last of them."""
        found, limit = self._found, self._query.limit
        entries = [entry for entry, _ in found[:limit]]
        if len(found) > limit:
            return FoundEntries(entries, found[limit - 1][1] if limit else self._query.start)
        return FoundEntries(entries, None if self._is_at_end else self._place)

    def _lines(self, files: list[LogFile]) -> Iterator[tuple[bytes, LogPlace]]:
        """The lines from the place on, each with the place after it, in the order of the search."""
        read = _forwards if self._query.oldest_first else _backwards
        ordered = files[::-1] if self._query.oldest_first else files
        offset: int | None = None
        if place := self._place:
            index = next((index for index, file in enumerate(ordered) if file.mark == place.mark), None)
            if index is not None:
                ordered, offset = ordered[index:], place.offset
            elif not self._query.oldest_first:
                return  # the file was deleted, and all older ones
        for file in ordered:
            for line, after in read(file.stream, offset):
                yield line, LogPlace(file.mark, after)
            offset = None


def _opened(paths: Sequence[Path], opened: ExitStack) -> list[LogFile]:
    """The files that exist, newest first: each once, even if files are renamed meanwhile."""
    files: dict[bytes, LogFile] = {}
    for path in paths:
        with suppress(FileNotFoundError):
            stream = opened.enter_context(path.open("rb"))
            mark = blake2b(stream.readline(MARKED), digest_size=MARK_SIZE).digest()
            files.setdefault(mark, LogFile(mark, stream))
    return list(files.values())


def _forwards(stream: BinaryIO, offset: int | None) -> Iterator[tuple[bytes, int]]:
    """The whole lines from an offset on, or from the beginning, each with the offset after it."""
    at = stream.seek(offset or 0)
    while line := stream.readline(MAX_LINE):
        if len(line) < MAX_LINE and not line.endswith(b"\n"):
            return  # not written to its end yet
        at += len(line)
        yield line.removesuffix(b"\n"), at


def _backwards(stream: BinaryIO, offset: int | None) -> Iterator[tuple[bytes, int]]:
    """The lines before an offset, or all, the last line first, each with the offset of its beginning."""
    end, rest = stream.seek(0, os.SEEK_END) if offset is None else offset, b""
    while end > 0:
        start = max(0, end - BLOCK_SIZE)
        stream.seek(start)
        octets = stream.read(end - start) + rest
        rest, *lines = octets.split(b"\n")
        at = start + len(octets)
        for line in reversed(lines):
            at -= len(line)
            if line:  # after the last newline, there is none
                yield line, at
            at -= 1  # the newline
        end, rest = start, rest if len(rest) < MAX_LINE else b""  # a longer line is no entry
    if rest:
        yield rest, 0


def _parsed(line: bytes) -> LogLine | None:
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return entry if isinstance(entry, dict) else None
