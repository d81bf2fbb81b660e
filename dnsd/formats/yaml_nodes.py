"""The layout of a YAML text: offsets of its nodes, lines and comments.

Only for texts that `parse_yaml` accepts, and so within its limits. This module changes nothing.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import NamedTuple

import yaml
from yaml.events import (
    AliasEvent,
    CollectionEndEvent,
    CollectionStartEvent,
    Event,
    ScalarEvent,
    SequenceStartEvent,
)

from dnsd.formats.yaml_text import LINE_BREAK, LOADER, NULLS, Data

BREAKS = "\n\r\x85\u2028\u2029"
COMMENT_LINE = re.compile(f"(?<=[{BREAKS}])[ \t]*#[^{BREAKS}]*")


class YamlNode(NamedTuple):
    """A value and its offsets. Scalars and aliases are neither flow nor block, and have no children."""

    start: int
    end: int
    value: Data  # as from `as_read`, without keys whose value is null
    is_flow: bool = False
    is_block: bool = False
    keys: Sequence[YamlNode] = ()  # of a mapping
    children: Sequence[YamlNode] = ()  # values of a mapping, or items of a list
    is_merge: bool = False  # the key `<<`


class Layout:
    """The nodes, lines and comments of a text that begins with a line break and holds a document."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.root, long_scalars = _parse_nodes(text)
        self._line_ends, self._line_starts = [], []
        for found in LINE_BREAK.finditer(text):
            self._line_ends.append(found.start())
            self._line_starts.append(found.end())
        self._line_ends.append(len(text))
        self._comments = _comment_lines(text, long_scalars)

    def line_end(self, offset: int) -> int:
        """End of the line that contains `offset`, before its line break."""
        return self._line_ends[bisect_left(self._line_ends, offset)]

    def line_start(self, offset: int) -> int:
        """Start of the line that contains `offset`."""
        return self._line_starts[bisect_right(self._line_starts, offset) - 1]

    def line_before(self, offset: int) -> int:
        """End of the line above, before its line break."""
        return self._line_ends[bisect_right(self._line_starts, offset) - 1]

    def column(self, offset: int) -> int:
        """Column of `offset`, from 0."""
        return offset - self.line_start(offset)

    def begins_line(self, offset: int) -> bool:
        """Whether only blanks precede `offset` in its line."""
        return self.text[self.line_start(offset) : offset].isspace() or not self.column(offset)

    def comments(self, start: int, end: int) -> list[str]:
        """The comments between `start` and `end` that have lines of their own."""
        first = bisect_right(self._comments, (start, len(self.text)))
        last = bisect_right(self._comments, (end, 0), first)
        return [self.text[begin:stop] for begin, stop in self._comments[first:last] if stop <= end]


def _comment_lines(text: str, long_scalars: list[tuple[int, int]]) -> list[tuple[int, int]]:
    found = [match.span() for match in COMMENT_LINE.finditer(text)]
    within = [bisect_right(long_scalars, (start, len(text))) - 1 for start, _ in found]
    # A line of a scalar may look like a comment.
    return [span for span, at in zip(found, within, strict=True) if at < 0 or span[0] >= long_scalars[at][1]]


def _parse_nodes(text: str) -> tuple[YamlNode, list[tuple[int, int]]]:
    """The document's node, and the spans of scalars that extend over several lines."""
    nodes: list[YamlNode] = []
    outer: list[tuple[CollectionStartEvent, list[YamlNode]]] = []
    anchors: dict[str, YamlNode] = {}
    long_scalars = []
    for event in yaml.parse(text, Loader=LOADER):
        start, end = _span(event)
        if isinstance(event, CollectionStartEvent):
            outer.append((event, nodes))
            nodes = []
            continue
        if isinstance(event, ScalarEvent):
            node = _scalar(event, text)
            if LINE_BREAK.search(text, start, end):
                long_scalars.append((start, end))
        elif isinstance(event, AliasEvent):
            node = YamlNode(start, end, anchors[event.anchor or ""].value)
        elif isinstance(event, CollectionEndEvent):
            inner = nodes
            event, nodes = outer.pop()
            node = _list(event, inner, end) if isinstance(event, SequenceStartEvent) else _mapping(event, inner, end)
        else:
            continue
        if event.anchor is not None and not isinstance(event, AliasEvent):
            anchors[event.anchor] = node
        nodes.append(node)
    return nodes[0], long_scalars


def _span(event: Event) -> tuple[int, int]:
    assert event.start_mark is not None
    assert event.end_mark is not None
    return event.start_mark.index, event.end_mark.index


def _scalar(event: ScalarEvent, text: str) -> YamlNode:
    start, end = _span(event)
    if event.style in ("|", ">"):  # the event's end is the start of the next token, past blank lines
        end = start + len(text[start:end].rstrip())
    is_plain = event.implicit[0]
    value = None if is_plain and event.value in NULLS else event.value
    return YamlNode(start, end, value, is_merge=is_plain and value == "<<")


def _list(event: CollectionStartEvent, items: list[YamlNode], end: int) -> YamlNode:
    is_flow = bool(event.flow_style)
    value: Data = [item.value for item in items]
    return YamlNode(_span(event)[0], _end(items, end, is_flow=is_flow), value, is_flow, not is_flow, (), items)


def _mapping(event: CollectionStartEvent, inner: list[YamlNode], end: int) -> YamlNode:
    is_flow = bool(event.flow_style)
    keys, children = inner[::2], inner[1::2]
    own, merged = {}, {}
    for key, child in zip(keys, children, strict=True):
        if key.is_merge:
            merged = _merged(child.value)
        else:
            own[str(key.value)] = child.value
    value: Data = {key: item for key, item in (merged | own).items() if item is not None}
    return YamlNode(_span(event)[0], _end(inner, end, is_flow=is_flow), value, is_flow, not is_flow, keys, children)


def _merged(value: Data) -> dict[str, Data]:
    """The entries that `<<` merges in: the mapping named first wins (YAML 1.1, type merge)."""
    merged: dict[str, Data] = {}
    for source in reversed(value) if isinstance(value, list) else [value]:
        merged |= source if isinstance(source, dict) else {}
    return merged


def _end(inner: list[YamlNode], end: int, *, is_flow: bool) -> int:
    # A block's end event lies at the start of the next token, past comments and blank lines.
    return end if is_flow else inner[-1].end
