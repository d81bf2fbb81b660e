"""Changes of many records at once: proxy, TTL or deletion, reviewed first, and made as one change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from dnsd.api.records.read import record_builder
from dnsd.api.records.show import find_all_shown
from dnsd.api.shapes import JsonObject
from dnsd.dashboard.forms import FormErrors
from dnsd.dashboard.page import HtmlPage, Redirect, plural, ttl_words
from dnsd.dashboard.planned import plan_view
from dnsd.dashboard.records import back_of, change, found_records, list_page, list_query, records_path
from dnsd.dashboard.visit import Visit
from dnsd.manage.draft import Draft
from dnsd.manage.exposed import Exposures, exposures
from dnsd.manage.find import find_zone
from dnsd.manage.records import Batch, change_records
from dnsd.manage.refusal import Reason, RefusedError, refused
from dnsd.model.records import AUTOMATIC_TTL
from dnsd.model.zones import Zone

MAX_SELECTED = 5000  # records of one change: all of them are fields of the review's form
SHOWN_SELECTED = 100  # rows of a review
PROXY, DNS_ONLY, SET_TTL, DELETE = "proxy", "dns_only", "ttl", "delete"
TITLES = {
    PROXY: "Proxy {records}?",
    DNS_ONLY: "Set {records} to DNS only?",
    SET_TTL: "Set the TTL of {records} to {ttl}?",
    DELETE: "Delete {records}?",
}
BUTTONS = {PROXY: "Proxy", DNS_ONLY: "Set to DNS only", SET_TTL: "Set the TTL", DELETE: "Delete"}
DONE = {PROXY: "proxied", DNS_ONLY: "DNS only", SET_TTL: "changed", DELETE: "deleted"}
PROXY_WORDS = {True: "Proxied", False: "DNS only"}


@dataclass(frozen=True, slots=True)
class SelectedRecord:
    """A selected record, and its change; `left` is the reason for leaving it as it is."""

    record: JsonObject
    old: str
    new: str
    left: str = ""


async def change_selected(visit: Visit) -> HtmlPage | Redirect:
    """Show the effect of a change on the selected records; once confirmed, make it."""
    do, ttl_s = visit.form.get("do"), visit.form.number("ttl", AUTOMATIC_TTL)
    try:
        if do not in TITLES:
            raise refused(Reason.INVALID, "the form cannot be read")
        rows = [selected_record(record, do, ttl_s) for record in await _selected(visit)]
        ids = [row.record["id"] for row in rows if not row.left]
        if "confirmed" not in visit.form:
            return await _review(visit, do, ttl_s, rows)
        if ids:
            await change(visit, "record.batch", lambda zone: _batch(zone, do, ttl_s, ids))
    except RefusedError as error:
        return await list_page(visit, FormErrors(error))
    done = f"{plural(len(ids), 'record')} {'is' if len(ids) == 1 else 'are'} {DONE[do]}."
    return Redirect(back_of(visit) or records_path(visit), done)


async def _selected(visit: Visit) -> list[JsonObject]:
    """The selected records, or all that the list finds. Raises RefusedError."""
    zone = visit.zone
    if "all" in visit.form:
        found = await found_records(visit, list_query(visit), 1, MAX_SELECTED)
        if found.total > MAX_SELECTED:
            message = f"{found.total:,} records; the limit of one change is {MAX_SELECTED:,}: narrow the search"
            raise refused(Reason.INVALID, message)
        return await visit.in_turns(found.shapes())
    wanted = visit.form.all("record")[:MAX_SELECTED]
    selected = await visit.in_turns(find_all_shown(visit.loaded, zone, wanted))
    if not selected:
        raise refused(Reason.INVALID, "no records are selected: tick the boxes in front of their names")
    return selected


def selected_record(record: JsonObject, do: str, ttl_s: int) -> SelectedRecord:
    """The change of one record."""
    if do == DELETE:
        return SelectedRecord(record, "", "deleted")
    if do == SET_TTL:
        old, new = ttl_words(record["ttl"]), ttl_words(ttl_s)
        left = "its TTL is automatic while it is proxied" if record["proxied"] else ""
    else:
        old, new = PROXY_WORDS[record["proxied"]], PROXY_WORDS[do == PROXY]
        left = "" if record["proxiable"] else f"{record['type']} records cannot be proxied"
    return SelectedRecord(record, old, new, left or ("no change" if old == new else ""))


def _batch(zone: Zone, do: str, ttl_s: int, ids: list[str]) -> Batch:
    if do == DELETE:
        return Batch(deletes=ids)
    values: Mapping[str, Any] = {"ttl": ttl_s} if do == SET_TTL else {"proxied": do == PROXY}
    return Batch(patches=[(one, record_builder(zone, values, is_whole=False)) for one in ids])


async def _review(visit: Visit, do: str, ttl_s: int, rows: list[SelectedRecord]) -> HtmlPage:
    zone, changed = visit.zone, [row for row in rows if not row.left]
    ids = [row.record["id"] for row in changed]

    def verb(draft: Draft) -> None:
        change_records(draft, zone.id, _batch(find_zone(draft.dataset, zone.id), do, ttl_s, ids))

    plan, public = None, Exposures((), 0)
    if ids:
        before, after = await visit.service.plan(visit.actor, verb)
        plan = await visit.plan_between(before, after)
        public = await visit.planned(partial(exposures, before, after, visit.token))
    return HtmlPage(
        "records_review.html",
        {
            "zone": zone,
            "account": visit.dataset.accounts[zone.account_id],
            "do": do,
            "ttl": ttl_s,
            "title": TITLES[do].format(records=plural(len(changed), "record"), ttl=ttl_words(ttl_s)),
            "button": BUTTONS[do],
            "changed": changed,
            "shown": changed[:SHOWN_SELECTED],
            "left": [row for row in rows if row.left][:SHOWN_SELECTED],
            "public": public,
            "plan": plan_view(visit.dataset, plan, None, visit.loaded.settings.missing_family) if plan else None,
            "back": back_of(visit) or records_path(visit),
            "path": records_path(visit),
        },
    )
