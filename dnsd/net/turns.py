"""Turns: all TCP sockets of a process share one time budget per pass of the event loop and take turns within it.

The event loop watches a single descriptor: our own selector, with which all these sockets are registered. However many
sockets are ready, datagrams, control messages and timers wait for one budget at most, and a socket is not even read
before its turn. The order of turns is kept from pass to pass.
"""

from __future__ import annotations

import selectors
import socket
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio

READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE

BUDGET_S = 0.001  # per pass, the same as for a turn of datagrams; a pass always has at least one turn

# Takes the ready events (READ, WRITE) and the time at which the budget ends; returns whether more work is ready.
TakeTurn = Callable[[int, float], bool]


@dataclass(slots=True, eq=False)
class Seat:
    """A socket that takes turns."""

    sock: socket.socket
    take_turn: TakeTurn
    wanted: int  # events to watch
    found: int = 0  # events not yet passed to `take_turn`
    is_waiting: bool = False


class Turns:
    """Gives turns in rounds: each socket with work at the start of a round has one turn in it."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        *,
        budget_s: float = BUDGET_S,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.clock = clock
        self._loop = loop
        self._budget_s = budget_s
        self._selector = selectors.DefaultSelector()
        self._waiting: deque[Seat] = deque()
        self._left = 0  # waiting seats that still have a turn in this round
        self._next_pass: asyncio.Handle | None = None
        loop.add_reader(self._selector, self._wake)

    def add(self, sock: socket.socket, take_turn: TakeTurn, wanted: int = READ) -> Seat:
        """Register a socket for turns whenever a wanted event occurs."""
        seat = Seat(sock, take_turn, wanted)
        self._selector.register(sock, wanted, seat)
        return seat

    def want(self, seat: Seat, wanted: int) -> None:
        """Change the events that a socket waits for."""
        if wanted != seat.wanted:
            seat.wanted = wanted
            self._selector.modify(seat.sock, wanted, seat)

    def leave(self, seat: Seat) -> None:
        """Remove a socket, before it is closed."""
        seat.take_turn = _nothing  # breaks a reference cycle
        self._selector.unregister(seat.sock)

    def call(self, seat: Seat) -> None:
        """Give a socket a turn soon, also without an event."""
        self._line_up(seat)
        if self._next_pass is None:
            self._next_pass = self._loop.call_soon(self._pass)

    def ready(self) -> set[socket.socket]:
        """The sockets with events or work at this moment."""
        return {seat.sock for seat in self._found()} | {seat.sock for seat in self._waiting}

    def close(self) -> None:
        """Stop giving turns; the owners close the sockets."""
        self._loop.remove_reader(self._selector)
        if self._next_pass:
            self._next_pass.cancel()
        self._selector.close()

    def _wake(self) -> None:
        if self._next_pass is None:  # else this pass of the event loop has used its budget
            self._pass(woken=True)

    def _pass(self, *, woken: bool = False) -> None:
        """Give turns until no socket waits or the budget is spent; the rest wait for the next pass."""
        self._next_pass = None
        gave = False
        try:
            gave = self._give_turns(self.clock() + self._budget_s)
        finally:
            # Events that arrived meanwhile also wait for the next pass: the loop may yet wake us for them in this one.
            if self._waiting or (gave and not woken):
                self._next_pass = self._loop.call_soon(self._pass)

    def _give_turns(self, until: float) -> bool:
        """Give turns until `until`; return whether there were any."""
        waiting, gave = self._waiting, False
        while True:
            if self._left <= 0:
                if gave and not waiting:
                    return True
                self._begin_round()
            if not waiting:
                return gave
            seat = waiting.popleft()
            self._left -= 1
            found, seat.found, seat.is_waiting = seat.found, 0, False
            gave = True
            if seat.take_turn(found, until):
                self._line_up(seat)
            if self.clock() >= until:
                return True

    def _begin_round(self) -> None:
        """Queue all sockets with events, after the unfinished ones."""
        for seat in self._found():
            self._line_up(seat)
        self._left = len(self._waiting)

    def _found(self) -> list[Seat]:
        seats = []
        for key, events in self._selector.select(0):
            seat: Seat = key.data
            seat.found |= events
            seats.append(seat)
        return seats

    def _line_up(self, seat: Seat) -> None:
        if not seat.is_waiting:
            seat.is_waiting = True
            self._waiting.append(seat)


def _nothing(found: int, until: float) -> bool:
    """The turn of a removed socket."""
    return False
