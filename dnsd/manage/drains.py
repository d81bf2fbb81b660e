"""Drains: addresses of maps that names moved off, until the last honest cache has forgotten them, and 30 days more.

Pure: callers pass the time, in seconds since 1970.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TypeAlias

KEPT_S = 30 * 86_400.0
MAX_OF_MAP = 20  # older ones are put together
MAX_ADDRESSES = 64  # of one drain
MAX_OF_ACCOUNT = 500  # of all its maps; those forgotten first are dropped first


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

    def is_kept(self, now: float) -> bool:
        """Whether the drain has not ended so long ago that it goes."""
        return now < (self.forgotten_at or self.changed_at) + KEPT_S

    def state(self, now: float) -> DrainState:
        """The state at a time."""
        if self.forgotten_at is None:
            return DrainState.SWITCHING
        return DrainState.DRAINING if now < self.forgotten_at else DrainState.FORGOTTEN


Drains: TypeAlias = Mapping[str, tuple[Drain, ...]]  # of one account, by map id; the oldest first


@dataclass(frozen=True, slots=True)
class DrainBook:
    """All drains, by account id: a change costs what its account has, and an account fills only its own limit."""

    accounts: Mapping[str, Drains] = field(default_factory=dict)

    def __iter__(self) -> Iterator[Drain]:
        return (one for drains in self.accounts.values() for of in drains.values() for one in of)

    @property
    def is_switching(self) -> bool:
        """Whether a worker may still give drained addresses."""
        return any(one.served_at is None for one in self)

    def of_account(self, account_id: str) -> list[Drain]:
        """The drains of an account."""
        return [one for of in self.accounts.get(account_id, {}).values() for one in of]

    def of_map(self, map_id: str, account_id: str, now: float) -> list[Drain]:
        """The drains of an account's map that did not end long ago, newest first."""
        drains = self.accounts.get(account_id, {}).get(map_id, ())
        return [one for one in reversed(drains) if one.is_kept(now)]

    def with_drains(self, added: Iterable[Drain], now: float) -> DrainBook:
        """The book with more drains; their accounts' are kept within limits, and without those that ended long ago."""
        accounts = dict(self.accounts)
        for account_id, drains in book_of(added).accounts.items():
            more = {map_id: list(of) for map_id, of in accounts.get(account_id, {}).items()}
            for map_id, of in drains.items():
                more.setdefault(map_id, []).extend(of)
            accounts[account_id] = _within_limits(more, now)
        return DrainBook(accounts)

    def served(self, revision: int, now: float) -> tuple[DrainBook, list[Drain]]:
        """The book once every worker serves a revision, and the drains that waited for it."""
        done: list[Drain] = []

        def served(one: Drain) -> Drain:
            if one.served_at is None and one.revision <= revision:
                done.append(one := replace(one, served_at=now))
            return one

        waiting = {one.account_id for one in self if one.served_at is None}
        changed = {
            account_id: {map_id: tuple(map(served, of)) for map_id, of in self.accounts[account_id].items()}
            for account_id in waiting
        }
        return DrainBook({**self.accounts, **changed}), done

    def restarted(self) -> DrainBook:
        """The book for a new process, which serves all earlier changes with its first revision."""
        return book_of(replace(one, revision=0) if one.served_at is None else one for one in self)

    def changed_accounts(self, before: DrainBook) -> set[str]:
        """The ids of the accounts whose drains a change from `before` has touched."""
        both = self.accounts.keys() | before.accounts.keys()
        return {one for one in both if self.accounts.get(one) is not before.accounts.get(one)}


def book_of(drains: Iterable[Drain]) -> DrainBook:
    """The book of these drains."""
    found: dict[str, dict[str, list[Drain]]] = {}
    for one in drains:
        found.setdefault(one.account_id, {}).setdefault(one.map_id, []).append(one)
    return DrainBook({account: {key: tuple(of) for key, of in maps.items()} for account, maps in found.items()})


def _within_limits(drains: Mapping[str, list[Drain]], now: float) -> Drains:
    """The drains of an account, within the limits of a map and of an account, without those that ended long ago."""
    kept = [one for of in drains.values() for one in _of_map_within_limit(of) if one.is_kept(now)]
    if len(kept) > MAX_OF_ACCOUNT:
        kept.sort(key=lambda one: (one.forgotten_at is None, one.forgotten_at or 0))
        kept = sorted(kept[-MAX_OF_ACCOUNT:], key=lambda one: one.changed_at)
    return next(iter(book_of(kept).accounts.values()), {})


def _of_map_within_limit(drains: list[Drain]) -> list[Drain]:
    """The drains of a map, the oldest put together if there are too many; never forgotten too early."""
    while len(drains) > MAX_OF_MAP:
        drains = [_together(*drains[:2]), *drains[2:]]
    return drains


def _together(first: Drain, second: Drain) -> Drain:
    """Two drains of a map as one."""
    ends = [one.forgotten_at for one in (first, second) if one.forgotten_at is not None]
    served_at = max(ends) - max(first.ttl_s, second.ttl_s) if len(ends) == 2 else None
    return replace(
        second,
        addresses=tuple(dict.fromkeys((*second.addresses, *first.addresses)))[:MAX_ADDRESSES],
        names_total=first.names_total + second.names_total,
        ttl_s=max(first.ttl_s, second.ttl_s),
        revision=max(first.revision, second.revision),
        served_at=served_at,
    )
