"""YAML text for data, and minimal edits that make an existing text hold other data.

Operators and the HTTP API write the same files, so an edit keeps the wording, order and comments of everything else.
An edit replaces text at the positions of nodes. The result is parsed to check it; if it does not hold the wanted data,
the text is rewritten. Form only; no model, no files.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_left
from collections import defaultdict, deque
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby

from dnsd.formats.yaml_nodes import BREAKS, Layout, YamlNode
from dnsd.formats.yaml_problems import YamlError, YamlProblem
from dnsd.formats.yaml_style import MAX_WIDTH, PlainData, as_read, document_lines, entry_lines, flow_texts, value_lines
from dnsd.formats.yaml_text import BYTE_ORDER_MARK, EMPTY, LINE_BREAK, Data, parse_yaml

COLON = re.compile(r"\s*:")
COMMA = re.compile(r"\s*,")
# An item's dash, after the previous item or the list's anchor and tag, with comments and blank lines in between.
DASH = re.compile(rf"(?:[&!]\S*+\s)*+(?:[ \t]*+(?:#[^{BREAKS}]*+)?+[{BREAKS}])*+[ \t]*+-")
LINE_REST = re.compile(f"[ \t]*+(?:,[ \t]*+)?+(?:#[^{BREAKS}]*+)?+(?=[{BREAKS}])")

NAMING = ("id", "identifier", "cidr")  # keys that tell items of a list apart

Origins = Mapping[str, Sequence[int | None]]
NO_ORIGINS: Origins = {}


def written_yaml(data: PlainData) -> str:
    """The text of a new file with this data. Keys with the value None are left out.

    Raises ValueError for data that `parse_yaml` would refuse: more than MAX_DEPTH levels, or a lone surrogate.
    """
    return _document(as_read(data), "\n")


def edited_yaml(text: str, data: PlainData, origins: Origins = NO_ORIGINS) -> str:
    """Edit `text` as little as possible so that it holds `data`; keys with the value None are left out.

    The text `true` equals the value True. The comment on the line of a removed entry is removed too; comments on lines
    of their own stay. `origins` maps the key of a top-level list to the old index of each item, ascending, or None for
    a new item. In other lists, items with the same id, identifier or cidr are the same item.

    If an edit in place is impossible, as for a node repeated by an alias, the text becomes that of `written_yaml` and
    loses its comments.

    Raises YamlError if `parse_yaml` refuses the text (an empty text is fine), and ValueError like `written_yaml`.
    """
    wanted = as_read(data)
    body = text.removeprefix(BYTE_ORDER_MARK)
    found = LINE_BREAK.search(body)
    line_break = found[0] if found else "\n"
    edited = _edited(body, wanted, line_break, origins)
    if not _holds(edited, wanted):
        edited = _document(wanted, line_break)
    return text[: len(text) - len(body)] + edited


def _document(data: Data, line_break: str) -> str:
    return "".join(line + line_break for line in document_lines(data))


def _edited(text: str, wanted: Data, line_break: str, origins: Origins) -> str:
    try:
        is_done = as_read(parse_yaml(text)) == wanted
    except YamlError as error:
        if error.problems != [YamlProblem(1, 1, EMPTY)]:
            raise
        separator = line_break if text and text[-1] not in BREAKS else ""
        return text + separator + _document(wanted, line_break)
    return text if is_done else _Edit(text, line_break, origins).text_for(wanted)


def _holds(text: str, wanted: Data) -> bool:
    try:
        return as_read(parse_yaml(text)) == wanted
    except YamlError:
        return False


class _Edit:
    """Finds the replacements in a text. A wrong guess is harmless: `edited_yaml` checks the result."""

    def __init__(self, text: str, line_break: str, origins: Origins) -> None:
        # Each line, the first included, has a line break before it that is removed with it.
        self._layout = Layout(line_break + text)
        self._text = self._layout.text
        self._line_break = line_break
        root = self._layout.root
        by_key = zip(root.keys, root.children, strict=False)
        self._origins = {id(child): origins.get(str(key.value)) for key, child in by_key}
        self._changes: list[tuple[int, int, str]] = []

    def text_for(self, wanted: Data) -> str:
        """The text edited to hold `wanted`."""
        self._edit(self._layout.root, wanted)
        parts, done = [], 0
        for start, end, new in sorted(self._changes, key=lambda change: change[:2]):  # insertions first
            parts += [self._text[done:start], new]
            done = max(done, end)
        text = "".join([*parts, self._text[done:]])
        found = LINE_BREAK.match(text)
        return text[found.end() :] if found else text

    def _edit(self, node: YamlNode, wanted: Data, slot: int | None = None, column: int | None = None) -> None:
        """Edit a node to hold `wanted`.

        `slot` is the offset after its colon or dash, `column` that of its key in block style; a document has neither.
        """
        if node.value == wanted:
            return
        if node.keys and isinstance(wanted, dict) and any(_keeps(node, wanted)):
            self._edit_mapping(node, wanted)
        elif node.children and not node.keys and isinstance(wanted, list) and wanted:
            self._edit_list(node, wanted)
        else:
            self._replace(node, wanted, slot, column)

    def _edit_mapping(self, node: YamlNode, wanted: dict[str, Data]) -> None:
        column = self._layout.column(node.keys[0].start) if node.is_block else None
        for key, child in zip(node.keys, node.children, strict=True):
            if key.value in wanted and not key.is_merge:
                self._edit(child, wanted[key.value], _end(COLON.match(self._text, key.end), key.end), column)
        keeps = _keeps(node, wanted)
        has_lines = self._has_lines(node)
        self._remove(node, keeps, has_lines=has_lines)
        there = {key.value for key in node.keys}
        known = node.value if isinstance(node.value, dict) else {}  # merged keys included
        added = [entry for entry in wanted.items() if entry[0] not in there and known.get(entry[0]) != entry[1]]
        texts = [self._entry_text(key, value, column) for key, value in added]
        self._insert(node, len(keeps) - keeps[::-1].index(True), texts, has_lines=has_lines)

    def _edit_list(self, node: YamlNode, wanted: list[Data]) -> None:
        items = [child.value for child in node.children]
        keeps = [False] * len(items)
        has_lines = self._has_lines(node)
        new = 0
        for old, next_new in [*self._pairs(node, items, wanted), (len(items), len(wanted))]:
            if new < next_new:
                self._insert(node, old, self._item_texts(node, wanted[new:next_new]), has_lines=has_lines)
            if old < len(items):
                keeps[old] = True
                self._edit_item(node, old, wanted[next_new])
            new = next_new + 1
        self._remove(node, keeps, has_lines=has_lines)

    def _pairs(self, node: YamlNode, items: list[Data], wanted: list[Data]) -> list[tuple[int, int]]:
        """Pairs of old and new index of each kept item, ascending in both; the other items are removed or new."""
        if (origins := self._origins.get(id(node))) is not None:
            return [(old, new) for new, old in enumerate(origins) if old is not None]
        found: list[tuple[int, int]] = []
        old = new = 0
        for next_old, next_new in [*_equal_pairs(items, wanted), (len(items), len(wanted))]:
            found += _named_pairs(items, range(old, next_old), wanted, range(new, next_new), is_block=node.is_block)
            found.append((next_old, next_new))
            old, new = next_old + 1, next_new + 1
        return found[:-1]

    def _edit_item(self, node: YamlNode, index: int, wanted: Data) -> None:
        start = self._start(node, index)
        self._edit(node.children[index], wanted, start + 1 if node.is_block else start)

    def _replace(self, node: YamlNode, wanted: Data, slot: int | None, column: int | None) -> None:
        layout = self._layout
        end = layout.line_end(node.end) if node.is_block else node.end  # a comment after it describes the old value
        if slot is None:
            self._put(node.start, end, self._line_break.join(document_lines(wanted)))
            return
        room = MAX_WIDTH - layout.column(slot)
        first, *below = [" " + flow_texts([wanted])[0]] if column is None else value_lines(wanted, column, room)
        if node.is_block and layout.line_start(self._start(node, 0)) > slot:
            self._put(slot, slot, first)
            self._put(layout.line_before(self._start(node, 0)), end, "")
            self._put_lines(layout.line_end(slot), below)
        elif first and node.start < node.end:
            self._put(node.start, end, first[1:])
        else:
            self._put(slot, end, first)
            self._put_lines(layout.line_end(end), below)

    def _remove(self, node: YamlNode, keeps: list[bool], *, has_lines: bool) -> None:
        for is_kept, run in groupby(range(len(keeps)), keeps.__getitem__):
            if is_kept:
                continue
            indexes = list(run)
            first, last = indexes[0], indexes[-1]
            start = self._start(node, first)
            if has_lines and (first or self._layout.begins_line(start)):
                end = self._layout.line_end(node.children[last].end)
                self._put(self._layout.line_before(start), end, "")
            elif first:
                self._put(node.children[first - 1].end, node.children[last].end, "")
            else:
                self._put(start, self._start(node, last + 1), "")

    def _insert(self, node: YamlNode, index: int, texts: list[str], *, has_lines: bool) -> None:
        """Insert entries or items before the one at `index`."""
        if not texts:
            return
        start, comma = self._start(node, 0), "" if node.is_block else ","
        indent = " " * self._layout.column(start)
        if not index:
            separator = comma + (self._line_break + indent if has_lines else " ")
            self._put(start, start, "".join(text + separator for text in texts))
            return
        end = node.children[index - 1].end
        if not has_lines:
            self._put(end, end, "".join(f", {text}" for text in texts))
            return
        if comma and not COMMA.match(self._text, end):
            self._put(end, end, comma)
        self._put_lines(self._layout.line_end(end), [indent + text + comma for text in texts])

    def _put_lines(self, line_end: int, lines: list[str]) -> None:
        self._put(line_end, line_end, "".join(self._line_break + line for line in lines))

    def _put(self, start: int, end: int, new: str) -> None:
        """Replace a part of the text by `new`, keeping the comments on lines of their own."""
        kept = self._layout.comments(start, end)
        if kept and end != self._layout.line_end(end):  # other text follows on the line
            kept.append(" " * self._layout.column(end))
            while not new and self._text[start - 1] == " ":  # after a dash or bracket, where nothing follows now
                start -= 1
        new = self._line_break.join([new, *kept])
        self._changes.append((start, end, new))

    def _entry_text(self, key: str, value: Data, column: int | None) -> str:
        if column is None:
            return flow_texts([{key: value}])[0][1:-1]
        return self._line_break.join(entry_lines(key, value, column))[column:]

    def _item_texts(self, node: YamlNode, items: list[Data]) -> list[str]:
        if not node.is_block:
            return flow_texts(items)
        column = self._layout.column(self._start(node, 0)) + 2
        has_block_items = node.children[0].is_block and node.children[0].keys
        texts = []
        for item, text in zip(items, flow_texts(items), strict=True):
            if has_block_items and isinstance(item, dict) and item:
                lines = [line for key, value in item.items() for line in entry_lines(key, value, column)]
                text = self._line_break.join(lines)[column:]
            texts.append(f"- {text}")
        return texts

    def _has_lines(self, node: YamlNode) -> bool:
        """Whether each entry or item has lines of its own; in brackets, comma and comment included."""
        return node.is_block or all(
            self._layout.begins_line(self._start(node, index)) and LINE_REST.match(self._text, child.end)
            for index, child in enumerate(node.children)
        )

    def _start(self, node: YamlNode, index: int) -> int:
        """Start of an entry's key, or of an item with its dash."""
        if node.keys:
            return node.keys[index].start
        if node.is_flow:
            return node.children[index].start
        offset = node.children[index - 1].end if index else node.start
        return _end(DASH.match(self._text, offset), offset) - 1


