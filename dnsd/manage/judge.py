"""Judge new data against the data before it: the proxied names that move, and the guard's findings about them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from dnsd.app import Loaded
from dnsd.compile.build import build_snapshot
from dnsd.compile.moves import ZoneMoves, moves, proxied_by_account
from dnsd.engine.snapshot import Snapshot
from dnsd.errors import Problem
from dnsd.model.accounts import Account
from dnsd.model.guard import LEAST_UNPROXIED, AccountMoves, GuardFinding, MovedNames, drop_findings, move_findings
from dnsd.settings.server import Settings


@dataclass(frozen=True, slots=True, eq=False)
class Moves:
    """The moved names of a change, by zone and by account."""

    base: Snapshot  # the answers before, with the settings of the change
    zones: tuple[ZoneMoves, ...]
    accounts: tuple[AccountMoves, ...]
    proxied: int  # names before, of all accounts or the only one that moved; 0 if no rule asks for it


def moves_between(before: Loaded, after: Loaded) -> Moves:
    """The moved names; a change of the server's own settings moves none."""
    return moves_from(with_settings(before, after.settings), after, before.dataset.accounts)


def moves_from(base: Snapshot, after: Loaded, known: Mapping[str, Account]) -> Moves:
    """The moved names since the snapshot `base`; `known` are accounts by id, whose folders are named."""
    zones = tuple(moves(base, after.snapshot))
    unproxied = sum(one.names.opened for one in zones if one.applies_maps)
    accounts = {one.account_id for one in zones}
    is_judged = len(accounts) > 1 or unproxied >= LEAST_UNPROXIED
    only = next(iter(accounts)) if len(accounts) == 1 else None  # one account is judged by its own names
    proxied = proxied_by_account(base, only) if is_judged else {}  # else no rule asks for it
    return Moves(base, zones, tuple(_by_account(zones, known, proxied)), sum(proxied.values()))


def _by_account(
    zones: Iterable[ZoneMoves], known: Mapping[str, Account], proxied: Mapping[str, int]
) -> Iterable[AccountMoves]:
    """The moves of zones, summed up by account."""
    names: dict[str, MovedNames] = {}
    unproxied: dict[str, int] = defaultdict(int)
    for one in zones:
        before = names.get(one.account_id)
        names[one.account_id] = before.plus(one.names) if before else one.names
        unproxied[one.account_id] += one.names.opened if one.applies_maps else 0
    for account, moved in names.items():
        key = known[account].key if account in known else account
        yield AccountMoves(key, moved, unproxied[account], proxied.get(account, 0))


def findings(before: Loaded, after: Loaded, moved: Moves) -> list[GuardFinding]:
    """Rules 1 to 4, each problem with its place."""
    limit = after.settings.reload.max_drop_percent
    found = [
        *move_findings(moved.accounts, moved.proxied, limit),
        *drop_findings(before.dataset, after.dataset, limit),
    ]
    return [replace(one, problem=after.locate(one.problem)) for one in found]


def with_settings(before: Loaded, settings: Settings) -> Snapshot:
    """The snapshot as it would be with other settings of the server."""
    if _options(before.settings) == _options(settings):
        return before.snapshot
    return build_snapshot(before.dataset, settings.options, before.snapshot, observed=before.observed)


def moved_by_settings(before: Loaded, after: Loaded) -> list[Problem]:
    """A warning with the numbers of names and accounts that move because settings of the server changed."""
    if (base := with_settings(before, after.settings)) is before.snapshot:
        return []
    zones = [*moves(before.snapshot, base)]
    names, accounts = sum(one.names.total for one in zones), len({one.account_id for one in zones})
    changed = [
        name
        for name in ("default_addresses", "missing_family")
        if getattr(before.settings, name) != getattr(after.settings, name)
    ]
    of = f"{accounts:,} account{'' if accounts == 1 else 's'}"
    what = f"{names:,} name{'' if names == 1 else 's'} of {of} change their addresses"
    return [after.locate(Problem("", (changed[0],), f"with {' and '.join(changed)}, {what}", warning=True))]


def _options(settings: Settings) -> object:
    """The settings that decide edge addresses."""
    return settings.default_addresses, settings.missing_family
