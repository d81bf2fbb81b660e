"""The brake's windows of several controls as one: what any of them has seen an author move counts at all. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from dnsd.manage.brake import UNBOUNDED, AccountBase, Book, Window, ZoneBase


def merged(
    book: Book, windows: Mapping[str, Window], released: Mapping[str, float], window_s: float, now: float
) -> Book:
    """The book with the windows and releases of other controls, by author.

    Others' windows that have ended are left out, and all of authors without a limit now: after that, a new one begins.
    """
    until = {one: max(book.released.get(one, 0), released.get(one, 0)) for one in {*book.released, *released}}
    found = replace(book, released={one: end for one, end in until.items() if end > now})
    others = Book(windows)
    added = {one: window for one, window in found.windows.items() if not found.is_released(one, now)}
    for author in windows:
        other = others.window(author, window_s, now)
        if other and not found.is_released(author, now):
            added[author] = _both(found.window(author, window_s, now), other)
    return found if added == found.windows else replace(found, windows=added)


def _both(own: Window | None, other: Window) -> Window:
    """The window of one author with the accounts of both: the earlier one says from where they moved."""
    if own is None:
        return other
    first, second = (own, other) if own.began_at <= other.began_at else (other, own)
    accounts = dict(second.accounts)
    for account, base in first.accounts.items():
        accounts[account] = _both_bases(base, accounts[account]) if account in accounts else base
    return Window(first.began_at, first.name, accounts)


def _both_bases(first: AccountBase, second: AccountBase) -> AccountBase:
    if first.is_unbounded or second.is_unbounded:
        return UNBOUNDED
    zones = dict(second.zones)
    for zone_id, zone in first.zones.items():
        later = zones.get(zone_id)
        names = {**(later.names if later else {}), **zone.names}
        zones[zone_id] = ZoneBase(zone_id, zone.ips, zone.is_whole or (later is not None and later.is_whole), names)
    return AccountBase(zones)
