"""Address maps: the list, the page of a map, and the form to edit it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from typing import Any

from dnsd.api.bodies import map_change
from dnsd.api.drains import answered_addresses, drain_shape
from dnsd.dashboard.forms import FormErrors
from dnsd.dashboard.later import is_later, pending_rows, schedule, scheduled
from dnsd.dashboard.listing import listing
from dnsd.dashboard.map_form import MapForm, found_zones
from dnsd.dashboard.page import HtmlPage, Redirect
from dnsd.dashboard.planned import plan_view
from dnsd.dashboard.spaces import spaces_of, uses_of
from dnsd.dashboard.views import (
    MAX_MEMBERS,
    answered_for,
    map_row,
    map_title,
    members_of,
    origin_of,
    warnings_of,
)
from dnsd.dashboard.visit import Visit
from dnsd.manage import maps
from dnsd.manage.draft import Draft
from dnsd.manage.drains import DrainState
from dnsd.manage.find import find_map
from dnsd.manage.map_request import edit_request
from dnsd.manage.maps import MapChange, map_tag
from dnsd.manage.refusal import Reason, RefusedError, refused
from dnsd.manage.versions import Version
from dnsd.store.directory import FileKind

MAX_DELETED = 50
DETAILS = ("description", "default_sni")  # the fields that change no answers
CHANGED = "Somebody else has changed this map in the meantime. Your input is kept; the current map is shown below."


def maps_path(account_id: str) -> str:
    """The path of the list of an account's maps."""
    return f"/accounts/{account_id}/maps"


def map_path(visit: Visit) -> str:
    """The path of the page of the map in the request's path."""
    return f"{maps_path(visit.path['account_id'])}/{visit.path['map_id']}"


async def list_maps(visit: Visit) -> HtmlPage:
    """All address maps of an account."""
    return await visit.aside(partial(_list_page, visit, await pending_rows(visit)))


def _list_page(visit: Visit, pending: object) -> HtmlPage:
    loaded, account = visit.loaded, visit.account
    rows = [map_row(loaded, one) for one in loaded.dataset.maps.values() if one.account_id == account.id]
    zones = loaded.dataset.zones
    found = listing(
        visit,
        maps_path(account.id),
        rows,
        texts=lambda row: (
            row.title,
            row.map.id,
            *map(str, row.map.ips),
            *(f"{zones[one.identifier].name_text}." for one in row.map.memberships if one.identifier in zones),
        ),
        orders={
            "description": lambda row: row.title.lower(),
            "scope": lambda row: row.scope,
            "members": lambda row: row.members_total,
            "v4": lambda row: row.v4,
            "v6": lambda row: row.v6,
            "status": lambda row: row.status,
            "modified": lambda row: row.modified,
        },
        order="description",
    )
    data = {"account": account, "listing": found, "is_barred": loaded.dataset.is_barred(account)}
    return HtmlPage("maps.html", {**data, "has_zones": _has_zones(visit), "pending": pending})


def _has_zones(visit: Visit) -> bool:
    return any(zone.account_id == visit.account.id for zone in visit.dataset.zones.values())


async def list_deleted(visit: Visit) -> HtmlPage:
    """The deleted maps of an account, which can be restored."""
    current = visit.dataset.maps
    deleted: list[tuple[str, Version]] = []
    for object_id in await visit.aside(partial(visit.service.history.objects, visit.account.id)):
        if len(deleted) == MAX_DELETED:
            break
        versions = [] if object_id in current else await visit.versions(object_id, visit.account.id)
        if versions and versions[0].kind == FileKind.MAP.name:
            deleted.append((object_id, versions[0]))
    return HtmlPage("maps_deleted.html", {"account": visit.account, "deleted": deleted})


async def show_map(visit: Visit) -> HtmlPage:
    """The page of a map."""
    found = visit.map
    return await _page(visit, MapForm.of_map(found), map_tag(found), FormErrors())


async def save_details(visit: Visit) -> HtmlPage | Redirect:
    """Save the name and SNI of a map, which change no answers."""
    form, tag = MapForm.of(visit.form), visit.form.get("tag")
    try:
        given = {name: value for name, value in form.request(visit.account).items() if name in DETAILS}
        change = map_change(form.body(visit), given)
        verb = partial(_checked, account_id=visit.account.id, map_id=visit.map.id, tag=tag, change=change)
        await visit.change("map.edit", verb)
    except RefusedError as error:
        if error.faults[0].reason is Reason.CHANGED_MEANWHILE:
            tag = map_tag(visit.map)
        return await _page(visit, form, tag, form.errors(error))
    return Redirect(map_path(visit), "The map is saved.")


def _drains(visit: Visit) -> dict[str, Any]:
    """The drains of a map, and whether one of them still runs."""
    answered = answered_addresses(visit.loaded.snapshot)
    now = time.time()
    found = visit.service.drains.of_map(visit.map.id, visit.account.id, now)
    shapes = [drain_shape(one, now, answered) for one in found]
    return {"drains": shapes, "drains_run": any(one["state"] != DrainState.FORGOTTEN for one in shapes)}


