"""The snapshot: all data served at one moment, immutable, replaced as a whole by one assignment."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from dnsd.engine.answer import Answer, EdgeSource, Rrset
from dnsd.engine.edge_rules import NO_V4, NO_V6
from dnsd.engine.names import NameTable
from dnsd.engine.node import Alias, Apex, Flattened, Node, Redirection
from dnsd.wire.names import ASTERISK, ROOT, ancestors
from dnsd.wire.rdata import CNAME, DNAME

if TYPE_CHECKING:
    from dnsd.model.advertisement import Unreachable
    from dnsd.model.fields import IPAddress
    from dnsd.model.maps import AddressMap, MissingFamily
    from dnsd.model.zones import Zone

MAX_CHAINS = 100_000  # completed chains that a snapshot caches
MAX_CHAIN_OCTETS = 2**24  # of their bodies; in memory, an octet of a body needs up to 14


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


OWN_HTTPS = 64  # beside the number of an edge rule


@dataclass(frozen=True, eq=False)
class BuiltZone:
    """A zone as it was packed for the table of names, and the places of those names that changes are judged by."""

    zone: Zone
    applies_maps: bool
    apex: Apex
    number: int  # in the kinds of its names
    proxied_names: Sequence[bytes] = ()
    rules: bytes = b""  # for each of them the number of its rule, with OWN_HTTPS if it has HTTPS records of its own
    aliases_at: Sequence[int] = ()  # indexes of the CNAMEs that are followed or flattened
    flattened_at: Set[int] = frozenset()  # those that are flattened
    dnames_at: Sequence[int] = ()  # indexes of the DNAMEs

    @cached_property
    def edges(self) -> Mapping[int, int]:
        """The rules of its proxied names, each with the number of names."""
        found, left = dict[int, int](), self.rules
        while left:
            rest = left.translate(None, left[:1])
            found[left[0]] = len(left) - len(rest)
            left = rest
        return found

    @cached_property
    def proxied(self) -> ShownNames:
        """The numbers of its proxied names by the families that they show."""
        found: Counter[tuple[bool, bool]] = Counter()
        for number, names in self.edges.items():
            found[not number & NO_V4, not number & NO_V6] += names
        return ShownNames(found[True, False], found[False, True], found[True, True])

    def aliases(self) -> Iterator[tuple[bytes, Alias | Flattened]]:
        """The names with a CNAME that is followed or flattened, and their rules."""
        for index in self.aliases_at:
            record = self.zone.records[index]
            if index in self.flattened_at:
                yield record.owner, Flattened(record.ttl_s, record.target)
            else:
                yield record.owner, Alias(Rrset(None, CNAME, record.ttl_s, (record.rdata,)), record.target)

    @cached_property
    def redirections(self) -> tuple[Redirection, ...]:
        """The DNAMEs."""
        found = map(self.zone.records.__getitem__, self.dnames_at)
        return tuple(
            Redirection(Rrset(one.owner, DNAME, one.ttl_s, (one.rdata,)), one.owner, one.target) for one in found
        )

    @cached_property
    def leads_to(self) -> frozenset[bytes]:
        """The targets of all aliases and DNAMEs, and the ancestors of these targets."""
        targets = {self.zone.records.rdatas[index].lower() for index in (*self.aliases_at, *self.dnames_at)}
        return frozenset(name for target in targets for name in (target, *ancestors(target)))


@dataclass(frozen=True, slots=True, eq=False)
class MapsUsed:
    """The maps from which the addresses of zones and accounts were taken, and the conditions that applied."""

    by_member: Mapping[str, tuple[AddressMap, ...]]  # zone or account id -> the maps with that member
    missing_family: MissingFamily
    unreachable: Mapping[str, Unreachable] = field(default_factory=dict)  # by account id


class Chains(dict[tuple[Node, "int | Answer"], Answer]):
    """Completed chains by their first node, and by the query type or the last name's answer.

    Clients cannot make them grow without bound: beyond the limits, all are forgotten.
    """

    def __init__(self) -> None:
        super().__init__()
        self.octets = 0  # of the bodies

    def keep(self, node: Node, end: int | Answer, answer: Answer) -> None:
        """Add a chain."""
        if len(self) >= MAX_CHAINS or self.octets > MAX_CHAIN_OCTETS:
            self.clear()
            self.octets = 0
        self[node, end] = answer
        self.octets += len(answer.body)


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """All data that `respond` reads."""

    names: NameTable  # empty non-terminals included
    by_zone: Mapping[str, Addresses]  # zone id -> the addresses of the zone's map
    by_account: Mapping[str, Addresses]  # account id -> the addresses of its map, else of its immutable map
    default: Addresses
    refused: Node  # for names outside of all zones
    chaos: Mapping[bytes, Answer]  # canonical name -> answer in class CH
    nsid: bytes  # the NSID option, or empty
    revision: int
    zones: Mapping[str, BuiltZone]  # by zone id, for reuse by the next snapshot; empty in workers
    maps: MapsUsed | None = None  # likewise; None in workers
    chains: Chains = field(default_factory=Chains)

    def for_workers(self) -> Snapshot:
        """The same without the data of control alone, so that records replaced meanwhile are not kept with it."""
        return replace(self, zones={}, maps=None)

    def search(self, name: bytes) -> Node:
        """The node that answers for canonical `name`: its own, else that of the closest encloser (RFC 4592 §3.3.1)."""
        found = self._closest(name)
        if found is None:
            return self.refused
        return (self.names.node_at(name) if found == name else self.names.below(found)) or self.refused

    def place_of(self, name: bytes) -> tuple[bytes, bytes]:
        """The zone of canonical `name`, and the owner name of its answer: itself or a wildcard; b"" without one.

        No node is made: a sample of the questions asked once would fill the memory of nodes.
        """
        found = self._closest(name)
        if found is None:
            return b"", b""
        apex, wildcard = self.names.zone_at(found), ASTERISK + found
        owner = found if found == name else wildcard if wildcard in self.names else b""
        return apex.name if apex else b"", owner

    def _closest(self, name: bytes) -> bytes | None:
        """Canonical `name` if it exists, else its closest encloser; None outside of all zones."""
        table = self.names.table
        # A name of 120 labels would need 120 lookups: skip suffixes longer than any served name.
        excess, start = len(name) - table.longest, 0
        while start < excess:
            start += 1 + name[start]
        name = name[start:]
        while name not in table:
            if name == ROOT:
                return None
            name = name[1 + name[0] :]
        return name

    def addresses(self, zone_id: str, account_id: str) -> Addresses:
        """The effective addresses of a zone: those of its own map, else of its account's, else the default pool."""
        return self.by_zone.get(zone_id) or self.by_account.get(account_id) or self.default
