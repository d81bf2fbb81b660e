"""The verbs on zones, as edits of their files."""

from __future__ import annotations

import re
from collections.abc import Mapping

from dnsd.app import Loaded
from dnsd.manage.draft import Document, Draft
from dnsd.manage.find import find_account, find_zone
from dnsd.manage.records import soa_document, write_as_yaml
from dnsd.manage.refusal import Reason, refused
from dnsd.manage.zone_times import shown_times
from dnsd.model.claims import VERIFICATION_LABEL, claim_time, verification_key
from dnsd.model.fields import derived_id
from dnsd.model.maps import MemberKind
from dnsd.model.requests import check_host_name, parse_zone_name
from dnsd.model.times import time_text
from dnsd.model.zones import Status, Zone
from dnsd.store.directory import FileKind
from dnsd.wire.names import has_blanks, name_text
from dnsd.wire.rdata import NS, SOA, type_text

PLAIN_FILE_NAME = re.compile(r"[a-z0-9_](?:[a-z0-9_.-]{0,198}[a-z0-9_])?")


def create_zone(draft: Draft, account_id: str, name: str) -> str:
    """Create an active zone, verified if the operator creates it, and return its id. Raises RefusedError."""
    account = find_account(draft.dataset, account_id)
    if has_blanks(name):
        raise refused(Reason.BAD_NAME, "the zone's name contains blanks or control characters", "name")
    try:
        wire = parse_zone_name(name)
    except ValueError as error:
        raise refused(Reason.INVALID, str(error), "name") from None
    text = name_text(wire)
    served = draft.dataset.zones_by_name.get(wire)
    if (served and served.verified) or draft.dataset.zone_called(wire, account_id):
        raise refused(Reason.ZONE_EXISTS, f"{text} already exists", "name")
    try:
        check_host_name(wire)
    except ValueError as error:
        raise refused(Reason.INVALID, str(error), "name") from None
    zone_id = new_zone_id(account_id, text)
    plain = f"{account.key}/zones/{text}"
    draft.check_served(plain)
    is_plain = bool(PLAIN_FILE_NAME.fullmatch(text)) and draft.is_free(plain)
    key = plain if is_plain else f"{account.key}/zones/{zone_id}"
    unverified = {} if draft.by_operator else {"verified": False}
    times = dict.fromkeys(("activated_on", "modified_on"), draft.stamp)
    times["created_on"] = time_text(claim_time(draft.dataset.zones.values(), wire, account_id, draft.now))
    document = {"id": zone_id, "name": text, "status": Status.ACTIVE.value, **unverified, **times}
    draft.write(key, FileKind.ZONE_YAML, document)
    draft.note(key, None, {"name": text, **unverified})
    return zone_id


def unverified_notes(loaded: Loaded, zone: Zone) -> list[str]:
    """The note about a zone that is not verified; empty for a verified zone."""
    if zone.verified:
        return []
    is_waiting = zone.id in loaded.dataset.waiting
    until = "until the operator verifies it"
    if loaded.settings.resolver:
        # The delegation does not say which of several accounts is meant: see `is_proven`. An account with the served
        # zone does not hear of the others.
        until += ", or resolvers find " + ("" if is_waiting else "it delegated to its name servers or ")
        until += f'the TXT record {VERIFICATION_LABEL}.{zone.name_text} "{verification_key(zone)}"'
    if is_waiting:
        return [
            f"{zone.name_text} is pending, as a zone of another account has this name, or one above it: DNS does not "
            f"answer from it {until}"
        ]
    return [
        f"{zone.name_text} is not verified: DNS answers for its names, but CNAMEs and DNAMEs from other accounts' "
        f"zones into it are not followed, as if it were served elsewhere, {until}"
    ]


def new_zone_id(account_id: str, name: str) -> str:
    """The id of a new zone, derived from account and name.

    So if another account had a zone of this name before, that zone had another id.
    """
    return derived_id("zone", account_id, name)


def edit_zone(draft: Draft, zone_id: str, *, paused: bool | None = None, verified: bool | None = None) -> None:
    """Pause or resume a zone; mark it as verified or not, which only the operator may."""
    zone = find_zone(draft.dataset, zone_id)
    wanted = {"paused": paused, "verified": verified}
    changed = {name: value for name, value in wanted.items() if value not in (None, getattr(zone, name))}
    if changed:
        _set(draft, zone, changed)


