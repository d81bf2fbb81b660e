"""YAML text to plain data, safe against hostile input.

Every scalar stays the text the user wrote: the model decides the meaning of `no`, `22:22` or `0123`, so this module
knows the form of a file, not its content. It reads PyYAML's events one by one and never lets PyYAML compose or
construct: the C composer recurses and crashes the process on deep nesting, and duplicate keys get lost. No files.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Final, NoReturn, TypeAlias

import yaml
from yaml.events import (
    AliasEvent,
    CollectionEndEvent,
    CollectionStartEvent,
    DocumentStartEvent,
    Event,
    MappingStartEvent,
    ScalarEvent,
)

from dnsd.errors import Path
from dnsd.formats.yaml_problems import MAX_DEPTH, TOO_DEEP, YamlError, YamlProblem, syntax_problem

Data: TypeAlias = "dict[str, Data] | list[Data] | str | None"
Mark: TypeAlias = tuple[int, int]  # line, column, from 1
Places: TypeAlias = dict[Path, Mark]

MAX_EXPANSION = 100_000  # nodes that aliases may add to a file
MAX_PROBLEMS = 100  # of one text; after these, the rest is not worth reading
MAX_SHOWN = 60  # characters of the user's text in a message
LONG_SCALAR = 128  # characters of a scalar that weigh as much as one more node when an alias repeats it

NULLS = frozenset({"", "~", "null", "Null", "NULL"})
STR_TAG = "tag:yaml.org,2002:str"
BYTE_ORDER_MARK = "\ufeff"

# The C loader is ten times faster; the fallback serves a PyYAML built without libyaml.
LOADER: type[yaml.CSafeLoader | yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

# YAML 1.1 §5.1, except the byte order mark, which is allowed at the start only.
FORBIDDEN = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")
LINE_BREAK = re.compile("\r\n|[\n\r\x85\u2028\u2029]")  # YAML 1.1 §5.4
TAG_DIRECTIVE = re.compile("(?<![^\n\r\x85\u2028\u2029])%TAG")
SURROGATE = re.compile("[\ud800-\udfff]")

CACHED_TEXTS, MAX_CACHED = 4, 256 * 1024  # number of texts whose documents are cached; characters of the largest
EMPTY = "the file is empty: expected keys and values (to remove the object, delete the file)"


def parse_yaml(text: str, *, places: Places | None = None, is_kept: bool = True) -> Data:
    """Parse `text` to dicts, lists, strings and None, which stands for a plain `null`, `~` or empty value.

    A node repeated by an alias is one shared object: do not modify the result. If given, `places` receives the position
    of each path: an entry of a mapping at its key, an item of a list at its beginning, the document (path `()`) at its
    first node. Nodes that come through an alias or a merge key have the position of their own text. If `is_kept`, the
    result may be kept for the next call with the same text.

    Raises YamlError with every problem that one reading can find.
    """
    if is_kept and places is None and len(text) <= MAX_CACHED:
        return _cached(text)
    return _parsed(text, places)


@lru_cache(maxsize=CACHED_TEXTS)
def _cached(text: str) -> Data:
    """Parse with a cache: a change to a file parses its old and its new text several times each."""
    return _parsed(text, None)


def _parsed(text: str, places: Places | None) -> Data:
    text = text.removeprefix(BYTE_ORDER_MARK)
    _check_text(text)
    reader = _DataBuilder(keeps_marks=places is not None)
    event = None
    try:
        for event in yaml.parse(text, Loader=LOADER):
            reader.take(event)
    except yaml.MarkedYAMLError as error:
        raise YamlError([*reader.problems, syntax_problem(error, text)]) from None
    except (yaml.YAMLError, ValueError, OverflowError) as error:  # the pure loader, on an escape such as "\UFFFFFFFF"
        mark = _mark(event) if event else (1, 1)
        raise YamlError([*reader.problems, YamlProblem(*mark, f"cannot be read: {error}")]) from None
    if reader.problems:
        raise YamlError(reader.problems)
    if reader.is_empty():
        raise YamlError([YamlProblem(1, 1, EMPTY)])
    if places is not None:
        places.update(reader.places())
    return reader.document()


def _check_text(text: str) -> None:
    if found := FORBIDDEN.search(text):
        message = f"the character U+{ord(found[0]):04X} is not allowed in YAML"
        raise YamlError([YamlProblem(*_mark_at(text, found.start()), message)])
    # libyaml compares every %TAG with all earlier ones: 200 KB of them take minutes. Tags have no use here anyway.
    if "%TAG" in text and (found := TAG_DIRECTIVE.search(text)):
        message = "%TAG is not supported: tags have no meaning here"
        raise YamlError([YamlProblem(*_mark_at(text, found.start()), message)])


def _mark_at(text: str, index: int) -> Mark:
    line, start = 1, 0
    for found in LINE_BREAK.finditer(text, 0, index):
        line, start = line + 1, found.end()
    return line, index - start + 1


def _mark(event: Event) -> Mark:
    mark = event.start_mark
    return (mark.line + 1, mark.column + 1) if mark is not None else (1, 1)


class _Sentinel:
    """A marker in place of a key; compared by identity."""


_NO_KEY: Final = _Sentinel()  # the next node is a key
_LOST_KEY: Final = _Sentinel()  # the key was wrong: read its value and drop it
_MERGE_KEY: Final = _Sentinel()


class _Anchor:
    """The value named by `&name`; unfinished until its content has been read to the end."""

    __slots__ = ("is_finished", "value", "weight")

    def __init__(self, value: Data, weight: int = 0, *, is_finished: bool = False) -> None:
        self.value = value
        self.weight = weight
        self.is_finished = is_finished


class _Frame:
    """A mapping or a list that is still open."""

    __slots__ = ("anchor", "container", "key", "marks", "merges", "weight_before")

    def __init__(self, container: dict[str, Data] | list[Data], anchor: _Anchor | None, weight_before: int) -> None:
        self.container = container
        self.anchor = anchor
        self.weight_before = weight_before
        self.key: str | _Sentinel | None = _NO_KEY if isinstance(container, dict) else None
        self.marks: dict[str | int, Mark] = {}
        self.merges: list[tuple[Data, Mark]] = []


class _DataBuilder:
    """Builds the data from the events, without recursion, and collects problems."""

    def __init__(self, *, keeps_marks: bool) -> None:
        self.problems: list[YamlProblem] = []
        self._has_begun = False
        self._documents: list[Data] = []
        self._frame = _Frame(self._documents, None, 0)  # the innermost open container; the outermost holds the document
        self._outer: list[_Frame] = []
        self._anchors: dict[str, _Anchor] = {}
        self._weight = 0  # of all nodes so far, counting repeats by aliases
        self._expansion = 0  # weight added by aliases
        self._keeps_marks = keeps_marks
        # By id(), as containers are not hashable; the container is kept too, so that its id is not reused.
        self._marks: dict[int, tuple[Data, dict[str | int, Mark]]] = {}

    def take(self, event: Event) -> None:
        """Take the next event. Raises YamlError if reading cannot go on."""
        if isinstance(event, ScalarEvent):
            self._take_scalar(event)
        elif isinstance(event, CollectionStartEvent):
            self._open(event)
        elif isinstance(event, CollectionEndEvent):
            self._close()
        elif isinstance(event, AliasEvent):
            self._take_alias(event)
        elif isinstance(event, DocumentStartEvent):
            if self._has_begun:
                self._stop(_mark(event), "a second document begins here: a file holds only one")
            self._has_begun = True

    def is_empty(self) -> bool:
        """Whether the text held only comments and `---`."""
        return not self._documents

    def document(self) -> Data:
        """The document."""
        return self._documents[0]

    def places(self) -> Iterator[tuple[Path, Mark]]:
        """Every path of the document with its place; a node repeated by an alias appears at each of its paths."""
        yield (), self._frame.marks[0]
        waiting: list[tuple[Path, Data]] = [((), self.document())]
        while waiting:
            path, value = waiting.pop()
            if not isinstance(value, dict | list):
                continue
            marks = self._marks[id(value)][1]
            for step, child in value.items() if isinstance(value, dict) else enumerate(value):
                yield (*path, step), marks[step]
                waiting.append(((*path, step), child))

    def _take_scalar(self, event: ScalarEvent) -> None:
        mark, text, is_plain = _mark(event), event.value, event.implicit[0]  # plain: neither quoted nor tagged
        if event.tag is not None and event.tag != STR_TAG:
            self._report_tag(mark, event.tag)
        if not text.isascii() and SURROGATE.search(text):  # the pure loader accepts the escape "\ud800"
            self._report(mark, "an escape for a surrogate (half a character) is not allowed")
        if is_plain and not text and not self._outer:
            return  # "---" with nothing after it
        value = None if is_plain and text in NULLS else text
        weight = 1 + len(text) // LONG_SCALAR
        self._weight += weight
        if event.anchor is not None:
            self._anchors[event.anchor] = _Anchor(value, weight, is_finished=True)
        if self._frame.key is _NO_KEY:
            self._take_key(value, mark, is_merge=is_plain and text == "<<")
        else:
            self._put(value, mark)

    def _take_key(self, key: Data, mark: Mark, *, is_merge: bool = False) -> None:
        frame = self._frame
        frame.key = _LOST_KEY
        if key is None:
            self._report(mark, 'the key before ":" is missing or null (if it is text, quote it)')
        elif not isinstance(key, str):
            # Most often an unfilled placeholder of a template: {{ address }}.
            self._report(mark, "a key must be text, not a mapping or a list (if it is text, quote it)")
        elif (first := frame.marks.setdefault(key, mark)) is not mark:
            self._report(mark, f"duplicate key {_shown(key)}: first in line {first[0]}")
        else:
            frame.key = _MERGE_KEY if is_merge else key

    def _put(self, value: Data, mark: Mark) -> None:
        """Add `value` as the next item, or as the value of the current key."""
        frame = self._frame
        if isinstance(frame.container, list):
            if self._keeps_marks:
                frame.marks[len(frame.container)] = mark
            frame.container.append(value)
            return
        if isinstance(frame.key, str):
            frame.container[frame.key] = value
        elif frame.key is _MERGE_KEY:
            frame.merges.append((value, mark))
        frame.key = _NO_KEY

    def _open(self, event: CollectionStartEvent) -> None:
        mark = _mark(event)
        if len(self._outer) == MAX_DEPTH:
            self._stop(mark, TOO_DEEP)
        if event.tag is not None:
            self._report_tag(mark, event.tag)
        container: dict[str, Data] | list[Data] = {} if isinstance(event, MappingStartEvent) else []
        if self._frame.key is _NO_KEY:
            self._take_key(container, mark)
        else:
            self._put(container, mark)
        anchor = None
        if event.anchor is not None:
            anchor = self._anchors[event.anchor] = _Anchor(container)
        self._outer.append(self._frame)
        self._frame = _Frame(container, anchor, self._weight)
        self._weight += 1
        if self._keeps_marks:
            self._marks[id(container)] = (container, self._frame.marks)

    def _close(self) -> None:
        frame = self._frame
        self._frame = self._outer.pop()
        if frame.merges and isinstance(frame.container, dict):
            self._merge(frame.container, frame)
        if frame.anchor is not None:
            frame.anchor.weight = self._weight - frame.weight_before
            frame.anchor.is_finished = True

    def _merge(self, container: dict[str, Data], frame: _Frame) -> None:
        """Merge the mappings named by `<<`: own keys win, then the mapping named first (YAML 1.1, type merge)."""
        own, own_marks = dict(container), dict(frame.marks)
        container.clear()
        for value, mark in frame.merges:
            for source in reversed(value) if isinstance(value, list) else [value]:
                if not isinstance(source, dict):
                    self._report(mark, "<< needs an alias of a mapping, or a list of such aliases")
                    continue
                container.update(source)
                if id(source) in self._marks:
                    frame.marks.update(self._marks[id(source)][1])
        container.update(own)
        frame.marks.update(own_marks)

    def _take_alias(self, event: AliasEvent) -> None:
        mark, name = _mark(event), event.anchor or ""
        anchor = self._anchors.get(name)
        if anchor is None:
            shown = name[:MAX_SHOWN]
            self._report(mark, f'*{shown} has no &{shown} before it (text that begins with * needs quotes: "*{shown}")')
        elif not anchor.is_finished:
            self._report(mark, f"*{name[:MAX_SHOWN]} is inside its own anchor: it would contain itself")
        if anchor is None or not anchor.is_finished:
            anchor = _Anchor({}, 1)  # an empty mapping suits << too, so no further problem is reported
            if self._frame.key is _NO_KEY:
                self._frame.key = _LOST_KEY
                return
        self._weight += anchor.weight
        self._expansion += anchor.weight
        if self._expansion > MAX_EXPANSION:
            self._stop(mark, f"aliases repeat too much: the limit is {MAX_EXPANSION:,} repeated nodes")
        if self._frame.key is _NO_KEY:
            self._take_key(anchor.value, mark)
        else:
            self._put(anchor.value, mark)

    def _report_tag(self, mark: Mark, tag: str) -> None:
        self._report(mark, f"the tag {_shown(tag)} is not supported; use !!str or no tag")

    def _report(self, mark: Mark, message: str) -> None:
        self.problems.append(YamlProblem(*mark, message))
        if len(self.problems) == MAX_PROBLEMS:
            self._stop(mark, f"too many problems ({MAX_PROBLEMS}): the rest of the file was not checked")

    def _stop(self, mark: Mark, message: str) -> NoReturn:
        raise YamlError([*self.problems, YamlProblem(*mark, message)])


def _shown(text: str) -> str:
    return repr(text) if len(text) <= MAX_SHOWN else repr(text[:MAX_SHOWN]) + "…"
