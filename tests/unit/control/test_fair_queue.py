"""Waiting changes: nobody waits for all changes of another author, nor while a slow one is drawn up."""

from __future__ import annotations

import asyncio
import re
import threading
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from time import thread_time
from types import SimpleNamespace
from typing import Any, cast

import pytest

from dnsd.app import Loaded
from dnsd.control import change_queue
from dnsd.control.service import MAX_WAITING
from dnsd.control.waiting import MAX_OF_AUTHOR, MAX_SLOW, SLOW_FOR_S, SLOW_S, TRIES_ASIDE, WaitingChange, WaitingChanges
from dnsd.manage.change import Drawn, DrawnUp
from dnsd.manage.draft import Draft
from dnsd.manage.maps import MapChange, edit_map
from dnsd.manage.records import import_records
from dnsd.manage.refusal import Reason, RefusedError, refused
from dnsd.manage.service import Actor
from dnsd.manage.writes import TooManyWritesError
from dnsd.process.tasks import in_thread
from dnsd.store.directory import Files
from dnsd.store.text_file import FileChangedError
from dnsd.wire.names import parse_name_text
from tests.limits import HANG_S
from tests.unit.control.scheduling import ACME, GLOBEX, OTHER, SHOP, Life, Scheduling


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


class Clock:
    """A clock that the test sets."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def waiting_of(*authors: str, clock: Clock | None = None) -> WaitingChanges:
    """Changes that wait, one of each author named."""
    loop = asyncio.new_event_loop()
    waiting = WaitingChanges(clock or Clock())
    for author in authors:
        waiting.add(WaitingChange(_not_made, author, loop.create_future()))
    loop.close()
    return waiting


def _not_made(_: Loaded) -> tuple[None, Draft]:
    raise AssertionError


def taken(waiting: WaitingChanges) -> list[str]:
    """The authors of the next batch, which ends at once."""
    authors = [one.author for one in waiting.next_batch()]
    waiting.end_batch(())
    return authors


def drawn_in(cpu_s: float, *, can_move: bool = True) -> DrawnUp[Drawn[None]]:
    return DrawnUp(Drawn(None, cast(Draft, SimpleNamespace(can_move=can_move)), cast(Loaded, None)), cpu_s)


def test_changes_of_slow_authors_are_drawn_up_before_their_turn() -> None:
    waiting = waiting_of("slow", "slow", "slower", "quick", "quick", "quick", "other")
    waiting.note("slow", 0.3)
    waiting.note("slower", 9.0)
    waiting.note("quick", 0.01)
    slow = waiting.next_aside()
    assert slow
    assert slow.author == "slow"
    assert taken(waiting) == ["quick", "quick", "other"]  # meanwhile
    waiting.end_aside(slow, drawn_in(0.3))
    assert taken(waiting) == ["quick", "slow"]
    slower = waiting.next_aside()
    assert slower
    assert slower.author == "slower"  # authors in rotation
    assert not waiting.has_next
    waiting.end_aside(slower, drawn_in(9.0))
    assert waiting.next_aside().author == "slow"  # type: ignore[union-attr]
    assert taken(waiting) == ["slower"]


def test_next_change_of_a_slow_author_is_drawn_up_once_the_one_before_is_made() -> None:
    waiting = waiting_of("slow", "slow")
    waiting.note("slow", 0.3)
    first = waiting.next_aside()
    assert first
    assert waiting.next_aside() is None
    waiting.end_aside(first, drawn_in(0.3))
    assert waiting.next_aside() is None
    assert waiting.next_batch() == [first]
    assert waiting.next_aside() is None
    waiting.end_batch(())
    assert waiting.next_aside() not in (None, first)


def test_change_whose_data_moved_on_is_drawn_up_again_before_others_of_its_author() -> None:
    waiting = waiting_of("slow", "slow")
    waiting.note("slow", 0.3)
    first = None
    for _ in range(TRIES_ASIDE):
        change = waiting.next_aside()
        assert change
        assert first in (None, change)
        first = change
        waiting.end_aside(change, drawn_in(0.3))
        waiting.end_batch(waiting.next_batch())
    assert waiting.next_aside() is None
    assert waiting.next_batch() == [first]  # drawn up in its turn, as others may go on for ever


@pytest.mark.parametrize(
    "found", [drawn_in(0.01), drawn_in(0.3, can_move=False), DrawnUp(FileChangedError(), 0.01), None]
)
def test_change_that_delays_nobody_or_cannot_move_is_drawn_up_in_its_turn(found: DrawnUp[Drawn[None]] | None) -> None:
    waiting = waiting_of("slow")
    waiting.note("slow", 0.3)
    change = waiting.next_aside()
    assert change
    waiting.end_aside(change, found)
    for _ in range(2):  # also if the data moved on
        assert waiting.next_aside() is None
        assert waiting.next_batch() == [change]
        waiting.end_batch([change])


def test_author_is_slow_for_a_while_after_a_slow_change() -> None:
    clock = Clock()
    waiting = waiting_of("a", "b", clock=clock)
    waiting.note("a", 0.3)
    clock.now = SLOW_FOR_S - 1
    waiting.note("a", 0.01)
    assert taken(waiting) == ["b"]
    clock.now = SLOW_FOR_S
    assert taken(waiting) == ["a"]


def test_changes_behind_one_drawn_up_aside_wait_for_it_though_the_author_is_slow_no_longer() -> None:
    clock = Clock()
    waiting = waiting_of("a", "a", clock=clock)
    waiting.note("a", 0.3)
    first = waiting.next_aside()
    assert first
    waiting.end_aside(first, drawn_in(0.3))
    clock.now = SLOW_FOR_S
    assert waiting.next_batch() == [first]
    waiting.end_batch([first])  # the data moved on
    batch = waiting.next_batch()
    assert batch[0] is first
    assert len(batch) == 2


@pytest.mark.parametrize("is_drawn", [False, True])
def test_change_whose_requester_has_gone_is_not_made(*, is_drawn: bool) -> None:
    waiting = waiting_of("slow", "slow", "quick")
    waiting.note("slow", 0.3)
    first = waiting.next_aside()
    assert first
    if is_drawn:
        waiting.end_aside(first, drawn_in(0.3))
    first.future.cancel()
    assert taken(waiting) == ["quick"]
    if not is_drawn:
        assert waiting.next_aside() is None  # one at a time
        waiting.end_aside(first, drawn_in(0.3))
    assert waiting.of_author("slow") == 1
    assert waiting.next_aside() not in (None, first)


def test_number_of_slow_authors_is_bounded() -> None:
    waiting = waiting_of("first", "last")
    waiting.note("first", 1.0)
    for number in range(MAX_SLOW - 1):
        waiting.note(f"author {number}", 1.0)
    waiting.note("last", 1.0)
    assert taken(waiting) == ["first"]


def edit(loaded: Loaded, zone: str, name: str) -> tuple[None, Draft]:
    """Add a record to a zone."""
    draft = Draft(loaded, datetime.now(UTC), by_operator=False)
    zone_id = next(one.id for one in loaded.dataset.zones.values() if one.name_text == zone)
    import_records(draft, zone_id, f"{name} 60 IN A 192.0.2.7\n".encode(), proxies=False)
    return None, draft


def test_quick_change_is_made_while_a_slow_one_is_drawn_up(tmp_path: Path) -> None:
    """The slow one is put on the data with the quick one, and not drawn up again; both are in the files and in DNS."""
    is_drawing, go_on = threading.Event(), threading.Event()
    drawn_up = []

    def slow(loaded: Loaded) -> tuple[None, Draft]:
        drawn_up.append(loaded)
        result = edit(loaded, "cake.example", "slow")
        is_drawing.set()
        assert go_on.wait(HANG_S)
        return result

    async def both(life: Life) -> None:
        life.control.changes._waiting.note("slow", 1.0)
        first = asyncio.create_task(life.control.changes.change(slow, "slow"))
        await in_thread(is_drawing.wait)
        quick = await life.control.changes.change(lambda loaded: edit(loaded, "tools.example", "quick"), "quick")
        assert not first.done()
        go_on.set()
        made = await first
        assert len(drawn_up) == 1
        assert made.loaded.dataset is life.control.current.loaded.dataset
        assert made.revision == quick.revision + 1
        names = made.loaded.snapshot.names
        assert names.get(parse_name_text("slow.cake.example"))
        assert names.get(parse_name_text("quick.tools.example"))

    world = Scheduling(tmp_path / "world")
    world.run(both)
    assert "slow" in world.read("acme/zones/cake.example.yaml")
    assert "quick" in world.read("globex/zones/tools.example.yaml")


def test_author_of_a_slow_change_is_slow_whatever_follows_in_the_batch(tmp_path: Path) -> None:
    def slow(loaded: Loaded) -> tuple[None, Draft]:
        start = thread_time()
        while thread_time() < start + SLOW_S:
            pass
        return edit(loaded, "cake.example", "slow")

    async def both(life: Life) -> None:
        changes = life.control.changes
        quick = changes.change(lambda loaded: edit(loaded, "cake.example", "quick"), "a")
        await asyncio.gather(changes.change(slow, "a"), quick)
        assert changes._waiting._is_slow("a")

    Scheduling(tmp_path / "world").run(both)


def test_slow_change_is_drawn_up_again_if_its_account_has_changed(tmp_path: Path) -> None:
    is_drawing, go_on = threading.Event(), threading.Event()
    drawn_up = []

    def slow(loaded: Loaded) -> tuple[None, Draft]:
        drawn_up.append(loaded)
        is_drawing.set()
        assert go_on.wait(HANG_S)
        return edit(loaded, "cake.example", "slow")

    async def both(life: Life) -> None:
        life.control.changes._waiting.note("slow", 1.0)
        first = asyncio.create_task(life.control.changes.change(slow, "slow"))
        await in_thread(is_drawing.wait)
        await life.control.changes.change(lambda loaded: edit(loaded, "cake.example", "quick"), "operator")
        go_on.set()
        await first
        assert len(drawn_up) == 2

    world = Scheduling(tmp_path / "world")
    world.run(both)
    assert "slow" in world.read("acme/zones/cake.example.yaml")
    assert "quick" in world.read("acme/zones/cake.example.yaml")


def test_slow_changes_of_an_author_keep_their_order(tmp_path: Path) -> None:
    order: list[int] = []

    async def change(life: Life, number: int) -> None:
        await life.control.changes.change(lambda loaded: edit(loaded, "cake.example", f"n{number}"), "slow")
        order.append(number)

    async def all_of_them(life: Life) -> None:
        life.control.changes._waiting.note("slow", 1.0)
        await asyncio.gather(*(change(life, number) for number in range(5)))

    world = Scheduling(tmp_path / "world")
    world.run(all_of_them)
    assert order == [*range(5)]
    text = world.read("acme/zones/cake.example.yaml")
    assert re.findall("name: n([0-9])", text) == ["0", "1", "2", "3", "4"]


def test_next_change_is_made_while_the_texts_of_the_last_are_kept(tmp_path: Path) -> None:
    """Its requester waits for them; a successor of the process does not judge the files by older texts meanwhile."""
    is_keeping, go_on = threading.Event(), threading.Event()

    async def both(life: Life) -> None:
        current, changes = life.control.current, life.control.changes
        await current.keep_first_good()
        keep = current.good.keep

        def slowly(served: Files) -> None:
            is_keeping.set()
            assert go_on.wait(HANG_S)
            keep(served)

        current.good.keep = slowly  # type: ignore[method-assign]
        assert life.control.publisher.has_good_texts
        verb = partial(edit_map, account_id=ACME, map_id=SHOP, change=MapChange(description="first"))
        first = asyncio.create_task(life.service.change(Actor(life.world.alice, ""), "map.edit", verb))
        await in_thread(is_keeping.wait)
        assert not life.control.publisher.has_good_texts
        second = asyncio.create_task(changes.change(lambda loaded: edit(loaded, "tools.example", "second"), "b"))
        while "second" not in life.world.read("globex/zones/tools.example.yaml"):
            await asyncio.sleep(0.001)
        assert not first.done()
        go_on.set()
        await asyncio.gather(first, second)
        await current.until_kept()
        assert life.control.publisher.has_good_texts
        kept = current.good_files()
        assert kept
        assert kept.has_same_content(current.loaded.files)  # type: ignore[union-attr]

    Scheduling(tmp_path / "world").run(both)


def test_texts_are_not_called_kept_while_the_next_change_is_published(tmp_path: Path) -> None:
    is_keeping, go_on = threading.Event(), threading.Event()
    has_good_texts: list[bool] = []

    async def both(life: Life) -> None:
        current, changes = life.control.current, life.control.changes
        await current.keep_first_good()
        keep, publish = current.good.keep, current._publish

        def slowly(served: Files) -> None:
            is_keeping.set()
            assert go_on.wait(HANG_S)
            keep(served)

        async def published(*what: Any) -> None:
            if is_keeping.is_set():
                go_on.set()
                await current.until_kept()  # the texts of the first change
                has_good_texts.append(life.control.publisher.has_good_texts)
            await publish(*what)

        current.good.keep = slowly  # type: ignore[method-assign]
        current._publish = published  # type: ignore[method-assign]
        await changes.change(lambda loaded: edit(loaded, "cake.example", "first"), "a")
        await in_thread(is_keeping.wait)
        await changes.change(lambda loaded: edit(loaded, "tools.example", "second"), "b")
        await current.until_kept()
        assert has_good_texts == [False]
        assert life.control.publisher.has_good_texts

    Scheduling(tmp_path / "world").run(both)


def test_slow_change_that_is_refused_has_no_turn(tmp_path: Path) -> None:
    def slow(loaded: Loaded) -> tuple[None, Draft]:
        raise refused(Reason.INVALID, "no")

    async def refusal(life: Life) -> None:
        life.control.changes._waiting.note("slow", 1.0)
        async with life.control.current.turn:
            with pytest.raises(RefusedError, match="no"):
                await life.control.changes.change(slow, "slow")
        assert not life.control.changes.waiting_of("slow")

    Scheduling(tmp_path / "world").run(refusal)


def test_slow_change_that_cannot_be_drawn_up_is_not_made_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def no_thread(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    async def failure(life: Life) -> None:
        changes = life.control.changes
        monkeypatch.setattr(change_queue, "planned_by", no_thread)
        changes._waiting.note("slow", 1.0)
        with pytest.raises(RuntimeError, match="thread"):
            await changes.change(lambda loaded: edit(loaded, "cake.example", "slow"), "slow")
        assert not changes.waiting_of("slow")
        await changes.change(lambda loaded: edit(loaded, "tools.example", "quick"), "quick")

    world = Scheduling(tmp_path / "world")
    world.run(failure)
    assert "slow" not in world.read("acme/zones/cake.example.yaml")


def test_slow_change_without_loaded_data_is_refused(tmp_path: Path) -> None:
    async def refusal(life: Life) -> None:
        life.control.changes._waiting.note("slow", 1.0)
        life.control.current.loaded = None
        with pytest.raises(RefusedError, match="read-only"):
            await life.control.changes.change(_not_made, "slow")

    Scheduling(tmp_path / "world").run(refusal)


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