async def _page(visit: Visit, form: MapForm, tag: str, errors: FormErrors) -> HtmlPage:
    found = visit.map
    beside = {
        "versions": await visit.versions(found.id, visit.account.id),
        "pending": await pending_rows(visit, found.id),
        "form": form,
        "tag": tag,
        "errors": errors,
    }
    return await visit.aside(partial(_map_page, visit, beside, errors.status))


def _map_page(visit: Visit, beside: dict[str, Any], status: int) -> HtmlPage:
    loaded, account, found = visit.loaded, visit.account, visit.map
    return HtmlPage(
        "map.html",
        {
            "account": account,
            **_drains(visit),
            "map": found,
            "row": map_row(loaded, found),
            "origins": [(ip, origin_of(loaded.dataset, account.id, ip)) for ip in found.ips],
            "members": members_of(loaded, found),
            "is_account_wide": any(one.kind == "account" for one in found.memberships),
            "answered": answered_for(loaded, found),
            "warnings": warnings_of(loaded, found.key),
            "path": map_path(visit),
            **beside,
        },
        status,
    )


# Editing


@dataclass(frozen=True, slots=True)
class _Edited:
    """A submitted form and its outcome."""

    form: MapForm
    tag: str
    errors: FormErrors
    plan: Any = None
    has_conflict: bool = False


async def show_edit(visit: Visit) -> HtmlPage:
    """The form, filled with the current map."""
    found = visit.map
    return await _edit_page(visit, _Edited(MapForm.of_map(found), map_tag(found), FormErrors()))


async def save_edit(visit: Visit) -> HtmlPage | Redirect:
    """Preview or save a change; if it is refused, show the form again."""
    form, tag, found = MapForm.of(visit.form), visit.form.get("tag"), visit.map
    if (do := visit.form.get("do")) == "find":
        return await _edit_page(visit, _Edited(form, tag, FormErrors()))
    if do.startswith("add:"):
        return await _edit_page(visit, _Edited(form.with_ip(do.removeprefix("add:")), tag, FormErrors()))
    try:
        body = form.body(visit)
        given = form.request(visit.account)
        if not found.can_modify_ips:
            given = {name: value for name, value in given.items() if name in DETAILS}
        else:
            del given["enabled"]  # has its own page
        change = map_change(body, given)
        verb = partial(_checked, account_id=visit.account.id, map_id=found.id, tag=tag, change=change)
        if do == "preview":
            plan = await visit.plan(verb)
            ips = body.ips if found.can_modify_ips else None
            missing = visit.loaded.settings.missing_family
            view = plan_view(visit.dataset, plan, ips, missing, is_enabled=found.enabled)
            return await _edit_page(visit, _Edited(form, tag, FormErrors(), plan=view))
        if is_later(visit):
            request = edit_request(visit.account.id, found.id, change)
            return Redirect(map_path(visit), scheduled(await schedule(visit, request, tag=tag, changed=CHANGED)))
        await visit.change("map.edit", verb)
    except RefusedError as error:
        has_conflict = error.faults[0].reason is Reason.CHANGED_MEANWHILE
        tag = map_tag(visit.map) if has_conflict else tag
        return await _edit_page(visit, _Edited(form, tag, form.errors(error), has_conflict=has_conflict))
    saved = "The map is saved. DNS answers with it." if found.enabled else "The map is saved. It is still disabled."
    return Redirect(map_path(visit), saved)


def _checked(draft: Draft, *, account_id: str, map_id: str, tag: str, change: MapChange) -> None:
    """Change a map, unless it has changed since the form was made."""
    if map_tag(find_map(draft.dataset, account_id, map_id)) != tag:
        raise refused(Reason.CHANGED_MEANWHILE, CHANGED)
    maps.edit_map(draft, account_id, map_id, change)


async def _edit_page(visit: Visit, edited: _Edited) -> HtmlPage:
    return await visit.aside(partial(_edit_page_of, visit, edited))


def _edit_page_of(visit: Visit, edited: _Edited) -> HtmlPage:
    dataset, account, found = visit.dataset, visit.account, visit.map
    chosen = edited.form.chosen(dataset, account)
    zones, total = found_zones(dataset, account, visit.form.text("find"), chosen)
    now = MapForm.of_map(found) if edited.has_conflict else None
    return HtmlPage(
        "map_edit.html",
        {
            "account": account,
            "map": found,
            "title": map_title(found),
            "form": edited.form,
            "tag": edited.tag,
            "errors": edited.errors,
            "plan": edited.plan,
            "now": now,
            "now_zones": [zone.name_text for zone in now.chosen(dataset, account)[:MAX_MEMBERS]] if now else [],
            "chosen": chosen,
            "find": visit.form.text("find"),
            "found": zones,
            "found_total": total,
            "spaces": spaces_of(dataset, account, edited.form.typed()),
            "static_ips": account.static_ips,
            "uses": uses_of(dataset, account.id),
            "path": map_path(visit),
        },
        edited.errors.status,
    )
