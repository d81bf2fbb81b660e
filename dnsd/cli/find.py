"""Objects looked up over the API: accounts and zones by name or id, maps by description or the first digits of an id.

A text must match exactly one object; otherwise the command fails and lists the candidates. An empty text is an error.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import click

from dnsd.api.codes import CODES
from dnsd.cli.client import ApiObject, ApiRefusedError, Client, FailedError
from dnsd.manage.refusal import Reason
from dnsd.manage.zones import new_zone_id
from dnsd.model.zones import unwritten_zone_id
from dnsd.wire.names import name_text, parse_name_text

T = TypeVar("T")

ID = re.compile(r"[0-9a-f]{32}")
ID_PREFIX = re.compile(r"[0-9a-f]{4,31}")  # fewer than four digits are probably a slip
MAX_NAMED = 10  # candidates listed in an error
NOT_FOUND = tuple(CODES[one].number for one in (Reason.NOT_FOUND, Reason.NO_ROUTE, Reason.NO_RECORD))


class NoSuchError(FailedError):
    """Nothing matches a text."""


@dataclass(frozen=True, slots=True)
class FoundMap:
    """A map, and the descriptions of all maps of its account."""

    account_id: str
    shape: ApiObject
    descriptions: dict[str, str]  # by id, of all maps of the account

    @property
    def path(self) -> str:
        """The map's path in the API."""
        return f"{maps_path(self.account_id)}/{self.shape['id']}"


def maps_path(account_id: str) -> str:
    """The API's path of an account's maps."""
    return f"/accounts/{account_id}/addressing/address_maps"


def pending_path(account_id: str) -> str:
    """The API's path of an account's pending changes."""
    return f"/accounts/{account_id}/addressing/pending_changes"


def find_accounts(api: Client, wanted: str | None) -> list[ApiObject]:
    """The account with an id or a name; for None, all accounts of the token."""
    if wanted is None:
        found = api.all("/accounts")
        if not found:
            raise FailedError("the token covers no account")
        return found
    if ID.fullmatch(wanted.lower()):
        return [api.get(f"/accounts/{wanted.lower()}")]
    found = [one for one in api.all("/accounts", name=wanted) if one["name"].casefold() == wanted.casefold()]
    found = [one for one in found if one["name"] == wanted] or found
    return [_single(found, f"account {wanted!r}", lambda one: str(one["id"]))]


def find_account(api: Client, wanted: str | None) -> ApiObject:
    """The account with an id or a name; for None, the token's only account."""
    found = find_accounts(api, wanted)
    if len(found) > 1:
        raise click.UsageError(f"the token covers {len(found)} accounts; choose with --account: {_names(found)}")
    return found[0]


def find_map(api: Client, text: str, account: str | None) -> FoundMap:
    """The only map whose id is `text` or begins with it, or whose description is `text`."""
    wanted = _stripped(text, "map")
    by_account = [(one["id"], api.all(maps_path(one["id"]))) for one in find_accounts(api, account)]
    every = [
        FoundMap(account_id, shape, {one["id"]: one["description"] or "" for one in shapes})
        for account_id, shapes in by_account
        for shape in shapes
    ]
    found = [one for one in every if one.shape["id"] == wanted.lower()]
    found = found or [one for one in every if _matches(one.shape, wanted)]
    return _single(found, f"address map {wanted!r}", lambda one: map_name(one.shape))


def find_map_path(api: Client, text: str, account: str | None) -> tuple[str, str, FoundMap | None]:
    """A map's account id, its path in the API, and the map; None for a deleted map, which only its id finds."""
    try:
        found = find_map(api, text, account)
        return found.account_id, found.path, found
    except NoSuchError:
        wanted = text.strip().lower()
        if ID.fullmatch(wanted):
            for one in find_accounts(api, account):
                if _has_history(api, path := f"{maps_path(one['id'])}/{wanted}"):
                    return one["id"], path, None
        raise


