"""Searches of the audit log, in steps: from its end or its beginning, or from the places where another search ended.

The log has groups of files: those of operators, and those of each account. A search merges them by the times of their
entries. A step reads a bounded number of octets, so that searches can take turns. All functions block.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import blake2b
from heapq import heappop, heappush
from itertools import count
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, TypeAlias

from dnsd.errors import shown
from dnsd.model.record_parts import Steps

BLOCK_SIZE = 64 * 1024  # octets per read
STEP_SIZE = 1024 * 1024  # octets of a step
MAX_SEARCHED = 32 * 1024 * 1024  # octets that one search reads
MAX_LINE = 1024 * 1024  # octets; an entry has at most about 150 kB
MARK_SIZE = 8  # octets
MARKED = 64 * 1024  # octets of the first line that count
PENDING = "pending"  # outcome of a change not made yet: another entry follows
EAGER = 8  # groups that are all opened at once
MAX_OPEN = 32  # groups whose files are open at the same time

LogLine: TypeAlias = dict[str, Any]  # an entry as it was written


class LogPlace(NamedTuple):
    """A place between two lines of the log. A file is known by the digest of its first line: it may be renamed."""

    mark: bytes
    offset: int


class UnreadFile(NamedTuple):
    """A file of the log that could not be read: its entries are missing from what was found."""

    owner: str  # an account's id; empty: operators
    path: Path
    error: OSError

    def __str__(self) -> str:
        """The file and the reason."""
        return f"{shown(self.path)}: {self.error.strerror or self.error}"


class OpenLog(NamedTuple):
    """An open file of the log."""

    mark: bytes
    stream: BinaryIO


Places: TypeAlias = tuple[LogPlace | None, ...]  # in each group; None: at the end that the order begins with


@dataclass(frozen=True, slots=True)
class LogQuery:
    """The entries that a search is for: those that `is_wanted`, without the first `skip`, and no more than `limit`."""

    limit: int
    is_wanted: Callable[[LogLine], bool] = lambda entry: True
    skip: int = 0
    text: bytes = b""  # in the lines of all wanted entries: other lines are not parsed
    accounts: Sequence[str] | None = None  # whose entries are wanted; None: all
    oldest_first: bool = False
    start: Places | None = None  # None: at the end of the log that the order begins with
    searched: int = MAX_SEARCHED  # octets


@dataclass(frozen=True, slots=True)
class FoundEntries:
    """The entries that a search found; `next` has the places to search on from, None at the end of the log."""

    entries: list[LogLine]
    next: Places | None
    unread: tuple[UnreadFile, ...] = ()

    def notes(self, names: Mapping[str, str], *, by_operator: bool) -> list[str]:
        """Sentences about the files that could not be read; `names` are those of accounts, by id."""
        if not by_operator:
            return ["some entries cannot be read: the server's operator can see the cause"] if self.unread else []
        whose = [f"the account {names.get(one.owner, one.owner)}" if one.owner else "operators" for one in self.unread]
        pairs = zip(self.unread, whose, strict=True)
        return [f"entries of {owner} cannot be read: {one}" for one, owner in pairs]


@dataclass(slots=True, eq=False)
class LogGroup:
    """The files of one owner, newest first, and how far a search has read them."""

    owner: str  # an account's id; empty: operators
    paths: Sequence[Path]
    changed_at: float  # time of the last change, in seconds since 1970
    place: LogPlace | None = None  # after the lines that the search is done with
    head: tuple[LogLine, LogPlace] | None = None  # the next wanted entry, and the place after it
    is_read: bool = False  # to its end, or as far as possible
    unread: dict[Path, OSError] = field(default_factory=dict)

    def take(self) -> LogLine:
        """The next wanted entry; the search is done with it."""
        assert self.head
        entry, self.place = self.head
        self.head = None
        return entry

    def lines(self, files: list[OpenLog], *, oldest_first: bool) -> Iterator[tuple[bytes, LogPlace]]:
        """The lines from the place on, each with the place after it, in the order of the search."""
        read = _forwards if oldest_first else _backwards
        ordered = files[::-1] if oldest_first else files
        offset: int | None = None
        if place := self.place:
            index = next((index for index, file in enumerate(ordered) if file.mark == place.mark), None)
            if index is not None:
                ordered, offset = ordered[index:], place.offset
            elif not oldest_first:
                return  # the file was deleted, and all older ones
        elif files and not oldest_first:  # later lines are not part of this search
            self.place = LogPlace(files[0].mark, files[0].stream.seek(0, os.SEEK_END))
        for file in ordered:
            for line, after in read(file.stream, offset):
                yield line, LogPlace(file.mark, after)
            offset = None


class LogSearch:
    """One search; call `step` until it returns False. Files that cannot be read are named in the result."""

    def __init__(self, groups: Sequence[LogGroup], query: LogQuery) -> None:
        self._groups = groups
        self._query = query
        if query.start and len(query.start) == len(groups):
            for group, place in zip(groups, query.start, strict=True):
                group.place = place
        is_eager = query.oldest_first or len(groups) <= EAGER
        self._unfilled = [*groups] if is_eager else []  # their next entries are not known yet
        self._waiting = [] if is_eager else sorted(groups, key=lambda one: one.changed_at)  # to be opened, last first
        self._heads: list[tuple[float, int, LogGroup]] = []
        self._numbers = count()
        self._skip, self._left = query.skip, query.searched
        self._found: list[LogLine] = []
        self._after: Places | None = None  # the places after the last entry that is asked for
        self._has_more = True

    def steps(self) -> Steps[FoundEntries]:
        """The search in steps, and its result."""
        while self.step():
            yield
        return self.result()

    def step(self) -> bool:
        """Read the next part of the log; return whether the search goes on."""
        part = _Part(min(STEP_SIZE, self._left))
        self._left -= part.left
        with part:
            while part.left > 0 and (group := self._first(part)):
                entry = group.take()
                self._unfilled.append(group)
                if self._skip:
                    self._skip -= 1
                    continue
                self._found.append(entry)
                if len(self._found) > self._query.limit:  # one more tells that there are more
                    return False
                if len(self._found) == self._query.limit:
                    self._after = self._places()
        if part.left <= 0:
            return self._left > 0
        self._has_more = False
        return False

    def result(self) -> FoundEntries:
        """The entries found, and the places after the last of them."""
        found, limit = self._found, self._query.limit
        unread = tuple(UnreadFile(one.owner, *failed) for one in self._groups for failed in one.unread.items())
        if len(found) > limit:
            return FoundEntries(found[:limit], self._after if limit else self._query.start or (), unread)
        return FoundEntries(found, self._places() if self._has_more else None, unread)

    def _places(self) -> Places:
        return tuple(group.place for group in self._groups)

    def _first(self, part: _Part) -> LogGroup | None:
        """The group whose next entry is the next of all; None at the end of the log, or of this part."""
        sign = 1 if self._query.oldest_first else -1
        while True:
            while self._unfilled:
                if not self._fill(self._unfilled[-1], part):
                    return None
                group = self._unfilled.pop()
                if group.head:
                    heappush(self._heads, (sign * _time_of(group.head[0]), next(self._numbers), group))
            if self._waiting and (not self._heads or self._waiting[-1].changed_at >= -self._heads[0][0]):
                self._unfilled.append(self._waiting.pop())
            else:
                return heappop(self._heads)[2] if self._heads else None

    def _fill(self, group: LogGroup, part: _Part) -> bool:
        """Find the next wanted entry of a group; return False if the part ends before."""
        if group.is_read:
            return True
        try:
            return self._find_next(group, part)
        except OSError as error:  # the other groups are readable
            group.unread[group.paths[0]] = error
            group.is_read = True
            return True

    def _find_next(self, group: LogGroup, part: _Part) -> bool:
        query = self._query
        for line, place in part.lines(group, oldest_first=query.oldest_first):
            part.left -= len(line) + 1
            entry = _parsed(line) if query.text in line else None
            if entry is not None and entry.get("outcome") != PENDING and query.is_wanted(entry):
                group.head = entry, place
                return True
            group.place = place
            if part.left <= 0:
                return False
        group.is_read = True
        return True


class _Part:
    """One step of a search: the octets left, and the open files, closed at its end."""

    def __init__(self, left: int) -> None:
        self.left = left
        self._opened = ExitStack()
        self._lines: dict[LogGroup, Iterator[tuple[bytes, LogPlace]]] = {}

    def __enter__(self) -> _Part:
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()

    def lines(self, group: LogGroup, *, oldest_first: bool) -> Iterator[tuple[bytes, LogPlace]]:
        """The lines of a group, from those that this part has read on."""
        if group not in self._lines:
            if len(self._lines) >= MAX_OPEN:
                self._opened.close()
                self._lines.clear()
            self._lines[group] = group.lines(_opened(group, self._opened), oldest_first=oldest_first)
        return self._lines[group]


def _opened(group: LogGroup, opened: ExitStack) -> list[OpenLog]:
    """A group's files that exist, newest first: each once, even if files are renamed meanwhile."""
    files: dict[bytes, OpenLog] = {}
    for path in group.paths:
        try:
            stream = opened.enter_context(path.open("rb"))
            mark = blake2b(stream.readline(MARKED), digest_size=MARK_SIZE).digest()
            files.setdefault(mark, OpenLog(mark, stream))
        except FileNotFoundError:
            pass
        except OSError as error:
            group.unread[path] = error
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


def _time_of(entry: LogLine) -> float:
    try:
        return datetime.fromisoformat(str(entry["at"])).timestamp()
    except (KeyError, ValueError, OverflowError):
        return 0.0
