"""Drains: addresses of maps that names moved off, until the last honest cache has forgotten them, and 30 days more.

Pure: callers pass the time, in seconds since 1970.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

KEPT_S = 30 * 86_400.0
MAX_OF_MAP = 20  # older ones are put together
MAX_ADDRESSES = 64  # of one drain
MAX_DRAINS = 20_000  # of all maps; those forgotten first are dropped first


class DrainState(StrEnum):
    """How far a drain has come."""

    SWITCHING = "switching"  # a worker still answers as before
    DRAINING = "draining"  # caches may still give the addresses
    FORGOTTEN = "forgotten"


@dataclass(frozen=True, slots=True)
class Drain:
    """One change that moved names off addresses of a map."""

    map_id: str
    map_key: str
    account_id: str
    addresses: tuple[str, ...]
    names_total: int
    ttl_s: int  # the highest that was out
    revision: int  # the first with the change
    changed_at: float
    served_at: float | None = None  # when the last worker had the change, and so gave no older answer any more

    @property
    def forgotten_at(self) -> float | None:
        """When the last honest cache has forgotten the addresses; None while a worker may still give them."""
        return None if self.served_at is None else self.served_at + self.ttl_s

    def state(self, now: float) -> DrainState:
        """The state at a time."""
        if self.forgotten_at is None:
            return DrainState.SWITCHING
        return DrainState.DRAINING if now < self.forgotten_at else DrainState.FORGOTTEN


@dataclass(frozen=True, slots=True)
class DrainBook:
    """All drains, by map id; the oldest first."""

    drains: Mapping[str, tuple[Drain, ...]] = field(default_factory=dict)

    def __iter__(self) -> Iterator[Drain]:
        return (one for drains in self.drains.values() for one in drains)

    @property
    def is_switching(self) -> bool:
        """Whether a worker may still give drained addresses."""
        return any(one.served_at is None for one in self)

    def of_map(self, map_id: str, account_id: str) -> list[Drain]:
        """The drains of an account's map, newest first."""
        return [one for one in reversed(self.drains.get(map_id, ())) if one.account_id == account_id]

    def with_drains(self, added: Iterable[Drain], now: float) -> DrainBook:
        """The book with more drains, within its limits, and without those that ended long ago."""
        drains = dict(self.drains)
        for one in added:
            drains[one.map_id] = _within_limit((*drains.get(one.map_id, ()), one))
        kept = [one for of in drains.values() for one in of if now < (one.forgotten_at or one.changed_at) + KEPT_S]
        if len(kept) > MAX_DRAINS:
            kept.sort(key=lambda one: (one.forgotten_at is None, one.forgotten_at or 0))
            kept = sorted(kept[-MAX_DRAINS:], key=lambda one: one.changed_at)
        return book_of(kept)

    def served(self, revision: int, now: float) -> tuple[DrainBook, list[Drain]]:
        """The book once every worker serves a revision, and the drains that waited for it."""
        kept, done = [], []
        for one in self:
            if one.served_at is None and one.revision <= revision:
                one = replace(one, served_at=now)
                done.append(one)
            kept.append(one)
        return book_of(kept), done

    def restarted(self) -> DrainBook:
        """The book for a new process, which serves all earlier changes with its first revision."""
        return book_of(replace(one, revision=0) if one.served_at is None else one for one in self)


def book_of(drains: Iterable[Drain]) -> DrainBook:
    """The book of these drains."""
    found: dict[str, tuple[Drain, ...]] = {}
    for one in drains:
        found[one.map_id] = (*found.get(one.map_id, ()), one)
    return DrainBook(found)


def _within_limit(drains: tuple[Drain, ...]) -> tuple[Drain, ...]:
    """The drains of a map, the oldest two put together if there are too many; never forgotten too early."""
    if len(drains) <= MAX_OF_MAP:
        return drains
    first, second, *rest = drains
    ends = [one.forgotten_at for one in (first, second) if one.forgotten_at is not None]
    served_at = max(ends) - max(first.ttl_s, second.ttl_s) if len(ends) == 2 else None
    both = replace(
        second,
        addresses=tuple(dict.fromkeys((*second.addresses, *first.addresses)))[:MAX_ADDRESSES],
        names_total=first.names_total + second.names_total,
        ttl_s=max(first.ttl_s, second.ttl_s),
        revision=max(first.revision, second.revision),
        served_at=served_at,
    )
    return both, *rest
