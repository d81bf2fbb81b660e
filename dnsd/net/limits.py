"""The limit on one client's share of the answers: responses per second.

It counts in memory shared by all workers, allocated before the fork and passed in as a memoryview, without locks: the
effect of a race is at most a few responses.

Slots are chosen by `hash`. Python seeds the hash of `bytes` and `str` at random once per process tree: forked workers
share the seed and agree on slots, and an attacker cannot predict which clients share a slot. (Hashes of numbers are
not seeded; all hashed values here include an address as bytes.)
"""

from __future__ import annotations

import mmap
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from functools import lru_cache, partial
from ipaddress import IPv4Network, IPv6Network

from dnsd.wire.addresses import MAPPED, packed_ip

PASS, DROP, SLIP = 0, 1, 2  # verdicts on a response

Network = tuple[int, int, bytes]  # octets of an address, prefix length, network address

CACHED_PEERS = 16_384  # addresses whose network or slot is cached
BURST_S = 1.0  # seconds' worth of responses that may go out at once


class RateLimiter:
    """Limits the responses of a kind to a network by GCRA: a leaky bucket whose state is one number.

    The number is the time on the monotonic clock at which the responses so far would have been sent at an even pace. It
    is kept in a slot of `table` (format "d", zeroed), chosen by a hash of network and kind. Slots have no tags: if two
    hashes collide, both share one rate. So the table has a fixed size, and a flood from forged addresses evicts no
    client. Two workers that use a slot at the same instant may count two responses as one.
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
        excess: bytearray | mmap.mmap | None = None,
    ) -> None:
        """0 responses per second: no limit; `slip` n: each n-th excess response is truncated, not dropped; 0: never.

        `excess` are zeroed octets, as many as `table` has rates, kept from limiter to limiter: a large table of its own
        for each would leave holes in memory.
        """
        self._times = table
        self._size = len(table)
        self._slip = slip
        # For each slot the excess responses since the last truncated response.
        self._excess = bytearray(self._size) if excess is None else excess
        self._interval_s = 1 / responses_per_second if responses_per_second else 0.0
        # Half an interval compensates for rounding: a burst is exactly one second's worth.
        self._ahead_s = BURST_S - self._interval_s / 2
        # Functions without a reference to the limiter: a reference cycle would keep a replaced limiter alive.
        find = partial(_limited_network, {4: ipv4_prefix, 16: ipv6_prefix}, [_network(one) for one in exempt])
        self._network_of_ip = lru_cache(maxsize=CACHED_PEERS)(find)
        self._network_of_peer = lru_cache(maxsize=CACHED_PEERS)(partial(_network_of_peer, find))

    def verdict(self, peer: str, key: Hashable, now: float) -> int:
        """PASS, DROP or SLIP for a response of the kind `key` to the address `peer`, at `now` on the monotonic clock.

        A kind is a set of responses that an attacker could repeat: a name and type, or NXDOMAIN from a zone.
        """
        network = self._network_of_peer(peer)
        if network is None or not self._interval_s:
            return PASS
        slot = hash((network, key)) % self._size
        return PASS if self._take(slot, now) else self._verdict_on_excess(slot)

    def passes(self, ip: bytes, key: Hashable, now: float) -> bool:
        """Whether the verdict for a packed address is PASS; if not, `verdict` decides between DROP and SLIP."""
        network = self._network_of_ip(ip)
        return network is None or self._take(hash((network, key)) % self._size, now)

    def _take(self, slot: int, now: float) -> bool:
        """Take a response from a slot's allowance; False if it is used up."""
        time = self._times[slot]
        if time < now:
            time = now
        if time - now > self._ahead_s:
            return False
        self._times[slot] = time + self._interval_s
        return True

    def limits(self, peer: str) -> bool:
        """Whether the peer is limited at all; if not, the kinds of its responses do not matter."""
        return bool(self._interval_s) and self._network_of_peer(peer) is not None

    def limits_ip(self, ip: bytes) -> bool:
        """Whether a packed address is limited at all."""
        return bool(self._interval_s) and self._network_of_ip(ip) is not None

    def _verdict_on_excess(self, slot: int) -> int:
        if not self._slip:
            return DROP
        excess = self._excess[slot] + 1
        self._excess[slot] = excess % self._slip
        return DROP if excess < self._slip else SLIP


def _limited_network(lengths: Mapping[int, int], exempt: Sequence[Network], ip: bytes) -> bytes | None:
    """The network whose rate limit applies to an address; None if the address is exempt."""
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
    """The address with only its first `length` bits, the others zero."""
    host_bits = 8 * len(ip) - length
    return (int.from_bytes(ip) >> host_bits << host_bits).to_bytes(len(ip))
