"""Turns: all TCP sockets of a process have one time budget a pass of the event loop, and have it one after another.

The event loop is woken for one descriptor, that of a selector of our own, which all these sockets are in. So however
many of them have something to do, datagrams, control and timers wait for one budget, and nothing is done for a socket
before it is its turn: not even reading. Who comes next is remembered from pass to pass.
"""

from __future__ import annotations

import asyncio
import selectors
import socket
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE

BUDGET_S = 0.001  # a pass, as long as a turn of datagrams may take; one turn there is, always

# What may be done, of READ and WRITE, and when the budget is spent; whether there is more to do at once.
TakeTurn = Callable[[int, float], bool]


@dataclass(slots=True, eq=False)
class Seat:
    """A socket that has turns."""

    sock: socket.socket
    take_turn: TakeTurn
    wanted: int  # what it is to be told of
    found: int = 0  # what it has not been told of yet
    is_waiting: bool = False


class Turns:
    """Gives turns in rounds: who has something to do when a round begins has one turn in it."""

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
        self._left = 0  # of those that wait: the ones that have their turn in this round
        self._next_pass: asyncio.Handle | None = None
        loop.add_reader(self._selector, self._wake)

    def add(self, sock: socket.socket, take_turn: TakeTurn, wanted: int = READ) -> Seat:
        """Have a socket take turns, when there is what it wants to be told of."""
        seat = Seat(sock, take_turn, wanted)
        self._selector.register(sock, wanted, seat)
        return seat

    def want(self, seat: Seat, wanted: int) -> None:
        """Tell a socket of something else from now on."""
        if wanted != seat.wanted:
            seat.wanted = wanted
            self._selector.modify(seat.sock, wanted, seat)

    def leave(self, seat: Seat) -> None:
        """Give a socket no more turns; before it is closed."""
        seat.take_turn = _nothing  # and no circle of references is left
        self._selector.unregister(seat.sock)

    def call(self, seat: Seat) -> None:
        """Have a socket take a turn soon, whatever there is to tell it."""
        self._line_up(seat)
        if self._next_pass is None:
            self._next_pass = self._loop.call_soon(self._pass)

    def ready(self) -> set[socket.socket]:
        """The sockets that have something to be told of at this moment."""
        return {seat.sock for seat in self._found()} | {seat.sock for seat in self._waiting}

    def close(self) -> None:
        """End; the sockets are their owners' to close."""
        self._loop.remove_reader(self._selector)
        if self._next_pass:
            self._next_pass.cancel()
        self._selector.close()

    def _wake(self) -> None:
        if self._next_pass is None:  # else this pass of the event loop has had its budget
            self._pass(woken=True)

    def _pass(self, *, woken: bool = False) -> None:
        """Give turns until nobody waits, or the budget is spent; then others have theirs before it goes on."""
        self._next_pass = None
        gave = False
        try:
            gave = self._give_turns(self.clock() + self._budget_s)
        finally:
            # What may have come meanwhile waits for the next pass, too: we may be woken for it in this one.
            if self._waiting or (gave and not woken):
                self._next_pass = self._loop.call_soon(self._pass)

    def _give_turns(self, until: float) -> bool:
        """Whether there were any to give."""
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
        """Line up all that have something to do, behind those that have not finished."""
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
    """The turn of a socket that has left."""
    return False
