"""VRPs, validated ROA payloads (RFC 6811), from a JSON file as Routinator and other validators write it.

A table is 10 octets for each IPv4 VRP and 22 for each IPv6 VRP: half a million of them fit into 10 MB. All functions
block.
"""

from __future__ import annotations

import json
import mmap
import os
import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from threading import Lock
from typing import NamedTuple, TypeAlias

from dnsd.model.fields import IPNetwork

VRP = re.compile(rb'\{[^{}]*"prefix"[^{}]*\}')
ADDRESS_OCTETS, ASN_OCTETS = {4: 4, 6: 16}, 4
UNUSABLE = "no VRPs"

Stamp: TypeAlias = tuple[Path, int, int, int]  # path, inode, time of change, size


class Vrp(NamedTuple):
    """A validated ROA payload."""

    asn: int
    prefix: IPNetwork
    max_length: int


class VrpTable:
    """The VRPs of one IP version as rows: network, lengths of the prefix and of the longest route, ASN; sorted."""

    def __init__(self, address_octets: int, rows: Iterable[bytes]) -> None:
        self._address = address_octets
        self._width = address_octets + 2 + ASN_OCTETS
        self._octets = b"".join(sorted(set(rows)))

    def __len__(self) -> int:
        return len(self._octets) // self._width

    def __getitem__(self, index: int) -> bytes:
        return self._octets[index * self._width : (index + 1) * self._width]

    def covering(self, cidr: IPNetwork) -> Iterator[Vrp]:
        """The VRPs whose prefixes contain a network, the largest prefix first."""
        for length in range(cidr.prefixlen + 1):
            network = cidr.supernet(new_prefix=length)
            begin = network.network_address.packed + bytes([length])
            for index in range(bisect_left(self, begin), len(self)):
                if not (row := self[index]).startswith(begin):
                    break
                yield Vrp(int.from_bytes(row[-ASN_OCTETS:]), network, row[self._address + 1])


class VrpFile:
    """The VRPs of a file, which is parsed again only after a change."""

    def __init__(self) -> None:
        self._turn = Lock()
        self._stamp: Stamp | None = None
        self._tables: Mapping[int, VrpTable] = {}  # by IP version; empty: the file is unusable

    def covering(self, path: Path, cidr: IPNetwork) -> list[Vrp]:
        """The VRPs whose prefixes contain a network. Raises OSError, and ValueError for a file without any VRP."""
        with self._turn:
            self._read(path)
            if not self._tables:
                raise ValueError(UNUSABLE)
            return [*self._tables[cidr.version].covering(cidr)]

    def _read(self, path: Path) -> None:
        with open(path, "rb") as file:
            status = os.fstat(file.fileno())
            stamp = (path, status.st_ino, status.st_mtime_ns, status.st_size)
            if stamp == self._stamp:
                return
            self._stamp, self._tables = None, {}
            try:
                with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as octets:
                    self._tables = _tables(octets)
            except (ValueError, RecursionError):
                pass
            self._stamp = stamp


def _tables(octets: mmap.mmap) -> dict[int, VrpTable]:
    """The tables of a file's content, by IP version; none without a VRP. Raises ValueError and RecursionError."""
    rows: dict[int, list[bytes]] = {4: [], 6: []}
    has_any = False
    for match in VRP.finditer(octets):
        has_any = True
        if row := _row(json.loads(match[0])):
            rows[4 if len(row) == ADDRESS_OCTETS[4] + 2 + ASN_OCTETS else 6].append(row)
    return {version: VrpTable(ADDRESS_OCTETS[version], rows[version]) for version in rows} if has_any else {}


def _row(data: Mapping[str, object]) -> bytes | None:
    """The row of an entry; None if it has no valid VRP. Without `ip_network`, which takes most of the time."""
    try:
        address, _, digits = str(data["prefix"]).partition("/")
        asn, length, longest = (
            int(str(data["asn"]).upper().removeprefix("AS")),
            int(digits),
            int(str(data["maxLength"])),
        )
        network = (IPv6Address if ":" in address else IPv4Address)(address).packed
    except (KeyError, ValueError):
        return None
    bits = 8 * len(network)
    if not (0 <= length <= longest <= bits and 0 <= asn < 1 << 8 * ASN_OCTETS):
        return None
    if int.from_bytes(network) & ((1 << bits - length) - 1):
        return None  # not the address of a network
    return network + bytes((length, longest)) + asn.to_bytes(ASN_OCTETS)