def find_zone(api: Client, text: str) -> ApiObject:
    """The zone with a name or an id."""
    wanted = _stripped(text, "zone")
    if ID.fullmatch(wanted.lower()) and (found := _get(api, f"/zones/{wanted.lower()}")):
        shown: ApiObject = found
        return shown
    name = _zone_name(wanted)
    # The API takes a name such as `contains:a` for another filter.
    zones = [one for one in api.all("/zones", name=name) if one["name"] == name]
    return _single(zones, f"zone {wanted!r}", lambda one: f"{one['id']} ({one['account']['name']}, {one['status']})")


def find_zone_path(api: Client, text: str, account: str | None) -> str:
    """The API's path of the zone with a name or an id; for a deleted zone, the path within its account."""
    try:
        return f"/zones/{find_zone(api, text)['id']}"
    except NoSuchError:
        wanted = text.strip()
        for one in api.all("/accounts") if account is None else find_accounts(api, account):
            for zone_id in _deleted_zone_ids(wanted, one["id"]):
                if _has_history(api, path := f"/accounts/{one['id']}/zones/{zone_id}"):
                    return path
        raise


def _deleted_zone_ids(wanted: str, account_id: str) -> list[str]:
    """The ids that a deleted zone, given by id or name, may have had in an account."""
    if ID.fullmatch(wanted.lower()):
        return [wanted.lower()]
    name = _zone_name(wanted)
    return [new_zone_id(account_id, name), unwritten_zone_id(name)]


def find_record(api: Client, zone: ApiObject, text: str) -> ApiObject:
    """A zone's record with an id, or the only one with an id that begins with `text`."""
    wanted = _stripped(text, "record").lower()
    path = f"/zones/{zone['id']}/dns_records"
    if ID.fullmatch(wanted):
        shown: ApiObject = api.get(f"{path}/{wanted}")
        return shown
    found = []
    if ID_PREFIX.fullmatch(wanted):
        found = [one for one in api.all(path) if one["id"].startswith(wanted)]
    return _single(found, f"record {wanted!r} in {zone['name']}", lambda one: str(one["id"]))


def map_name(shape: ApiObject) -> str:
    """A map's id, and its description if it has one."""
    return f"{shape['id']} ({shape['description']})" if shape["description"] else str(shape["id"])


def _matches(shape: ApiObject, wanted: str) -> bool:
    has_prefix = ID_PREFIX.fullmatch(wanted.lower()) and shape["id"].startswith(wanted.lower())
    return bool(has_prefix) or shape["description"] == wanted


def _stripped(text: str, what: str) -> str:
    if not text.strip():
        raise click.UsageError(f"the {what} must not be empty")
    return text.strip()


def _zone_name(text: str) -> str:
    try:
        return name_text(parse_name_text(text).lower())
    except ValueError as error:
        raise click.UsageError(f"the zone's name: {error}") from None


def _single(found: Sequence[T], what: str, name: Callable[[T], str]) -> T:
    """The only item of `found`. Raises NoSuchError if it is empty, FailedError if it has several."""
    if not found:
        raise NoSuchError(f"there is no {what}")
    if len(found) > 1:
        raise FailedError(f"{len(found)} matches for {what}; choose one by its id:", *map(name, found[:MAX_NAMED]))
    return found[0]


def _has_history(api: Client, path: str) -> bool:
    """Whether the API has a history of the object at a path."""
    return _get(api, f"{path}/history") is not None


def _get(api: Client, path: str) -> Any:
    """The result of a GET, or None if the object does not exist."""
    try:
        return api.get(path)
    except ApiRefusedError as error:
        if error.code in NOT_FOUND:
            return None
        raise


def _names(accounts: Sequence[ApiObject]) -> str:
    more = ", …" if len(accounts) > MAX_NAMED else ""
    return ", ".join(f"{one['name']} ({one['id']})" for one in accounts[:MAX_NAMED]) + more
