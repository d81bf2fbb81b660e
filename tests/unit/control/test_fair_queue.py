"""Waiting changes: nobody waits for all changes of another author, nor together with another's slow ones."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from dnsd.app import Loaded
from dnsd.control import service
from dnsd.control.service import MAX_WAITING
from dnsd.control.waiting import MAX_OF_AUTHOR, MAX_SLOW, WaitingChange, WaitingChanges
from dnsd.manage.draft import Draft
from dnsd.manage.maps import MapChange, edit_map
from dnsd.manage.writes import TooManyWritesError
from tests.unit.control.scheduling import ACME, GLOBEX, OTHER, SHOP, Life, Scheduling


@pytest.fixture(autouse=True)
def _no_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "SERVED_WITHIN_S", 0)


def test_change_does_not_wait_for_all_of_another_author(tmp_path: Path) -> None:
    order: list[str] = []

    async def change(life: Life, name: str, author: str) -> None:
        account_id, map_id = (ACME, SHOP) if author == "flood" else (GLOBEX, OTHER)

        def make(loaded: Loaded) -> tuple[None, Draft]:
            draft = Draft(loaded, life.world.start, by_operator=False)
            edit_map(draft, account_id, map_id, MapChange(description=name))
            return None, draft

        await life.control.changes.change(make, author)
        order.append(name)

    async def flood(life: Life) -> None:
        ahead = [change(life, f"flood {number}", "flood") for number in range(20)]
        await asyncio.gather(*ahead, change(life, "other", "other"), change(life, "other 2", "other"))

    world = Scheduling(tmp_path / "world")
    world.run(flood)
    assert len(order) == 22
    assert order.index("other") <= 2 * MAX_OF_AUTHOR
    assert [name for name in order if name.startswith("flood")] == [f"flood {number}" for number in range(20)]
    assert "flood 19" in world.read("acme/maps/shop.yaml")
    assert "other 2" in world.read("globex/maps/other.yaml")


def test_cancelled_request_leaves_the_others_waiting_no_longer(tmp_path: Path) -> None:
    async def two(life: Life) -> None:
        def make(loaded: Loaded) -> tuple[None, Draft]:
            draft = Draft(loaded, life.world.start, by_operator=False)
            edit_map(draft, ACME, SHOP, MapChange(description="made"))
            return None, draft

        first = asyncio.create_task(life.control.changes.change(make, "a"))
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.wait_for(life.control.changes.change(make, "b"), 60)
        with pytest.raises(asyncio.CancelledError):
            await first

    Scheduling(tmp_path / "world").run(two)


def waiting_of(*authors: str) -> WaitingChanges:
    """Changes that wait, one of each author named."""
    loop = asyncio.new_event_loop()
    waiting = WaitingChanges()
    for author in authors:
        waiting.add(WaitingChange(_not_made, author, loop.create_future()))
    loop.close()
    return waiting


def _not_made(_: Loaded) -> tuple[None, Draft]:
    raise AssertionError


def taken(waiting: WaitingChanges) -> list[str]:
    """The authors of the next batch."""
    return [one.author for one in waiting.next_batch()]


def test_slow_authors_take_turns_with_the_quick_ones() -> None:
    waiting = waiting_of("slow", "slow", "slower", "quick", "quick", "quick", "other")
    waiting.note({"slow": 0.3, "slower": 9.0, "quick": 0.01})
    assert taken(waiting) == ["quick", "quick", "other"]
    assert taken(waiting) == ["slow"]
    assert taken(waiting) == ["quick"]
    assert taken(waiting) == ["slower"]
    assert taken(waiting) == ["slow"]
    assert not waiting


def test_author_is_slow_until_a_quick_change() -> None:
    waiting = waiting_of("a", "b")
    waiting.note({"a": 0.3})
    waiting.note({"a": 0.01})
    assert taken(waiting) == ["a", "b"]


def test_number_of_slow_authors_is_bounded() -> None:
    waiting = waiting_of("first", "last")
    waiting.note({"first": 1.0})
    waiting.note({f"author {number}": 1.0 for number in range(MAX_SLOW - 1)} | {"last": 1.0})
    assert taken(waiting) == ["first"]
    assert taken(waiting) == ["last"]


def test_changes_of_clients_that_have_gone_are_bounded(tmp_path: Path) -> None:
    world = Scheduling(tmp_path / "world")

    async def many(life: Life) -> None:
        for _ in range(MAX_WAITING):
            life.service.pace(world.alice)
            life.control.changes._waiting.add(
                WaitingChange(_not_made, world.alice.author.id, asyncio.get_running_loop().create_future())
            )
        with pytest.raises(TooManyWritesError, match="100 changes of this token") as caught:
            life.service.pace(world.alice)
        assert caught.value.retry_after_s > 0
        life.service.pace(world.token("other"))
        life.control.changes._waiting.next_batch()
        life.service.pace(world.alice)

    world.run(many)