def _end(found: re.Match[str] | None, otherwise: int) -> int:
    return found.end() if found else otherwise


def _keeps(node: YamlNode, wanted: dict[str, Data]) -> list[bool]:
    """For each key of a mapping, whether it stays: wanted keys, nulls (no meaning), merge keys (own keys win)."""
    pairs = zip(node.keys, node.children, strict=True)
    return [key.value in wanted or child.value is None or key.is_merge for key, child in pairs]


def _named_pairs(
    old: list[Data], olds: range, new: list[Data], news: range, *, is_block: bool
) -> list[tuple[int, int]]:
    """Pairs of old and new index of items with the same name; unnamed items pair up in order if their counts match.

    In brackets, items pair up in order in any case: a comment after them belongs to all.
    """
    places = {named: index for index in olds for named in _names(old[index])}
    pairs = []
    for index in news:
        if found := [places[named] for named in _names(new[index]) if named in places]:
            pairs.append((found[0], index))
    if not pairs and (len(olds) == len(news) or not is_block):
        both = zip(olds, news, strict=False)
        pairs = [(i, j) for i, j in both if not is_block or not (_names(old[i]) and _names(new[j]))]
    return _ascending(pairs)


def _names(item: Data) -> list[tuple[str, str]]:
    """The names of an item: pairs of a naming key and its value."""
    return [(key, repr(item[key])) for key in NAMING if item.get(key) is not None] if isinstance(item, dict) else []


