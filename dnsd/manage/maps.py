"""The verbs on address maps, as edits of their files. The model has the rules."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, ConfigDict, Field, StrictBool

from dnsd.formats.yaml_style import as_read
from dnsd.manage.draft import Document, Draft
from dnsd.manage.find import find_account, find_map
from dnsd.manage.refusal import Reason, refused
from dnsd.model.fields import Fields, Ip, IPAddress
from dnsd.model.maps import AddressMap, MemberKind
from dnsd.model.times import time_text
from dnsd.store.directory import FileKind

MAX_TEXT = 1000  # characters of a description
MAX_LISTED = 10_000  # addresses, or members, in a request


def _short(value: Any) -> Any:
    """The list itself. Raises ValueError if it is too long: reporting an error for every item would take seconds."""
    if isinstance(value, list) and len(value) > MAX_LISTED:
        raise ValueError(f"{len(value):,} items; the limit is {MAX_LISTED:,}")
    return value


class MemberBody(Fields):
    """A member of a new map."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    kind: MemberKind
    identifier: str = Field(description="id of the zone or account")


class MapBody(Fields):
    """A new map."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    description: str | None = Field(default=None, max_length=MAX_TEXT)
    enabled: StrictBool = False
    ips: Annotated[tuple[Ip, ...], BeforeValidator(_short)] = Field(default=(), max_length=MAX_LISTED)
    memberships: Annotated[tuple[MemberBody, ...], BeforeValidator(_short)] = Field(default=(), max_length=MAX_LISTED)
    default_sni: str | None = Field(default=None, max_length=255)
    immutable: StrictBool = Field(
        default=False, description="the account's immutable map; only the operator can create it"
    )


class MapEdit(Fields):
    """The fields of a map to change; null or an empty text clears a text."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    description: str | None = Field(default=None, max_length=MAX_TEXT)
    enabled: StrictBool | None = None
    default_sni: str | None = Field(default=None, max_length=255)


class MapPlan(MapBody):
    """A new map or, with an id, the fields of a map to change; with `delete`, a map to delete."""

    id: str | None = None
    delete: StrictBool = False


def create_map(draft: Draft, account_id: str, body: MapBody, map_id: str | None = None) -> str:
    """Create a map and return its id; `map_id` chooses it, and a rule refuses an id in use."""
    account = find_account(draft.dataset, account_id)
    map_id = map_id or secrets.token_hex(16)
    document: Document = {
        "id": map_id,
        "description": body.description or None,
        "enabled": body.enabled,
        "ips": [str(ip) for ip in dict.fromkeys(body.ips)],
        "memberships": [
            _member(draft, account_id, member.kind, member.identifier, "memberships", index, "identifier")
            for index, member in enumerate(body.memberships)
        ],
        "default_sni": body.default_sni or None,
        "immutable": body.immutable or None,
        "created_at": draft.stamp,
        "modified_at": draft.stamp,
    }
    key = draft.free_key(f"{account.key}/maps", body.description or map_id)
    draft.write(key, FileKind.MAP, {name: value for name, value in document.items() if value not in (None, [])})
    return map_id


def edit_map(draft: Draft, account_id: str, map_id: str, edit: MapEdit, given: Mapping[str, Any]) -> None:
    """Change the given fields of a map; `given` tells null from absent."""
    found = find_map(draft.dataset, account_id, map_id)
    document = draft.document(found.key)
    _set_plain(document, edit, given)
    _write(draft, found, document)


def set_map(draft: Draft, account_id: str, map_id: str, body: MapBody, given: Mapping[str, Any]) -> None:
    """Change the given fields of a map, including addresses and members; a given list replaces the whole list."""
    found = find_map(draft.dataset, account_id, map_id)
    document = draft.document(found.key)
    _set_plain(document, body, given)
    if given.get("ips") is not None:
        written = dict(zip(found.ips, document.get("ips") or (), strict=True))
        document["ips"] = [written.get(ip, str(ip)) for ip in dict.fromkeys(body.ips)]
    if given.get("memberships") is not None:
        members = {(one.kind, one.identifier): number for number, one in enumerate(found.memberships)}
        document["memberships"] = [
            document["memberships"][members[member.kind, member.identifier]]
            if (member.kind, member.identifier) in members
            else _member(draft, account_id, member.kind, member.identifier, "memberships", index, "identifier")
            for index, member in enumerate(body.memberships)
        ]
    _write(draft, found, document)


def _set_plain(document: Document, body: MapEdit | MapBody, given: Mapping[str, Any]) -> None:
    """Set the given fields, except the lists."""
    for name in ("description", "default_sni"):
        if name in given:
            document[name] = getattr(body, name) or None
    if given.get("enabled") is not None:
        document["enabled"] = body.enabled


def delete_map(draft: Draft, account_id: str, map_id: str) -> None:
    """Delete a map."""
    draft.remove(find_map(draft.dataset, account_id, map_id).key)


def add_ip(draft: Draft, account_id: str, map_id: str, ip: IPAddress) -> None:
    """Append an address to a map; an address of the map keeps its place."""
    found = find_map(draft.dataset, account_id, map_id)
    if ip not in found.ips:
        document = draft.document(found.key)
        document["ips"] = [*(document.get("ips") or ()), str(ip)]
        _write(draft, found, document)


def remove_ip(draft: Draft, account_id: str, map_id: str, ip: IPAddress) -> None:
    """Remove an address from a map, if present."""
    found = find_map(draft.dataset, account_id, map_id)
    if ip in found.ips:
        document = draft.document(found.key)
        del document["ips"][found.ips.index(ip)]
        _write(draft, found, document)


def add_member(draft: Draft, account_id: str, map_id: str, kind: MemberKind, identifier: str) -> None:
    """Add a member to a map; an existing member stays unchanged."""
    found = find_map(draft.dataset, account_id, map_id)
    member = _member(draft, account_id, kind, identifier)
    if (kind, identifier) not in found.by_member:
        document = draft.document(found.key)
        document["memberships"] = [*(document.get("memberships") or ()), member]
        _write(draft, found, document)


def remove_member(draft: Draft, account_id: str, map_id: str, kind: MemberKind, identifier: str) -> None:
    """Remove a member from a map, if present."""
    found = find_map(draft.dataset, account_id, map_id)
    if member := found.by_member.get((kind, identifier)):
        document = draft.document(found.key)
        del document["memberships"][found.memberships.index(member)]
        _write(draft, found, document)


def _member(draft: Draft, account_id: str, kind: MemberKind, identifier: str, *path: str | int) -> Document:
    """A membership as in a file, zones by name. Raises RefusedError for members outside the account."""
    identifier = identifier.lower()
    name = identifier
    if kind is MemberKind.ZONE:
        zone = draft.dataset.zones.get(identifier)
        if zone is None or zone.account_id != account_id:
            raise refused(Reason.NOT_FOUND, "not_found: there is no zone with this id in the account", *path)
        name = zone.name_text
    elif identifier != account_id:
        raise refused(Reason.NOT_FOUND, "not_found: only the map's own account can be a member of it", *path)
    return {"kind": kind.value, "identifier": name, "created_at": draft.stamp}


def _write(draft: Draft, found: AddressMap, document: Document) -> None:
    """Write a map with the time of the change, if anything changed."""
    if as_read(document) != as_read(draft.document(found.key)):
        document.setdefault("created_at", time_text(draft.loaded.times.of_map(found).created))
        draft.write(found.key, FileKind.MAP, document | {"modified_at": draft.stamp})
