"""The rules on requested changes of zones: only the operator verifies, locks and unlocks them, and makes some names."""

from __future__ import annotations

from collections.abc import Iterator, Set

from dnsd.errors import BrokenRule, Problem
from dnsd.model.dataset import Dataset
from dnsd.model.public_suffixes import is_public_suffix
from dnsd.model.zones import Status, Zone
from dnsd.wire.names import ROOT, ancestors, is_below


def zone_change_problems(old: Dataset, new: Dataset) -> Iterator[Problem]:
    """Reasons to refuse the change of zones from `old` to `new`, unless the operator makes it."""
    changing: set[str] = set()  # accounts
    for zone_id, zone in new.zones.items():
        known = old.zones.get(zone_id)
        if known is zone:
            continue
        changing.add(zone.account_id)
        yield from _verification(known, zone)
        if known is None or known.name != zone.name:
            yield from _new_name(old, new, zone)
        if known is not None and known.status is not zone.status:
            yield Problem(zone.key, ("status",), f"the zone is {known.status}; only the operator can change its status")
    for zone_id in old.zones.keys() - new.zones.keys():
        gone = old.zones[zone_id]
        changing.add(gone.account_id)
        if gone.status is not Status.ACTIVE and gone.account_id in new.accounts:
            # Otherwise the account could make it again, active.
            yield Problem(gone.key, (), f"the zone is {gone.status}: only the operator can delete it")
    yield from _displaced(old, new, changing)


def _displaced(old: Dataset, new: Dataset, changing: Set[str]) -> Iterator[Problem]:
    """Zones of other accounts than the `changing` ones that would no longer be served."""
    for zone_id in new.waiting - old.waiting:
        zone = new.zones[zone_id]
        if zone is old.zones.get(zone_id) and zone.account_id not in changing:
            yield Problem(zone.key, ("name",), "another account's zone would take its place", other=zone.key)


def _verification(before: Zone | None, zone: Zone) -> Iterator[Problem]:
    """A problem if `verified` was changed; a new or renamed zone, or one of another account, starts unverified."""
    is_known = before is not None and (before.name, before.account_id) == (zone.name, zone.account_id)
    if zone.verified != (is_known and before is not None and before.verified):
        message = "only the operator can change `verified`; a new zone has `verified: false`"
        yield Problem(zone.key, ("verified",), message)


def _new_name(old: Dataset, new: Dataset, zone: Zone) -> Iterator[Problem]:
    """A verified zone owns all names at and below its apex: a customer's must neither contain nor lie in another's."""
    if len([*ancestors(zone.name)]) == 1:
        message = f"{zone.name_text} is a top-level domain: only the operator can create its zone"
        yield Problem(zone.key, ("name",), message)
    elif is_public_suffix(zone.name):
        message = f"{zone.name_text} is a public suffix, open to everybody: only the operator can create its zone"
        yield Problem(zone.key, ("name",), message)
    others = {
        name: one
        for name, one in new.zones_by_name.items()
        if one.verified and one.account_id != zone.account_id and name != ROOT
    }
    if zone.name in others:
        yield Problem(zone.key, ("name",), f"{zone.name_text} already exists", rule=BrokenRule.ZONE_EXISTS)
    if not others.keys().isdisjoint(ancestors(zone.name)):
        yield Problem(zone.key, ("name",), f"{zone.name_text} lies in a zone of another account")
    if any(is_below(name, zone.name) for name in others):
        yield Problem(zone.key, ("name",), f"a zone of another account lies in {zone.name_text}")
    above = old.zone_of(zone.name)
    if above and above.account_id == zone.account_id and above.status is not Status.ACTIVE:
        message = (
            f"{zone.name_text} lies in {above.name_text}, which is {above.status}: only the operator can create it"
        )
        yield Problem(zone.key, ("name",), message)