def _equal_pairs(old: list[Data], new: list[Data]) -> Iterator[tuple[int, int]]:
    """Pairs of equal items, ascending in both: all at the beginning and the end, and many in between, in O(n log n)."""
    shared = min(len(old), len(new))
    head = next((index for index in range(shared) if old[index] != new[index]), shared)
    shared -= head
    tail = next((index for index in range(shared) if old[-1 - index] != new[-1 - index]), shared)
    old_end, new_end = len(old) - tail, len(new) - tail
    yield from ((index, index) for index in range(head))
    places: defaultdict[str, deque[int]] = defaultdict(deque)
    for index in range(head, old_end):
        places[json.dumps(old[index], sort_keys=True)].append(index)
    pairs = []
    for index in range(head, new_end):
        if found := places.get(json.dumps(new[index], sort_keys=True)):
            pairs.append((found.popleft(), index))
    yield from _ascending(pairs)
    yield from ((old_end + index, new_end + index) for index in range(tail))


def _ascending(pairs: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """The most pairs whose numbers ascend; the second numbers ascend already."""
    ends: list[int] = []  # ends[n]: the least last number of n + 1 ascending pairs
    at_end: list[int] = []  # the pair with that number
    before: list[int] = []  # each pair's predecessor
    for index, (number, _) in enumerate(pairs):
        length = bisect_left(ends, number)
        before.append(at_end[length - 1] if length else -1)
        ends[length : length + 1] = [number]
        at_end[length : length + 1] = [index]
    found = []
    index = at_end[-1] if at_end else -1
    while index >= 0:
        found.append(pairs[index])
        index = before[index]
    return found[::-1]
