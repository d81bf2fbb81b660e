"""TCP places: limits on the open connections of all workers: in all, of each client, and of each network.

At a limit, a new connection gets the place of the connection that has been idle longest: of all connections, of the
client's, or of the network's. So unused places are lost first.
"""

from __future__ import annotations

import os
import struct
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

CLIENTS = 65_536  # counts by client, and as many by network
COUNTS = 1 + 2 * CLIENTS  # of all connections, then of each client, then of each network
REGION_SIZE = 4 * COUNTS  # octets of shared memory for each worker
CACHED_PEERS = 16_384  # addresses whose slots are cached
MOST_CLOSED = 2  # connections closed for a new one: more than one, so that a lowered limit is reached in time
ASK = struct.Struct("=II")  # a limit's index and a slot
ASKS_READ = 512  # requests of other workers answered at once

# Limits in the order of `slots_of`; reasons for closing connections, the labels of dnsd_tcp_closed_total.
LIMITS = ALL, CLIENT_LIMIT, NETWORK_LIMIT = "connections", "per_client", "per_network"


@dataclass(frozen=True, slots=True)
class PlaceLimits:
    """The most open connections, over all workers."""

    connections: int  # in all
    per_client: int  # of one IPv4 address or IPv6 /64 (RFC 4291 §2.5.4: the size of one network)
    per_network: int  # of one IPv4 /24 or IPv6 /56


class Occupant(Protocol):
    """An open connection."""

    @property
    def peer(self) -> bytes:
        """The client's packed address."""

    def abort(self, reason: str) -> None:
        """Close at once."""


class Places:
    """One worker's share of the places.

    Each worker counts its connections in its own region of shared memory and reads all regions, so that the counts of a
    dead worker can be cleared. Clients with colliding hashes are counted together; `hash` of octets is seeded for each
    tree of processes, so nobody can choose a slot. A worker knows only its own connections: if another has more of
    those concerned, it asks that worker to close one. For a moment, there are more connections than the limit.
    """

    def __init__(
        self,
        regions: Sequence[memoryview],
        index: int,
        limits: PlaceLimits,
        *,
        asks: Sequence[tuple[int, int]] = (),
    ) -> None:
        """`regions`: one for each worker, of REGION_SIZE zeroed octets; this worker writes only to `regions[index]`.

        `asks`: for each worker, both ends of a non-blocking pipe with requests to it.
        """
        self.limits = limits
        self._counts = [region.cast("I") for region in regions]
        self._own = self._counts[index]
        self._index = index
        self._asks = asks
        self._occupants: dict[int, OrderedDict[Occupant, None]] = {}  # by slot; the one idle longest first
        self._used_last: Occupant | None = None

    @property
    def open(self) -> int:
        """The number of open connections of all workers."""
        return self._count(0)

    def take(self, peer: bytes) -> str | None:
        """Count a new connection and make room for it at a limit; if that fails, return the limit that refuses it."""
        slots = slots_of(peer)
        for slot in slots:
            self._own[slot] += 1
        for number in (1, 2, 0):  # closing one of the client's may make room in its network and in all
            if not self._make_room(number, slots[number]):
                self._uncount(slots)
                return LIMITS[number]
        return None

    def add(self, occupant: Occupant) -> None:
        """Remember who has a place that was taken."""
        self._used_last = occupant
        for slot in slots_of(occupant.peer):
            self._occupants.setdefault(slot, OrderedDict())[occupant] = None

    def note_use(self, occupant: Occupant) -> None:
        """Note that a connection is in use now: all others have been idle for longer."""
        if occupant is self._used_last:
            return
        self._used_last = occupant
        for slot in slots_of(occupant.peer):
            self._occupants[slot].move_to_end(occupant)

    def leave(self, occupant: Occupant) -> None:
        """Give up a place."""
        if occupant is self._used_last:
            self._used_last = None
        slots = slots_of(occupant.peer)
        for slot in slots:
            occupants = self._occupants[slot]
            del occupants[occupant]
            if not occupants:
                del self._occupants[slot]
        self._uncount(slots)

    def answer_asks(self) -> None:
        """Close connections as other workers ask, where a limit is still exceeded."""
        with suppress(BlockingIOError):
            for number, slot in ASK.iter_unpack(os.read(self._asks[self._index][0], ASK.size * ASKS_READ)):
                if self._excess(number, slot) > 0:
                    self._close_one(number, slot)

    def _count(self, slot: int) -> int:
        return sum(count[slot] for count in self._counts)

    def _uncount(self, slots: Sequence[int]) -> None:
        for slot in slots:
            self._own[slot] -= 1

    def _excess(self, number: int, slot: int) -> int:
        """The connections over a limit."""
        limits = self.limits
        return self._count(slot) - (limits.connections, limits.per_client, limits.per_network)[number]

    def _make_room(self, number: int, slot: int) -> bool:
        """Have connections closed if a limit is exceeded, MOST_CLOSED at most; return False if none could be."""
        excess = self._excess(number, slot)
        closing = [self._close_where_most(number, slot) for _ in range(min(excess, MOST_CLOSED))]
        return not closing or any(closing)

    def _close_where_most(self, number: int, slot: int) -> bool:
        """Close a connection of this worker, or ask another that has more of them."""
        own = len(self._occupants.get(slot, ()))
        counts = [own if index == self._index else count[slot] for index, count in enumerate(self._counts)]
        most = max(counts)
        if most > own:
            with suppress(OSError):  # the pipe is full
                os.write(self._asks[counts.index(most)][1], ASK.pack(number, slot))
                return True
        return self._close_one(number, slot)

    def _close_one(self, number: int, slot: int) -> bool:
        """Close the connection idle longest of those counted in a slot, if any."""
        occupant = next(iter(self._occupants.get(slot, ())), None)
        if occupant is not None:
            occupant.abort(LIMITS[number])
        return occupant is not None


def open_connections(region: memoryview) -> int:
    """The number of open connections of one worker."""
    return region[:4].cast("I")[0]


def clear(region: memoryview) -> None:
    """Stop counting the connections of a dead worker."""
    region[:] = bytes(len(region))


@lru_cache(maxsize=CACHED_PEERS)
def slots_of(peer: bytes) -> tuple[int, int, int]:
    """The counts of a peer's connections: of all, of its client, of its network."""
    client, network = (peer, peer[:3]) if len(peer) == 4 else (peer[:8], peer[:7])
    return 0, 1 + hash(client) % CLIENTS, 1 + CLIENTS + hash(network) % CLIENTS
