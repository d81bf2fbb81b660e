"""`Limiter` in Python, for systems without _batch.c (limits.h is the same in C): verdicts on responses, and counts."""

from __future__ import annotations

import mmap
from bisect import bisect_right
from collections.abc import Sequence
from functools import lru_cache, partial
from typing import TYPE_CHECKING

from dnsd.net.reply import DROP, PASS, SLIP
from dnsd.wire.siphash import siphash

if TYPE_CHECKING:
    from dnsd.net.limits import OverLimit, Ranges

CACHED = 16_384  # slots kept, by address and kind


class Limiter:
    """Rates by network and kind of response, in a table that all workers share: see limits.py."""

    def __init__(
        self,
        times: memoryview[float],
        excess: bytearray | mmap.mmap,
        key: bytes,
        interval_s: float,
        ahead_s: float,
        slip: int,
        log_only: bool,
        prefixes: tuple[int, int],
        exempt: Ranges,
    ) -> None:
        """`excess` counts for each slot the responses over the limit since the last truncated one.

        `prefixes` are the lengths of an IPv4 and an IPv6 network.
        """
        self._times = times
        self._excess = excess
        self._interval_s = interval_s
        self._ahead_s = ahead_s
        self._slip = slip
        self._log_only = log_only
        # Not a method: a reference cycle would keep a replaced limiter alive.
        find = partial(_slot, key, len(times), prefixes, (_split(exempt[0], 4), _split(exempt[1], 16)))
        self._slot_of = lru_cache(maxsize=CACHED)(find)
        self._dropped = self._slipped = self._logged = 0
        self._last = b""

    def verdict(self, ip: bytes, kind: bytes, now: float, /) -> int:
        """PASS, DROP or SLIP for a response."""
        return self._judge(ip, kind, now, self._slip)

    def drops(self, ip: bytes, kind: bytes, now: float, /) -> bool:
        """Whether to drop a response that cannot be shortened."""
        return self._judge(ip, kind, now, 0) != PASS

    def take(self) -> OverLimit:
        """The responses over the limit since the last call."""
        taken = self._dropped, self._slipped, self._logged, self._last
        self._dropped = self._slipped = self._logged = 0
        self._last = b""
        return taken

    def _judge(self, ip: bytes, kind: bytes, now: float, slip: int) -> int:
        slot = self._slot_of(ip, kind)
        if slot is None:
            return PASS
        time = max(self._times[slot], now)
        if time - now > self._ahead_s:
            return self._over_limit(ip, slot, slip)
        self._times[slot] = time + self._interval_s
        return PASS

    def _over_limit(self, ip: bytes, slot: int, slip: int) -> int:
        self._last = ip
        if self._log_only:
            self._logged += 1
            return PASS
        if slip:
            excess = self._excess[slot] + 1
            self._excess[slot] = 0 if excess >= slip else excess
            if excess >= slip:
                self._slipped += 1
                return SLIP
        self._dropped += 1
        return DROP


def _slot(
    key: bytes,
    slots: int,
    prefixes: tuple[int, int],
    exempt: tuple[Sequence[bytes], Sequence[bytes]],
    ip: bytes,
    kind: bytes,
) -> int | None:
    """The slot of a kind of response to the network of an address; None for an exempt address."""
    family = len(ip) == 16
    ends = exempt[family]
    place = bisect_right(ends, ip)
    if place % 2 or (place and ends[place - 1] == ip):
        return None
    host_bits = 8 * len(ip) - prefixes[family]
    network = (int.from_bytes(ip) >> host_bits << host_bits).to_bytes(len(ip))
    octets = bytes([len(ip)]) + network + siphash(kind, key).to_bytes(8, "little")
    return siphash(octets, key) % slots


def _split(ranges: bytes, size: int) -> list[bytes]:
    return [ranges[at : at + size] for at in range(0, len(ranges), size)]
