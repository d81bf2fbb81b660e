"""Zones: the list, the page with a zone's effective addresses and settings, and the forms to change it."""

from __future__ import annotations

from functools import partial
from typing import Any

from dnsd.api.access import account_for_zone
from dnsd.api.zone_bodies import ZoneBody
from dnsd.dashboard.forms import FormErrors
from dnsd.dashboard.listing import listing
from dnsd.dashboard.page import HtmlPage, Redirect
from dnsd.dashboard.views import not_applied, steps_of, warnings_of
from dnsd.dashboard.visit import Visit
from dnsd.manage.plan import answering
from dnsd.manage.refusal import Reason, RefusedError, refused
from dnsd.manage.tokens import AccessLevel, Area
from dnsd.manage.zones import create_zone, delete_zone, edit_zone, set_zone_switches, unverified_notes
from dnsd.model.dataset import Dataset
from dnsd.model.maps import MemberKind
from dnsd.model.zones import Status, Zone
from dnsd.wire.names import parse_name_text

SWITCHES = ("ipv6", "http2", "http3", "https_records", "flatten_all_cnames")


async def list_zones(visit: Visit) -> HtmlPage:
    """The zones that the token covers, of all accounts or of one."""
    return await visit.aside(partial(_list_page, visit))


def _list_page(visit: Visit) -> HtmlPage:
    dataset, loaded = visit.dataset, visit.loaded
    account_id = visit.query.text("account").lower()
    found = listing(
        visit,
        "/zones",
        [
            zone
            for zone in dataset.zones.values()
            if visit.token.covers(zone.account_id, zone.id) and account_id in ("", zone.account_id)
        ],
        texts=lambda zone: (f"{zone.name_text}.", zone.id),
        orders={
            "name": lambda zone: zone.name_text,
            "account": lambda zone: (dataset.accounts[zone.account_id].name.lower(), zone.name_text),
            "status": lambda zone: (dataset.status_of(zone), zone.paused, zone.name_text),
        },
        order="name",
        kept=("account",),
    )
    rows = [
        {
            "zone": zone,
            "account": dataset.accounts[zone.account_id],
            "answering": answering(loaded, zone),
            "why_not": not_applied(dataset, zone),
        }
        for zone in found.items
    ]
    maps = dataset.maps
    account = dataset.accounts.get(account_id)
    is_seen = account is not None and visit.token.covers(account.id)
    data = {"listing": found, "rows": rows, "maps": maps, "account": account if is_seen else None}
    return HtmlPage("zones.html", {**data, "may_create": bool(_accounts_to_create_in(visit))})


def _accounts_to_create_in(visit: Visit) -> list[Any]:
    return [one for one in visit.accounts() if visit.token.may(Area.ZONES, AccessLevel.EDIT, account_id=one.id)]


async def show_create(visit: Visit) -> HtmlPage:
    """The form of a new zone."""
    return _create_page(visit, FormErrors())


async def create(visit: Visit) -> HtmlPage | Redirect:
    """Create a zone."""
    values = {"name": visit.form.text("name"), "account": {"id": visit.form.text("account")}}
    try:
        body = visit.body(ZoneBody, values)
        account_id = account_for_zone(visit.token, visit.dataset, body.account.id)
        zone_id, after = await visit.change("zone.create", lambda draft: create_zone(draft, account_id, body.name))
    except RefusedError as error:
        return _create_page(visit, FormErrors(error, ("name", "account")))
    is_pending = zone_id in after.dataset.waiting
    return Redirect(
        f"/zones/{zone_id}", f"The zone is created. {'It is pending.' if is_pending else 'DNS answers for it.'}"
    )


def _create_page(visit: Visit, errors: FormErrors) -> HtmlPage:
    data = {"accounts": _accounts_to_create_in(visit), "form": visit.form, "errors": errors}
    return HtmlPage(
        "zone_create.html", data | {"chosen": visit.form.text("account") or visit.query.text("account")}, errors.status
    )


async def show_zone(visit: Visit) -> HtmlPage:
    """The page of a zone: its effective addresses, the reason for them, and its settings."""
    return await _page(visit, FormErrors())


