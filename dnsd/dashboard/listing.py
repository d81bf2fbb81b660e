"""Long lists on pages: search, order and paging."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any, Generic, TypeVar
from urllib.parse import urlencode

from dnsd.dashboard.visit import Visit
from dnsd.model.spelling import is_found, spellings

T = TypeVar("T")
PER_PAGE = 50


@dataclass(frozen=True)
class Listing(Generic[T]):
    """One page of a list, and the URLs of the others."""

    path: str
    items: Sequence[T]  # on this page
    total: int  # items found
    unfiltered_total: int  # items before the search
    query: Mapping[str, str]
    order: str
    is_descending: bool
    page: int

    @property
    def pages(self) -> int:
        """The number of pages."""
        return max(1, ceil(self.total / PER_PAGE))

    @property
    def to_all(self) -> str:
        """The URL of the list without the search."""
        return self._link(q="")

    def to_page(self, page: int) -> str:
        """The URL of another page."""
        return self._link(page=str(page) if page > 1 else "")

    def sorted_by(self, order: str) -> str:
        """The URL of the list in another order; for the current order, of the reversed list."""
        is_turned = order == self.order and not self.is_descending
        return self._link(order=order, direction="desc" if is_turned else "asc", page="")

    def aria_sort(self, order: str) -> str:
        """The `aria-sort` value of a column."""
        return "none" if order != self.order else "descending" if self.is_descending else "ascending"

    def _link(self, **changes: str) -> str:
        direction = "desc" if self.is_descending else ""
        values = {**self.query, "order": self.order, "direction": direction, **changes}
        query = urlencode({name: text for name, text in values.items() if text})
        return f"{self.path}?{query}" if query else self.path


def listing(
    visit: Visit,
    path: str,
    items: Sequence[T],
    *,
    texts: Callable[[T], Iterable[str]],
    orders: Mapping[str, Callable[[T], Any]],
    order: str,
    kept: Sequence[str] = (),
) -> Listing[T]:
    """The page of a list that a query asks for. `q`, in any spelling, is searched for in the texts of an item.

    `orders` maps each sortable column to its key, `order` is the default column, and `kept` names further query
    parameters to keep in links.
    """
    wanted = spellings(visit.query.text("q"))
    found = [one for one in items if is_found(wanted, texts(one))] if wanted else list(items)
    by = visit.query.text("order")
    by = by if by in orders else order
    is_descending = visit.query.text("direction") == "desc"
    found.sort(key=orders[by], reverse=is_descending)
    page = min(visit.query.number("page", 1), max(1, ceil(len(found) / PER_PAGE)))
    return Listing(
        path=path,
        items=found[(page - 1) * PER_PAGE : page * PER_PAGE],
        total=len(found),
        unfiltered_total=len(items),
        query={name: visit.query.text(name) for name in ("q", *kept)},
        order=by,
        is_descending=is_descending,
        page=page,
    )
