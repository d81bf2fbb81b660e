"""Look up objects by the ids in requests. A missing object and another account's object are both "not found"."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from dnsd.manage.refusal import Reason, RefusedError, refused
from dnsd.model.accounts import Account, BgpPrefix, Binding, Prefix
from dnsd.model.dataset import Dataset
from dnsd.model.maps import AddressMap
from dnsd.model.zones import Zone

T = TypeVar("T", Prefix, BgpPrefix, Binding)


def find_account(dataset: Dataset, account_id: str) -> Account:
    """The account. Raises RefusedError."""
    account = dataset.accounts.get(account_id)
    if account is None:
        raise no_account()
    return account


def no_account() -> RefusedError:
    """The error for an account that does not exist, or is outside a token's scope."""
    return refused(Reason.NOT_FOUND, "not_found: there is no account with this id")


def no_zone() -> RefusedError:
    """The error for a zone that does not exist, or is outside a token's scope."""
    return refused(Reason.NOT_FOUND, "not_found: there is no zone with this id")


def find_map(dataset: Dataset, account_id: str, map_id: str) -> AddressMap:
    """The address map of an account. Raises RefusedError."""
    found = dataset.maps.get(map_id)
    if found is None or found.account_id != account_id:
        raise refused(Reason.NOT_FOUND, "not_found: there is no address map with this id in the account")
    return found


def find_zone(dataset: Dataset, zone_id: str) -> Zone:
    """The zone. Raises RefusedError."""
    zone = dataset.zones.get(zone_id)
    if zone is None:
        raise no_zone()
    return zone


def find_prefix(dataset: Dataset, account_id: str, prefix_id: str) -> tuple[Account, Prefix, int]:
    """An account, its prefix with this id, and the prefix's index. Raises RefusedError."""
    account = find_account(dataset, account_id)
    return account, *_found(account.prefixes, prefix_id, "prefix with this id in the account")


def find_bgp_prefix(dataset: Dataset, account_id: str, prefix_id: str, bgp_id: str) -> tuple[Prefix, BgpPrefix, int]:
    """A prefix, its BGP prefix with this id, and the BGP prefix's index. Raises RefusedError."""
    _, prefix, _ = find_prefix(dataset, account_id, prefix_id)
    return prefix, *_found(prefix.bgp_prefixes, bgp_id, "BGP prefix with this id in the prefix")


def find_binding(dataset: Dataset, account_id: str, prefix_id: str, binding_id: str) -> tuple[Prefix, Binding, int]:
    """A prefix, its binding with this id, and the binding's index. Raises RefusedError."""
    _, prefix, _ = find_prefix(dataset, account_id, prefix_id)
    return prefix, *_found(prefix.bindings, binding_id, "binding with this id in the prefix")


def _found(parts: Sequence[T], wanted: str, what: str) -> tuple[T, int]:
    """The part with an id, and its index. Raises RefusedError."""
    for index, one in enumerate(parts):
        if one.id == wanted:
            return one, index
    raise refused(Reason.NOT_FOUND, f"not_found: there is no {what}")
