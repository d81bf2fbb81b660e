"""Edits of a YAML text around the items of its long list: the items stay as octets, neither decoded nor read."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

from dnsd.formats.yaml_edit import edited_yaml
from dnsd.formats.yaml_items import ItemLines, find_items, stand_in_of
from dnsd.formats.yaml_text import Data, parse_yaml
from dnsd.formats.zone_text import ZoneText

Keys: TypeAlias = dict[str, Data]  # the keys of a text and their values; the list has a stand-in


class ItemsKept(NamedTuple):
    """A text with the items of an earlier one: their place, and the text with a stand-in for them."""

    items: ItemLines
    rest: str


ReadAlready: TypeAlias = ZoneText | ItemsKept  # what is known of a zone's text before it is read


def rest_around(octets: bytes, items: ItemLines) -> str:
    """The text of these octets, without a byte order mark, with a stand-in for its items."""
    start, end = _span(octets, items)
    return octets[:start].decode() + stand_in_of(items) + octets[end:].decode()


def keys_around(rest: str) -> Keys:
    """The keys of a text with a stand-in for its items; do not modify their values."""
    data = parse_yaml(rest)
    assert isinstance(data, dict)
    return data


def edited_around(octets: bytes, items: ItemLines, change: Callable[[Keys], Keys]) -> tuple[bytes, ItemsKept] | None:
    """Edit the keys of a text, except the list; `change` must not look at that. None: the whole text has to be edited.

    `items` are the text's items, each of whose lines like an item is one. Raises YamlError and ValueError like
    `edited_yaml`.
    """
    start, end = _span(octets, items)
    if octets[end - 1 : end] != b"\n":  # text after the items would go on their last line
        return None
    rest = rest_around(octets, items)
    wanted = {name: value for name, value in change(keys_around(rest)).items() if value is not None}
    edited, stand_in = edited_yaml(rest, wanted), stand_in_of(items)
    found = find_items(edited, items.key)
    if found is None or edited[found.start : found.end] != stand_in:
        return None
    head, tail = edited[: found.start], edited[found.end :]
    size = items.end - items.start
    place = items._replace(start=found.start, end=found.start + size, length=len(head) + size + len(tail))
    return b"".join((head.encode(), memoryview(octets)[start:end], tail.encode())), ItemsKept(place, edited)


def _span(octets: bytes, items: ItemLines) -> tuple[int, int]:
    """Where the items begin and end in the octets."""
    if len(octets) == items.length:  # all are ASCII
        return items.start, items.end
    text = octets.decode()
    return len(text[: items.start].encode()), len(octets) - len(text[items.end :].encode())
