"""Long work on large zones is done in turns: others wait for a turn of it, never for all of it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from dnsd.api import turns
from dnsd.api.records.search import record_search
from dnsd.api.turns import RecordTurns, in_turns
from dnsd.formats import zone_export
from dnsd.formats.zone_export import export
from dnsd.manage.record_ids import find_records, shown_page
from dnsd.model import record_parts
from dnsd.model.record_parts import Steps
from dnsd.model.records import Record
from dnsd.model.zones import Zone
from dnsd.wire.names import parse_name_text
from tests.models import zone


@pytest.fixture(autouse=True)
def _one_step_a_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "TURN_S", 0.0)
    monkeypatch.setattr(record_parts, "SIZE", 4)
    monkeypatch.setattr(zone_export, "STEP", 4)


class Counted:
    """Work in steps that counts them."""

    def __init__(self, steps: Steps[object]) -> None:
        self._steps = steps
        self.taken = 0

    def __call__(self) -> Steps[object]:
        try:
            while True:
                next(self._steps)
                self.taken += 1
                yield
        except StopIteration as end:
            return end.value


def large_zone(records: int) -> Zone:
    apex = parse_name_text("large.example")
    return zone(
        "large.example",
        [Record(b"\x05h%04d" % number + apex, 1, 60, number.to_bytes(4)) for number in range(records)],
    )


LONG = {
    "a search by name": lambda one: record_search({"name.contains": "h0"}).found_in(one),
    "a search by content": lambda one: record_search({"content.contains": "0"}).found_in(one),
    "the last page": lambda one: shown_page(one, 398, 400),
    "an unknown id": lambda one: find_records(one, ["f" * 32]),
    "an export": lambda one: export(one, datetime(2026, 1, 1, tzinfo=UTC)),
}


@pytest.mark.parametrize("what", LONG)
def test_others_wait_for_one_turn_of_long_work(what: str) -> None:
    long, small = Counted(LONG[what](large_zone(400))), large_zone(3)

    async def both() -> list[int]:
        work = asyncio.create_task(in_turns(long()))
        while not long.taken:
            await asyncio.sleep(0)
        waited = []
        for _ in range(5):
            before = long.taken
            await in_turns(shown_page(small, 0, 3))
            waited.append(long.taken - before)
        assert not work.done()
        await work
        return waited

    waited = asyncio.run(both())
    assert long.taken >= 100
    assert max(waited) <= 4, "the turn under way, and one after each turn of the other"


def test_turns_leave_the_loop_free_and_have_the_result() -> None:
    threads: set[threading.Thread] = set()

    def steps() -> Steps[str]:
        for _ in range(3):
            threads.add(threading.current_thread())
            yield
        return "done"

    assert asyncio.run(in_turns(steps())) == "done"
    assert threading.main_thread() not in threads


def test_error_ends_the_work_and_frees_the_turn() -> None:
    def failing() -> Iterator[None]:
        yield
        raise KeyError("x")

    async def twice() -> None:
        for _ in range(2):
            with pytest.raises(KeyError):
                await in_turns(failing())

    asyncio.run(twice())


def test_new_work_goes_before_long_work_whatever_waits() -> None:
    long = [Counted(record_search({"name.contains": "h0"}).found_in(large_zone(400))) for _ in range(5)]

    def quick() -> Steps[str]:
        yield from ()
        return "done"

    async def all_of_it() -> int:
        work = [asyncio.create_task(in_turns(one())) for one in long]
        while not all(one.taken > 2 for one in long):
            await asyncio.sleep(0)
        before = sum(one.taken for one in long)
        await in_turns(quick())
        waited = sum(one.taken for one in long) - before
        assert not any(one.done() for one in work)
        await asyncio.gather(*work)
        return waited

    assert asyncio.run(all_of_it()) <= 2, "the turn under way, not one of each of the five"


def test_much_new_work_does_not_stop_long_work() -> None:
    order: list[str] = []

    async def taking(given: RecordTurns, name: str, *, is_new: bool) -> None:
        await given.take(is_new=is_new)
        order.append(name)
        given.give_back()

    async def crowd() -> None:
        given = RecordTurns()
        await given.take(is_new=True)
        waiting = [asyncio.create_task(taking(given, "long", is_new=False))]
        waiting += [asyncio.create_task(taking(given, "new", is_new=True)) for _ in range(25)]
        await asyncio.sleep(0)
        waiting[3].cancel()
        given.give_back()
        await asyncio.gather(*waiting, return_exceptions=True)

    asyncio.run(crowd())
    assert order.index("long") == turns.NEW_IN_A_ROW - 1 or order.index("long") == turns.NEW_IN_A_ROW
    assert order.count("new") == 24
