"""`build_snapshot`: from the dataset to the snapshot.

Unchanged parts are reused from the previous snapshot: the nodes of a zone, the table of all names, and the addresses of
members with unchanged maps. An edit of an address map replaces the entries of its members and touches no name, whether
one name depends on it or a million.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Any

from dnsd.compile.edge import build_addresses
from dnsd.compile.zone import build_zone
from dnsd.engine.answer import POOL, Answer, EdgeSource, Rrset, build_answer
from dnsd.engine.compile_node import answering_node, child_apex_node
from dnsd.engine.derive import TARGET_CIRCULAR, TARGET_OUTSIDE, Trace, answer_at
from dnsd.engine.names import NameTable, renewed_names
from dnsd.engine.node import REFUSED_NODE, UNVERIFIED_NODE, Flattened, Node, is_followed
from dnsd.engine.snapshot import Addresses, BuiltZone, MapsUsed, Snapshot
from dnsd.errors import BrokenRule, Problem
from dnsd.model.advertisement import NO_ROUTES, REACHABLE, Routes, unreachable
from dnsd.model.dataset import Dataset
from dnsd.model.fields import IPAddress
from dnsd.model.maps import Considered, Effective, MemberKind, MissingFamily, effective
from dnsd.model.zones import Zone, closest
from dnsd.wire.message import CH, NSID, pack_option
from dnsd.wire.names import ROOT, ancestors, name_text, parse_name_text
from dnsd.wire.rdata import CNAME, TXT, A

CompiledKey = tuple[tuple[IPAddress, ...], tuple[EdgeSource, EdgeSource]]
Compiled = dict[CompiledKey, Addresses]  # addresses compiled already

FEW_ZONES = 16  # changed zones up to which names are edited one by one

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


def build_snapshot(
    dataset: Dataset, options: Options, previous: Snapshot | None = None, *, observed: Routes = NO_ROUTES
) -> Snapshot:
    """Build the snapshot for `dataset`, which must have no errors; `observed` are the routes seen on routers."""
    old_zones = previous.zones if previous else {}
    zones = {zone.id: _built(zone, dataset, old_zones.get(zone.id)) for zone in dataset.zones_by_name.values()}
    lost = unreachable(dataset.accounts, dataset.maps.values(), dataset.declared_routes, observed)
    used = MapsUsed(dataset.maps_by_member, options.missing_family, lost)
    by_zone, by_account = _effective_addresses(dataset, used, previous)
    names, longest = _names(zones, previous)
    return Snapshot(
        names=names,
        longest=longest,
        by_zone=by_zone,
        by_account=by_account,
        default=_addresses(options.default_addresses),
        refused=REFUSED_NODE,
        chaos=_chaos(options),
        nsid=pack_option(NSID, options.nsid.encode()) if options.nsid else b"",
        revision=previous.revision + 1 if previous else 1,
        zones=zones,
        maps=used,
    )


def _names(zones: Mapping[str, BuiltZone], previous: Snapshot | None) -> tuple[NameTable, int]:
    """The table of the names of all zones, and an upper bound on the octets of a name."""
    if previous:
        old = previous.zones
        changed = {zone_id for zone_id in (*old, *zones) if old.get(zone_id) is not zones.get(zone_id)}
        if not changed:
            return previous.names, previous.longest
        edited = _edited_names(previous, zones, changed)
        if edited is not None:
            added = (len(name) for zone_id in changed if zone_id in zones for name in zones[zone_id].names)
            return edited, max([previous.longest, *added])
    found = _all_names(zones.values())
    names = renewed_names(previous.names if previous else None, *found)
    return names, max(map(len, found[0]), default=len(ROOT))


def _edited_names(previous: Snapshot, zones: Mapping[str, BuiltZone], changed: set[str]) -> NameTable | None:
    """The previous names, updated for the changed zones; None if that is not simple, or not worthwhile.

    It is simple if no changed zone lies in another zone or contains another zone.
    """
    old = previous.zones
    touched = sum(len(of[zone_id].names) for of in (old, zones) for zone_id in changed if zone_id in of)
    if len(changed) > FEW_ZONES or not previous.names.has_room(touched):
        return None
    apexes = {built.zone.name for of in (old, zones) for zone_id in changed if (built := of.get(zone_id))}
    others = {built.zone.name for of in (old, zones) for built in of.values()}
    if any(not others.isdisjoint(ancestors(apex)) for apex in apexes):
        return None
    if any(name.endswith(tuple(apexes)) and name not in apexes for name in others):
        return None
    names = previous.names.copy()
    after = {name: node for zone_id in changed if zone_id in zones for name, node in zones[zone_id].items()}
    for name in {name for zone_id in changed if zone_id in old for name in old[zone_id].names} - after.keys():
        del names[name]
    for name, node in after.items():
        names[name] = node
    return names if names.has_room(0) else None


def flattening_problems(snapshot: Snapshot) -> Iterator[Problem]:
    """Warnings for flattened CNAMEs that are answered SERVFAIL: their target is not served here, or the chain loops.

    Warnings only, as the holder of the target's zone may remove it at any time, which must not affect other accounts.
    """
    indexes: dict[str, dict[bytes, int]] = {}  # zone id -> owner -> index of its CNAME
    for name, node, rule, zone in _flattened(snapshot):
        steps: Trace = []
        answer = answer_at(snapshot, node, name, A, trace=steps)
        if answer not in (TARGET_OUTSIDE, TARGET_CIRCULAR):
            continue
        if zone.id not in indexes:
            indexes[zone.id] = {zone.records.owners[i]: i for i in zone.records.of_types({CNAME})}
        index = indexes[zone.id][name]
        path, target = ("records", index, "content"), name_text(rule.target)
        if answer is TARGET_CIRCULAR:
            message = f"the CNAME chain from {name_text(name)} is a loop or too long: answered with SERVFAIL"
            yield Problem(zone.key, path, message, warning=True)
        else:
            message = f"the target of a flattened CNAME must be in the zones served here; {target} leads outside"
            if steps[-1].node is UNVERIFIED_NODE:
                message += f": the zone of {name_text(steps[-1].name)} belongs to another account and is not verified"
            yield Problem(zone.key, path, message, warning=True, rule=BrokenRule.TARGET_OUTSIDE)


def _flattened(snapshot: Snapshot) -> Iterator[tuple[bytes, Node, Flattened, Zone]]:
    """The names with a flattened CNAME, each with its node, rule and zone."""
    for built in snapshot.zones.values():
        for name in built.names if built.has_flattened else ():
            node = snapshot.names.get(name)  # may belong to another zone
            if node and node.apex and node.apex.zone_id == built.zone.id and isinstance(node.rule, Flattened):
                yield name, node, node.rule, built.zone


def _built(zone: Zone, dataset: Dataset, old: BuiltZone | None) -> BuiltZone:
    applies_maps = dataset.applies_maps(zone)
    if old is not None and old.applies_maps == applies_maps and (old.zone is zone or old.zone == zone):
        return old
    return build_zone(zone, applies_maps=applies_maps)


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


def _all_names(zones: Iterable[BuiltZone]) -> tuple[list[bytes], list[Node]]:
    """The names of all zones and their nodes; a zone hides its parent zone's data at and below its apex."""
    by_apex = {built.zone.name: built for built in zones}
    parents = {apex: parent for apex, built in by_apex.items() if (parent := _parent(built.zone, by_apex))}
    with_children = {ancestor for apex in by_apex for ancestor in ancestors(apex) if ancestor in by_apex}
    names: list[bytes] = []
    nodes: list[Node] = []
    for apex, built in by_apex.items():
        shown = _outside_children(built, by_apex) if apex in with_children else (built.names, built.nodes)
        names += shown[0]
        nodes += shown[1]
    nodes_of_parents = {parent.zone.name: dict(parent.items()) for parent in parents.values()}
    places = {name: place for place, name in enumerate(names) if name in parents} if parents else {}
    for apex, parent in parents.items():
        above = answering_node(nodes_of_parents[parent.zone.name].get, apex)
        nodes[places[apex]] = child_apex_node(nodes[places[apex]], above)
    return names, nodes


def _parent(zone: Zone, by_apex: Mapping[bytes, BuiltZone]) -> BuiltZone | None:
    """The closest enclosing zone that is served here and may answer for the name of this zone."""
    above = (by_apex[ancestor] for ancestor in ancestors(zone.name) if ancestor in by_apex)
    return next((built for built in above if is_followed(built.zone, zone)), None)


def _outside_children(built: BuiltZone, by_apex: Mapping[bytes, BuiltZone]) -> tuple[list[bytes], list[Node]]:
    names, nodes = [], []
    for name, node in built.items():
        if closest(name, by_apex) is built:
            names.append(name)
            nodes.append(node)
    return names, nodes


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
