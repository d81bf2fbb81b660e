"""Work in turns: one short turn at a time, authors in rotation, new work first, and none for clients that have gone."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from weakref import ref

import pytest

from dnsd.model.record_parts import Steps
from dnsd.process import turns
from dnsd.process.turns import NEW_IN_A_ROW, ClientGoneError, FairTurns, Presence, at_once


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


async def begun(
    given: FairTurns, worked: Worked, names: list[str], presence: Presence | None = None
) -> list[asyncio.Task[str]]:
    tasks = []
    for name in names:
        tasks.append(asyncio.create_task(given.run(name[0], at_once(worked.piece(name)), presence)))
        await asyncio.sleep(0)
    while not worked.order:
        await asyncio.sleep(0.001)
    return tasks


def test_authors_take_turns_and_each_is_served_in_order() -> None:
    async def run() -> None:
        given, worked = FairTurns(), Worked()
        tasks = await begun(given, worked, ["a1", "a2", "a3", "a4", "b1", "b2", "c1"])
        worked.release(7)
        assert await asyncio.gather(*tasks) == ["a1", "a2", "a3", "a4", "b1", "b2", "c1"]
        assert worked.order == ["a1", "a2", "b1", "c1", "a3", "b2", "a4"]
        assert worked.most == 1
        assert not given._waiting

    asyncio.run(run())


def test_failed_and_cancelled_work_keeps_no_turn() -> None:
    async def run() -> None:
        given, worked = FairTurns(), Worked()
        tasks = await begun(given, worked, ["a1!", "b1", "b2", "c1"])
        tasks[1].cancel()
        await asyncio.sleep(0)
        worked.release(1)
        with pytest.raises(ValueError, match="a1!"):
            await tasks[0]
        worked.release(10)
        assert await asyncio.gather(tasks[2], tasks[3]) == ["b2", "c1"]
        assert worked.order == ["a1!", "b2", "c1"]
        assert await given.run("d", at_once(worked.piece("d1"))) == "d1"

    asyncio.run(run())


def test_cancelled_at_the_moment_of_its_turn_passes_it_on() -> None:
    async def run() -> None:
        given, worked = FairTurns(), Worked()
        tasks = await begun(given, worked, ["a1", "b1", "c1"])
        given._give_back()  # the turn goes to b, who is cancelled before it can begin
        tasks[1].cancel()
        worked.release(3)
        assert await asyncio.gather(tasks[0], tasks[2]) == ["a1", "c1"]
        assert not given._is_taken

    asyncio.run(run())


def test_work_of_a_client_that_has_gone_is_not_done_and_leaves_at_once() -> None:
    async def run() -> None:
        given, worked, gone = FairTurns(), Worked(), Presence()
        first = (await begun(given, worked, ["a1"]))[0]
        lost = await begun(given, worked, [f"a{number}" for number in range(2, 202)], gone)
        other = (await begun(given, worked, ["b1"]))[0]
        gone.end()
        ended = await asyncio.gather(*lost, return_exceptions=True)  # before the turn under way has ended
        assert [type(one) for one in ended] == [ClientGoneError] * 200
        assert [*given._waiting] == ["b"]
        worked.release(2)
        assert await asyncio.gather(first, other) == ["a1", "b1"]
        assert worked.order == ["a1", "b1"]
        with pytest.raises(ClientGoneError):
            await given.run("a", at_once(worked.piece("a202")), gone)

    asyncio.run(run())


def test_work_under_way_ends_with_the_turn_in_which_its_client_went(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "TURN_S", 0.0)
    presence = Presence()
    steps_taken = []

    def steps() -> Steps[str]:
        for number in range(100):
            steps_taken.append(number)
            if number == 3:
                presence.end()
            yield
        return "done"

    async def run() -> None:
        given = FairTurns()
        with pytest.raises(ClientGoneError):
            await given.run("a", steps(), presence)
        assert await given.run("a", at_once(lambda: "next")) == "next"

    asyncio.run(run())
    assert steps_taken == [0, 1, 2, 3]


def test_turns_leave_the_loop_free_and_have_the_result() -> None:
    threads: set[threading.Thread] = set()

    def steps() -> Steps[str]:
        for _ in range(3):
            threads.add(threading.current_thread())
            yield
        return "done"

    assert asyncio.run(FairTurns().run("a", steps())) == "done"
    assert threads
    assert threading.main_thread() not in threads


def test_error_ends_the_work_and_frees_the_turn() -> None:
    def failing() -> Iterator[None]:
        yield
        raise KeyError("x")

    async def twice() -> None:
        given = FairTurns()
        for _ in range(2):
            with pytest.raises(KeyError):
                await given.run("a", failing())  # type: ignore[arg-type]

    asyncio.run(twice())


class Long:
    """Endless work in steps, which are counted."""

    def __init__(self) -> None:
        self.taken = 0
        self.is_over = False

    def steps(self) -> Steps[None]:
        while not self.is_over:
            self.taken += 1
            yield


@pytest.mark.parametrize("author", ["tenant", "neighbour"])
def test_new_work_goes_before_long_work_whatever_waits(monkeypatch: pytest.MonkeyPatch, author: str) -> None:
    monkeypatch.setattr(turns, "TURN_S", 0.0)
    long = [Long() for _ in range(5)]

    async def most_before() -> int:
        given = FairTurns()
        work = [asyncio.create_task(given.run("tenant", one.steps())) for one in long]
        while not all(one.taken > 2 for one in long):
            await asyncio.sleep(0)
        waited = []
        for _ in range(5):
            before = sum(one.taken for one in long)
            await given.run(author, at_once(str))
            waited.append(sum(one.taken for one in long) - before)
        for one in long:
            one.is_over = True
        await asyncio.gather(*work)
        return max(waited)

    assert asyncio.run(most_before()) <= 3, "the turns under way, not one of each of the five"


def test_much_new_work_does_not_stop_long_work() -> None:
    order: list[str] = []

    async def taking(given: FairTurns, name: str, *, is_new: bool) -> None:
        await given._take("a", Presence(), is_new=is_new)
        order.append(name)
        given._give_back()

    async def crowd() -> None:
        given = FairTurns()
        await given._take("a", Presence(), is_new=True)
        waiting = [asyncio.create_task(taking(given, "long", is_new=False))]
        waiting += [asyncio.create_task(taking(given, "new", is_new=True)) for _ in range(25)]
        await asyncio.sleep(0)
        waiting[3].cancel()
        given._give_back()
        await asyncio.gather(*waiting, return_exceptions=True)

    asyncio.run(crowd())
    assert order.index("long") == NEW_IN_A_ROW
    assert order.count("new") == 24


def test_begun_work_of_an_author_ends_before_much_more_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    """What work holds until its end is then held once or twice, however many requests there are."""
    monkeypatch.setattr(turns, "TURN_S", 0)
    under_way, most = 0, 0

    def work() -> Steps[None]:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        yield from [None] * 5
        under_way -= 1

    async def crowd() -> None:
        given = FairTurns(is_new_first=False)
        await asyncio.gather(*[given.run("a", work()) for _ in range(20)])

    asyncio.run(crowd())
    assert most <= 2


class Data:
    """What the work of a request refers to."""


def test_work_of_a_client_that_has_gone_is_freed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not by the garbage collector, which would end it in any thread, at any time."""
    monkeypatch.setattr(turns, "TURN_S", 0.0)

    def steps(data: Data, taken: list[int]) -> Steps[str]:
        while True:
            taken.append(id(data))
            yield

    async def request(given: FairTurns, work: Steps[str], presence: Presence) -> None:
        with suppress(ClientGoneError):
            await given.run("a", work, presence)

    async def run() -> None:
        given, presence, other, data, taken = FairTurns(), Presence(), Presence(), Data(), list[int]()
        kept = ref(data)
        tasks = [asyncio.create_task(request(given, steps(data, taken), presence))]
        tasks += [asyncio.create_task(request(given, steps(Data(), []), other)) for _ in range(2)]
        del data
        while not (taken and presence._waiting):
            await asyncio.sleep(0)
        presence.end()
        await tasks[0]
        assert kept() is None
        other.end()
        await asyncio.gather(*tasks)

    gc.disable()
    try:
        asyncio.run(run())
    finally:
        gc.enable()
