"""Read a master file block by block: blocks that an earlier form of the text has, too, are not read again.

The meaning of a block depends on its text and on the state in which the reader comes to it: the origin, the default
TTL, the last owner name and TTL. A part is one or more blocks that end with an entry: a block may end in parentheses or
in a long line. A part is taken over if its blocks and its state are those of an earlier part.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, chain
from typing import NamedTuple, TypeAlias, overload

from dnsd.formats.zone_entries import NEWLINE, NOTHING
from dnsd.formats.zone_reader import MAX_ENTRY, ReaderState, TextProblem, ZoneReader
from dnsd.model.columns import Records
from dnsd.model.records import Record
from dnsd.model.runs import ItemRun

PACKED = 4096  # records between calls of `Columns.pack`
MAX_REPEATS = 16  # of a part that may be taken over: each stays as an object

TextOf: TypeAlias = Callable[[int, int], tuple[str, int]]
Key: TypeAlias = tuple[bool, Hashable, ReaderState]


@dataclass(frozen=True, slots=True)
class ZonePart:
    """What a part of a master file was read as."""

    blocks: tuple[Hashable, ...]
    begin: ReaderState
    end: ReaderState | None  # None: the text ended here, but not with a line: more text would change the meaning
    size: int  # lines
    lines: Sequence[int]  # the line of each record, from 0
    repeated: Sequence[int]  # the indexes of records not counted, as they repeat others
    repeats: tuple[Record, ...]  # these records; none if they are over MAX_REPEATS
    warning: TextProblem | None  # the first one, its line from 0

    @property
    def count(self) -> int:
        """The number of records counted."""
        return len(self.lines) - len(self.repeated)

    def counted_lines(self) -> Sequence[int]:
        """The line of each record counted."""
        if not self.repeated:
            return self.lines
        repeated = {*self.repeated}
        return array("I", (line for index, line in enumerate(self.lines) if index not in repeated))


class ReadBefore(NamedTuple):
    """An earlier form of a master file, without problems: its parts, and the zone's records, with others after them."""

    parts: Sequence[ZonePart]
    records: Records


class BlockText(NamedTuple):
    """A text in blocks.

    `text_of(start, stop)` returns the text of some blocks and, if they do not end with a line, of the next ones; and
    the number of the first block after it.
    """

    blocks: Sequence[Hashable]  # equal if their texts are
    text_of: TextOf

    @classmethod
    def of(cls, texts: Sequence[str]) -> BlockText:
        """A text from some texts, each of whole lines but the last."""
        return cls(texts, lambda start, stop: ("".join(texts[start:stop]), stop))


class LineNumbers(Sequence[int]):
    """The line of each record of a text, from its parts."""

    def __init__(self, parts: Sequence[ZonePart]) -> None:
        self._lines = [part.counted_lines() for part in parts]
        self._firsts = [*accumulate((part.size for part in parts), initial=1)]
        self._starts = [0, *accumulate(map(len, self._lines))]

    def __len__(self) -> int:
        return self._starts[-1]

    @overload
    def __getitem__(self, index: int) -> int: ...
    @overload
    def __getitem__(self, index: slice) -> list[int]: ...
    def __getitem__(self, index: int | slice) -> int | list[int]:
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        number = range(len(self))[index]
        part = bisect_right(self._starts, number) - 1
        return self._firsts[part] + self._lines[part][number - self._starts[part]]

    def __iter__(self) -> Iterator[int]:
        pairs = zip(self._firsts, self._lines, strict=False)
        return chain.from_iterable(map(first.__add__, lines) for first, lines in pairs)

    def __eq__(self, other: object) -> bool:
        return list(self) == list(other) if isinstance(other, Sequence) else NotImplemented

    __hash__ = None  # type: ignore[assignment]


def line_numbers(parts: Sequence[ZonePart]) -> Sequence[int]:
    """The line of each record of a text; of a small one, without further objects."""
    if len(parts) != 1:
        return LineNumbers(parts)
    lines = parts[0].counted_lines()
    if isinstance(lines, range):
        return range(lines.start + 1, lines.stop + 1)
    return array("I", [line + 1 for line in lines])


