"""The order of a list of records: each part of a zone is sorted by itself and keeps its order; a page is merged."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from heapq import merge
from itertools import islice
from typing import Any

from dnsd.api.records.data import address_text, shown_record
from dnsd.manage.record_ids import views
from dnsd.model.columns import Records
from dnsd.model.record_parts import PartView, Steps
from dnsd.model.zones import Zone
from dnsd.wire.names import name_text
from dnsd.wire.rdata import A, type_text

MERGED = 200  # records of one step

VALUES: dict[str, Callable[[Records, int], Any]] = {
    "type": lambda records, index: type_text(records.rtype(index)),
    "name": lambda records, index: name_text(records.owners[index]),
    "content": lambda records, index: _content(records, index),
    "ttl": lambda records, index: records.distinct[records.traits[index]].ttl,
    "proxied": lambda records, index: records.distinct[records.traits[index]].proxied,
}
ORDERS = tuple(VALUES)


def is_descending(direction: str) -> bool:
    """Whether `direction` asks for the reverse."""
    return direction.lower() == "desc"


def sort_key(records: Records, order: str) -> Callable[[int], tuple[Any, ...]]:
    """The ascending sort key of an order, for indexes of records."""
    value = VALUES[order]
    return lambda index: (
        value(records, index),
        name_text(records.owners[index]),
        type_text(records.rtype(index)),
        _content(records, index),
        index,
    )


def _content(records: Records, index: int) -> str:
    """The content as the API shows it."""
    if records.rtype(index) == A:
        return address_text(records.rdatas[index])
    return shown_record(records[index]).content


@dataclass(frozen=True, slots=True)
class Sorted:
    """The places of all records of a part, in an order."""

    order: str

    def __call__(self, records: Records, start: int, stop: int) -> array[int]:
        """Answer the question."""
        in_order = sorted(range(start, stop), key=sort_key(records, self.order))
        return array("I", (index - start for index in in_order))


def in_order(zone: Zone, found: Sequence[int], order: str, start: int, stop: int) -> Steps[list[int]]:
    """The page from `start` to `stop` of the records found, given in the zone's order, after sorting them."""
    total = len(found)
    stop = min(stop, total)
    if start >= stop:
        return []
    is_from_end = total - start < stop  # the nearer end is merged from
    runs = []
    for view in views(zone):
        some = found[bisect_left(found, view.start) : bisect_left(found, view.stop)]
        if some:
            runs.append(_sorted_run(view, some, order))
        yield
    key = sort_key(zone.records, order)
    runs = [run[::-1] for run in runs] if is_from_end else runs
    merged: Iterator[int] = merge(*runs, key=key, reverse=is_from_end)
    if is_from_end:
        start, stop = total - stop, total - start
    page: list[int] = []
    for place in range(0, stop, MERGED):
        some = [*islice(merged, min(MERGED, stop - place))]
        page += some[max(0, start - place) :]
        yield
    return page[::-1] if is_from_end else page


def _sorted_run(view: PartView, found: Sequence[int], order: str) -> Sequence[int]:
    """The records found in one part, sorted."""
    whole = view.ask(Sorted(order))
    if len(found) == view.part.size:
        return [view.start + place for place in whole]
    wanted = {*found}
    return [index for place in whole if (index := view.start + place) in wanted]
