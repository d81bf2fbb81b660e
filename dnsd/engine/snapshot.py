"""The snapshot: everything that is served at one moment, immutable, replaced as a whole by one assignment."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dnsd.engine.answer import Answer, EdgeSource
from dnsd.engine.names import NameTable
from dnsd.engine.node import Node
from dnsd.wire.names import ROOT

if TYPE_CHECKING:
    from dnsd.model.fields import IPAddress
    from dnsd.model.maps import AddressMap, MissingFamily
    from dnsd.model.zones import Zone

MAX_CHAINS = 100_000  # completed chains that a snapshot remembers


@dataclass(frozen=True, slots=True)
class Addresses:
    """The edge addresses of one address map, or of the default pool, compiled by `Edge` key."""

    ips: tuple[IPAddress, ...]
    sources: tuple[EdgeSource, EdgeSource]  # of IPv4, of IPv6
    answers: Mapping[int, Answer]


@dataclass(frozen=True, slots=True, eq=False)
class BuiltZone:
    """A zone's names, the node of each, and what they were built from."""

    zone: Zone
    applies_maps: bool
    names: Sequence[bytes]  # in columns, as only the table of all names is searched
    nodes: Sequence[Node]
    has_flattened: bool = False  # whether a name is answered with the addresses of its CNAME's target

    def items(self) -> Iterator[tuple[bytes, Node]]:
        """Each name with its node."""
        return zip(self.names, self.nodes, strict=True)


@dataclass(frozen=True, slots=True, eq=False)
class MapsUsed:
    """What the addresses of zones and accounts were found in, and how."""

    by_member: Mapping[str, tuple[AddressMap, ...]]  # zone or account id -> the maps that name it
    missing_family: MissingFamily


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """All that `respond` reads."""

    names: NameTable  # canonical name -> node, empty non-terminals included
    longest: int  # octets of the longest of the names, or more; that of the root at least
    by_zone: Mapping[str, Addresses]  # zone id -> the addresses of the zone's map
    by_account: Mapping[str, Addresses]  # account id -> those of the account's map, else of its immutable map
    default: Addresses
    refused: Node  # for names in no zone
    chaos: Mapping[bytes, Answer]  # canonical name -> answer in class CH
    nsid: bytes  # the NSID option, or empty
    revision: int
    zones: Mapping[str, BuiltZone]  # by zone id: what the next snapshot can take over; none where that is not built
    maps: MapsUsed | None = None  # likewise
    # Completed chains by their first node, and the type asked for or what the last name answers.
    chains: dict[tuple[Node, int | Answer], Answer] = field(default_factory=dict)

    def search(self, name: bytes) -> Node:
        """The node that speaks for canonical `name`: its own, else that of the closest encloser (RFC 4592 §3.3.1)."""
        find = self.names.get
        node = find(name)
        if node is not None:
            return node
        # A name of 120 labels would be looked up 120 times: pass by what is longer than any name served.
        excess, start = len(name) - self.longest, 0
        while start < excess:
            start += 1 + name[start]
        name = name[start:]
        node = find(name) if start else None
        while node is None and name != ROOT:
            name = name[1 + name[0] :]
            node = find(name)
        if node is not None:
            return node.below or self.refused
        return self.refused

    def addresses(self, zone_id: str, account_id: str) -> Addresses:
        """The effective addresses of a zone of an account: those of its map, its account's, or the default pool."""
        return self.by_zone.get(zone_id) or self.by_account.get(account_id) or self.default

    def remember(self, node: Node, end: int | Answer, answer: Answer) -> None:
        """Keep a completed chain; the memory is bounded whatever strangers ask for."""
        if len(self.chains) >= MAX_CHAINS:
            self.chains.clear()
        self.chains[node, end] = answer
