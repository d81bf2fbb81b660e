"""Why a name is answered as it is: the zone, the node, and each address map that was considered."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from dnsd.engine.derive import MAX_CHAIN, substitute
from dnsd.engine.respond import respond
from dnsd.engine.snapshot import Alias, Edge, Flattened, Node, Redirection, Snapshot
from dnsd.model.dataset import Dataset
from dnsd.model.maps import MissingFamily, considered, effective
from dnsd.model.zones import Zone
from dnsd.wire.message import IN, RD
from dnsd.wire.names import ASTERISK, ancestors, name_text
from dnsd.wire.rdata import AAAA, ANY, NS, A

NO_STEP = "-"


@dataclass(frozen=True, slots=True)
class MapVerdict:
    """One address map in the search for addresses, in its order."""

    map: str  # key
    step: str  # zone, account, immutable; NO_STEP where it covers something else
    taken: bool
    why: str


@dataclass(frozen=True, slots=True)
class NameExplained:
    """What stands at one name on the way to the answer."""

    name: str
    zone: str | None
    account: str | None
    node: str  # how the name was matched
    served: str  # what decides the answer there
    maps: tuple[MapVerdict, ...]  # empty where no map is consulted


@dataclass(frozen=True, slots=True)
class Explanation:
    """The reply to a question, and the names that led to it."""

    reply: bytes
    names: tuple[NameExplained, ...]


def explain(
    snapshot: Snapshot, dataset: Dataset, name: bytes, qtype: int, missing_family: MissingFamily
) -> Explanation:
    """Ask `respond` the question, and retrace its way."""
    query = struct.pack("!HHHHHH", 0, RD, 1, 0, 0, 0) + name + struct.pack("!HH", qtype, IN)
    reply = respond(snapshot, query, stream=True) or b""
    names = [_explained(snapshot, dataset, step, qtype, missing_family) for step in _way(snapshot, name.lower(), qtype)]
    return Explanation(reply, tuple(names))


def _way(snapshot: Snapshot, name: bytes, qtype: int) -> Iterator[bytes]:
    """The name and, where CNAMEs lead on from it, those that they lead to."""
    seen: set[bytes] = set()
    while name not in seen and len(seen) <= MAX_CHAIN:
        seen.add(name)
        yield name
        node = snapshot.search(name)
        if qtype in node.answers:
            return
        if isinstance(node.rule, Alias) or (isinstance(node.rule, Flattened) and qtype in (A, AAAA)):
            name = node.rule.target
        elif isinstance(node.rule, Redirection):
            name = substitute(node.rule, name) or name


def _explained(
    snapshot: Snapshot, dataset: Dataset, name: bytes, qtype: int, missing_family: MissingFamily
) -> NameExplained:
    node = snapshot.search(name)
    zone = _zone_of(dataset, name)
    consults_maps = isinstance(node.rule, Edge) and qtype not in node.answers and qtype in node.rule.keys
    maps = tuple(_verdicts(dataset, zone, missing_family)) if zone and consults_maps else ()
    if consults_maps:
        served = "proxied: addresses of " + ("its map" if any(v.taken for v in maps) else "the default pool")
    else:
        served = _served(dataset, node, zone, name, qtype)
    return NameExplained(
        name=name_text(name),
        zone=f"{zone.name_text} ({_state(dataset, zone)})" if zone else None,
        account=dataset.accounts[zone.account_id].key if zone else None,
        node=_matched(snapshot, node, name),
        served=served,
        maps=maps,
    )


def _zone_of(dataset: Dataset, name: bytes) -> Zone | None:
    zones = dataset.zones_by_name
    return next((zones[part] for part in (name, *ancestors(name)) if part in zones), None)


def _state(dataset: Dataset, zone: Zone) -> str:
    if zone.paused:
        return f"{zone.status}, paused"
    if dataset.accounts[zone.account_id].settings.enforce_dns_only:
        return f"{zone.status}, its account enforces DNS-only"
    return str(zone.status)


def _matched(snapshot: Snapshot, node: Node, name: bytes) -> str:
    """How the name was found (RFC 1034 §4.3.2 step 3, RFC 4592 §3.3.1)."""
    if node.apex is None:
        return "in no zone that is served"
    closest = next((part for part in (name, *ancestors(name)) if part in snapshot.names), name)
    if _is_referral(node):
        where = name_text(node.otherwise.authority[0].owner or closest)
        return "a delegation" if closest == name else f"below the delegation of {where}"
    if closest == name:
        return "exact" if node.answers else "an empty non-terminal"
    if isinstance(node.rule, Redirection):
        return f"below the DNAME at {name_text(closest)}"
    if snapshot.names.get(ASTERISK + closest) is node:
        return f"matched by the wildcard {name_text(ASTERISK + closest)}"
    return f"no such name; the closest above it is {name_text(closest)}"


def _served(dataset: Dataset, node: Node, zone: Zone | None, name: bytes, qtype: int) -> str:
    """What decides the answer where no map does."""
    if node.apex is None or zone is None:
        return "refused"
    if qtype not in node.answers:
        match node.rule:
            case Edge():
                return "proxied: no data of this type"
            case Alias(target=target):
                return f"as stored: a CNAME to {name_text(target)}, which is followed"
            case Flattened(target=target) if qtype in (A, AAAA):
                return f"a CNAME flattened to the addresses of {name_text(target)}"
            case Redirection(target=target):
                return f"a DNAME to {name_text(target)}, which is followed"
        return "a referral" if _is_referral(node) else "no data"
    if not dataset.applies_maps(zone) and any(record.proxied for record in zone.records.at(name)):
        return "as stored: proxied, but the zone's maps are not consulted in this state"
    return "RFC 8482: one HINFO for all" if qtype == ANY else "as stored"


def _is_referral(node: Node) -> bool:
    return any(rrset.rtype == NS for rrset in node.otherwise.authority)


def _verdicts(dataset: Dataset, zone: Zone, missing_family: MissingFamily) -> Iterator[MapVerdict]:
    maps = [address_map for address_map in dataset.maps.values() if address_map.account_id == zone.account_id]
    candidates = considered(maps, zone.account_id, zone.id)
    found = effective(candidates, missing_family)
    decisive = None
    for candidate in candidates:
        step = str(candidate.step) if candidate.step else NO_STEP
        taken = found is not None and candidate in found.maps
        if candidate.passed_over:
            why = candidate.passed_over
        elif taken:
            why = "it is the first that covers the zone" if decisive is None else "it has the family that others lack"
            decisive = decisive or candidate
        else:
            why = f"{decisive.map.key} comes before it" if decisive else "it has no address of the family"
        yield MapVerdict(candidate.map.key, step, taken, why)
