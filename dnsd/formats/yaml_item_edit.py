"""Edits of a YAML text with a long list: only the items that change, and the rest of the text, are parsed.

Each run of other items is replaced by a stand-in, the short text is edited like any other, and the runs are put back.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from dnsd.formats.yaml_edit import NO_ORIGINS, edited_yaml
from dnsd.formats.yaml_items import ItemLines
from dnsd.formats.yaml_style import as_read, flow_texts
from dnsd.formats.yaml_text import LINE_BREAK, parse_yaml

FEW = 20  # added items that are written like any edit
COMMENT_OR_BLANK = re.compile(r"#|\n[ \t\r]*+\n")
STAND_IN = "dnsd stand-in"  # key of the item in place of a run

Keys = dict[str, Any]  # the keys of a text and their values, as plain data


@dataclass(frozen=True, slots=True)
class ItemEdit:
    """Changes to the items of a list, by row; no row is in both `removed` and `replaced`."""

    removed: Collection[int] = frozenset()
    replaced: Mapping[int, Any] = field(default_factory=dict)
    added: Sequence[Any] = ()


@dataclass(frozen=True, slots=True)
class _Short:
    """A text with stand-ins for runs of items, and an edit of it."""

    text: str
    rows: list[int | None]  # of each item left; None for a stand-in
    runs: list[tuple[str, str]]  # each after the line of its stand-in
    edit: ItemEdit | None

    def whole(self, edited: str) -> str | None:
        """The edited text with the runs put back; None if a stand-in was changed."""
        parts = []
        for line, run in self.runs:
            before, found, edited = edited.partition(line)
            if not found or (before and not before.endswith("\n")):
                return None
            parts += [before, run]
        return "".join([*parts, edited])


def edited_list(
    text: str,
    items: ItemLines | None,
    key: str,
    edit: ItemEdit | None = None,
    change: Callable[[Keys], Keys] = lambda keys: keys,
) -> str:
    """Edit the list under a key of a text, and change other keys. `change` must not look at the list.

    `items` are the text's items under this key, if each line that begins like an item is one. A comment on the line of
    a removed item is removed too. Raises YamlError and ValueError like `edited_yaml`.
    """
    if items and STAND_IN not in text:
        short = _shortened(text, items, edit)
        whole = short.whole(_edited(short.text, key, short.rows, short.edit, change))
        if whole is not None:
            return whole
    return _edited(text, key, None, edit, change)


def _edited(
    text: str, key: str, rows: Sequence[int | None] | None, edit: ItemEdit | None, change: Callable[[Keys], Keys]
) -> str:
    """Edit a text; `rows` are those of the items in it, None if it has all of them."""
    data = parse_yaml(text)
    assert isinstance(data, dict)
    wanted, origins = change(data), NO_ORIGINS
    if edit:
        listed = data.get(key)
        items: list[Any] = listed if isinstance(listed, list) else []
        row_of = [*range(len(items))] if rows is None else [-1 if row is None else row for row in rows]
        left = [place for place, row in enumerate(row_of) if row not in edit.removed]
        kept = [edit.replaced.get(row_of[place], items[place]) for place in left]
        wanted = wanted | {key: [*kept, *edit.added]}
        origins = {key: [*left, *(None for _ in edit.added)]}
    return edited_yaml(text, {name: value for name, value in wanted.items() if value is not None}, origins)


def _shortened(text: str, items: ItemLines, edit: ItemEdit | None) -> _Short:
    """The text without runs of untouched items, nor of removed ones without comments, and the rest of the edit.

    The first item shows the style; after the last one items are added. Blank lines between removed items go with them:
    where one of a run of removed items is in the short text, its last one is, too.
    """
    last = items.count(text) - 1
    removed, replaced = (edit.removed, edit.replaced) if edit else ((), {})
    left = sorted({0, last, *removed, *replaced})
    starts = items.starts_of(text, {row + number for row in left if row < last for number in (0, 1)})
    starts[last] = items.last(text)
    rows: list[int | None] = []
    runs: list[tuple[str, str]] = []
    parts, run, end = [text[: starts[0]]], "", starts[0]
    removes = False  # whether the short text has an item of this run of removed ones
    for row in left:
        run += text[end : starts[row]]
        end = starts.get(row + 1, items.end)
        item = text[starts[row] : end]
        removes = removes and row - 1 in removed
        ends_run = removes and row + 1 not in removed
        if 0 < row < last and row in removed and not ends_run and not COMMENT_OR_BLANK.search(item):
            continue
        if run:
            line = _stand_in(items, len(runs)) + ("\r\n" if run.endswith("\r\n") else "\n")
            parts.append(line)
            runs.append((line, run))
            rows.append(None)
        parts.append(item)
        rows.append(row)
        removes = row in removed
        run = ""
    if edit and len(edit.added) > FEW and text.startswith("{", starts[0] + items.column + len("- ")):
        found = LINE_BREAK.search(text)
        lines = [f"{' ' * items.column}- {one}" for one in flow_texts([as_read(one) for one in edit.added])]
        runs.append((_stand_in(items, len(runs)), (found[0] if found else "\n").join(lines)))
        edit = replace(edit, added=[{STAND_IN: len(runs) - 1}])
    return _Short("".join([*parts, text[end:]]), rows, runs, edit)


def _stand_in(items: ItemLines, number: int) -> str:
    return f"{' ' * items.column}- {{{STAND_IN}: {number}}}"
