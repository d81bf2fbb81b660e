"""`build_snapshot`: from the dataset to the snapshot.

Unchanged parts are reused from the previous snapshot: the rows of a zone, the table of all names, and the addresses of
members with unchanged maps. An edit of an address map replaces the entries of its members and touches no name, whether
one name depends on it or a million.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address
from itertools import count, filterfalse
from typing import Any, NamedTuple

from dnsd.compile.edge import build_addresses
from dnsd.compile.edited_zone import edited_zone
from dnsd.compile.zone import pack_zone
from dnsd.engine.answer import POOL, Answer, EdgeSource, Rrset, build_answer
from dnsd.engine.derive import TARGET_CIRCULAR, TARGET_OUTSIDE, Trace, answer_at
from dnsd.engine.edge_rules import AS_STORED
from dnsd.engine.entry import Octets
from dnsd.engine.names import NameTable, kind_of
from dnsd.engine.node import REFUSED_NODE, UNVERIFIED_NODE, Apex, Node
from dnsd.engine.snapshot import Addresses, BuiltZone, MapsUsed, Snapshot
from dnsd.engine.table import NameRows, Table, edited, packed_table, replaced
from dnsd.errors import BrokenRule, Problem
from dnsd.model.advertisement import NO_ROUTES, REACHABLE, Routes, unreachable
from dnsd.model.dataset import Dataset
from dnsd.model.fields import IPAddress
from dnsd.model.maps import Considered, Effective, MemberKind, MissingFamily, effective
from dnsd.model.zones import Zone
from dnsd.wire.message import CH, NSID, pack_option
from dnsd.wire.names import name_text, parse_name_text
from dnsd.wire.rdata import TXT, A

CompiledKey = tuple[tuple[IPAddress, ...], tuple[EdgeSource, EdgeSource]]
Compiled = dict[CompiledKey, Addresses]  # addresses compiled already

FEW_ZONES = 16  # changed zones up to which the changed names of each are looked for

VERSION_NAMES = ("version.bind", "version.server")
IDENTITY_NAMES = ("hostname.bind", "id.server")  # RFC 4892 §3


@dataclass(frozen=True, slots=True)
class Options:
    """The operator's settings for answers."""

    default_addresses: tuple[IPAddress, ...]
    missing_family: MissingFamily = MissingFamily.NODATA
    version: str | None = None
    identity: str | None = None
    nsid: str | None = None


class BuiltChange(NamedTuple):
    """A change as it was built on the snapshot `base`, to be made of a later one."""

    base: Snapshot
    snapshot: Snapshot

    def table_on(self, previous: Snapshot, changed: Sequence[Zone], dataset: Dataset) -> Table | None:
        """The table of `previous` with these zones as they are packed here; None if they have to be packed again."""
        for zone in changed:
            before = self.base.zones.get(zone.id)
            if before is None or previous.zones.get(zone.id) is not before:
                return None
            if not _is_as_before(zone, dataset, self.snapshot.zones):
                return None
        now, base, made = (one.names.table for one in (previous, self.base, self.snapshot))
        return made.moved(base, now, [zone.name for zone in changed])


def build_snapshot(
    dataset: Dataset,
    options: Options,
    previous: Snapshot | None = None,
    *,
    observed: Routes = NO_ROUTES,
    known: BuiltChange | None = None,
) -> Snapshot:
    """Build the snapshot for `dataset`, which must have no errors; `observed` are the routes seen on routers.

    `known` is the same change as built on other data: zones that are packed there are not packed again.
    """
    packed = _packed_zones(dataset, previous, known)
    lost = unreachable(dataset.accounts, dataset.maps.values(), dataset.declared_routes, observed)
    used = MapsUsed(dataset.maps_by_member, options.missing_family, lost)
    by_zone, by_account = _effective_addresses(dataset, used, previous)
    return Snapshot(
        names=_names(packed, previous),
        by_zone=by_zone,
        by_account=by_account,
        default=_addresses(options.default_addresses),
        refused=REFUSED_NODE,
        chaos=_chaos(options),
        nsid=pack_option(NSID, options.nsid.encode()) if options.nsid else b"",
        revision=previous.revision + 1 if previous else 1,
        zones=packed.zones,
        maps=used,
    )


@dataclass(slots=True)
class _Packed:
    """All zones, and what changed of those packed anew: all their rows, or those of a few names."""

    zones: dict[str, BuiltZone] = field(default_factory=dict)  # by id
    rows: dict[bytes, tuple[int, Octets]] = field(default_factory=dict)  # by name, with the zone's kind
    edits: dict[bytes, tuple[int, NameRows]] = field(default_factory=dict)  # likewise
    table: Table | None = None  # with all of these, if they were packed for other data