def set_zone_switches(draft: Draft, zone_id: str, wanted: Mapping[str, bool]) -> None:
    """Turn settings of a zone on or off, by name."""
    zone = find_zone(draft.dataset, zone_id)
    changed = {name: is_on for name, is_on in wanted.items() if getattr(zone.settings, name) != is_on}
    if changed:
        _set(draft, zone, {"settings": zone.settings.model_dump(exclude_defaults=True) | changed})


SOA_NAMES = {"min_ttl": "minimum"}  # parts of the SOA with other names in requests than in files


def set_dns_settings(
    draft: Draft, zone_id: str, *, switches: Mapping[str, bool], ns_ttl: int | None, soa: Mapping[str, str | int | None]
) -> None:
    """Change settings of a zone, the TTL of its apex NS records, and parts of its SOA; None for `mname`: the default.

    Raises RefusedError if the zone's file has its own NS records or, in YAML, its own SOA record.
    """
    zone = find_zone(draft.dataset, zone_id)
    settings: Document = {name: is_on for name, is_on in switches.items() if getattr(zone.settings, name) != is_on}
    if ns_ttl not in (None, shown_ns_ttl(zone)):
        _check_made(draft, zone, NS, "ns_ttl")
        settings["ns_ttl"] = ns_ttl
    changed: Document = {}
    if settings:
        changed["settings"] = zone.settings.model_dump(exclude_defaults=True) | settings
    present = soa_document(zone)
    given = {SOA_NAMES.get(name, name): value for name, value in soa.items()}
    parts = {name: value for name, value in given.items() if value not in (None, present[name])}
    is_yaml = draft.file(zone.key).kind is FileKind.ZONE_YAML
    written = (draft.document(zone.key).get("soa") or {}) if is_yaml else present
    if parts or ("mname" in given and given["mname"] is None and is_yaml and "mname" in written):
        if is_yaml:
            _check_made(draft, zone, SOA, "soa")
        kept = {name: value for name, value in written.items() if given.get(name, value) is not None}
        changed["soa"] = kept | parts
    if changed:
        _set(draft, zone, changed)


def shown_ns_ttl(zone: Zone) -> int:
    """The TTL of the apex NS records."""
    return next(record.ttl_s for record in zone.records.at(zone.name) if record.rtype == NS)


def _check_made(draft: Draft, zone: Zone, rtype: int, field: str) -> None:
    """Raise RefusedError if apex records of a type are in the zone's file; otherwise dnsd makes them."""
    written = len(draft.loaded.stored.objects.zones[zone.key].rows)
    if any(zone.records.owners[index] == zone.name for index in zone.records.of_types({rtype}) if index < written):
        message = f"not available here: the zone's file has its own {type_text(rtype)} records; change them there"
        raise refused(Reason.INVALID, message, field)


def delete_zone(draft: Draft, zone_id: str) -> None:
    """Delete a zone and its memberships in address maps."""
    zone = find_zone(draft.dataset, zone_id)
    for address_map in draft.dataset.maps_by_member.get(zone.id, ()):
        document = draft.document(address_map.key)
        members = zip(document["memberships"], address_map.memberships, strict=True)
        left = [written for written, one in members if (one.kind, one.identifier) != (MemberKind.ZONE, zone.id)]
        draft.write(address_map.key, FileKind.MAP, document | {"memberships": left, "modified_at": draft.stamp})
    draft.remove(zone.key)
    draft.note(zone.key, {"name": zone.name_text, "records": len(zone.records)}, None)


def _set(draft: Draft, zone: Zone, changed: Document) -> None:
    now = {"modified_on": draft.stamp}
    if draft.file(zone.key).kind is FileKind.ZONE_YAML:
        document = draft.document(zone.key)
        before = {name: document.get(name) for name in changed}
        draft.write_zone(zone.key, change=lambda keys: shown_times(draft, zone) | keys | changed | now)
        if "verified" not in changed:  # which may follow from zones of other accounts
            draft.own_keys.add(zone.key)
    else:
        before = {}
        write_as_yaml(draft, zone, changed | now)
    draft.note(zone.key, before, changed)
