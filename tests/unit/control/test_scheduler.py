"""Pending changes: made once when due, by the wall clock, or stopped with an alarm."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from dnsd.control.status import problems_for_operator
from dnsd.manage.map_request import MapRequest
from dnsd.manage.pending_files import PendingFiles
from dnsd.manage.refusal import RefusedError
from dnsd.manage.service import Actor
from dnsd.store.journal import undo_unfinished
from tests.limits import IS_LONG
from tests.unit.control.scheduling import ACME, FILES, GLOBEX, OTHER, SALE, SHOP, WWW, Life, Scheduling
from tests.unit.store.test_write import killed_in

SHOP_FILE, SALE_FILE = "acme/maps/shop.yaml", "acme/maps/sale.yaml"


def test_a_change_is_made_at_its_time_and_not_before(world: Scheduling) -> None:
    world.schedule("map.add_ip", ip="203.0.113.7")
    world.look(minutes=59)
    assert "203.0.113.7" not in world.read(SHOP_FILE)
    assert [one.stopped for one in world.pending()] == [""]
    world.look(minutes=60)
    assert "203.0.113.7" in world.read(SHOP_FILE)
    assert world.pending() == []


def test_a_change_is_made_once(world: Scheduling) -> None:
    world.schedule("map.add_ip", ip="203.0.113.7")
    world.look(hours=1)
    world.write(SHOP_FILE, FILES[SHOP_FILE])
    world.look(hours=1, seconds=1)
    assert "203.0.113.7" not in world.read(SHOP_FILE)


VERBS: dict[str, tuple[str, str, dict[str, Any], Callable[[Scheduling], bool]]] = {
    "create": (
        "map.create",
        "61" * 16,
        {"description": "Extra", "ips": ["203.0.113.9"]},
        lambda w: "61" * 16 in w.read("acme/maps/extra.yaml"),
    ),
    "edit": (
        "map.edit",
        SHOP,
        {"description": "Cakes", "ips": ["203.0.113.5"]},
        lambda w: "Cakes" in w.read(SHOP_FILE),
    ),
    "edit of members": (
        "map.edit",
        SHOP,
        {"memberships": [{"kind": "account", "identifier": ACME}]},
        lambda w: "account" in w.read(SHOP_FILE),
    ),
    "enable": ("map.enable", SALE, {"enabled": True}, lambda w: "enabled: true" in w.read(SALE_FILE)),
    "disable": ("map.disable", SHOP, {"enabled": False}, lambda w: "enabled: false" in w.read(SHOP_FILE)),
    "delete": ("map.delete", SALE, {}, lambda w: not (w.folder / "accounts" / SALE_FILE).exists()),
    "add ip": ("map.add_ip", SHOP, {"ip": "203.0.113.9"}, lambda w: "203.0.113.9" in w.read(SHOP_FILE)),
    "remove ip": ("map.remove_ip", SHOP, {"ip": "203.0.113.3"}, lambda w: "203.0.113.3" not in w.read(SHOP_FILE)),
    "add account": ("map.add_account", SHOP, {"identifier": ACME}, lambda w: "kind: account" in w.read(SHOP_FILE)),
    "remove account": (
        "map.remove_account",
        SALE,
        {"identifier": ACME},
        lambda w: "kind: account" not in w.read(SALE_FILE),
    ),
}


@pytest.mark.parametrize("what", VERBS)
def test_every_verb_can_wait(world: Scheduling, what: str) -> None:
    action, map_id, arguments, is_done = VERBS[what]
    world.schedule(action, map_id, **arguments)
    assert not is_done(world)
    world.look(hours=1)
    assert is_done(world), world.lines
    assert world.pending() == []


def test_a_member_zone_and_a_restored_version_can_wait(world: Scheduling) -> None:
    async def zone_id(life: Life) -> str:
        return next(one.id for one in life.service.loaded.dataset.zones.values() if one.name_text == "bread.example")

    world.schedule("map.add_zone", identifier=world.run(zone_id))
    world.look(hours=1)
    assert "bread.example" in world.read(SHOP_FILE)

    async def oldest(life: Life) -> str:
        return life.service.history.versions(SHOP)[-1].version

    world.schedule("map.restore", version=world.run(oldest))
    world.schedule("map.remove_zone", identifier=world.run(zone_id), at=world.later(minutes=30))
    world.look(minutes=30)
    assert "bread.example" not in world.read(SHOP_FILE)


# Kills


@pytest.mark.slow
def test_a_kill_at_any_moment_neither_loses_a_change_nor_makes_it_twice(tmp_path: Path) -> None:
    outcomes = []
    first = Scheduling(tmp_path / "first")
    first.schedule("map.add_ip", ip="203.0.113.7")
    second = first.schedule("map.edit", description="after", at=first.later(hours=2))
    for call in range(0, 1000, 1 if IS_LONG else 7):
        world = first.copy(tmp_path / str(call))
        is_killed = killed_in(call, partial(world.look, hours=1))
        undo_unfinished(world.state / "journal")
        is_made = "203.0.113.7" in world.read(SHOP_FILE)
        assert len(list((world.state / "pending").glob("[!.]*.json"))) == (1 if is_made else 2), call
        outcomes.append(is_made)
        world.look(hours=1)
        assert "203.0.113.7" in world.read(SHOP_FILE), f"lost by a kill in call {call}"
        assert [one.id for one in world.pending()] == [second.id]
        if call % 5 == 0 or not is_killed:
            world.look(hours=2)
            assert "after" in world.read(SHOP_FILE), f"the next change is stopped after a kill in call {call}"
        if not is_killed:
            break
    assert outcomes == sorted(outcomes)
    assert {True, False} == set(outcomes)


# Stopped


def revoke(world: Scheduling) -> None:
    world.tokens.revoke(world.alice.id)


def expire(world: Scheduling) -> None:
    text = (world.state / "tokens.json").read_text()
    assert '"expires_at": null' in text
    at = world.later(minutes=30).isoformat()
    (world.state / "tokens.json").write_text(text.replace('"expires_at": null', f'"expires_at": "{at}"'))


def narrow(world: Scheduling) -> None:
    file = world.state / "tokens.json"
    file.write_text(file.read_text().replace('"permissions": []', '"permissions": ["maps:read"]'))


def edit(world: Scheduling) -> None:
    world.write(SHOP_FILE, world.read(SHOP_FILE) + "description: By hand\n")


def break_account(world: Scheduling) -> None:
    world.look()  # its texts are good so far
    world.run(lambda life: life.control.current.keep_first_good())
    world.write("acme/zones/bread.example.yaml", "records: wrong\n")


def break_rule(world: Scheduling) -> None:
    world.write("acme/account.yaml", "name: Acme\nprefixes: [{cidr: 203.0.113.0/30, approved: V}]\n")


def add_zone(world: Scheduling) -> None:
    world.write("acme/zones/tart.example.yaml", WWW)


STOPPED: dict[str, tuple[Callable[[Scheduling], None], dict[str, float], str]] = {
    "revoked token": (revoke, {"hours": 1}, "the token alice that scheduled it was revoked"),
    "expired token": (expire, {"hours": 1}, "the token alice that scheduled it has expired"),
    "narrower token": (narrow, {"hours": 1}, "may no longer edit the account's address maps"),
    "changed map": (edit, {"hours": 1}, "the map was changed after this was scheduled"),
    "held account": (break_account, {"hours": 1}, "the account is held at its last good version"),
    "broken rule": (break_rule, {"hours": 1}, "203.0.113.7"),
    "too late": (lambda world: None, {"hours": 2, "seconds": 1}, "it is 60 minutes late; the limit is an hour"),
}


@pytest.mark.parametrize("what", STOPPED)
def test_a_change_that_may_not_be_made_is_stopped_with_an_alarm(world: Scheduling, what: str) -> None:
    spoil, ahead, why = STOPPED[what]
    change = world.schedule("map.add_ip", ip="203.0.113.7")
    spoil(world)
    before = world.read(SHOP_FILE)
    world.look(**ahead)
    assert world.read(SHOP_FILE) == before
    (found,) = world.pending()
    assert (found.id, found.stopped_at) == (change.id, world.later(**ahead))
    assert why in found.stopped
    (line,) = (line for line in world.lines if line.startswith("alarm: "))
    assert f"alarm: pending change {change.id} of acme/maps/shop is stopped: " in line
    assert why in line
    entry = next(one for one in reversed(world.audit()) if one["action"] == "map.stop")
    assert (entry["object"], entry["account_id"], entry["outcome"]) == ("acme/maps/shop", ACME, "refused")
    assert why in entry["message"]
    assert entry["after"]["scheduled_by"] == "alice"
    world.look(**ahead)
    assert len([line for line in world.lines if line.startswith("alarm: ")]) == 1


def test_a_change_an_hour_late_is_made(world: Scheduling) -> None:
    world.schedule("map.add_ip", ip="203.0.113.7")
    world.look(hours=2)
    assert "203.0.113.7" in world.read(SHOP_FILE)


def test_a_plan_that_touches_another_zone_is_stopped(world: Scheduling) -> None:
    world.schedule("map.enable", SALE, enabled=True)
    add_zone(world)
    world.look(hours=1)
    assert [one.stopped for one in world.pending()] == ["its plan now touches zones that were not shown: tart.example"]
    assert "enabled: true" not in world.read(SALE_FILE)


def test_a_plan_that_touches_fewer_zones_is_made(world: Scheduling) -> None:
    change = world.schedule("map.enable", SALE, enabled=True)
    assert len(change.zones) == 1
    (world.folder / "accounts/acme/zones/bread.example.yaml").unlink()
    world.look(hours=1)
    assert "enabled: true" in world.read(SALE_FILE)


def test_a_stopped_change_is_a_problem_for_the_operator_and_a_metric(world: Scheduling) -> None:
    change = world.schedule("map.add_ip", ip="203.0.113.7")
    revoke(world)

    async def told(life: Life) -> list[str]:
        await life.schedule.look(world.later(hours=1))
        assert [one.id for one in life.schedule.stopped()] == [change.id]
        return problems_for_operator(life.control)

    assert any(f"the pending change {change.id} is stopped: the token alice" in one for one in world.run(told))


# Several changes of one account


def test_earlier_pending_changes_of_a_map_do_not_stop_later_ones(world: Scheduling) -> None:
    world.schedule("map.add_ip", ip="203.0.113.7")
    world.schedule("map.remove_ip", ip="203.0.113.1", at=world.later(hours=2))
    world.schedule("map.disable", enabled=False, at=world.later(hours=3))
    world.schedule("map.delete", at=world.later(hours=4))
    world.look(hours=1)
    assert "203.0.113.7" in world.read(SHOP_FILE)
    world.look(hours=2)
    assert "203.0.113.1" not in world.read(SHOP_FILE)
    world.look(hours=4)
    assert not (world.folder / "accounts" / SHOP_FILE).exists(), world.lines


def test_a_change_between_two_pending_ones_stops_the_second(world: Scheduling) -> None:
    world.schedule("map.add_ip", ip="203.0.113.7")
    second = world.schedule("map.add_ip", ip="203.0.113.8", at=world.later(hours=2))
    world.look(hours=1)
    edit(world)
    world.look(hours=2)
    assert [(one.id, one.stopped) for one in world.pending()] == [
        (second.id, "the map was changed after this was scheduled")
    ]


def test_an_earlier_change_scheduled_later_does_not_stop_one_that_was_there(world: Scheduling) -> None:
    world.schedule("map.add_ip", ip="203.0.113.8", at=world.later(hours=2))
    world.schedule("map.add_ip", ip="203.0.113.7", at=world.later(hours=1))
    world.look(hours=1)
    world.look(hours=2)
    assert "203.0.113.8" in world.read(SHOP_FILE), world.lines


def test_a_change_is_stopped_if_the_one_before_it_was_not_made(world: Scheduling) -> None:
    """New addresses first, then the old ones out: without the first, the second would empty the map."""
    bob = world.token("bob", accounts=[ACME])
    request = MapRequest("map.add_ip", ACME, SHOP, {"ip": "203.0.113.7"})
    first = world.run(lambda life: life.add(request, world.later(hours=1), bob))
    second = world.schedule("map.remove_ip", ip="203.0.113.1", at=world.later(hours=2))
    assert second.follows == (first.id,)
    world.tokens.revoke("bob")
    world.look(hours=1)
    world.look(hours=2)
    assert "203.0.113.1" in world.read(SHOP_FILE)
    assert [one.stopped for one in world.pending()][1] == f"the change {first.id}, which comes before it, is not made"


def test_a_change_is_stopped_if_the_one_before_it_was_cancelled(world: Scheduling) -> None:
    first = world.schedule("map.add_ip", ip="203.0.113.7")
    second = world.schedule("map.remove_ip", ip="203.0.113.1", at=world.later(hours=2))

    async def cancel(life: Life) -> list[str]:
        life.control.pending.refresh()
        left = await life.schedule.cancel(Actor(world.alice, ""), ACME, first.id)
        return [one.id for one in left]

    assert world.run(cancel) == [second.id]
    world.look(hours=2)
    assert [one.stopped for one in world.pending()] == [f"the change {first.id}, which comes before it, was cancelled"]


def test_a_switch_from_one_map_to_another_is_planned_in_order(world: Scheduling) -> None:
    """The second plan takes the first change as made: no zone falls to the pool, so none is touched."""
    world.write(SALE_FILE, FILES[SALE_FILE].replace("account, identifier: acme", "zone, identifier: cake.example"))
    world.schedule("map.enable", SALE, enabled=True)
    second = world.schedule("map.disable", SHOP, enabled=False, at=world.later(minutes=65))
    world.look(hours=1)
    world.look(minutes=65)
    assert "enabled: false" in world.read(SHOP_FILE), (second, world.lines)


def test_a_change_of_another_account_is_not_held_up(world: Scheduling) -> None:
    carol = world.token("carol", accounts=[GLOBEX])
    request = MapRequest("map.enable", GLOBEX, OTHER, {"enabled": True})
    world.schedule("map.add_ip", ip="203.0.113.7")
    world.run(lambda life: life.add(request, world.later(hours=1), carol))
    revoke(world)
    world.look(hours=1)
    assert "enabled: true" in world.read("globex/maps/other.yaml")


# People


def run_by_hand(world: Scheduling, change_id: str, token: Any) -> Any:
    async def ran(life: Life) -> Any:
        life.control.pending.refresh()
        return await life.schedule.run(Actor(token, "192.0.2.8"), ACME, change_id)

    return world.run(ran)


def test_a_stopped_change_is_made_by_hand_as_a_change_of_that_person(world: Scheduling) -> None:
    change = world.schedule("map.add_ip", ip="203.0.113.7")
    revoke(world)
    world.look(hours=1)
    run_by_hand(world, change.id, world.token("bob", accounts=[ACME]))
    assert "203.0.113.7" in world.read(SHOP_FILE)
    assert world.pending() == []
    entry = world.audit()[-1]
    assert (entry["action"], entry["actor"]["name"], entry["message"]) == ("map.add_ip", "bob", "scheduled by alice")


def test_a_change_that_is_not_stopped_is_not_made_by_hand(world: Scheduling) -> None:
    change = world.schedule("map.add_ip", ip="203.0.113.7")
    with pytest.raises(RefusedError, match="it is not stopped"):
        run_by_hand(world, change.id, world.alice)
    assert len(world.pending()) == 1


def test_a_refused_change_stays_stopped(world: Scheduling) -> None:
    change = world.schedule("map.add_ip", ip="203.0.113.7")
    break_rule(world)
    world.look(hours=1)
    with pytest.raises(RefusedError, match=r"203\.0\.113\.7"):
        run_by_hand(world, change.id, world.alice)
    assert [one.id for one in world.pending()] == [change.id]


def test_history_and_audit_log_name_the_scheduler(world: Scheduling) -> None:
    world.schedule("map.add_ip", ip="203.0.113.7")
    world.look(hours=1)

    async def newest(life: Life) -> str:
        return life.service.history.versions(SHOP)[0].token

    assert world.run(newest).startswith("alice (scheduled 20")
    scheduled, made = world.audit()
    assert (scheduled["action"], scheduled["actor"]["name"], scheduled["client"]) == (
        "map.schedule",
        "alice",
        "192.0.2.7",
    )
    assert (made["action"], made["actor"]["name"], made["outcome"]) == ("map.add_ip", "alice", "ok")
    assert made["message"].startswith("scheduled ")


@pytest.mark.parametrize("by", ["file", "account"])
def test_deleting_the_map_cancels_its_changes(world: Scheduling, by: str) -> None:
    world.schedule("map.add_ip", ip="203.0.113.7")
    world.schedule("map.enable", SALE, enabled=True)
    (world.folder / "accounts" / SHOP_FILE).unlink()
    assert [one.request.map_id for one in world.pending()] == [SALE]  # before the clock has looked
    world.look()
    assert [one.request.map_id for one in world.pending()] == [SALE]
    assert len(list((world.state / "pending").iterdir())) == 1
    entry = world.audit()[-1]
    assert (entry["action"], entry["message"]) == ("map.cancel", "the map was deleted")


def test_a_new_map_may_not_exist_yet(world: Scheduling) -> None:
    world.schedule("map.create", "61" * 16, description="Extra")
    world.look()
    assert len(world.pending()) == 1


# Damaged files


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"format": 2}', "null", "[" * 100_000])
def test_a_damaged_file_is_reported_once_and_harms_no_other(world: Scheduling, text: str) -> None:
    world.schedule("map.add_ip", ip="203.0.113.7")
    (world.state / "pending" / f"{'0' * 32}.json").write_text(text)

    async def looks(life: Life) -> None:
        await life.schedule.look(world.later())
        await life.schedule.look(world.later(hours=1))

    world.run(looks)
    assert "203.0.113.7" in world.read(SHOP_FILE)
    assert len([line for line in world.lines if "will not be made" in line]) == 1


def test_an_unreadable_file_ends_nothing_and_is_reported(world: Scheduling) -> None:
    change = world.schedule("map.add_ip", ip="203.0.113.7")
    (world.state / "pending" / f"{'0' * 32}.json").mkdir()
    files = PendingFiles(world.state)
    (problem,) = files.refresh()
    assert "unreadable" in problem
    assert [one.id for one in files.due] == [change.id]


def test_the_reason_of_a_failure_names_no_path(world: Scheduling, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("/srv/secret")

    world.schedule("map.add_ip", ip="203.0.113.7")
    monkeypatch.setattr(MapRequest, "carry_out", fail)
    world.look(hours=1)
    assert [one.stopped for one in world.pending()] == ["it failed; the server's log has the details"]
    assert any("/srv/secret" in line for line in world.lines)


def test_a_disk_that_is_full_delays_a_change(world: Scheduling, monkeypatch: pytest.MonkeyPatch) -> None:
    world.schedule("map.add_ip", ip="203.0.113.7")
    (world.folder / "accounts/acme/maps").chmod(0o500)
    (world.folder / "accounts" / SHOP_FILE).chmod(0o400)
    world.look(hours=1)
    assert [one.stopped for one in world.pending()] == [""]
    (world.folder / "accounts/acme/maps").chmod(0o700)
    (world.folder / "accounts" / SHOP_FILE).chmod(0o600)
    world.look(hours=1, seconds=10)
    assert "203.0.113.7" in world.read(SHOP_FILE)
