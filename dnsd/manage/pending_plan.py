"""The plan of a pending change: its effect on the data as earlier pending changes will have left it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from dnsd.app import Loaded
from dnsd.manage.draft import Draft
from dnsd.manage.history import History
from dnsd.manage.map_request import MapRequest
from dnsd.manage.pending import FIELD, PendingChange, tag_in, zones_of
from dnsd.manage.plan import Plan, plan_of
from dnsd.manage.refusal import Reason, RefusedError, refused


@dataclass(frozen=True, slots=True)
class PendingPlan:
    """A plan, the pending changes on which it stands, and the tag of the map now."""

    plan: Plan
    follows: tuple[str, ...]
    tag: str


@dataclass(frozen=True, slots=True)
class Earlier:
    """A pending change that comes before the one to plan, and whether an operator scheduled it."""

    change: PendingChange
    by_operator: bool


def plan_pending(
    loaded: Loaded,
    request: MapRequest,
    earlier: Sequence[Earlier],
    history: History,
    now: datetime,
    *,
    by_operator: bool,
) -> PendingPlan:
    """Plan a request on top of the `earlier` changes, in their order; those refused now are left out.

    Raises RefusedError, and FileChangedError as `Draft.load`.
    """
    tag, before, made = tag_in(loaded.dataset, request), loaded, []
    for one in earlier:
        try:
            before = _after(before, one.change.request, history, now, by_operator=one.by_operator)
        except RefusedError:
            continue
        made.append(one.change)
        if one.change.request.action == "map.delete" and one.change.request.map_id == request.map_id:
            at = f"{one.change.at:%Y-%m-%dT%H:%M:%SZ}"
            raise refused(
                Reason.FORBIDDEN, f"the map is to be deleted before, at {at}: cancel {one.change.id} first", FIELD
            )
    after = _after(before, request, history, now, by_operator=by_operator)
    plan = plan_of(before, after, request.account_id)
    zones = zones_of(plan)
    follows = tuple(one.id for one in made if one.request.map_id == request.map_id or not zones.isdisjoint(one.zones))
    return PendingPlan(plan, follows, tag)


def _after(loaded: Loaded, request: MapRequest, history: History, now: datetime, *, by_operator: bool) -> Loaded:
    draft = Draft(loaded, now, by_operator=by_operator)
    request.carry_out(draft, history)
    return draft.load()
