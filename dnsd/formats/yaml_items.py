"""The items of a list at the top level of a YAML text, on lines of their own: found without parsing the whole text.

Most of a large file is such a list. A text is cut only between items: a part that parses alone, in the place of the
list, ends where the parser expects another item, so that the parts parse together as each one does alone. This holds
also for a line that looks like an item in the middle of a quoted text: the part before it does not parse alone. Form
only; no model, no files.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from functools import cached_property, lru_cache
from typing import NamedTuple

import yaml

from dnsd.errors import Path
from dnsd.formats.yaml_problems import YamlError
from dnsd.formats.yaml_text import BYTE_ORDER_MARK, FORBIDDEN, LOADER, Data, Mark, Places, parse_yaml

MAX_COLUMN = 8
FEW = 20  # lines that are each searched for by themselves
NEAR = 4_096  # characters
ALIKE, MAX_ALIKE = 64, 2_048  # texts without their items that are kept, and the characters of each
STAND_IN = "- {}\n"  # for all items of a list
ODD_BREAK = re.compile("[\x85\u2028\u2029]")  # line breaks of YAML that are no lines here
KEY_REST = re.compile(r"[ ]*+(?:#[^\n]*+)?+\r?+\n")  # of the key's line
FIRST = re.compile(r"(?:[ ]*+(?:#[^\n]*+)?+\r?+\n)*+([ ]*+)- ")  # to the first item
BLANK = re.compile(r"(?:[ ]*+(?:#[^\n]*+)?+\r?+\n)++")  # lines without meaning between items
LAST_COMMENT = re.compile(r"[ ]*+(?:#[^\n]*+)?+")
# The end of the list, by the column of its items: a line that begins before them, with neither an item nor a comment.
ENDS = (
    re.compile(r"\n(?=[^ #\r\n-]|-[^ \r\n])"),
    *(re.compile(rf"\n(?=[ ]{{0,{column - 1}}}[^ #\r\n])") for column in range(1, MAX_COLUMN + 1)),
)


class ItemLines(NamedTuple):
    """The place of a list's items in a text: offsets of their first line and of the first line after them."""

    key: str
    start: int
    end: int
    column: int  # of the items' dashes, from 0
    length: int  # characters of the whole text

    @property
    def dash(self) -> str:
        """The beginning of an item, with the line break before it."""
        return "\n" + " " * self.column + "- "

    def starts(self, text: str) -> Iterator[int]:
        """The offsets of all lines that begin like an item."""
        found = text.find(self.dash, self.start - 1, self.end)
        while found >= 0:
            yield found + 1
            found = text.find(self.dash, found + 1, self.end)

    def starts_of(self, text: str, rows: Collection[int]) -> dict[int, int]:
        """The offsets of some of these lines, by their number from 0; without those that are not there."""
        if len(rows) > FEW:
            return {row: start for row, start in enumerate(self.starts(text)) if row in rows}
        found: dict[int, int] = {}
        for row in sorted(rows):
            if row - 1 in found:
                start = text.find(self.dash, found[row - 1], self.end) + 1
            else:
                start = self._start_of(text, row)
            if start:
                found[row] = start
        return found

    def _start_of(self, text: str, row: int) -> int:
        """The offset of the line with this number, 0 without one: counting is much faster than finding."""
        low, high = self.start - 1, self.end
        while high - low > NEAR:
            middle = min((low + high) // 2, low + 512 * (row + 1))
            before = text.count(self.dash, low, middle + len(self.dash) - 1)
            if row < before:
                high = middle
            else:
                low, row = middle, row - before
        found = text.find(self.dash, low, self.end)
        while row and found >= 0:
            found, row = text.find(self.dash, found + 1, self.end), row - 1
        return found + 1

    def last(self, text: str) -> int:
        """The offset of the last line that begins like an item."""
        return text.rfind(self.dash, self.start - 1, self.end) + 1

    def count(self, text: str, start: int | None = None, end: int | None = None) -> int:
        """The number of lines that begin like an item; between two offsets, which are beginnings of lines."""
        begin = self.start if start is None else start
        return text.count(self.dash, begin - 1, self.end if end is None else end)


class Same(NamedTuple):
    """The characters that two texts have in common at their begin and at their end; the two parts may overlap."""

    begin: int
    end: int


class ChangedItems(NamedTuple):
    """The items that differ between two texts: the number of equal ones before and after them, and their offsets."""

    before: int
    after: int
    start: int
    end: int


def changed_items(old: ItemLines, new: str, items: ItemLines, same: Same) -> ChangedItems:
    """The items of a new text that may differ from those of an old one, each of whose lines like an item is one."""
    dash, most = items.dash, min(old.end - old.start, items.end - items.start)
    rest, old_rest = items.length - items.end, old.length - old.end
    begin = min(most, max(0, same.begin - items.start)) if items.start == old.start else 0
    ending = min(most - begin, max(0, same.end - rest)) if rest == old_rest else 0
    start = max(items.start, new.rfind(dash, items.start - 1, items.start + begin) + 1)
    end = new.find(dash, items.end - ending, items.end) + 1 or items.end
    return ChangedItems(items.count(new, end=start), items.count(new, end), start, end)


def same_parts(old: str, new: str) -> Same:
    """The parts that two texts have in common."""
    most = min(len(old), len(new))
    begin = _common(lambda at, size: new[at : at + size] == old[at : at + size], most)

    def is_same_end(at: int, size: int) -> bool:
        end, old_end = len(new) - at, len(old) - at
        return new[end - size : end] == old[old_end - size : old_end]

    return Same(begin, _common(is_same_end, most))


def _common(is_equal: Callable[[int, int], bool], most: int) -> int:
    """The number of equal characters, up to `most`; `is_equal` compares some after others that are equal."""
    same, size = 0, NEAR * 16
    while size:
        while same + size <= most and is_equal(same, size):
            same += size
        size //= 2
    return same


def find_items(text: str, key: str) -> ItemLines | None:
    """The items of the list under a key, which `parsed_rest` must confirm; None if they have no lines of their own."""
    if text.startswith(BYTE_ORDER_MARK):
        return None
    if "\r" in text and text.count("\r") != text.count("\r\n"):
        return None
    if has_odd_breaks(text):
        return None
    at = 0 if text.startswith(f"{key}:") else text.find(f"\n{key}:") + 1
    begin = KEY_REST.match(text, at + len(key) + 1) if text.startswith(f"{key}:", at) else None
    first = FIRST.match(text, begin.end()) if begin else None
    if begin is None or first is None or len(first[1]) > MAX_COLUMN:
        return None
    column = len(first[1])
    end = ENDS[column].search(text, first.end())
    return ItemLines(key, begin.end(), end.end() if end else len(text), column, len(text))


def has_odd_breaks(text: str) -> bool:
    """Whether a text has line breaks of YAML that are no lines here."""
    return not text.isascii() and ODD_BREAK.search(text) is not None


def parsed_rest(text: str, items: ItemLines) -> dict[str, Data] | None:
    """The data of a text without the items; None if the text has to be parsed whole."""
    rest = rest_text(text, items)
    try:
        data, places = (parsed_again if len(rest) <= MAX_ALIKE else _parsed)(rest)
    except YamlError:
        return None
    line = text.count("\n", 0, items.start)
    is_list = places.get((items.key,)) == (line, 1) and places.get((items.key, 0)) == (line + 1, items.column + 3)
    if not isinstance(data, dict) or not is_list or data[items.key] != [{}]:
        return None
    return data | {items.key: None}


def _parsed(text: str) -> tuple[Data, Places]:
    places: Places = {}
    return parse_yaml(text, places=places), places


# With a memory: small zones often differ in nothing but their items.
parsed_again = lru_cache(maxsize=ALIKE)(_parsed)


def rest_text(text: str, items: ItemLines) -> str:
    """The text with a stand-in for all items."""
    return text[: items.start] + stand_in_of(items) + text[items.end :]


def stand_in_of(items: ItemLines) -> str:
    """The line in place of all items."""
    return " " * items.column + STAND_IN


def parsed_items(lines: str, items: ItemLines) -> list[Data] | None:
    """The items in some lines between two items; None if they have to be parsed with the whole text."""
    blank = BLANK.match(lines)
    begin = blank.end() if blank else 0
    if LAST_COMMENT.fullmatch(lines, begin):
        return None if FORBIDDEN.search(lines) else []
    dash = " " * items.column + "-"
    if not lines.startswith((dash + " ", dash + "\r", dash + "\n"), begin):
        return None
    text = f"{items.key}:\n{lines}"
    try:
        data = parse_yaml(text, is_kept=False)
    except YamlError:
        return None
    found = data[items.key] if isinstance(data, dict) and len(data) == 1 else None
    if not isinstance(found, list) or ("&" in lines and _has_anchors(text)):
        return None
    return found


def _has_anchors(text: str) -> bool:
    """Whether a text gives names to nodes, which other parts may use."""
    return any(getattr(event, "anchor", None) for event in yaml.parse(text, Loader=LOADER))


class ItemPlaces:
    """The places of paths in a text; of a large list of items, only those asked for are parsed."""

    def __init__(self, text: str, items: ItemLines | None) -> None:
        """Without `items`, the text is parsed whole; it may be wrong."""
        self._text = text
        self._items = items
        self._rest: Places = {}
        with suppress(YamlError):
            parse_yaml(rest_text(text, items) if items else text, places=self._rest)

    def find(self, path: Path) -> Mark:
        """The line and column of a path, or of the longest part of it that the text contains."""
        if self._items is None or len(path) < 2 or path[0] != self._items.key:
            line, column = _longest(self._rest, path)
            return line + self._lines_more(line), column
        (_, index, *inner) = path
        start, end = self._starts[int(index) : int(index) + 2]
        places: Places = {}
        parse_yaml(f"{self._items.key}:\n{self._text[start:end]}", places=places)
        line, column = _longest(places, (self._items.key, 0, *inner))
        return line - 1 + self._text.count("\n", 0, start), column

    @cached_property
    def _starts(self) -> Sequence[int]:
        """Where the items begin, and where the last one ends: most problems of large zones are about no single item."""
        return array("Q", (*self._items.starts(self._text), self._items.end)) if self._items else ()

    def _lines_more(self, line: int) -> int:
        """The lines of the list more than of its stand-in, before a line of the rest."""
        if self._items is None or line <= self._text.count("\n", 0, self._items.start) + 1:
            return 0
        return self._text.count("\n", self._items.start, self._items.end) - 1


def _longest(places: Places, path: Path) -> Mark:
    while path and path not in places:
        path = path[:-1]
    return places.get(path, (1, 1))
