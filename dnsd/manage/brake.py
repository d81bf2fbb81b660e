"""The brake: a limit on the accounts whose addresses one author changes within a window.

Authors are the files, and each token made on the command line, with the tokens and sessions made from it. A window
begins with an author's first change that moves a proxied name. For each account it keeps the base to which the account
may return: the addresses of its zones, and the names that moved apart from their zone. Pure; times are seconds since
1970.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from dnsd.compile.edge_addresses import Families, Shown, answered, families, of_shown
from dnsd.compile.moves import ZoneMoves
from dnsd.engine.snapshot import Snapshot
from dnsd.manage.tokens import Token
from dnsd.model.guard import brake_limit

COMMANDS = "cli "  # prefix of the names of tokens that commands on the server's own host make for themselves
MAX_ZONES = 1_000  # of an account, whose base is kept; with more, the account counts until the window ends
MAX_NAMES = 1_000  # of a zone, likewise
MAX_AUTHORS = 1_000  # windows


class Author(NamedTuple):
    """The origin of changes, for the brake."""

    key: str
    name: str  # in messages


FILES = Author("files", "files")
ROUTES = Author("routes", "the file of observed routes")
ALL = "*"  # all authors, in a release


def author_of(token: Token) -> Author | None:
    """The author of a token's changes; None if it descends from a token for one account or zone, and moves no others.

    Commands without a token make one for a few minutes: all those of one user are one author.
    """
    if sum(map(len, token.author.scope)) == 1:
        return None
    root = token.root
    return Author(root.name if root.name.startswith(COMMANDS) else root.id, root.name or root.id)


@dataclass(frozen=True, slots=True)
class ZoneBase:
    """A zone at the beginning of a window."""

    zone_id: str
    ips: Families  # the addresses of its proxied names
    is_whole: bool = False  # whether its names moved with its addresses
    names: Mapping[bytes, Shown] = field(default_factory=dict)  # others that moved -> families shown


@dataclass(frozen=True, slots=True)
class AccountBase:
    """An account at the beginning of a window: the zones whose names have moved since."""

    zones: Mapping[str, ZoneBase] = field(default_factory=dict)  # by id
    is_unbounded: bool = False  # too much has moved to keep it: the account counts until the window ends


NOTHING_MOVED, UNBOUNDED = AccountBase(), AccountBase(is_unbounded=True)


@dataclass(frozen=True, slots=True)
class Window:
    """The moves of one author since a time."""

    began_at: float
    name: str  # of the author
    accounts: Mapping[str, AccountBase] = field(default_factory=dict)  # by id

    def moved(self, snapshot: Snapshot) -> frozenset[str]:
        """The accounts with names whose answers still differ from those at the window's beginning."""
        return frozenset(account for account, base in self.accounts.items() if _is_moved(base, snapshot))


@dataclass(frozen=True, slots=True)
class Limit:
    """The setting `reload.brake` for a number of accounts, and `reload.window`."""

    accounts: int
    total: int
    window_s: float


@dataclass(frozen=True, slots=True)
class Overrun:
    """A change over the limit: its author has moved names of `before` accounts, and with it would reach `after`."""

    author: Author
    before: frozenset[str]  # ids
    after: frozenset[str]
    limit: Limit
    ends_at: float

    def message(self, now: float) -> str:
        """The reason of the refusal."""
        whose = self.author.name if self.author in (FILES, ROUTES) else f"the token {self.author.name}"
        what = f"{whose} would have changed the addresses of {len(self.after):,} accounts within the window"
        limit = f"the limit is {self.limit.accounts:,} of {self.limit.total:,} accounts, {len(self.before):,} so far"
        return f"{what}; {limit}; the window ends in {time_left(self.ends_at - now)}"


@dataclass(frozen=True, slots=True)
class Book:
    """All windows and releases, and whether files wait for the operator's word since the last reload."""

    windows: Mapping[str, Window] = field(default_factory=dict)  # by author
    released: Mapping[str, float] = field(default_factory=dict)  # author or ALL -> until
    is_refused: bool = False

    def window(self, author: str, window_s: float, now: float) -> Window | None:
        """The author's open window."""
        found = self.windows.get(author)
        return found if found and found.began_at <= now < found.began_at + window_s else None

    def is_released(self, author: str, now: float) -> bool:
        """Whether the author has no limit now."""
        return now < max(self.released.get(author, 0), self.released.get(ALL, 0))

    def released_for(self, author: str, seconds: float, now: float) -> Book:
        """The book with no limit for an author, or ALL, for a time; then a new window begins."""
        kept = {one: until for one, until in self.released.items() if until > now}
        windows = {one: window for one, window in self.windows.items() if author not in (one, ALL)}
        return replace(self, windows=windows, released={**kept, author: now + seconds})

    def renewed(self, author: str) -> Book:
        """The book without the author's window."""
        return replace(self, windows={one: window for one, window in self.windows.items() if one != author})


