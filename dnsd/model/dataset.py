"""The dataset: all accounts, address maps and zones together, and the rules between them.

`resolve_…` turn written fields into model objects, with names replaced by ids; `problems` lists the rules that a
dataset breaks. A dataset with a problem other than a warning is never served.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

from dnsd.errors import BrokenRule, Path, Problem
from dnsd.model.accounts import (
    Account,
    AccountFields,
    Approval,
    BgpPrefix,
    Binding,
    Delegation,
    PoolUse,
    Prefix,
    PrefixFields,
    contains,
)
from dnsd.model.advertisement import Routes, declared_routes, declared_warnings
from dnsd.model.fields import IPAddress, IPNetwork, derived_id
from dnsd.model.maps import MAX_ADDRESSES, AddressMap, Considered, MapFields, MemberKind, Membership, considered
from dnsd.model.pool import missing_key, pool_problems
from dnsd.model.space import lent_addresses, shared_static_ips
from dnsd.model.zone_rules import zone_problems
from dnsd.model.zones import Zone, closest
from dnsd.wire.names import parse_name_text

T = TypeVar("T", Account, AddressMap, Zone)


@dataclass(frozen=True)
class Dataset:
    """All accounts, address maps and zones, by id."""

    accounts: Mapping[str, Account]
    maps: Mapping[str, AddressMap]
    zones: Mapping[str, Zone]

    @cached_property
    def zones_by_name(self) -> Mapping[bytes, Zone]:
        """Zones by canonical name."""
        return {zone.name: zone for zone in self.zones.values()}

    def zone_of(self, name: bytes) -> Zone | None:
        """The zone that contains canonical `name`, in any state."""
        return closest(name, self.zones_by_name)

    @cached_property
    def maps_by_member(self) -> Mapping[str, tuple[AddressMap, ...]]:
        """The maps that a zone or an account is a member of, by its id."""
        found: dict[str, list[AddressMap]] = defaultdict(list)
        for address_map in self.maps.values():
            for member in address_map.memberships:
                found[member.identifier].append(address_map)
        return {identifier: tuple(maps) for identifier, maps in found.items()}

    @cached_property
    def usable_space(self) -> Mapping[str, tuple[tuple[IPNetwork, Prefix], ...]]:
        """The prefixes, or parts of other accounts' prefixes, that each account may use once they are active."""
        found: dict[str, list[tuple[IPNetwork, Prefix]]] = defaultdict(list)
        for account in self.accounts.values():
            for prefix in account.prefixes:
                found[account.id].append((prefix.cidr, prefix))
                for delegation in prefix.delegations:
                    found[delegation.account_id].append((delegation.cidr, prefix))
        return {account_id: tuple(space) for account_id, space in found.items()}

    @cached_property
    def declared_routes(self) -> Routes:
        """The declared routes to the accounts' approved prefixes."""
        return declared_routes(self.accounts.values())

    def considered(self, zone: Zone) -> list[Considered]:
        """The maps that cover a zone, in order of precedence."""
        maps = (*self.maps_by_member.get(zone.id, ()), *self.maps_by_member.get(zone.account_id, ()))
        return considered({found.id: found for found in maps}.values(), zone.account_id, zone.id)

    def considered_elsewhere(self, account_id: str) -> list[Considered]:
        """The maps that cover an account's zones without maps of their own, in order of precedence."""
        return considered(self.maps_by_member.get(account_id, ()), account_id, None)

    def account_wide(self, account_id: str) -> list[AddressMap]:
        """The maps in effect for a whole account, in order of precedence."""
        return [one.map for one in self.considered_elsewhere(account_id) if one.skipped is None]

    @cached_property
    def immutable_maps(self) -> Mapping[str, AddressMap]:
        """An immutable map in effect of each account that has one, by the account's id."""
        immutable = (one for one in self.maps.values() if one.immutable)
        return {one.account_id: one for one in immutable if considered([one], one.account_id, None)[0].skipped is None}

    @cached_property
    def barred(self) -> frozenset[str]:
        """The ids of the accounts that are barred from the default pool."""
        return frozenset(account.id for account in self.accounts.values() if self.is_barred(account))

    def is_barred(self, account: Account) -> bool:
        """Whether no name of an account may be answered from the default pool."""
        if account.pool is None:
            return account.id in self.immutable_maps
        return account.pool is PoolUse.NEVER

    def applies_maps(self, zone: Zone) -> bool:
        """Whether a zone's proxied records are answered from maps instead of as stored."""
        return zone.applies_maps and not self.accounts[zone.account_id].settings.enforce_dns_only


