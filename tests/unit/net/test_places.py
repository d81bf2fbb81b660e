"""TCP places: the limits on open connections, over all workers, and who loses a place to a new connection."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnsd.net.places import ASK, REGION_SIZE, PlaceLimits, Places, clear, slots_of
from dnsd.wire.addresses import packed_ip

# Addresses of networks with different slots.
PEERS = list({slots_of(packed_ip(peer))[1:]: peer for peer in (f"198.51.{n}.1" for n in range(20))}.values())[:10]
MANY = 1_000_000


class Held:
    """An open connection that gives up its place as soon as it is closed."""

    def __init__(self, places: Places, peer: bytes) -> None:
        self.peer = peer
        self.reason = ""
        self._places = places
        places.add(self)

    def abort(self, reason: str) -> None:
        self.reason = reason
        self._places.leave(self)

    def use(self) -> None:
        self._places.note_use(self)


def opened(places: Places, peer: str) -> Held | str:
    """A new connection, or the limit that refuses it."""
    ip = packed_ip(peer)
    return places.take(ip) or Held(places, ip)


def held(places: Places, peer: str) -> Held:
    found = opened(places, peer)
    assert isinstance(found, Held)
    return found


@contextmanager
def workers(count: int, *, connections: int = MANY, client: int = MANY, network: int = MANY) -> Iterator[list[Places]]:
    regions = [memoryview(bytearray(REGION_SIZE)) for _ in range(count)]
    asks = [os.pipe() for _ in regions]
    limits = PlaceLimits(connections, client, network)
    for end in (ends := [end for pipe in asks for end in pipe]):
        os.set_blocking(end, False)
    try:
        yield [Places(regions, index, limits, asks=asks) for index in range(count)]
    finally:
        for end in ends:
            os.close(end)


NEIGHBOURS = [  # of the first address: the same client, the same network
    ("192.0.2.1", "192.0.2.1", True, True),
    ("192.0.2.1", "::ffff:192.0.2.1", True, True),
    ("192.0.2.1", "192.0.2.2", False, True),
    ("192.0.2.1", "192.0.3.1", False, False),
    ("2001:db8::1", "2001:db8::ffff:0:0:1", True, True),
    ("2001:db8::1", "2001:db8:0:1::1", False, True),
    ("2001:db8::1", "2001:db8:0:ff:1::", False, True),
    ("2001:db8::1", "2001:db8:0:100::1", False, False),
]


@pytest.mark.parametrize(("first", "second", "is_client", "is_network"), NEIGHBOURS)
def test_limits_are_by_client_and_by_network(first: str, second: str, is_client: bool, is_network: bool) -> None:
    for limits, reason, is_same in (
        ({"client": 1}, "per_client", is_client),
        ({"network": 1}, "per_network", is_network),
        ({"connections": 1}, "connections", True),
    ):
        with workers(1, **limits) as (one,):
            old, new = held(one, first), held(one, second)
            assert (old.reason, new.reason) == (reason if is_same else "", "")
            assert one.open == (1 if is_same else 2)


def test_connection_idle_longest_loses_its_place() -> None:
    with workers(1, connections=3) as (one,):
        first, second, third = (held(one, peer) for peer in PEERS[:3])
        second.use()
        first.use()
        losers = [third, second, first]
        for number, loser in enumerate(losers):
            assert held(one, PEERS[4 + number]).reason == ""
            assert [each.reason for each in losers] == ["connections"] * (number + 1) + [""] * (2 - number)
            assert loser.reason


def test_network_at_its_limit_takes_no_place_of_others() -> None:
    with workers(1, connections=20, client=5, network=10) as (one,):
        others = [held(one, peer) for peer in PEERS]
        theirs = [held(one, f"2001:db8:0:{number % 256:x}::1") for number in range(500)]
        assert not any(other.reason for other in others)
        assert [each.reason for each in theirs] == ["per_network"] * 490 + [""] * 10


def test_worker_asks_the_one_that_holds_most() -> None:
    with workers(2, client=3) as (one, other):
        old = [held(one, "192.0.2.1") for _ in range(3)]
        old[0].use()
        new = held(other, "192.0.2.1")
        assert one.open == 4  # until the first worker is asked
        one.answer_asks()
        assert [each.reason for each in (*old, new)] == ["", "per_client", "", ""]
        assert one.open == 3
        one.answer_asks()  # nothing to read


def test_asks_are_ignored_once_there_is_room() -> None:
    with workers(2, client=3) as (one, other):
        old = [held(one, "192.0.2.1") for _ in range(3)]
        held(other, "192.0.2.1")
        old[0].abort("client")
        one.answer_asks()
        assert [each.reason for each in old] == ["client", "", ""]


def test_worker_that_reads_no_asks_does_not_raise_the_limit_for_long() -> None:
    with workers(2, connections=10) as (one, other):
        for _ in range(10):
            held(one, "192.0.2.1")
        for _ in range(100):
            opened(other, "198.51.100.1")
        assert one.open <= 20


def test_connections_are_refused_if_the_other_worker_cannot_be_asked() -> None:
    with workers(2, connections=1) as (one, other):
        held(one, "192.0.2.1")
        with suppress(BlockingIOError):
            while True:
                os.write(other._asks[0][1], ASK.pack(0, 0))
        assert opened(other, "192.0.2.2") == "connections"
        assert one.open == 1


def test_lowered_limit_is_reached_as_connections_come() -> None:
    with workers(1) as (one,):
        for _ in range(20):
            held(one, "192.0.2.1")
        one.limits = PlaceLimits(MANY, 5, MANY)
        for _ in range(16):
            held(one, "192.0.2.1")
        assert one.open == 5


def test_connections_of_a_dead_worker_are_forgotten() -> None:
    regions = [memoryview(bytearray(REGION_SIZE)) for _ in range(2)]
    one, other = (Places(regions, index, PlaceLimits(10, 2, 10)) for index in range(2))
    kept = [held(each, "192.0.2.1") for each in (one, other)][1]
    clear(regions[0])
    assert other.open == 1
    kept.abort("client")
    assert other.open == 0


@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 4), st.sampled_from(["open", "use", "close"])), max_size=200)
)
def test_counts_are_those_of_open_connections(steps: list[tuple[int, int, str]]) -> None:
    with workers(3, connections=12, client=5, network=8) as three:
        everyone: list[Held] = []
        for index, number, what in steps:
            alive = [each for each in everyone if not each.reason]
            if what == "open":
                found = opened(three[index], PEERS[number])
                everyone += [found] if isinstance(found, Held) else []
            elif alive:
                one = alive[number % len(alive)]
                one.use() if what == "use" else one.abort("client")
            for each in three:
                each.answer_asks()
            assert {each.open for each in three} == {sum(not each.reason for each in everyone)}
            assert three[0].open <= 12
            clients = [each.peer for each in everyone if not each.reason]
            assert all(clients.count(packed_ip(peer)) <= 5 for peer in PEERS)
