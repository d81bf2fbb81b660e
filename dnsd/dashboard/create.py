"""The steps of creating an address map: scope, zones and addresses, name, review. Forms carry the earlier input."""

from __future__ import annotations

import secrets
from functools import partial
from typing import Any

from dnsd.api.bodies import new_map
from dnsd.dashboard.forms import FormErrors
from dnsd.dashboard.later import LATER, schedule, scheduled
from dnsd.dashboard.map_form import MapForm, found_zones
from dnsd.dashboard.maps import maps_path
from dnsd.dashboard.page import HtmlPage, Redirect
from dnsd.dashboard.planned import plan_view
from dnsd.dashboard.spaces import spaces_of, uses_of
from dnsd.dashboard.visit import Visit
from dnsd.manage import maps
from dnsd.manage.map_request import create_request
from dnsd.manage.refusal import Reason, RefusedError, refused
from dnsd.model.fields import derived_id

STEPS = ("scope", "members", "name", "review")
TITLES = {"scope": "Scope", "members": "Zones and addresses", "name": "Name", "review": "Review"}
STEP_OF = {"ips": "members", "memberships": "members", "description": "name", "default_sni": "name"}


async def show_create(visit: Visit) -> HtmlPage:
    """The first step."""
    return await _page(visit, "scope", MapForm(), FormErrors())


async def step(visit: Visit) -> HtmlPage | Redirect:
    """Go to the step that a button names, or deploy the map."""
    form, do, at = MapForm.of(visit.form), visit.form.get("do"), visit.form.get("step")
    if do == "find":
        return await _page(visit, "members", form, FormErrors())
    if do.startswith("add:"):
        return await _page(visit, "members", form.with_ip(do.removeprefix("add:")), FormErrors())
    if do not in (*STEPS, "deploy", LATER) or not visit.form.get("number"):
        raise refused(Reason.INVALID, "the form cannot be read")
    if at in STEPS and do in STEPS and STEPS.index(do) <= STEPS.index(at):
        return await _page(visit, do, form, FormErrors())
    try:
        body = form.body(visit)
        make = partial(maps.create_map, account_id=visit.account.id, new=new_map(body), map_id=_new_id(visit))
        if do == "deploy":
            if created := visit.dataset.maps.get(_new_id(visit)):  # the form was sent twice
                return Redirect(f"{maps_path(visit.account.id)}/{created.id}")
            map_id, _ = await visit.change("map.create", make)
            notice = "The map is deployed. DNS answers with it." if body.enabled else "The map is saved, and disabled."
            return Redirect(f"{maps_path(visit.account.id)}/{map_id}", notice)
        if do == LATER:
            change = await schedule(visit, create_request(visit.account.id, _new_id(visit), new_map(body)))
            return Redirect(maps_path(visit.account.id), scheduled(change))
        # Errors in the input so far are shown at the step where they can be fixed.
        plan = await visit.plan(make) if do in ("name", "review") else None
    except RefusedError as error:
        errors = form.errors(error)
        place = next((STEP_OF[name] for name in STEP_OF if errors.of(name)), "review")
        is_ahead = do in STEPS and STEPS.index(place) > STEPS.index(at if at in STEPS else "scope")
        return await (_page(visit, do, form, FormErrors()) if is_ahead else _page(visit, place, form, errors))
    view = None
    if do == "review":
        view = plan_view(visit.dataset, plan, body.ips, visit.loaded.settings.missing_family) if plan else None
    return await _page(visit, do, form, FormErrors(), plan=view)


def _new_id(visit: Visit) -> str:
    """The id of the new map: one form creates one map, however often it is sent.

    It is derived from the account and the form's number, so that a form cannot choose the id of another
    account's map, existing or deleted.
    """
    return derived_id("map", visit.account.id, visit.form.get("number"))


async def _page(visit: Visit, at: str, form: MapForm, errors: FormErrors, *, plan: Any = None) -> HtmlPage:
    return await visit.aside(partial(_step_page, visit, at, form, errors, plan))


def _step_page(visit: Visit, at: str, form: MapForm, errors: FormErrors, plan: Any) -> HtmlPage:
    dataset, account = visit.dataset, visit.account
    chosen = form.chosen(dataset, account)
    zones, total = found_zones(dataset, account, visit.form.text("find"), chosen)
    return HtmlPage(
        "map_create.html",
        {
            "account": account,
            "at": at,
            "steps": STEPS,
            "titles": TITLES,
            "form": form,
            "errors": errors,
            "chosen": chosen,
            "find": visit.form.text("find"),
            "found": zones,
            "found_total": total,
            "spaces": spaces_of(dataset, account, form.typed()) if at == "members" else [],
            "static_ips": account.static_ips,
            "uses": uses_of(dataset, account.id) if at == "members" else {},
            "plan": plan,
            "number": visit.form.get("number") or secrets.token_hex(16),
            "path": f"{maps_path(account.id)}/create",
        },
        errors.status,
    )
