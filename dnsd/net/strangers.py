"""A TCP port for strangers, over TLS: a greeting, then one line of theirs and one answer. No content is known here.

Whatever they do costs a bounded share of the process: places in all and for each network, connections a second in all
and a minute for each network, octets of a line, and the time from the connection to its end, the handshake included.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

MAX_LINE = 8192  # octets
WITHIN_S = 10.0  # from the connection to its end
HANDSHAKE_S = 5.0
CLOSE_S = 1.0
AGAIN_S = 0.2  # after the system could not accept a connection
V6_NETWORK = 8  # octets: a /64 is one client's (RFC 4291 §2.5.4)

LineAnswer = Callable[[bytes], Awaitable[bytes]]  # to a line; it raises nothing


@dataclass(frozen=True, slots=True)
class StrangerLimits:
    """Places in all and of each network; connections a second in all, and a minute of each network."""

    places: int = 32
    places_each: int = 4
    per_second: int = 20
    per_minute_each: int = 10


class Allowance:
    """So many within a time: `count` at once, then one whenever another part of `within_s` has passed."""

    def __init__(self, count: int, within_s: float, now: float) -> None:
        self._count, self._each_s = count, within_s / count
        self._free_at = now - within_s  # on a clock of which each use takes `_each_s`

    def take(self, now: float) -> bool:
        """Whether one more is allowed now; then it is counted."""
        begin = max(self._free_at, now - self._each_s * self._count)
        if begin + self._each_s > now:
            return False
        self._free_at = begin + self._each_s
        return True


class Allowances:
    """An allowance for each of many: who comes after `most` others is counted anew."""

    def __init__(self, count: int, within_s: float, *, most: int = 4096) -> None:
        self._count, self._within_s, self._most = count, within_s, most
        self._each: OrderedDict[Hashable, Allowance] = OrderedDict()

    def take(self, one: Hashable, now: float) -> bool:
        """Whether one more is allowed to this one now; then it is counted."""
        allowance = self._each.pop(one, None) or Allowance(self._count, self._within_s, now)
        self._each[one] = allowance
        if len(self._each) > self._most:
            self._each.popitem(last=False)
        return allowance.take(now)


class StrangersPort:
    """Serves strangers at one socket, while `run` runs."""

    def __init__(
        self,
        listener: socket.socket,
        context: ssl.SSLContext,
        greeting: bytes,
        answer: LineAnswer,
        limits: StrangerLimits | None = None,
    ) -> None:
        """`listener` does not block; it stays open. `greeting` is sent first, and `answer` gets the line."""
        self._listener = listener
        self._context = context
        self._greeting = greeting
        self._answer = answer
        self._limits = limits or StrangerLimits()
        self._tasks: set[asyncio.Task[None]] = set()
        self._places: Counter[bytes] = Counter()
        self._each = Allowances(self._limits.per_minute_each, 60.0)
        self._all = Allowance(self._limits.per_second, 1.0, asyncio.get_running_loop().time())

    async def run(self) -> None:
        """Serve until cancelled."""
        loop = asyncio.get_running_loop()
        try:
            while True:
                try:
                    connection, address = await loop.sock_accept(self._listener)
                except OSError:  # no descriptor is left, or the stranger has gone
                    await asyncio.sleep(AGAIN_S)
                    continue
                network = _network(address[0])
                if not self._admits(network, loop.time()):
                    connection.close()
                    continue
                self._places[network] += 1
                task = loop.create_task(self._serve(connection))
                self._tasks.add(task)
                task.add_done_callback(partial(self._leave, network))
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def _admits(self, network: bytes, now: float) -> bool:
        """Whether a network may have one more connection: first by its own limits, so that it uses up nobody else's."""
        limits = self._limits
        if self._places[network] >= limits.places_each:
            return False
        is_full = len(self._tasks) >= limits.places
        return self._each.take(network, now) and not is_full and self._all.take(now)

    def _leave(self, network: bytes, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._places[network] -= 1
        if not self._places[network]:
            del self._places[network]

    async def _serve(self, connection: socket.socket) -> None:
        """Greet, read a line, answer it."""
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=MAX_LINE)
        protocol = asyncio.StreamReaderProtocol(reader)
        transport: asyncio.Transport | None = None
        with suppress(OSError, TimeoutError, ValueError):  # theirs; the second last: a line too long
            try:
                async with asyncio.timeout(WITHIN_S):
                    transport, _ = await loop.connect_accepted_socket(
                        lambda: protocol,
                        connection,
                        ssl=self._context,
                        ssl_handshake_timeout=HANDSHAKE_S,
                        ssl_shutdown_timeout=CLOSE_S,
                    )
                    writer = asyncio.StreamWriter(transport, protocol, reader, loop)
                    writer.write(self._greeting)
                    line = await reader.readline()
                    if line.endswith(b"\n"):
                        writer.write(await self._answer(line))
                    writer.close()
                    await writer.wait_closed()
            finally:
                if transport:
                    transport.abort()


def _network(host: str) -> bytes:
    """The network that counts as one stranger: an IPv4 address, or an IPv6 /64."""
    packed = ipaddress.ip_address(host.partition("%")[0]).packed
    return packed if len(packed) == 4 else packed[:V6_NETWORK]