async def _page(visit: Visit, errors: FormErrors) -> HtmlPage:
    loaded, zone = visit.loaded, visit.zone
    return HtmlPage(
        "zone.html",
        {
            "zone": zone,
            "account": loaded.dataset.accounts[zone.account_id],
            "answering": answering(loaded, zone),
            "steps": steps_of(loaded, zone),
            "pool": loaded.settings.default_addresses,
            "why_not": not_applied(loaded.dataset, zone),
            "instead_of_maps": _instead_of_maps(loaded.dataset, zone),
            "unverified_notes": unverified_notes(loaded, zone),
            "warnings": warnings_of(loaded, zone.key),
            "records_total": zone.client_records,
            "errors": errors,
            "may_see_maps": visit.token.may(Area.MAPS, AccessLevel.READ, account_id=zone.account_id),
            "versions": await visit.versions(zone.id, zone.account_id),
        },
        errors.status,
    )


def _instead_of_maps(dataset: Dataset, zone: Zone) -> str:
    """How proxied names of a zone are answered if maps do not apply."""
    if zone.id in dataset.waiting:
        return "not from this zone"
    return "refused" if zone.status is Status.INITIALIZING else "as stored"


async def save_settings(visit: Visit) -> HtmlPage | Redirect:
    """Save the settings of a zone."""
    zone_id, wanted = visit.zone.id, {name: name in visit.form for name in SWITCHES}
    try:
        await visit.change("zone.edit_settings", lambda draft: set_zone_switches(draft, zone_id, wanted))
    except RefusedError as error:
        return await _page(visit, FormErrors(error))
    return Redirect(f"/zones/{zone_id}", "The settings are saved.")


async def ask_pause(visit: Visit) -> HtmlPage:
    """Show the effect of pausing and ask to confirm."""
    zone, dataset = visit.zone, visit.dataset
    return HtmlPage("zone_pause.html", {"zone": zone, "account": dataset.accounts[zone.account_id]})


async def pause(visit: Visit) -> HtmlPage | Redirect:
    """Pause a zone, or resume it."""
    zone_id, is_paused = visit.zone.id, visit.form.get("paused") == "on"
    try:
        await visit.change("zone.edit", lambda draft: edit_zone(draft, zone_id, paused=is_paused))
    except RefusedError as error:
        return await _page(visit, FormErrors(error))
    done = "The zone is paused: proxied records are answered as stored." if is_paused else "The zone is resumed."
    return Redirect(f"/zones/{zone_id}", done)


async def verify(visit: Visit) -> HtmlPage | Redirect:
    """Mark a zone as verified."""
    zone_id = visit.zone.id
    try:
        await visit.change("zone.edit", lambda draft: edit_zone(draft, zone_id, verified=True))
    except RefusedError as error:
        return await _page(visit, FormErrors(error))
    return Redirect(f"/zones/{zone_id}", "The zone is verified: CNAMEs of other accounts are followed into it.")


async def check(visit: Visit) -> HtmlPage | Redirect:
    """Have resolvers look up soon whether a zone belongs to its account."""
    zone = visit.zone
    try:
        visit.service.check_activation(zone)
    except RefusedError as error:
        return await _page(visit, FormErrors(error))
    return Redirect(f"/zones/{zone.id}", "The zone is being checked: reload this page in a moment.")


async def show_delete(visit: Visit) -> HtmlPage:
    """Show the effect of deleting a zone and ask to confirm."""
    return _delete_page(visit, FormErrors())


async def delete(visit: Visit) -> HtmlPage | Redirect:
    """Delete a zone; the form must repeat its name."""
    zone = visit.zone
    zone_id = zone.id
    try:
        if not _is_name_of(zone, visit.form.text("name")):
            raise refused(Reason.INVALID, f"type the zone's name, {zone.name_text}, to delete it", "name")
        await visit.change("zone.delete", lambda draft: delete_zone(draft, zone_id))
    except RefusedError as error:
        return _delete_page(visit, FormErrors(error, ("name",)))
    return Redirect("/zones", f"{zone.name_text} is deleted, and its memberships in address maps with it.")


def _is_name_of(zone: Zone, text: str) -> bool:
    try:
        return parse_name_text(text).lower() == zone.name
    except ValueError:
        return False


def _delete_page(visit: Visit, errors: FormErrors) -> HtmlPage:
    zone, dataset = visit.zone, visit.dataset
    members = [one for one in dataset.maps_by_member.get(zone.id, ()) if (MemberKind.ZONE, zone.id) in one.by_member]
    data = {"zone": zone, "account": dataset.accounts[zone.account_id], "members": members, "errors": errors}
    return HtmlPage("zone_delete.html", data | {"records_total": zone.client_records}, errors.status)
