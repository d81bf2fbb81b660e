"""Work in threads in fair turns: one piece at a time, authors in rotation."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import pytest

from dnsd.process.tasks import FairTurns


class Worked:
    """Pieces of work that wait until they are released; `order` has those that began."""

    def __init__(self) -> None:
        self.order: list[str] = []
        self.running = self.most = 0
        self._go = threading.Semaphore(0)

    def piece(self, name: str) -> Callable[[], str]:
        def work() -> str:
            self.order.append(name)
            self.running += 1
            self.most = max(self.most, self.running)
            self._go.acquire()
            self.running -= 1
            if name.endswith("!"):
                raise ValueError(name)
            return name

        return work

    def release(self, count: int = 1) -> None:
        self._go.release(count)


async def begun(turns: FairTurns, worked: Worked, names: list[str]) -> list[asyncio.Task[str]]:
    tasks = []
    for name in names:
        tasks.append(asyncio.create_task(turns.run(name[0], worked.piece(name))))
        await asyncio.sleep(0)
    while not worked.order:
        await asyncio.sleep(0.001)
    return tasks


def test_authors_take_turns_and_each_is_served_in_order() -> None:
    async def run() -> None:
        turns, worked = FairTurns(), Worked()
        tasks = await begun(turns, worked, ["a1", "a2", "a3", "a4", "b1", "b2", "c1"])
        worked.release(7)
        assert await asyncio.gather(*tasks) == ["a1", "a2", "a3", "a4", "b1", "b2", "c1"]
        assert worked.order == ["a1", "a2", "b1", "c1", "a3", "b2", "a4"]
        assert worked.most == 1
        assert not turns._waiting

    asyncio.run(run())


def test_failed_and_cancelled_work_keeps_no_turn() -> None:
    async def run() -> None:
        turns, worked = FairTurns(), Worked()
        tasks = await begun(turns, worked, ["a1!", "b1", "b2", "c1"])
        tasks[1].cancel()
        await asyncio.sleep(0)
        worked.release(1)
        with pytest.raises(ValueError, match="a1!"):
            await tasks[0]
        worked.release(10)
        assert await asyncio.gather(tasks[2], tasks[3]) == ["b2", "c1"]
        assert worked.order == ["a1!", "b2", "c1"]
        assert await turns.run("d", worked.piece("d1")) == "d1"

    asyncio.run(run())


def test_cancelled_at_the_moment_of_its_turn_passes_it_on() -> None:
    async def run() -> None:
        turns, worked = FairTurns(), Worked()
        tasks = await begun(turns, worked, ["a1", "b1", "c1"])
        turns._pass_on()  # the turn goes to b, who is cancelled before it can begin
        tasks[1].cancel()
        worked.release(3)
        assert await asyncio.gather(tasks[0], tasks[2]) == ["a1", "c1"]
        assert not turns._is_busy

    asyncio.run(run())
