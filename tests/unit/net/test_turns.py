"""Turns: one budget per pass for all TCP sockets, in rotation, with datagrams between; on a simulated clock."""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import groupby

import pytest

from dnsd.net.places import REGION_SIZE, PlaceLimits, Places
from dnsd.net.tcp import TcpServer
from dnsd.net.tcp_connection import TURN, UNREAD_LIMIT, TcpLimits
from dnsd.net.turns import BUDGET_S, Turns
from dnsd.wire.framing import frame
from tests.limits import HANG_S

ANSWER_S = 37e-6  # the cost of an answer on the clock
LOOK_S = 3e-6  # the cost of all else between two reads of the clock
PASSES = 20_000  # limit on passes of the event loop


class Clock:
    """A clock that advances with each read and each answer."""

    def __init__(self) -> None:
        self.now = 0.0
        self.looks = 0

    def __call__(self) -> float:
        self.now += LOOK_S
        self.looks += 1
        return self.now


class Scene:
    """A TCP server, and a datagram socket that always has data to read."""

    def __init__(self, loop: asyncio.AbstractEventLoop, *, reply_size: int = 30) -> None:
        self.clock = Clock()
        self.loop = loop
        self.turns = Turns(loop, clock=self.clock)
        self.answered: list[int] = []  # clients in the order of their queries' answers
        self.answered_at: list[float] = []
        self.datagrams_at: list[float] = []  # when datagrams had their turn
        self._reply_size = reply_size
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=512)
        self._listening.setblocking(False)
        self.counts: Counter[tuple[str, ...]] = Counter()
        self.server = TcpServer(
            loop,
            self._listening,
            self.respond,
            turns=self.turns,
            places=Places([memoryview(bytearray(REGION_SIZE))], 0, PlaceLimits(1000, 1000, 1000)),
            limits=TcpLimits(idle_s=300, first_byte_s=300, queries=10**9),
            count=self.count,
            observe=lambda made, seconds: None,
        )
        self._ours, self._theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._theirs.send(b"never read")

    def count(self, name: str, /, *labels: str) -> None:
        self.counts[name, *labels] += 1

    def respond(self, message: bytes, peer: bytes) -> bytes:
        self.clock.now += ANSWER_S
        self.answered.append(int.from_bytes(message))
        self.answered_at.append(self.clock.now)
        return bytes(self._reply_size)

    def start(self) -> None:
        self.server.start()
        self.loop.add_reader(self._ours, lambda: self.datagrams_at.append(self.clock.now))

    def close(self) -> None:
        self.loop.remove_reader(self._ours)
        self.turns.close()
        for sock in (self._listening, self._ours, self._theirs):
            sock.close()

    def connect(self, number: int, queries: int) -> socket.socket:
        """Connect a client that sends this many queries at once; answers record its number."""
        client = socket.create_connection(self._listening.getsockname(), timeout=HANG_S)
        client.sendall(frame(number.to_bytes(4)) * queries)
        return client

    async def until(self, is_done: Callable[[], bool]) -> None:
        for _ in range(PASSES):
            if is_done():
                return
            await asyncio.sleep(0)
        raise AssertionError(f"{len(self.answered)} answers after {PASSES} passes")

    def gaps_s(self) -> list[float]:
        """The times between the turns of datagrams."""
        return [after - before for before, after in zip(self.datagrams_at, self.datagrams_at[1:], strict=False)]


def run(act: Callable[[Scene], Awaitable[None]], **options: int) -> Scene:
    """Run the scene after `act`; return it."""
    loop = asyncio.new_event_loop()
    scene = Scene(loop, **options)

    async def acted() -> None:
        await act(scene)
        await scene.server.finish(0)

    try:
        loop.run_until_complete(acted())
    finally:
        scene.close()
        loop.close()
    return scene


@contextmanager
def clients(scene: Scene, count: int, queries: int) -> Iterator[list[socket.socket]]:
    with ExitStack() as stack:
        yield [stack.enter_context(scene.connect(number, queries)) for number in range(count)]


@pytest.mark.parametrize(("count", "queries"), [(1, 900), (7, 300), (60, 120), (200, 5)])
def test_datagrams_wait_for_one_budget_with_any_number_of_connections(count: int, queries: int) -> None:
    async def act(scene: Scene) -> None:
        with clients(scene, count, queries):
            scene.start()
            await scene.until(lambda: len(scene.answered) == count * queries)

    scene = run(act)
    # Work begun when the budget is spent is still finished: one answer and the checks around it.
    assert max(scene.gaps_s()) <= BUDGET_S + ANSWER_S + 10 * LOOK_S
    assert len(scene.datagrams_at) >= scene.clock.now / (BUDGET_S + ANSWER_S + 10 * LOOK_S)


@pytest.mark.parametrize("count", [3, 40])
def test_connections_have_turns_one_after_another(count: int) -> None:
    async def act(scene: Scene) -> None:
        with clients(scene, count, 200):
            scene.start()
            await scene.until(lambda: len(scene.answered) == 200 * count)

    scene = run(act)
    assert Counter(scene.answered) == dict.fromkeys(range(count), 200)
    turns = [client for client, _ in groupby(scene.answered)]
    accepted = next(place for place in range(len(turns)) if len(set(turns[:place])) == count)
    while_all_ask = turns[accepted : accepted + 2 * count]
    assert len(while_all_ask) == 2 * count
    assert max(Counter(while_all_ask).values()) == min(Counter(while_all_ask).values())


def test_turn_of_a_connection_is_bounded() -> None:
    async def act(scene: Scene) -> None:
        with clients(scene, 2, 300):
            scene.start()
            await scene.until(lambda: len(scene.answered) == 600)

    scene = run(act)
    assert max(len(list(turn)) for _, turn in list(groupby(scene.answered))[:6]) <= min(TURN, 1 + BUDGET_S / ANSWER_S)


def test_newcomer_waits_for_two_rounds_at_most() -> None:
    busy, newcomer = 30, 99
    asked_at: list[int] = []

    async def act(scene: Scene) -> None:
        with clients(scene, busy, 1000):
            scene.start()
            await scene.until(lambda: len(set(scene.answered)) == busy)
            with scene.connect(newcomer, 1):
                asked_at.append(len(scene.answered))
                await scene.until(lambda: newcomer in scene.answered)

    scene = run(act)
    since = scene.answered[asked_at[0] : scene.answered.index(newcomer)]
    # One round until it is accepted, one until it is read.
    assert len(list(groupby(since))) <= 2 * (busy + 1)


def test_clients_that_do_not_read_have_no_turns() -> None:
    looks: list[int] = []

    async def act(scene: Scene) -> None:
        with clients(scene, 5, 400):
            scene.start()
            last = -1
            while last != len(scene.answered):
                last = len(scene.answered)
                await asyncio.sleep(0.2)
            before = scene.clock.looks
            for _ in range(50):
                await asyncio.sleep(0.001)
            looks.append(scene.clock.looks - before)

    scene = run(act, reply_size=60_000)
    assert len(scene.answered) < 5 * 400
    assert len(scene.answered) >= UNREAD_LIMIT // 60_000
    assert looks == [0]


def test_short_lived_connections_are_bounded_too() -> None:
    async def act(scene: Scene) -> None:
        scene.start()
        for _ in range(3):
            with clients(scene, 150, 0):
                pass
        await scene.until(lambda: scene.counts["dnsd_tcp_closed_total", "client"] == 450)

    scene = run(act)
    assert max(scene.gaps_s()) <= BUDGET_S + 10 * LOOK_S