def resolve_accounts(written: Mapping[str, AccountFields]) -> tuple[dict[str, Account], list[Problem]]:
    """Return the accounts by folder name, with delegations resolved, and all problems found."""
    ids = {key: fields.id or derived_id("account", key) for key, fields in written.items()}
    known = {**{account_id: account_id for account_id in ids.values()}, **ids}  # by id, and by folder name
    found: list[Problem] = []
    accounts = {}
    for key, fields in written.items():
        prefixes = []
        for index, prefix in enumerate(fields.prefixes):
            delegations = []
            for number, delegation in enumerate(prefix.delegations):
                account_id = known.get(delegation.account) or known.get(delegation.account.lower())
                if account_id is None:
                    path = ("prefixes", index, "delegations", number, "account")
                    found.append(Problem(key, path, f"there is no account {delegation.account!r}"))
                else:
                    delegations.append(Delegation(delegation.cidr, account_id))
            prefixes.append(_prefix(prefix, ids[key], delegations))
        name = fields.name or key
        accounts[key] = Account(
            key, ids[key], name, tuple(prefixes), fields.static_ips, fields.settings, fields.pool, fields.withdrawn
        )
    return accounts, found


def _prefix(fields: PrefixFields, account_id: str, delegations: Iterable[Delegation]) -> Prefix:
    prefix_id = fields.id or derived_id("prefix", account_id, str(fields.cidr))
    return Prefix(
        id=prefix_id,
        cidr=fields.cidr,
        asn=fields.asn,
        approved=fields.approved,
        description=fields.description or "",
        delegations=tuple(delegations),
        bgp_prefixes=tuple(
            BgpPrefix(
                one.id or derived_id("bgp", prefix_id, str(one.cidr)),
                one.cidr,
                one.advertised,
                one.locked,
                one.asn_prepend_count,
                one.auto_advertise_withdraw,
            )
            for one in fields.bgp_prefixes
        ),
        bindings=tuple(
            Binding(one.id or derived_id("binding", prefix_id, str(one.cidr)), one.cidr, one.service)
            for one in fields.bindings
        ),
        delegate_loa_creation=fields.delegate_loa_creation,
        loa_document_id=fields.loa_document_id,
    )


def resolve_map(
    key: str, fields: MapFields, account: Account, zones_by_name: Mapping[bytes, Zone], zones: Mapping[str, Zone]
) -> tuple[AddressMap, list[Problem]]:
    """Return the address map with members resolved, and a problem for each unknown member."""
    found: list[Problem] = []
    members = []
    for index, member in enumerate(fields.memberships):
        identifier = member.identifier
        if member.kind is MemberKind.ACCOUNT:
            if identifier != account.key and identifier.lower() != account.id:
                message = f"{identifier!r} is not the map's own account, {account.key!r}"
                found.append(Problem(key, ("memberships", index, "identifier"), message))
                continue
            identifier = account.id
        else:
            zone = zones.get(identifier.lower()) or _zone_called(identifier, zones_by_name)
            if zone is None:
                found.append(Problem(key, ("memberships", index, "identifier"), f"there is no zone {identifier!r}"))
                continue
            identifier = zone.id
        members.append(Membership(member.kind, identifier, member.created_at))
    return AddressMap(
        key=key,
        id=fields.id or derived_id("map", account.id, key.rpartition("/")[2]),
        account_id=account.id,
        description=fields.description or "",
        enabled=fields.enabled,
        ips=fields.ips,
        memberships=tuple(members),
        default_sni=fields.default_sni,
        immutable=fields.immutable,
        created_at=fields.created_at,
        modified_at=fields.modified_at,
    ), found


def _zone_called(name: str, zones_by_name: Mapping[bytes, Zone]) -> Zone | None:
    try:
        return zones_by_name.get(parse_name_text(name).lower())
    except ValueError:
        return None


def build_dataset(
    accounts: Iterable[Account], maps: Iterable[AddressMap], zones: Iterable[Zone]
) -> tuple[Dataset, list[Problem]]:
    """Return the dataset of these objects, and a problem for every duplicate id or zone name."""
    found: list[Problem] = []
    zones = tuple(zones)
    named: dict[bytes, Zone] = {}
    for zone in zones:
        other = named.setdefault(zone.name, zone)
        if other is not zone:
            message = f"the zone {zone.name_text} is already served from {other.key}"
            found.append(Problem(zone.key, ("name",), message, rule=BrokenRule.ZONE_EXISTS, other=other.key))
    zones_by_id = {zone.id: zone for zone in zones} | _by_id(named.values(), found)
    return Dataset(_by_id(accounts, found), _by_id(maps, found), zones_by_id), found


