"""Plans that need a file which a change replaces meanwhile: they go on with newer data."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest

from dnsd.app import Loaded
from dnsd.control import newer_data, scheduler
from dnsd.control.current import Current
from dnsd.control.newer_data import on_newer_data
from dnsd.manage.draft import Draft
from dnsd.manage.map_request import MapRequest
from dnsd.manage.pending_plan import PendingPlan, plan_pending
from dnsd.manage.refusal import RefusedError
from dnsd.manage.service import Actor
from dnsd.store.text_file import FileChangedError
from dnsd.wire.names import name_text
from tests.unit.control.scheduling import ACME, SALE, Life, Scheduling
from tests.unit.control.test_drawn_aside import added
from tests.unit.control.test_restart_files import FILES, QUAY


class Meanwhile:
    """Changes a zone from a thread that draws up a plan, the first time that it is called."""

    def __init__(self, life: Life, zone: str) -> None:
        self.loop, self.is_made = asyncio.get_running_loop(), False
        self._life, self._zone = life, zone

    def __call__(self) -> None:
        """Wait for the change."""
        if not self.is_made:
            self.is_made = True
            verb = partial(added, zone=self._zone, name="meanwhile")
            actor = Actor(self._life.world.token("another"), "")
            asyncio.run_coroutine_threadsafe(self._life.service.change(actor, "records", verb), self.loop).result()


def test_plan_goes_on_with_newer_data_after_a_change_of_its_file(tmp_path: Path) -> None:
    world = Scheduling(tmp_path / "world", FILES)

    async def work(life: Life) -> tuple[Loaded, Loaded]:
        meanwhile = Meanwhile(life, "quay.example")

        def verb(draft: Draft) -> None:
            meanwhile()
            added(draft, zone="quay.example", name="planned")

        return await life.service.plan(Actor(world.token("planner"), ""), verb)

    before, after = world.run(work)
    assert new_names(before) == {"meanwhile"}
    assert new_names(after) == {"meanwhile", "planned"}
    assert "planned" not in world.read(QUAY)


class Served:
    """Served data, replaced at will."""

    def __init__(self) -> None:
        self.loaded, self.turn = object(), asyncio.Lock()


@pytest.mark.parametrize("tries", [1, newer_data.TRIES, newer_data.TRIES + 1])
def test_work_whose_file_is_replaced_each_time_is_refused_at_last(tries: int) -> None:
    """It would be done in the last of these tries."""
    current, calls = Served(), list[object]()

    async def work() -> str:
        calls.append(current.loaded)
        if len(calls) == tries:
            return "done"
        current.loaded = object()
        raise FileChangedError

    done = on_newer_data(cast(Current, current), work)
    if tries > newer_data.TRIES:
        with pytest.raises(RefusedError, match="try again"):
            asyncio.run(done)
    else:
        assert asyncio.run(done) == "done"
    assert len({*map(id, calls)}) == len(calls) == min(tries, newer_data.TRIES)


def new_names(loaded: Loaded) -> set[str]:
    """The first labels of the names that changes and plans have added to quay.example."""
    zone = next(one for one in loaded.dataset.zones.values() if one.name_text == "quay.example")
    labels = {name_text(owner).partition(".")[0] for owner in zone.records.owners}
    return {one for one in labels if not one.startswith(("berth", "quay"))}


def test_plan_of_a_file_that_was_edited_and_is_not_loaded_is_refused_at_once(tmp_path: Path) -> None:
    world = Scheduling(tmp_path / "world", FILES)

    async def work(life: Life) -> None:
        calls: list[Draft] = []
        world.write(QUAY, FILES[QUAY].replace("berth7 ", "pier "))

        def verb(draft: Draft) -> None:
            calls.append(draft)
            added(draft, zone="quay.example", name="planned")

        with pytest.raises(RefusedError, match="just edited and is not loaded yet"):
            await life.service.plan(Actor(world.token("planner"), ""), verb)
        assert len(calls) == 1

    world.run(work)


def test_scheduled_change_is_planned_on_newer_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world, plans = Scheduling(tmp_path / "world"), list[Any]()

    async def work(life: Life) -> None:
        meanwhile = Meanwhile(life, "tools.example")

        def planned(*given: Any, **named: Any) -> PendingPlan:
            plans.append(life.control.current.loaded)
            if len(plans) == 1:
                meanwhile()
                raise FileChangedError
            return plan_pending(*given, **named)

        monkeypatch.setattr(scheduler, "plan_pending", planned)
        await life.add(MapRequest("map.delete", ACME, SALE, {}), world.later(hours=1))

    world.run(work)
    assert len(plans) == 2
    assert plans[0] is not plans[1]
    assert [one.request.action for one in world.pending()] == ["map.delete"]
