"""Changes that make origins public: asked about first, and taken back by *Undo*."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

from dnsd.app import Loaded
from dnsd.dashboard.page import HtmlPage, Redirect
from dnsd.dashboard.visit import Visit
from dnsd.manage.draft import Draft
from dnsd.manage.exposed import Exposures, can_expose, unless_exposed
from dnsd.manage.refusal import Reason, refused
from dnsd.manage.restore import restore
from dnsd.manage.service import Actor, Service

T = TypeVar("T")
CONFIRMED = "into_open"  # in a form that has shown addresses: their tag
SHOWN = 20  # names on the page
WHOLE_PAGE = {"HX-Retarget": "#main", "HX-Reselect": "#main", "HX-Reswap": "outerHTML"}  # for htmx's partial updates
DONE = "The change is made. The addresses are public now."


class AskFirst:
    """The service, for a form; `seen` is the tag of the addresses that its page has shown."""

    def __init__(self, service: Service, seen: str) -> None:
        self._service = service
        self._seen = seen

    def __getattr__(self, name: str) -> Any:
        return getattr(self._service, name)

    async def change(self, actor: Actor, action: str, verb: Callable[[Draft], T]) -> tuple[T, Loaded]:
        """Carry out a verb, as `Service.change`. Raises IntoOpenError if it would take others into the open."""
        careful = unless_exposed(verb, actor.token, seen=self._seen) if can_expose(action) else verb
        return await self._service.change(actor, action, careful)

    def as_service(self) -> Service:
        """The same, as a service."""
        return cast(Service, self)


def ask_page(visit: Visit, found: Exposures) -> HtmlPage:
    """The names and addresses that would become public, with the form to send again."""
    zone_id = visit.path.get("zone_id", "")
    zone = visit.dataset.zones.get(zone_id)
    account_id = zone.account_id if zone else visit.path.get("account_id", "")
    return HtmlPage(
        "into_open.html",
        {
            "names": found.names[:SHOWN],
            "total": found.total,
            "pairs": [pair for pair in visit.form.pairs() if pair[0] not in ("form_secret", CONFIRMED)],
            "tag": found.tag,
            "action": visit.url,
            "confirmed": CONFIRMED,
            "back": f"/zones/{zone_id}" if zone else "/",
            "zone": zone,
            "account": visit.dataset.accounts.get(account_id),
        },
    )


async def undo_path(visit: Visit) -> str:
    """The path that takes back the last change of the zone in the path; empty if it cannot be taken back."""
    zone = visit.dataset.zones.get(visit.path.get("zone_id", ""))
    if zone is None or not all(visit.may(area, "edit", zone.account_id, zone.id) for area in ("dns", "zones")):
        return ""
    versions = await visit.versions(zone.id, zone.account_id)
    return f"/zones/{zone.id}/undo/{versions[1].version}/{versions[0].version}" if len(versions) > 1 else ""


async def undo(visit: Visit) -> Redirect:
    """Restore the version before a change, unless the zone was changed again. Raises RefusedError."""
    zone, history = visit.zone, visit.service.history
    before, after = (visit.path[name].upper() for name in ("before", "after"))

    def verb(draft: Draft) -> None:
        newest = next(iter(history.versions(zone.id)), None)
        if newest is None or newest.version != after:
            raise refused(Reason.CHANGED_MEANWHILE, "the zone was changed again: its history has the earlier versions")
        restore(draft, history, zone.account_id, zone.id, before, is_map=False)

    await visit.change("zone.restore", verb)
    return Redirect(f"/zones/{zone.id}/records", "The change is undone: the zone is as it was before.")


async def with_undo(visit: Visit, redirect: Redirect) -> Redirect:
    """A redirect after a confirmed change, whose notice offers to undo it."""
    return Redirect(redirect.to, redirect.notice or DONE, await undo_path(visit))
