"""Networks found by an address in them, at a cost that grows with their lengths, not with their number."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Generic, TypeVar

from dnsd.model.fields import IPAddress, IPNetwork

T = TypeVar("T")


class NetworkIndex(Generic[T]):
    """Networks, each with a value; several may be equal."""

    def __init__(self, items: Iterable[tuple[IPNetwork, T]]) -> None:
        """`items` are in the order in which `around` returns the values."""
        # By IP version and shift, then by the shifted network address.
        self._values: dict[tuple[int, int], dict[int, list[tuple[int, T]]]] = {}
        for number, (network, value) in enumerate(items):
            shift = network.max_prefixlen - network.prefixlen
            same_length = self._values.setdefault((network.version, shift), defaultdict(list))
            same_length[int(network.network_address) >> shift].append((number, value))

    def around(self, ip: IPAddress) -> list[T]:
        """The values of the networks that contain an address."""
        number = int(ip)
        found: list[tuple[int, T]] = []
        for (version, shift), networks in self._values.items():
            if version == ip.version:
                found += networks.get(number >> shift, ())
        return [value for _, value in sorted(found, key=_number)]


def _number(item: tuple[int, object]) -> int:
    return item[0]
