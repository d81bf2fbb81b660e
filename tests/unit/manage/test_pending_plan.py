"""Plans on top of other pending changes: the same as step by step, in a fixed number of loads."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest

from dnsd.app import Loaded, load
from dnsd.manage import draft as drafts
from dnsd.manage import pending_plan
from dnsd.manage.draft import Draft
from dnsd.manage.history import History
from dnsd.manage.map_request import MapRequest
from dnsd.manage.pending import PendingChange
from dnsd.manage.pending_plan import Earlier, PendingPlan, plan_pending
from dnsd.manage.plan import plan_of
from dnsd.manage.refusal import RefusedError
from dnsd.model.fields import derived_id
from dnsd.model.record_parts import finished
from tests.limits import examples
from tests.unit.control.scheduling import ACME, SALE, SHOP, Scheduling

NOW = datetime.now(UTC)
NO_HISTORY = cast(History, None)
NEW = "54" * 16
MAPS = (SHOP, SALE, NEW)
BREAD = derived_id("zone", "bread.example")


@pytest.fixture(name="loaded")
def _loaded(tmp_path: Path) -> Loaded:
    return load(Scheduling(tmp_path).config, {})


def earlier(number: int, request: MapRequest, *, by_operator: bool = False) -> Earlier:
    at = NOW + timedelta(hours=1, seconds=number)
    change = PendingChange(
        id=f"{number:032x}",
        request=request,
        at=at,
        created_at=NOW,
        token_id="0" * 32,
        token_name="",
        tag="",
        zones=frozenset(),
        plan={},
    )
    return Earlier(change, by_operator)


def any_request(rng: random.Random) -> MapRequest:
    ip, zone = f"203.0.113.{rng.randrange(8)}", rng.choice([BREAD, derived_id("zone", "cake.example"), "0" * 32])
    kinds: list[tuple[str, dict[str, Any]]] = [
        ("map.add_ip", {"ip": ip if rng.random() < 0.9 else "198.51.100.77"}),
        ("map.remove_ip", {"ip": ip}),
        ("map.enable", {"enabled": True}),
        ("map.disable", {"enabled": False}),
        ("map.add_zone", {"identifier": zone}),
        ("map.remove_zone", {"identifier": zone}),
        ("map.add_account", {"identifier": ACME}),
        ("map.remove_account", {"identifier": ACME}),
        ("map.create", {"ips": [ip], "enabled": rng.random() < 0.5}),
        ("map.create", {"ips": [ip], "immutable": True}),
        ("map.delete", {}),
        ("map.edit", {"ips": [ip, "203.0.113.9"], "default_sni": "www.acme.example"}),
    ]
    action, arguments = rng.choice(kinds)
    return MapRequest(action, ACME, NEW if action == "map.create" else rng.choice(MAPS), arguments)


def step_by_step(loaded: Loaded, request: MapRequest, before: list[Earlier], *, by_operator: bool) -> Any:
    """The plan's zones and the changes that it takes as made, one load for each."""
    made = []
    for one in before:
        draft = Draft(loaded, NOW, by_operator=one.by_operator)
        try:
            one.change.request.carry_out(draft, NO_HISTORY)
            loaded = draft.load()
        except RefusedError:
            continue
        made.append(one.change)
    if any((one.request.action, one.request.map_id) == ("map.delete", request.map_id) for one in made):
        return "refused"
    draft = Draft(loaded, NOW, by_operator=by_operator)
    try:
        request.carry_out(draft, NO_HISTORY)
        plan = finished(plan_of(loaded, draft.load(), request.account_id))
    except RefusedError:
        return "refused"
    return plan.zones, tuple(one.id for one in made if one.request.map_id == request.map_id)


def at_once(loaded: Loaded, request: MapRequest, before: list[Earlier], *, by_operator: bool) -> Any:
    try:
        found = plan_pending(loaded, request, before, NO_HISTORY, NOW, by_operator=by_operator)
    except RefusedError:
        return "refused"
    return found.plan.zones, found.follows


@pytest.mark.parametrize("seed", range(examples(25, 2_000)))
def test_a_plan_is_that_of_all_changes_made_one_after_another(loaded: Loaded, seed: int) -> None:
    rng = random.Random(seed)
    operator = rng.random() < 0.5
    before = [earlier(number, any_request(rng), by_operator=operator) for number in range(rng.randrange(1, 12))]
    request = any_request(rng)
    expected = step_by_step(loaded, request, before, by_operator=operator)
    assert at_once(loaded, request, before, by_operator=operator) == expected


@pytest.mark.parametrize("count", [1, 98])
def test_a_plan_needs_two_loads_after_any_number_of_changes(
    loaded: Loaded, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    loads = []

    def counted(*given: Any, **named: Any) -> Loaded:
        loads.append(given)
        return load_change(*given, **named)

    load_change = drafts.load_change
    for module in (drafts, pending_plan):
        monkeypatch.setattr(module, "load_change", counted)
    before = [earlier(n, MapRequest("map.add_ip", ACME, SHOP, {"ip": f"203.0.113.{n + 20}"})) for n in range(count)]
    request = MapRequest("map.remove_ip", ACME, SHOP, {"ip": "203.0.113.1"})
    found: PendingPlan = plan_pending(loaded, request, before, NO_HISTORY, NOW, by_operator=False)
    assert len(found.follows) == count
    assert len(found.plan.zones[0].old.v4) == count + 2
    assert len(loads) == 2
