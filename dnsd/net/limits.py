"""The limit on one client's share of the answers: responses per second of a kind to a network.

A kind is a set of responses that an attacker could repeat: a name, or NXDOMAIN from a zone. Responses are limited by
GCRA: a leaky bucket whose state is one number, the time on the monotonic clock at which the responses so far would have
been sent at an even pace. It is kept in a slot of a table, chosen by a hash of network and kind. Slots have no tags: if
two hashes collide, both share one rate. So the table has a fixed size, and a flood from forged addresses evicts no
client. The hash is SipHash-1-3 with a secret key, so that an attacker cannot predict which clients share a slot.

The table is in memory shared by all workers, allocated before the fork, and used without locks: two workers that use a
slot at the same instant may count two responses as one.

The arithmetic is in limits.h, which the C loop uses without calling Python; without a compiler, in plain_limits.py.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, collapse_addresses
from typing import Protocol, TypeVar

from dnsd.compiled import require
from dnsd.wire.addresses import MAPPED

try:
    require("dnsd.net._batch")
    from dnsd.net._batch import Limiter
except ImportError:  # no compiler was found, or the system is not Linux
    from dnsd.net.plain_limits import Limiter  # type: ignore[assignment]

Ranges = tuple[bytes, bytes]  # of IPv4, of IPv6: pairs of first and last address, in order, not overlapping
OverLimit = tuple[int, int, int, bytes]  # responses dropped, slipped, logged; the last client
Network = TypeVar("Network", IPv4Network, IPv6Network)

KEY_SIZE = 16  # octets
BURST_S = 1.0  # seconds' worth of responses that may go out at once


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimits:
    """Response rate limiting, for client networks with these prefix lengths, in bits."""

    responses_per_second: int  # 0: no limit
    slip: int  # every n-th limited response is sent truncated; 0: none
    ipv4_prefix: int
    ipv6_prefix: int
    exempt: tuple[IPv4Network | IPv6Network, ...]
    log_only: bool  # count and log, but limit nothing


class RateLimiter(Protocol):
    """Verdicts on the responses of a worker, and counts of those over the limit."""

    def verdict(self, ip: bytes, kind: bytes, now: float, /) -> int:
        """PASS, DROP or SLIP for a response to a packed address, at `now` on the monotonic clock.

        SLIP: the response is sent without its records and with TC. If the limits only log, the verdict is PASS.
        """

    def drops(self, ip: bytes, kind: bytes, now: float, /) -> bool:
        """Whether to drop a response that cannot be shortened; the same as `verdict`, without SLIP."""

    def take(self) -> OverLimit:
        """The responses over the limit since the last call, and their last client."""


def rate_limiter(
    limits: RateLimits, table: memoryview[float], key: bytes, excess: bytearray | mmap.mmap
) -> RateLimiter | None:
    """The limiter with a table (format "d", zeroed) and a key that all workers share; None without a limit.

    `excess` are zeroed octets, as many as `table` has rates, kept from limiter to limiter: a large table of its own for
    each would leave holes in memory.
    """
    if not limits.responses_per_second:
        return None
    interval_s = 1 / limits.responses_per_second
    networks = [_unmapped(network) for network in limits.exempt]
    return Limiter(
        table,
        excess,
        key,
        interval_s,
        BURST_S - interval_s / 2,  # half an interval compensates for rounding: a burst is exactly one second's worth
        limits.slip,
        limits.log_only,
        (limits.ipv4_prefix, limits.ipv6_prefix),
        (
            _ranges(one for one in networks if isinstance(one, IPv4Network)),
            _ranges(one for one in networks if isinstance(one, IPv6Network)),
        ),
    )


def _unmapped(network: IPv4Network | IPv6Network) -> IPv4Network | IPv6Network:
    """The network, as an IPv4 network if it is mapped into IPv6."""
    ip, length = network.network_address.packed, network.prefixlen
    if ip.startswith(MAPPED) and length >= 8 * len(MAPPED):
        return IPv4Network((ip.removeprefix(MAPPED), length - 8 * len(MAPPED)))
    return network


def _ranges(networks: Iterable[Network]) -> bytes:
    """The first and the last address of each network, in order and not overlapping."""
    apart = sorted(collapse_addresses(networks))
    return b"".join(one.network_address.packed + one.broadcast_address.packed for one in apart)