def _by_id(objects: Iterable[T], found: list[Problem]) -> dict[str, T]:
    by_id: dict[str, T] = {}
    for item in objects:
        other = by_id.setdefault(item.id, item)
        if other is not item:
            found.append(Problem(item.key, ("id",), f"{other.key} has the same id", other=other.key))
    return by_id


def problems(dataset: Dataset) -> list[Problem]:
    """All problems of the dataset, warnings included."""
    return [
        *problems_between(dataset),
        *(problem for address_map in dataset.maps.values() for problem in map_problems(dataset, address_map)),
        *(problem for zone in dataset.zones.values() for problem in zone_problems(zone)),
    ]


def problems_between(dataset: Dataset) -> list[Problem]:
    """Problems of accounts and between objects, without those of a single map or zone."""
    return [
        *_prefix_problems(dataset),
        *(problem for account in dataset.accounts.values() for problem in _account_problems(account)),
        *_rivals(dataset),
        *pool_problems(dataset),
        *shared_static_ips(dataset),
    ]


def _account_problems(account: Account) -> Iterator[Problem]:
    for index, prefix in enumerate(account.prefixes):
        for number, delegation in enumerate(prefix.delegations):
            path = ("prefixes", index, "delegations", number)
            if not contains(prefix.cidr, delegation.cidr):
                yield Problem(account.key, (*path, "cidr"), f"{delegation.cidr} lies outside the prefix {prefix.cidr}")
            if delegation.account_id == account.id:
                yield Problem(account.key, (*path, "account"), "a prefix cannot be delegated to its own account")
        yield from _parts_problems(account, prefix, ("prefixes", index))


def _parts_problems(account: Account, prefix: Prefix, place: Path) -> Iterator[Problem]:
    """Problems of a prefix's BGP prefixes and bindings."""
    kinds: Mapping[str, Sequence[BgpPrefix | Binding]] = {
        "bgp_prefixes": prefix.bgp_prefixes,
        "bindings": prefix.bindings,
    }
    for kind, parts in kinds.items():
        ids: set[str] = set()
        networks: set[IPNetwork] = set()
        for number, part in enumerate(parts):
            path = (*place, kind, number)
            if not contains(prefix.cidr, part.cidr):
                yield Problem(account.key, (*path, "cidr"), f"{part.cidr} lies outside the prefix {prefix.cidr}")
            elif part.cidr in networks:
                yield Problem(account.key, (*path, "cidr"), f"{part.cidr} is listed twice")
            elif part.id in ids:
                yield Problem(account.key, (*path, "id"), "another one has the same id")
            ids.add(part.id)
            networks.add(part.cidr)


def _prefix_problems(dataset: Dataset) -> Iterator[Problem]:
    """Address space that is claimed twice."""
    claims = [
        (account, ("prefixes", index, "cidr"), prefix.cidr, prefix.approved is Approval.ACTIVE)
        for account in dataset.accounts.values()
        for index, prefix in enumerate(account.prefixes)
    ]
    claims.sort(key=lambda claim: (claim[2].version, int(claim[2].network_address), claim[2].prefixlen))
    enclosing: list[tuple[Account, Path, IPNetwork, bool]] = []
    for claim in claims:
        while enclosing and not contains(enclosing[-1][2], claim[2]):
            enclosing.pop()
        if enclosing and enclosing[-1][2] == claim[2] and enclosing[-1][0] is claim[0]:
            yield Problem(claim[0].key, claim[1], f"{claim[2]} is listed twice")
            continue
        others = [other for other in enclosing if other[0] is not claim[0]]
        # A pending prefix is an unverified claim: it must not lock out the rightful holder.
        if other := next((other for other in others if claim[3] and other[3]), None):
            message = f"{claim[2]} overlaps with {other[2]} of the account {other[0].key!r}"
            yield Problem(claim[0].key, claim[1], message, other=other[0].key)
        elif other := next(iter(others), None):
            message = f"{claim[2]} overlaps with {other[2]} of the account {other[0].key!r}; one of them is pending"
            yield Problem(claim[0].key, claim[1], message, warning=True, other=other[0].key)
        enclosing.append(claim)
    holders: dict[IPAddress, Account] = {}
    for account in dataset.accounts.values():
        for index, ip in enumerate(account.static_ips):
            holder = holders.setdefault(ip, account)
            if holder is not account:
                message = f"{ip} is a static IP of the account {holder.key!r}"
                yield Problem(account.key, ("static_ips", index), message, other=holder.key)