class BlockReading:
    """One reading of a text by its blocks."""

    def __init__(self, reader: ZoneReader, text: BlockText, before: ReadBefore | None) -> None:
        self.parts: list[ZonePart] = []
        self._reader = reader
        self._blocks, self._text_of = text
        self._before = before
        self._runs: list[ItemRun] = []  # of records read in the place of earlier ones
        self._old, self._new = 0, 0  # the first records, earlier and read, that no run and no part has yet
        self._known: dict[Key, list[int]] = {}  # the numbers of earlier parts
        self._starts = [0]  # of their records
        self._next = 0  # the number of the earlier part expected next
        self._count = 0  # of records
        if before:
            self._starts += accumulate(part.count for part in before.parts)
            for number, part in enumerate(before.parts):
                if part.end and len(part.repeats) == len(part.repeated):
                    self._known.setdefault((number == 0, part.blocks[0], part.begin), []).append(number)

    def read(self, progress: Callable[[int], None] | None) -> None:
        """Read the text, up to the limit of problems."""
        at = 0
        while at < len(self._blocks) and not self._reader.is_full():
            number = self._as_before(at)
            if number is not None:
                at += self._take_over(number)
            else:
                at = self._read_part(at)
            if progress:
                progress(self._count)

    def records(self) -> Records:
        """All records of the text; the reader's columns are empty then."""
        new = self._reader.columns.records()
        if not self._before or not self._old:
            return new
        self._end_run(len(self._before.records))
        return self._before.records.replaced(self._runs, new)

    def settle_repeats(self, records: Records) -> Records:
        """The records without those that repeat others; the parts keep these."""
        repeated = sorted(records.repeats().keys())
        start = 0
        for number, part in enumerate(self.parts):
            end = start + len(part.lines)
            some = repeated[bisect_left(repeated, start) : bisect_left(repeated, end)]
            if some or part.repeated:
                indexes = array("I", [index - start for index in some])
                repeats = tuple(map(records.__getitem__, some)) if len(some) <= MAX_REPEATS else ()
                self.parts[number] = replace(part, repeated=indexes, repeats=repeats)
            start = end
        return records.without(repeated) if repeated else records

    def warnings(self) -> list[TextProblem]:
        """The first warning about the text, if there is one."""
        line = 1
        for part in self.parts:
            if part.warning:
                return [replace(part.warning, line=line + part.warning.line)]
            line += part.size
        return []

    def _as_before(self, at: int) -> int | None:
        """The number of the earlier part that is here again."""
        found = self._known.get((at == 0, self._blocks[at], self._reader.state)) if self._before else None
        if not found or not self._before:
            return None
        for number in found[bisect_left(found, self._next) :]:
            blocks = self._before.parts[number].blocks
            if tuple(self._blocks[at : at + len(blocks)]) == blocks:
                return number
        return None

    def _take_over(self, number: int) -> int:
        """Take over an earlier part; return the number of its blocks."""
        assert self._before
        part, start, reader = self._before.parts[number], self._starts[number], self._reader
        assert part.end
        self._end_run(start)
        repeats = zip(part.repeated, part.repeats, strict=True)
        for passed, (index, record) in enumerate(repeats):  # whether it still is one will be seen
            self._old = start + index - passed
            reader.add(record)
            self._end_run(self._old)
        self._old, self._next = self._starts[number + 1], number + 1
        self._count += len(part.lines)
        self.parts.append(part)
        reader.go_on(part.end, lines=part.size)
        return len(part.blocks)

    def _end_run(self, old: int) -> None:
        """Have the records read since the last part take the place of earlier ones, up to an index."""
        new = len(self._reader.lines)
        if self._old < old or self._new < new:
            self._runs.append(ItemRun(self._old, old, self._new, new))
        self._old, self._new = old, new

    def _read_part(self, at: int) -> int:
        """Read blocks up to one that ends with an entry; return the number of the next block to read.

        An entry over the limit ends the reading: with an open parenthesis, it may go on to the end of the text.
        """
        reader, blocks = self._reader, self._blocks
        begin, first, count = reader.state, reader.line, len(reader.lines)
        reader.warnings = []
        rest, is_whole, stop = "", False, at
        while stop < len(blocks) and not is_whole and len(rest) <= MAX_ENTRY:
            text, stop = self._text_of(stop, stop + 1)
            rest = reader.read(rest + (NEWLINE.sub("\n", text) if "\r" in text else text))
            is_whole = text.endswith("\n") and not rest
            reader.columns.pack(at_least=PACKED)
            if passed := NOTHING.match(rest):
                rest = passed[0][-MAX_ENTRY:]  # of a long comment, only its beginning: each block is searched once
        if not is_whole:
            reader.read_last(rest if len(rest) > MAX_ENTRY else reader.read(rest, is_last=True))
        self._count += len(reader.lines) - count
        self.parts.append(
            ZonePart(
                tuple(blocks[at:stop]),
                begin,
                reader.state if is_whole else None,
                reader.line - first,
                _from_zero(reader.lines[count:], first),
                (),
                (),
                next((replace(one, line=one.line - first) for one in reader.warnings), None),
            )
        )
        return stop if is_whole else len(blocks)


def _from_zero(lines: array[int], first: int) -> Sequence[int]:
    """Line numbers, counted from the first line of a part; a range if all lines are in it."""
    if lines and lines[-1] - lines[0] == len(lines) - 1:
        return range(lines[0] - first, lines[-1] - first + 1)
    return array("I", [line - first for line in lines])
