"""The verbs on address maps, as edits of their files. The model has the rules."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypedDict

from dnsd.formats.yaml_style import as_read
from dnsd.manage.draft import Document, Draft
from dnsd.manage.find import find_account, find_map
from dnsd.manage.pool import bar_from_pool
from dnsd.manage.refusal import Reason, refused
from dnsd.manage.tags import tag_of
from dnsd.model.fields import IPAddress
from dnsd.model.maps import AddressMap, MemberKind
from dnsd.model.times import time_text
from dnsd.store.directory import FileKind

PLAIN: tuple[Literal["description", "default_sni", "enabled"], ...] = ("description", "default_sni", "enabled")


class Member(NamedTuple):
    """A member of a map, in a request."""

    kind: MemberKind
    identifier: str  # id of the zone or account


@dataclass(frozen=True, slots=True, kw_only=True)
class NewMap:
    """A map to create."""

    description: str | None = None
    enabled: bool = False
    ips: Sequence[IPAddress] = ()
    memberships: Sequence[Member] = ()
    default_sni: str | None = None
    immutable: bool = False


class MapChange(TypedDict, total=False):
    """The fields of a map to set; absent fields stay. A list replaces the whole list."""

    description: str | None
    enabled: bool
    ips: Sequence[IPAddress]
    memberships: Sequence[Member]
    default_sni: str | None


def create_map(draft: Draft, account_id: str, new: NewMap, map_id: str | None = None) -> str:
    """Create a map and return its id: `map_id` if given. A rule refuses an id in use."""
    account = find_account(draft.dataset, account_id)
    map_id = map_id or secrets.token_hex(16)
    document: Document = {
        "id": map_id,
        "description": new.description,
        "enabled": new.enabled,
        "ips": [str(ip) for ip in dict.fromkeys(new.ips)],
        "memberships": [
            _member(draft, account_id, member.kind, member.identifier, "memberships", index, "identifier")
            for index, member in enumerate(new.memberships)
        ],
        "default_sni": new.default_sni,
        "immutable": new.immutable or None,
        "created_at": draft.stamp,
        "modified_at": draft.stamp,
    }
    key = draft.free_key(f"{account.key}/maps", new.description or map_id)
    draft.write(key, FileKind.MAP, {name: value for name, value in document.items() if value not in (None, [])})
    _bar(draft, account_id, document)
    return map_id


def edit_map(draft: Draft, account_id: str, map_id: str, change: MapChange) -> None:
    """Change fields of a map."""
    found = find_map(draft.dataset, account_id, map_id)
    document = draft.document(found.key)
    document |= {name: change[name] for name in PLAIN if name in change}
    if "ips" in change:
        written = dict(zip(found.ips, document.get("ips") or (), strict=True))
        document["ips"] = [written.get(ip, str(ip)) for ip in dict.fromkeys(change["ips"])]
    if "memberships" in change:
        members = {(one.kind, one.identifier): number for number, one in enumerate(found.memberships)}
        document["memberships"] = [
            document["memberships"][members[member]]
            if member in members
            else _member(draft, account_id, member.kind, member.identifier, "memberships", index, "identifier")
            for index, member in enumerate(change["memberships"])
        ]
    _write(draft, found, document)


def delete_map(draft: Draft, account_id: str, map_id: str) -> None:
    """Delete a map."""
    draft.remove(find_map(draft.dataset, account_id, map_id).key)


def add_ip(draft: Draft, account_id: str, map_id: str, ip: IPAddress) -> None:
    """Append an address to a map; an address already in the map keeps its place."""
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


def map_tag(found: AddressMap) -> str:
    """The entity tag of a map: the same for the same content, whatever its times."""
    members = sorted((one.kind.value, one.identifier) for one in found.memberships)
    fields = (found.description, found.enabled, list(map(str, found.ips)), members, found.default_sni, found.immutable)
    return tag_of([found.id, *fields])


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
        if "created_at" not in document:
            document["created_at"] = time_text(draft.loaded.times.of_map(found).created)
        draft.write(found.key, FileKind.MAP, document | {"modified_at": draft.stamp})
        _bar(draft, found.account_id, document)


def _bar(draft: Draft, account_id: str, document: Document) -> None:
    """Bar the account from the pool when the operator brings an immutable map into effect."""
    is_wide = any(one["kind"] == MemberKind.ACCOUNT for one in document.get("memberships") or ())
    if draft.by_operator and document.get("immutable") and document.get("enabled") and document.get("ips") and is_wide:
        bar_from_pool(draft, account_id)
