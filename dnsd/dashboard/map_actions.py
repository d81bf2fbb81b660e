"""Enable, disable, delete and restore address maps: a page with the effect, then the action."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from dnsd.dashboard.forms import FormErrors
from dnsd.dashboard.later import is_later, schedule, scheduled
from dnsd.dashboard.maps import map_path, maps_path
from dnsd.dashboard.page import HtmlPage, Redirect
from dnsd.dashboard.planned import PlanView, plan_view
from dnsd.dashboard.views import map_title
from dnsd.dashboard.visit import Visit
from dnsd.manage.draft import Draft
from dnsd.manage.map_request import MapRequest
from dnsd.manage.pending import FIELD, Due
from dnsd.manage.refusal import Reason, RefusedError, refused
from dnsd.manage.restore import restore
from dnsd.store.directory import FileKind


@dataclass(frozen=True, slots=True)
class Action:
    """A change that needs confirmation."""

    name: str
    title: str
    button: str
    done: str
    change: Mapping[str, Any]  # fields of the map; empty: its deletion
    is_dangerous: bool = False

    def request(self, visit: Visit) -> MapRequest:
        """The request for the map in the path."""
        return MapRequest(f"map.{self.name}", visit.account.id, visit.map.id, self.change)

    def verb(self, visit: Visit) -> Callable[[Draft], None]:
        """The verb on the map in the path."""
        return partial(self.request(visit).carry_out, history=visit.service.history)


ENABLE = Action("enable", "Enable", "Enable and deploy", "enabled", {"enabled": True})
DISABLE = Action("disable", "Disable", "Disable", "disabled", {"enabled": False}, is_dangerous=True)
DELETE = Action("delete", "Delete", "Delete", "deleted", {}, is_dangerous=True)


async def ask(action: Action, visit: Visit) -> HtmlPage:
    """Show the effect of an action and ask to confirm."""
    try:
        view = await _effect(visit, action)
    except RefusedError as error:
        return _ask_page(visit, action, None, FormErrors(error))
    return _ask_page(visit, action, view, FormErrors())


async def _effect(visit: Visit, action: Action) -> PlanView:
    plan = await visit.plan(action.verb(visit))
    return plan_view(visit.dataset, plan, None, visit.loaded.settings.missing_family)


async def act(action: Action, visit: Visit) -> HtmlPage | Redirect:
    """Carry out a confirmed action."""
    account, found = visit.account, visit.map
    try:
        if is_later(visit):
            return Redirect(map_path(visit), scheduled(await schedule(visit, action.request(visit))))
        await visit.change(f"map.{action.name}", action.verb(visit))
    except RefusedError as error:
        errors = FormErrors(error, (FIELD,))
        return _ask_page(visit, action, await _effect(visit, action) if errors.of(FIELD) else None, errors)
    to = maps_path(account.id) if action is DELETE else map_path(visit)
    more = "Restore it from the deleted address maps, linked below." if action is DELETE else "DNS answers accordingly."
    return Redirect(to, f"{map_title(found)} is {action.done}. {more}")


def _ask_page(visit: Visit, action: Action, plan: Any, errors: FormErrors) -> HtmlPage:
    found = visit.map
    data = {"account": visit.account, "map": found, "title": map_title(found), "path": map_path(visit)}
    return HtmlPage("map_action.html", {**data, "action": action, "plan": plan, "errors": errors}, errors.status)


async def show_version(visit: Visit) -> HtmlPage:
    """A version of a map, and the effect of restoring it."""
    return await _version_page(visit, FormErrors())


async def restore_version(visit: Visit) -> HtmlPage | Redirect:
    """Restore a version of a map."""
    request = MapRequest(
        "map.restore", visit.account.id, visit.path["map_id"], {"version": visit.path["version"].upper()}
    )
    try:
        if is_later(visit):
            change = await schedule(visit, request)
            return Redirect(visit.place_of(Due.of(change)), scheduled(change))
        await visit.change("map.restore", partial(_restore_in_path, visit=visit))
    except RefusedError as error:
        return await _version_page(visit, FormErrors(error, (FIELD,)))
    return Redirect(map_path(visit), "The version is restored. DNS answers with it.")


def _restore_in_path(draft: Draft, *, visit: Visit) -> None:
    path, history = visit.path, visit.service.history
    restore(draft, history, path["account_id"], path["map_id"], path["version"].upper(), is_map=True)


async def _version_page(visit: Visit, errors: FormErrors) -> HtmlPage:
    version = visit.path["version"].upper()
    found = await visit.aside(partial(visit.service.history.text, visit.path["map_id"], version))
    if found is None or found[0].account_id != visit.account.id or found[0].kind != FileKind.MAP.name:
        raise refused(Reason.NOT_FOUND, "there is no such version of the map")
    plan, status = None, errors.status
    if not errors or errors.of(FIELD):
        try:
            plan = plan_view(
                visit.dataset,
                await visit.plan(partial(_restore_in_path, visit=visit)),
                None,
                visit.loaded.settings.missing_family,
            )
        except RefusedError as error:
            errors = FormErrors(error)
    current = visit.dataset.maps.get(visit.path["map_id"])
    current = current if current and current.account_id == visit.account.id else None
    return HtmlPage(
        "map_version.html",
        {
            "account": visit.account,
            "title": map_title(current) if current else "a deleted map",
            "version": found[0],
            "text": found[1],
            "plan": plan,
            "errors": errors,
            "path": map_path(visit),
            "exists": current is not None,
        },
        status,
    )
