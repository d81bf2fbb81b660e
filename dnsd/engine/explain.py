"""Why a name is answered as it is: the zone, the node, and each address map that was considered."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from dnsd.engine.derive import MAX_CHAIN, led_to, substitute
from dnsd.engine.respond import respond
from dnsd.engine.snapshot import Alias, Edge, Flattened, Node, Redirection, Snapshot
from dnsd.model.dataset import Dataset
from dnsd.model.maps import MissingFamily, considered, effective
from dnsd.model.zones import Status, Zone
from dnsd.wire.message import IN, RD
from dnsd.wire.names import ASTERISK, ancestors, name_text
from dnsd.wire.rdata import AAAA, ANY, NS, A

NO_STEP = "-"
FOLLOWED = "followed"
OUTSIDE = "in no zone that is served"


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
    way = _way(snapshot, name.lower(), qtype)
    names = [_explained(snapshot, dataset, *step, qtype, missing_family) for step in way]
    return Explanation(reply, tuple(names))


def _way(snapshot: Snapshot, name: bytes, qtype: int) -> Iterator[tuple[bytes, Node]]:
    """The name and, where CNAMEs lead on from it, those that they lead to; and the node of each."""
    seen: set[bytes] = set()
    node = snapshot.search(name)
    while name not in seen and len(seen) <= MAX_CHAIN:
        seen.add(name)
        yield name, node
        if qtype in node.answers:
            return
        if isinstance(node.rule, Alias) or (isinstance(node.rule, Flattened) and qtype in (A, AAAA)):
            name = node.rule.target
        elif isinstance(node.rule, Redirection):
            name = substitute(node.rule, name) or name
        node = led_to(snapshot, node, name, qtype)


def _explained(
    snapshot: Snapshot, dataset: Dataset, name: bytes, node: Node, qtype: int, missing_family: MissingFamily
) -> NameExplained:
    zone = _zone_of(dataset, name)
    consults_maps = isinstance(node.rule, Edge) and qtype not in node.answers and qtype in node.rule.keys
    maps = tuple(_verdicts(dataset, zone, missing_family)) if zone and consults_maps else ()
    if consults_maps:
        served = "proxied: addresses of " + ("its map" if any(v.taken for v in maps) else "the default pool")
    else:
        served = _served(snapshot, dataset, node, zone, name, qtype)
    return NameExplained(
        name=name_text(name),
        zone=f"{zone.name_text} ({_state(dataset, zone)})" if zone else None,
        account=dataset.accounts[zone.account_id].key if zone else None,
        node=_matched(snapshot, node, zone, name),
        served=served,
        maps=maps,
    )


def _zone_of(dataset: Dataset, name: bytes) -> Zone | None:
    zones = dataset.zones_by_name
    return next((zones[part] for part in (name, *ancestors(name)) if part in zones), None)


def _state(dataset: Dataset, zone: Zone) -> str:
    states = [str(zone.status)]
    if zone.paused:
        states.append("paused")
    elif dataset.accounts[zone.account_id].settings.enforce_dns_only:
        states.append("its account enforces DNS-only")
    if not zone.verified:
        states.append("not verified")
    return ", ".join(states)


def _matched(snapshot: Snapshot, node: Node, zone: Zone | None, name: bytes) -> str:
    """How the name was found (RFC 1034 §4.3.2 step 3, RFC 4592 §3.3.1)."""
    if node.apex is None:
        is_kept_out = zone is not None and zone.status is not Status.INITIALIZING
        return "not looked up: its zone is another account's, and not verified" if is_kept_out else OUTSIDE
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


def _served(snapshot: Snapshot, dataset: Dataset, node: Node, zone: Zone | None, name: bytes, qtype: int) -> str:
    """What decides the answer where no map does."""
    if node.apex is None or zone is None:
        return "refused"
    if qtype not in node.answers:
        match node.rule:
            case Edge():
                return "proxied: no data of this type"
            case Alias(target=target):
                how = _how_followed(snapshot, dataset, node, target, qtype)
                return f"as stored: a CNAME to {name_text(target)}, which is {how}"
            case Flattened(target=target) if qtype in (A, AAAA):
                how = _how_followed(snapshot, dataset, node, target, qtype)
                served = f"a CNAME flattened to the addresses of {name_text(target)}"
                return served if how == FOLLOWED else f"{served}, which is {how}"
            case Redirection(target=target):
                led = substitute(node.rule, name) or target
                how = _how_followed(snapshot, dataset, node, led, qtype)
                return f"a DNAME to {name_text(target)}, which is {how}"
        return "a referral" if _is_referral(node) else "no data"
    if not dataset.applies_maps(zone) and any(record.proxied for record in zone.records.at(name)):
        return "as stored: proxied, but the zone's maps are not consulted in this state"
    return "RFC 8482: one HINFO for all" if qtype == ANY else "as stored"


def _how_followed(snapshot: Snapshot, dataset: Dataset, node: Node, target: bytes, qtype: int) -> str:
    """Whether an alias is followed to `target`, and if not, why."""
    zone = _zone_of(dataset, target)
    if zone and snapshot.search(target).apex and led_to(snapshot, node, target, qtype).apex is None:
        return f"not followed: {zone.name_text} is a zone of another account, and the operator has not verified it"
    return FOLLOWED


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