def limit_of(accounts: int, brake: tuple[int, int] | None, window_s: float) -> Limit | None:
    """The limit for a number of accounts: the greater of the setting's number and percentage; None if it is off."""
    return Limit(brake_limit(accounts, *brake), accounts, window_s) if brake else None


def judged(
    book: Book,
    author: Author,
    zones: Iterable[ZoneMoves],
    old: Snapshot,
    new: Snapshot,
    limit: Limit | None,
    now: float,
) -> Book | Overrun:
    """The book after an author's change from `old` to `new`, which moved `zones`; an Overrun if it must not be made.

    Changes back towards the base always go on, and so do those that move no account for the first time.
    """
    zones = tuple(zones)
    if limit is None or not zones or book.is_released(author.key, now):
        return book
    window = book.window(author.key, limit.window_s, now) or Window(now, author.name)
    again = replace(window, accounts=_with_moves(window.accounts, zones, of=window.accounts.keys()))
    first = {one.account_id for one in zones}.difference(window.accounts)  # they differ from their base, as they move
    after = again.moved(new) | first
    if len(after) > limit.accounts and len(after) > len(before := window.moved(old)):
        return Overrun(author, before, after, limit, window.began_at + limit.window_s)
    moved = _with_moves(again.accounts, zones, of=first)
    kept = {account: base for account, base in moved.items() if account in after}
    open_ = {one: found for one in book.windows if (found := book.window(one, limit.window_s, now))}
    windows = {**open_, author.key: replace(window, accounts=kept)}
    while len(windows) > MAX_AUTHORS:
        del windows[min(windows, key=lambda one: windows[one].began_at)]
    return replace(book, windows=windows)


def time_left(seconds: float) -> str:
    """A time until the end of a window in words: `7 min 12 s`."""
    whole = max(1, round(seconds))
    minutes, rest = divmod(whole, 60)
    return " ".join(part for part in (f"{minutes} min" if minutes else "", f"{rest} s" if rest else "") if part)


def _with_moves(
    accounts: Mapping[str, AccountBase], zones: Iterable[ZoneMoves], *, of: Set[str]
) -> dict[str, AccountBase]:
    """The bases of accounts, with those of zones that move now, `of` these accounts.

    A zone that moved before keeps its base.
    """
    found = dict(accounts)
    moved: dict[str, list[ZoneMoves]] = defaultdict(list)
    for moves in zones:
        if moves.account_id in of:
            moved[moves.account_id].append(moves)
    for account_id, of_account in moved.items():
        found[account_id] = _account_base(found.get(account_id, NOTHING_MOVED), of_account)
    return found


def _account_base(before: AccountBase, moved: Iterable[ZoneMoves]) -> AccountBase:
    """The base of an account whose zones move now."""
    if before.is_unbounded:
        return before
    zones = dict(before.zones)
    for moves in moved:
        base = zones[moves.zone_id] = _zone_base(zones.get(moves.zone_id), moves)
        if len(zones) > MAX_ZONES or len(base.names) > MAX_NAMES or len(moves.alone) < moves.alone_total:
            return UNBOUNDED
    return AccountBase(zones)


def _zone_base(before: ZoneBase | None, moves: ZoneMoves) -> ZoneBase:
    """The base of a zone that moves now."""
    is_whole = moves.names.total > moves.alone_total
    if before is None:
        return ZoneBase(moves.zone_id, moves.ips, is_whole, moves.alone)
    return ZoneBase(before.zone_id, before.ips, before.is_whole or is_whole, {**moves.alone, **before.names})


def _is_moved(account: AccountBase, snapshot: Snapshot) -> bool:
    return account.is_unbounded or any(_has_moved(zone, snapshot) for zone in account.zones.values())


def _has_moved(zone: ZoneBase, snapshot: Snapshot) -> bool:
    """Whether the answers to a name of the zone still differ from those at the window's beginning."""
    for name, shown in zone.names.items():
        if answered(snapshot, name) != of_shown(zone.ips, shown):
            return True
    built = snapshot.zones.get(zone.zone_id)
    if not zone.is_whole or built is None:
        return zone.is_whole
    now = families(snapshot.addresses(zone.zone_id, built.zone.account_id))
    v4, v6, both = built.proxied
    return (v4 + both > 0 and now[0] != zone.ips[0]) or (v6 + both > 0 and now[1] != zone.ips[1])