def map_problems(dataset: Dataset, address_map: AddressMap) -> Iterator[Problem]:
    """Problems of one address map."""
    key = address_map.key
    listed: set[IPAddress] = set()
    for index, ip in enumerate(address_map.ips[: 2 * MAX_ADDRESSES + 1]):  # more are refused below
        if ip in listed:
            yield Problem(key, ("ips", index), f"{ip} is listed twice")
        elif message := may_not_use(dataset, address_map.account_id, ip):
            yield Problem(key, ("ips", index), f"{ip} {message}", rule=BrokenRule.OUTSIDE_SPACE)
        listed.add(ip)
    for version in (4, 6):
        count = sum(ip.version == version for ip in address_map.ips)
        if count > MAX_ADDRESSES:
            yield Problem(key, ("ips",), f"{count} IPv{version} addresses; the limit is {MAX_ADDRESSES}")
    seen = set()
    for index, member in enumerate(address_map.memberships):
        path = ("memberships", index, "identifier")
        if (member.kind, member.identifier) in seen:
            yield Problem(key, path, "is already a member")
        seen.add((member.kind, member.identifier))
        if member.kind is MemberKind.ZONE:
            zone = dataset.zones[member.identifier]
            if zone.account_id != address_map.account_id:
                message = f"the zone {zone.name_text} and the map belong to different accounts"
                yield Problem(key, path, message, other=zone.key)
            elif address_map.immutable:
                yield Problem(key, path, "an immutable map is account-wide: only the account can be a member")
    yield from _without_effect(address_map)
    yield from missing_key(dataset, address_map)
    yield from declared_warnings(dataset.declared_routes, address_map)
    yield from lent_addresses(dataset, address_map)


def _without_effect(address_map: AddressMap) -> Iterator[Problem]:
    if address_map.memberships and not address_map.ips:
        yield Problem(address_map.key, ("ips",), "the map has members but no addresses: it is skipped", warning=True)
    if address_map.immutable and not (address_map.enabled and address_map.memberships):
        missing = "it is not enabled" if not address_map.enabled else "the account is not its member"
        yield Problem(address_map.key, ("immutable",), f"the immutable map has no effect: {missing}", warning=True)


def may_not_use(dataset: Dataset, account_id: str, ip: IPAddress) -> str | None:
    """The reason that an account may not use an address in its maps, as a sentence without subject; None if it may.

    An account may use its active prefixes, the parts of other accounts' active prefixes that are delegated to it, and
    its static IPs.
    """
    if ip in dataset.accounts[account_id].static_ips:
        return None
    around = [prefix for part, prefix in dataset.usable_space.get(account_id, ()) if contains(part, ip)]
    if any(prefix.approved is Approval.ACTIVE for prefix in around):
        return None
    if around:
        return f"lies in {around[0].cidr}, which is not approved yet (`approved` is P and must be V)"
    return "is outside the account's prefixes, the prefixes delegated to it, and its static IPs"


def _rivals(dataset: Dataset) -> Iterator[Problem]:
    """Warnings for maps that do not answer for a member because another of the member's maps takes precedence."""
    sharing: dict[tuple[str, bool, MemberKind, str], dict[str, AddressMap]] = defaultdict(dict)
    for address_map in dataset.maps.values():
        for member in address_map.memberships:
            key = (address_map.account_id, address_map.immutable, member.kind, member.identifier)
            sharing[key][address_map.id] = address_map
    for (account_id, _, kind, identifier), maps in sharing.items():
        if len(maps) == 1:
            continue
        zone_id = identifier if kind is MemberKind.ZONE else None
        candidates = considered(maps.values(), account_id, zone_id)
        rivals = [candidate.map for candidate in candidates if not candidate.skipped]
        for loser in rivals[1:]:
            index = next(i for i, m in enumerate(loser.memberships) if (m.kind, m.identifier) == (kind, identifier))
            what = dataset.zones[identifier].name_text if zone_id else "the account"
            message = f"{what} is also a member of {rivals[0].key}, which takes precedence"
            yield Problem(loser.key, ("memberships", index), message, warning=True)