def _packed_zones(dataset: Dataset, previous: Snapshot | None, known: BuiltChange | None) -> _Packed:
    old = previous.zones if previous else {}
    packed = _Packed(
        {zone.id: old[zone.id] for zone in dataset.zones_by_name.values() if _is_as_before(zone, dataset, old)}
    )
    changed = [zone for zone in dataset.zones_by_name.values() if zone.id not in packed.zones]
    if known and previous and changed and len(packed.zones) + len(changed) == len(old):
        packed.table = known.table_on(previous, changed, dataset)
        if packed.table is not None:
            packed.zones |= {zone.id: known.snapshot.zones[zone.id] for zone in changed}
            changed = []
    numbers = filterfalse({built.number for built in old.values()}.__contains__, count())
    for zone in changed:
        built, applies_maps = old.get(zone.id), dataset.applies_maps(zone)
        number, apex = built.number if built else next(numbers), _apex(zone, built)
        kind, edit = kind_of(number, AS_STORED), None
        if previous and built and built.applies_maps == applies_maps and len(changed) <= FEW_ZONES:
            edit = edited_zone(zone, apex, built, previous.names.table)
        if edit:
            packed.zones[zone.id], packed.edits[zone.name] = edit.built, (kind, edit.rows)
        else:
            packed.zones[zone.id], rows = pack_zone(zone, apex, number, applies_maps=applies_maps)
            packed.rows[zone.name] = kind, rows
    packed.zones = {zone.id: packed.zones[zone.id] for zone in dataset.zones_by_name.values()}
    return packed


def _is_as_before(zone: Zone, dataset: Dataset, old: Mapping[str, BuiltZone]) -> bool:
    """Whether a zone has the same rows as before."""
    built = old.get(zone.id)
    if built is None or built.applies_maps != dataset.applies_maps(zone):
        return False
    return built.zone is zone or built.zone == zone


def _apex(zone: Zone, built: BuiltZone | None) -> Apex:
    """The zone as workers know it; the same object as before if it is equal."""
    old = built.apex if built else None
    if old and (old.account_id, old.name, old.verified) == (zone.account_id, zone.name, zone.verified):
        return old
    return Apex(zone.id, zone.account_id, zone.name, zone.verified)


def _names(packed: _Packed, previous: Snapshot | None) -> NameTable:
    """The table of the names of all zones."""
    zones, rows, edits = packed.zones, packed.rows, packed.edits
    if packed.table is not None:
        table = packed.table
    elif previous is None or not previous.zones:
        table = packed_table(rows)
    elif not rows and not edits and zones.keys() == previous.zones.keys():
        return previous.names
    else:
        gone = _zone_names(previous.zones) - _zone_names(zones)
        table = previous.names.table
        if rows or gone:
            table = replaced(table, {**rows, **dict.fromkeys(gone)})
        for apex, (kind, changed) in edits.items():
            table = edited(table, apex, kind, changed)
    apexes: list[Apex | None] = [None] * (1 + max((built.number for built in zones.values()), default=-1))
    for built in zones.values():
        apexes[built.number] = built.apex
    return NameTable(table, apexes)


def _zone_names(zones: Mapping[str, BuiltZone]) -> set[bytes]:
    return {built.zone.name for built in zones.values()}


def flattening_problems(snapshot: Snapshot) -> Iterator[Problem]:
    """Warnings for flattened CNAMEs that are answered SERVFAIL: their target is not served here, or the chain loops.

    Warnings only, as the holder of the target's zone may remove it at any time, which must not affect other accounts.
    """
    for index, name, node, zone in _flattened(snapshot):
        steps: Trace = []
        answer = answer_at(snapshot, node, name, A, trace=steps)
        if answer not in (TARGET_OUTSIDE, TARGET_CIRCULAR):
            continue
        path, target = ("records", index, "content"), name_text(zone.records[index].target)
        if answer is TARGET_CIRCULAR:
            message = f"the CNAME chain from {name_text(name)} is a loop or too long: answered with SERVFAIL"
            yield Problem(zone.key, path, message, warning=True)
        else:
            message = f"the target of a flattened CNAME must be in the zones served here; {target} leads outside"
            if steps[-1].node is UNVERIFIED_NODE:
                message += f": the zone of {name_text(steps[-1].name)} belongs to another account and is not verified"
            yield Problem(zone.key, path, message, warning=True, rule=BrokenRule.TARGET_OUTSIDE)


