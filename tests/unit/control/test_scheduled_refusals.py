"""Due changes that the brake or the guard stands against: stopped or waiting, loudly, and nothing else changes."""

from __future__ import annotations

from pathlib import Path

import pytest

from dnsd.control.guarded import Force
from dnsd.manage.map_request import MapRequest
from dnsd.manage.pending import PendingChange
from dnsd.manage.service import Actor
from tests.unit.control.scheduling import ACME, FILES, GLOBEX, OTHER, SHOP, Life, Scheduling

SHOP_FILE, OTHER_FILE = "acme/maps/shop.yaml", "globex/maps/other.yaml"
ADD = MapRequest("map.add_ip", ACME, SHOP, {"ip": "203.0.113.7"})
ENABLE = MapRequest("map.enable", GLOBEX, OTHER, {"enabled": True})


@pytest.fixture
def world(tmp_path: Path) -> Scheduling:
    made = Scheduling(tmp_path)
    made.config.write_text(made.config.read_text() + "reload: {brake: {accounts: 1, accounts_percent: 0}}\n")
    return made


def texts(world: Scheduling) -> dict[str, str]:
    return {name: world.read(name) for name in FILES}


def alarms(world: Scheduling) -> list[str]:
    return [line for line in world.lines if line.startswith("alarm: pending change")]


def test_a_change_over_the_brakes_limit_is_stopped(world: Scheduling) -> None:
    """The operator's job has moved one account; its change of another one is due within the window."""
    job = world.token("job")

    async def work(life: Life) -> PendingChange:
        await life.add(ADD, world.later(hours=1), job)
        await life.service.change(
            Actor(job, ""), "map.enable", lambda draft: ENABLE.carry_out(draft, life.service.history)
        )
        before, book = texts(world), life.control.brake.book
        await life.schedule.look(world.later(hours=1))
        assert texts(world) == before
        assert life.control.brake.book == book
        (found,) = await life.schedule.of_account(ACME)
        return found

    stopped = world.run(work)
    assert "the token job would have changed the addresses of 2 accounts within the window" in stopped.stopped
    assert f"dnsd brake release {job.id}" in stopped.stopped
    assert len(alarms(world)) == 1
    entry = next(one for one in reversed(world.audit()) if one["action"] == "map.stop")
    assert (entry["object"], entry["outcome"]) == ("acme/maps/shop", "refused")

    async def by_hand(life: Life) -> None:
        life.control.pending.refresh()
        await life.service.release(Actor(job, ""), "job", 60)
        await life.schedule.run(Actor(job, ""), ACME, stopped.id)

    world.run(by_hand)
    assert "203.0.113.7" in world.read(SHOP_FILE)
    assert world.pending() == []


def test_a_change_of_another_author_is_made(world: Scheduling) -> None:
    async def work(life: Life) -> None:
        await life.add(ADD, world.later(hours=1))
        job = Actor(world.token("job"), "")
        await life.service.change(job, "map.enable", lambda draft: ENABLE.carry_out(draft, life.service.history))
        await life.schedule.look(world.later(hours=1))

    world.run(work)
    assert "203.0.113.7" in world.read(SHOP_FILE)
    assert alarms(world) == []


def edit(world: Scheduling, *, enabled: bool) -> None:
    """Disable the maps of both accounts, which the guard refuses, or enable them again."""
    for name in (SHOP_FILE, OTHER_FILE):
        text = world.read(name).replace("enabled: true\n", "").replace("enabled: false\n", "")
        world.write(name, f"enabled: {str(enabled).lower()}\n{text}")


@pytest.mark.parametrize("then", ["undone", "forced", "left"])
def test_a_change_of_a_file_that_the_guard_refuses_waits_for_the_operator(world: Scheduling, then: str) -> None:
    edit(world, enabled=True)

    async def work(life: Life) -> list[PendingChange]:
        look = life.schedule.look
        await life.control.current.keep_first_good()
        change = await life.add(ADD, world.later(hours=1))
        edit(world, enabled=False)
        assert (await life.control.loader.reload()).by_guard
        before, revision = texts(world), life.control.publisher.revision
        await look(world.later(hours=1))
        waits = f"pending change {change.id} waits: a file was edited, and waits for the server's operator"
        assert any(line.startswith(waits) for line in world.lines)
        assert (texts(world), life.control.publisher.revision, alarms(world)) == (before, revision, [])
        if then == "undone":
            edit(world, enabled=True)
            await life.control.loader.reload()
        elif then == "forced":
            await life.control.loader.reload(force=Force())
        late = {"hours": 2, "minutes": 1} if then == "left" else {"hours": 1, "minutes": 1}
        await look(world.later(**late))
        return await life.schedule.of_account(ACME)

    left = world.run(work)
    assert ("203.0.113.7" in world.read(SHOP_FILE)) == (then == "undone")
    reasons = {
        "undone": [],
        "forced": ["the map was changed after this was scheduled"],
        "left": ["it is 61 minutes late; the limit is an hour"],
    }
    assert [one.stopped for one in left] == reasons[then]
    assert len(alarms(world)) == len(left)
