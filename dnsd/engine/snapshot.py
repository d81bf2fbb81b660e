"""The snapshot: all data served at one moment, immutable, replaced as a whole by one assignment."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from dnsd.engine.answer import Answer, EdgeSource
from dnsd.engine.names import NameTable
from dnsd.engine.node import Alias, Edge, Flattened, Node, Redirection
from dnsd.wire.names import ASTERISK, ROOT, ancestors

if TYPE_CHECKING:
    from dnsd.model.advertisement import Unreachable
    from dnsd.model.fields import IPAddress
    from dnsd.model.maps import AddressMap, MissingFamily
    from dnsd.model.zones import Zone

MAX_CHAINS = 100_000  # completed chains that a snapshot caches


@dataclass(frozen=True, slots=True)
class Addresses:
    """The edge addresses of one address map, or of the default pool, compiled by `Edge` key."""

    ips: tuple[IPAddress, ...]
    sources: tuple[EdgeSource, EdgeSource]  # of IPv4, of IPv6
    answers: Mapping[int, Answer]


class ShownNames(NamedTuple):
    """The numbers of a zone's proxied names that show IPv4 addresses only, IPv6 addresses only, and both."""

    v4: int = 0
    v6: int = 0
    both: int = 0


NO_NAMES = ShownNames()


@dataclass(frozen=True, eq=False)
class BuiltZone:
    """A zone's names with their nodes, and the data that they were built from."""

    zone: Zone
    applies_maps: bool
    names: Sequence[bytes]  # a column, as only the table of all names is searched
    nodes: Sequence[Node]
    has_flattened: bool = False  # whether any of its names has a flattened CNAME
    proxied: ShownNames = NO_NAMES

    def items(self) -> Iterator[tuple[bytes, Node]]:
        """The names with their nodes."""
        return zip(self.names, self.nodes, strict=True)

    @cached_property
    def edges(self) -> Mapping[Node, int]:
        """The nodes of proxied names, each with the number of its names."""
        return {node: count for node, count in Counter(self.nodes).items() if isinstance(node.rule, Edge)}

    @cached_property
    def aliases(self) -> tuple[tuple[bytes, Alias | Flattened], ...]:
        """The names with a CNAME that is followed or flattened, and their rules."""
        if not any(isinstance(node.rule, Alias | Flattened) for node in set(self.nodes)):
            return ()
        rules = ((name, node.rule) for name, node in self.items())
        return tuple((name, rule) for name, rule in rules if isinstance(rule, Alias | Flattened))

    @cached_property
    def redirections(self) -> tuple[Redirection, ...]:
        """The DNAMEs."""
        below = (node.below.rule for node in set(self.nodes) if node.below)
        return tuple({rule.owner: rule for rule in below if isinstance(rule, Redirection)}.values())

    @cached_property
    def leads_to(self) -> frozenset[bytes]:
        """The targets of all aliases and DNAMEs, and the ancestors of these targets."""
        targets = {rule.target for rule in (*(rule for _, rule in self.aliases), *self.redirections)}
        return frozenset(name for target in targets for name in (target, *ancestors(target)))


@dataclass(frozen=True, slots=True, eq=False)
class MapsUsed:
    """The maps from which the addresses of zones and accounts were taken, and the conditions that applied."""

    by_member: Mapping[str, tuple[AddressMap, ...]]  # zone or account id -> the maps with that member
    missing_family: MissingFamily
    unreachable: Mapping[str, Unreachable] = field(default_factory=dict)  # by account id


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """All data that `respond` reads."""

    names: NameTable  # canonical name -> node, empty non-terminals included
    longest: int  # upper bound on the octets of a name, at least 1
    by_zone: Mapping[str, Addresses]  # zone id -> the addresses of the zone's map
    by_account: Mapping[str, Addresses]  # account id -> the addresses of its map, else of its immutable map
    default: Addresses
    refused: Node  # for names outside of all zones
    chaos: Mapping[bytes, Answer]  # canonical name -> answer in class CH
    nsid: bytes  # the NSID option, or empty
    revision: int
    zones: Mapping[str, BuiltZone]  # by zone id, for reuse by the next snapshot; empty in workers
    maps: MapsUsed | None = None  # likewise; None in workers
    # Completed chains by their first node, and by the query type or the last name's answer.
    chains: dict[tuple[Node, int | Answer], Answer] = field(default_factory=dict)

    def search(self, name: bytes) -> Node:
        """The node that answers for canonical `name`: its own, else that of the closest encloser (RFC 4592 §3.3.1)."""
        find = self.names.get
        node = find(name)
        if node is not None:
            return node
        # A name of 120 labels would need 120 lookups: skip suffixes longer than any served name.
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

    def place_of(self, name: bytes) -> tuple[bytes, bytes]:
        """The zone of canonical `name`, and the owner name of its answer: itself or a wildcard; b"" without one."""
        node = self.search(name)
        zone = node.apex.name if node.apex else b""
        if name in self.names:
            return zone, name
        excess, start = len(name) - self.longest, 0
        while start < excess:
            start += 1 + name[start]
        name = name[start:]
        while name not in self.names:
            if name == ROOT:
                return zone, b""
            name = name[1 + name[0] :]
        wildcard = ASTERISK + name
        return zone, wildcard if wildcard in self.names else b""

    def addresses(self, zone_id: str, account_id: str) -> Addresses:
        """The effective addresses of a zone: those of its own map, else of its account's, else the default pool."""
        return self.by_zone.get(zone_id) or self.by_account.get(account_id) or self.default

    def remember(self, node: Node, end: int | Answer, answer: Answer) -> None:
        """Cache a completed chain; clients cannot make the cache grow beyond MAX_CHAINS."""
        if len(self.chains) >= MAX_CHAINS:
            self.chains.clear()
        self.chains[node, end] = answer
