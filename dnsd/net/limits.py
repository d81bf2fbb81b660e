"""What one client may take of the whole server: responses a second, and TCP connections.

Both count in memory that all worker processes share, made before they were forked; here it is a memoryview. Neither
takes a lock: what a race can cost is said at each, and it is never more than a few responses or connections.

Slots are found by `hash`. Python seeds the hash of `bytes` and `str` at random once in a tree of processes: forks share
the seed, so they agree on slots, and a stranger cannot work out which clients meet in one. (Numbers alone are not
seeded; what is hashed here always holds an address as bytes.)
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from functools import lru_cache, partial
from ipaddress import IPv4Network, IPv6Network

PASS, DROP, SLIP = 0, 1, 2  # verdicts on a response

Network = tuple[int, int, bytes]  # octets of its addresses, length of its prefix, its address

CACHED_PEERS = 16_384  # addresses of which what follows from the text is kept
MAPPED = bytes(10) + b"\xff\xff"  # ::ffff:0:0/96, IPv4 in IPv6, RFC 4291 §2.5.5.2
BURST_S = 1.0  # seconds' worth of responses that may go out at once


def packed_ip(peer: str) -> bytes:
    """The 4 or 16 octets of an address as sockets write it; IPv4 in IPv6 is IPv4, a zone (`%eth0`) is left out."""
    if ":" not in peer:
        return socket.inet_pton(socket.AF_INET, peer)
    ip = socket.inet_pton(socket.AF_INET6, peer.partition("%")[0])
    return ip.removeprefix(MAPPED)


class RateLimiter:
    """How many responses of a kind a network gets: GCRA, a leaky bucket that is one number.

    The number is the time, on the monotonic clock, at which the responses sent so far would have been sent at an even
    pace. It stands in a slot of `table` (format "d", zeroed) that a hash of network and kind chooses. Slots are not
    tagged: two that meet in one share its rate, which makes the table's size a bound that a flood from forged addresses
    cannot evict anyone from. Two workers that use a slot in the same instant may count one response for two.
    """

    def __init__(
        self,
        table: memoryview[float],
        *,
        responses_per_second: int,
        slip: int,
        ipv4_prefix: int,
        ipv6_prefix: int,
        exempt: Iterable[IPv4Network | IPv6Network],
    ) -> None:
        """0 responses a second: no limit; `slip` 2: every second one too many is cut, not dropped; 0: none, 1: all."""
        self._times = table
        self._size = len(table)
        self._slip = slip
        self._excess = bytearray(self._size)  # of each slot, responses since the last one that slipped
        self._interval_s = 1 / responses_per_second if responses_per_second else 0.0
        # Half an interval makes up for rounding: a burst is exactly a second's worth.
        self._ahead_s = BURST_S - self._interval_s / 2
        # Of functions that do not know the limiter: one that refers to itself is not freed when it is replaced.
        find = partial(_limited_network, {4: ipv4_prefix, 16: ipv6_prefix}, [_network(one) for one in exempt])
        self._network_of_ip = lru_cache(maxsize=CACHED_PEERS)(find)
        self._network_of_peer = lru_cache(maxsize=CACHED_PEERS)(partial(_network_of_peer, find))

    def verdict(self, peer: str, key: Hashable, now: float) -> int:
        """PASS, DROP or SLIP for a response of the kind `key` to the address `peer`, at `now` on the monotonic clock.

        A kind is what an attacker could ask again and again: a name and type, or NXDOMAIN from a zone.
        """
        network = self._network_of_peer(peer)
        if network is None or not self._interval_s:
            return PASS
        slot = hash((network, key)) % self._size
        return PASS if self._take(slot, now) else self._verdict_on_excess(slot)

    def passes(self, ip: bytes, key: Hashable, now: float) -> bool:
        """Whether the verdict is PASS, for a packed address; one that is not is to be asked for, and is the same."""
        network = self._network_of_ip(ip)
        return network is None or self._take(hash((network, key)) % self._size, now)

    def _take(self, slot: int, now: float) -> bool:
        """Whether there is one more response in a slot, which then is taken."""
        time = self._times[slot]
        if time < now:
            time = now
        if time - now > self._ahead_s:
            return False
        self._times[slot] = time + self._interval_s
        return True

    def limits(self, peer: str) -> bool:
        """Whether the peer is limited at all: who is not need not be told apart any further."""
        return bool(self._interval_s) and self._network_of_peer(peer) is not None

    def limits_ip(self, ip: bytes) -> bool:
        """The same, for a packed address."""
        return bool(self._interval_s) and self._network_of_ip(ip) is not None

    def _verdict_on_excess(self, slot: int) -> int:
        if not self._slip:
            return DROP
        excess = self._excess[slot] + 1
        self._excess[slot] = excess % self._slip
        return DROP if excess < self._slip else SLIP


def _limited_network(lengths: Mapping[int, int], exempt: Sequence[Network], ip: bytes) -> bytes | None:
    """The network that an address shares its rate with; None if it is exempt."""
    ip = ip.removeprefix(MAPPED)
    if any(len(ip) == size and _masked(ip, length) == network for size, length, network in exempt):
        return None
    return _masked(ip, lengths[len(ip)])


def _network_of_peer(find: Callable[[bytes], bytes | None], peer: str) -> bytes | None:
    return find(packed_ip(peer))


def _network(network: IPv4Network | IPv6Network) -> Network:
    ip, length = network.network_address.packed, network.prefixlen
    if ip.startswith(MAPPED) and length >= 8 * len(MAPPED):
        ip, length = ip.removeprefix(MAPPED), length - 8 * len(MAPPED)
    return len(ip), length, ip


def _masked(ip: bytes, length: int) -> bytes:
    """The address with all but its first `length` bits zero."""
    host_bits = 8 * len(ip) - length
    return (int.from_bytes(ip) >> host_bits << host_bits).to_bytes(len(ip))


CLIENTS = 65_536  # counts of connections by client
REGION_SIZE = 4 + 2 * CLIENTS  # octets of shared memory for each worker: its total, its counts by client
MAX_COUNT = 65_535  # what one count can hold


class Admission:
    """Whether a TCP connection is let in: how many are open in all and for its client, over all workers.

    A client is an IPv4 address or an IPv6 /64 (RFC 4291 §2.5.4: what one network has). Each worker counts in its own
    region and reads all of them, so that what a dead worker had open can be cleared. Clients whose hashes meet are
    counted together. Workers that admit in the same instant may each take the last place: one too many for each worker.
    """

    def __init__(self, regions: Sequence[memoryview], index: int, *, connections: int, per_client: int) -> None:
        """`regions` of REGION_SIZE octets, zeroed, one for each worker; the one at `index` is ours to write."""
        self._totals = [region[:4].cast("I") for region in regions]
        self._counts = [region[4:].cast("H") for region in regions]
        self._total = self._totals[index]
        self._count = self._counts[index]
        self.connections = connections
        self.per_client = per_client

    @property
    def open(self) -> int:
        """Connections open now, of all workers."""
        return sum(total[0] for total in self._totals)

    def admit(self, peer: str) -> str | None:
        """None if the connection is let in and counted; else the limit it is over: `connections`, `per_client`."""
        if self.open >= self.connections:
            return "connections"
        slot = _client_slot(peer)
        if sum(count[slot] for count in self._counts) >= min(self.per_client, MAX_COUNT):
            return "per_client"
        self._total[0] += 1
        self._count[slot] += 1
        return None

    def release(self, peer: str) -> None:
        """Forget a connection that was admitted."""
        self._total[0] -= 1
        self._count[_client_slot(peer)] -= 1


def open_connections(region: memoryview) -> int:
    """Connections that one worker has open."""
    return region[:4].cast("I")[0]


def clear(region: memoryview) -> None:
    """Forget the connections of a worker that is gone."""
    region[:] = bytes(len(region))


@lru_cache(maxsize=CACHED_PEERS)
def _client_slot(peer: str) -> int:
    return hash(packed_ip(peer)[:8]) % CLIENTS