def _flattened(snapshot: Snapshot) -> Iterator[tuple[int, bytes, Node, Zone]]:
    """The flattened CNAMEs: the index of each record, its owner, its node, and its zone."""
    for built in snapshot.zones.values():
        for index in sorted(built.flattened_at):
            name = built.zone.records.owners[index]
            node = snapshot.names.get(name)  # may belong to another zone
            if node is not None and node.apex is built.apex:
                yield index, name, node, built.zone


def _effective_addresses(
    dataset: Dataset, used: MapsUsed, previous: Snapshot | None
) -> tuple[dict[str, Addresses], dict[str, Addresses]]:
    """The addresses of member zones, and of accounts for their other zones; without entries for the default pool."""
    compiled = _compiled_before(previous)
    changed = _changed_members(dataset, used, previous)

    def found(candidates: Sequence[Considered], account_id: str) -> Addresses | None:
        lost = used.unreachable.get(account_id, REACHABLE)
        return _compiled(effective(candidates, used.missing_family, lost.skipped), compiled, lost.withdrawn)

    by_account = {
        account_id: previous.by_account.get(account_id)
        if previous and account_id not in changed
        else found(dataset.considered_elsewhere(account_id), account_id)
        for account_id in dataset.accounts
    }
    by_zone = {}
    for zone_id in _zones_in_maps(dataset):
        zone = dataset.zones[zone_id]
        if previous and changed.isdisjoint((zone_id, zone.account_id)) and _is_in_same_account(zone, previous):
            by_zone[zone_id] = previous.by_zone.get(zone_id)
        else:
            by_zone[zone_id] = found(dataset.considered(zone), zone.account_id)
    return _present(by_zone), _present(by_account)


def _changed_members(dataset: Dataset, used: MapsUsed, previous: Snapshot | None) -> set[str]:
    """The ids of zones and accounts whose maps, or whose search for addresses, changed since the previous snapshot."""
    old = previous.maps if previous else None
    if old is None or old.missing_family is not used.missing_family:
        return {*dataset.accounts, *dataset.zones}
    return _differing(used.by_member, old.by_member) | _differing(used.unreachable, old.unreachable)


def _differing(new: Mapping[str, Any], old: Mapping[str, Any]) -> set[str]:
    return {member for member in (*new, *old) if new.get(member) != old.get(member)}


def _is_in_same_account(zone: Zone, previous: Snapshot) -> bool:
    built = previous.zones.get(zone.id)
    return built is not None and built.zone.account_id == zone.account_id


def _compiled_before(previous: Snapshot | None) -> Compiled:
    known = (*previous.by_zone.values(), *previous.by_account.values()) if previous else ()
    return {(addresses.ips, addresses.sources): addresses for addresses in known}


def _compiled(found: Effective | None, compiled: Compiled, withdrawn: Set[IPAddress]) -> Addresses | None:
    if found is None:
        return None
    key = (*found.v4, *found.v6), (_source(found, 4, withdrawn), _source(found, 6, withdrawn))
    if key not in compiled:
        compiled[key] = _addresses(*key)
    return compiled[key]


def _source(found: Effective, version: int, withdrawn: Set[IPAddress]) -> EdgeSource:
    """The source of the addresses of a family; with `fallback`, the families may come from different maps."""
    having = (candidate for candidate in found.maps if any(ip.version == version for ip in candidate.map.ips))
    candidate = next(having, found.maps[0] if found.maps else None)
    if candidate is None:
        return POOL
    is_unadvertised = not withdrawn.isdisjoint(found.v4 if version == 4 else found.v6)
    return EdgeSource(str(candidate.step or ""), candidate.map.key, is_unadvertised)


def _zones_in_maps(dataset: Dataset) -> set[str]:
    return {
        member.identifier
        for address_map in dataset.maps.values()
        for member in address_map.memberships
        if member.kind is MemberKind.ZONE
    }


def _present(addresses: Mapping[str, Addresses | None]) -> dict[str, Addresses]:
    return {key: value for key, value in addresses.items() if value is not None}


def _addresses(ips: Sequence[IPAddress], sources: tuple[EdgeSource, EdgeSource] = (POOL, POOL)) -> Addresses:
    return build_addresses(
        [ip for ip in ips if isinstance(ip, IPv4Address)], [ip for ip in ips if isinstance(ip, IPv6Address)], sources
    )


def _chaos(options: Options) -> dict[bytes, Answer]:
    """The configured answers about the server itself in class CH."""
    texts = {**dict.fromkeys(VERSION_NAMES, options.version), **dict.fromkeys(IDENTITY_NAMES, options.identity)}
    return {
        parse_name_text(name): build_answer([Rrset(None, TXT, 0, (_string(text),), CH)], aa=False)
        for name, text in texts.items()
        if text is not None
    }


def _string(text: str) -> bytes:
    octets = text.encode()
    return bytes([len(octets)]) + octets
