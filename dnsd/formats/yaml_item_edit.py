"""Edits of a YAML text with a long list: only the items that change, and the rest of the text, are parsed.

Each run of other items is replaced by a stand-in, the short text is edited like any other, and the runs are put back.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dnsd.formats.yaml_edit import NO_ORIGINS, edited_yaml
from dnsd.formats.yaml_items import ItemLines, rest_text
from dnsd.formats.yaml_text import parse_yaml

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
    """A text with stand-ins for runs of items; the row of each item left, None for a stand-in; and the runs."""

    text: str
    rows: list[int | None]
    runs: list[tuple[str, str]]  # each after the line of its stand-in

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
        short = _shortened(text, items, sorted({*edit.removed, *edit.replaced}) if edit else [])
        whole = short.whole(_edited(short.text, key, short.rows, edit, change))
        if whole is not None:
            return whole
    return _edited(text, key, None, edit, change)


def keys_of(text: str, items: ItemLines | None) -> Keys:
    """The keys of a text and their values; with `items`, a stand-in is in their place."""
    data = parse_yaml(rest_text(text, items) if items else text)
    assert isinstance(data, dict)
    return data


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


def _shortened(text: str, items: ItemLines, touched: Sequence[int]) -> _Short:
    """The text without runs of untouched items. The first item shows the style, after the last one items are added."""
    last = items.count(text) - 1
    left = sorted({0, last, *touched})
    starts = items.starts_of(text, {row + number for row in left if row < last for number in (0, 1)})
    starts[last] = items.last(text)
    rows: list[int | None] = []
    runs: list[tuple[str, str]] = []
    parts = [text[: starts[0]]]
    end = starts[0]
    for row in left:
        if (start := starts[row]) > end:
            run = text[end:start]
            line_break = "\r\n" if run.endswith("\r\n") else "\n"
            line = f"{' ' * items.column}- {{{STAND_IN}: {len(runs)}}}{line_break}"
            parts.append(line)
            runs.append((line, run))
            rows.append(None)
        end = starts.get(row + 1, items.end)
        parts.append(text[start:end])
        rows.append(row)
    return _Short("".join([*parts, text[end:]]), rows, runs)
