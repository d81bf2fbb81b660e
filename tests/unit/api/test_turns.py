"""Long work on large zones is done in turns: others wait for a turn of it, never for all of it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from functools import partial
from unittest.mock import MagicMock

import pytest

from dnsd.api.envelope import Listed, Page, Reply, response
from dnsd.api.records.search import record_search
from dnsd.api.turns import after_change, planned, planned_by
from dnsd.dashboard.page import HtmlPage, pages
from dnsd.formats import zone_export
from dnsd.formats.zone_export import export
from dnsd.manage.record_ids import find_records, shown_page
from dnsd.model import record_parts
from dnsd.model.record_parts import Steps
from dnsd.model.records import Record
from dnsd.model.zones import Zone
from dnsd.process import turns
from dnsd.process.turns import FairTurns
from dnsd.wire.names import parse_name_text
from tests.limits import HANG_S
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


def form_page(pairs: int) -> Steps[object]:
    kept = [("zone", str(number)) for number in range(pairs)]
    visit = MagicMock(notice="", session=MagicMock(secret="s"), accounts=list, brake=lambda: None)
    return pages().rendered(HtmlPage("resume.html", {"then": "/", "pairs": kept}), visit)


LONG = {
    "a search by name": lambda one: record_search({"name.contains": "h0"}).found_in(one),
    "a search by content": lambda one: record_search({"content.contains": "0"}).found_in(one),
    "the last page": lambda one: shown_page(one, 398, 400),
    "an unknown id": lambda one: find_records(one, ["f" * 32]),
    "an export": lambda one: export(one, datetime(2026, 1, 1, tzinfo=UTC)),
    "a response with many items": lambda one: response(Reply(Listed(range(2000), Page(1, 2000), 2000))),
    "a page with many rows": lambda one: form_page(400),
}


@pytest.mark.parametrize("what", LONG)
def test_others_wait_for_one_turn_of_long_work(what: str) -> None:
    long, small = Counted(LONG[what](large_zone(400))), large_zone(3)

    async def both() -> list[int]:
        given = FairTurns()
        work = asyncio.create_task(given.run("tenant", long()))
        while not long.taken:
            await asyncio.sleep(0)
        waited = []
        for _ in range(5):
            before = long.taken
            await given.run("neighbour", shown_page(small, 0, 3))
            waited.append(long.taken - before)
        assert not work.done()
        await work
        return waited

    waited = asyncio.run(both())
    assert long.taken >= 100
    assert max(waited) <= 4, "the turn under way, and one after each turn of the other"


def test_response_to_a_change_waits_for_no_plan_and_no_slow_change() -> None:
    go_on = threading.Event()

    async def both(begin: Callable[[Callable[[], object]], Awaitable[object]]) -> None:
        slow = asyncio.ensure_future(begin(partial(go_on.wait, HANG_S)))
        await asyncio.sleep(0)
        actor = MagicMock(presence=None)
        assert await asyncio.wait_for(after_change(actor, lambda: "made"), HANG_S / 2) == "made"
        assert not slow.done()
        go_on.set()
        assert await slow

    asyncio.run(both(partial(planned, MagicMock(presence=None))))
    go_on.clear()
    asyncio.run(both(partial(planned_by, "author")))
