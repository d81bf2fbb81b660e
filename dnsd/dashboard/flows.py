"""Where answers go: the shares of questions that lead from address space over address maps to zones."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from ipaddress import ip_address

from dnsd.app import Loaded
from dnsd.engine.answer import Answer
from dnsd.engine.derive import answer_at
from dnsd.manage.recent import AskedOwners
from dnsd.model.dataset import Dataset
from dnsd.model.fields import IPAddress
from dnsd.model.maps import AddressMap
from dnsd.model.zones import Zone
from dnsd.wire.rdata import AAAA, A

MAX_SPACES, MAX_MAPS, MAX_ZONES = 6, 6, 8  # shown one by one; the others are summed up
POOL, NO_MAP, OTHER_ACCOUNT = "Default pool", "No map", "Map of another account"
STORED, NO_ADDRESSES, POOL_SPACE, STATIC, ELSEWHERE = (
    "As stored",
    "No addresses",
    "Default addresses",
    "Static IPs",
    "Other addresses",
)
REST = re.compile(r"[\d,]+ other (prefixes|maps|zones)")
FlowPath = tuple[str, str, str]  # address space, map, zone


@dataclass(frozen=True, slots=True)
class Flow:
    """The share of questions with answers from a part of the address space, by a map, in a zone."""

    space: str
    map: str
    zone: str
    share: float  # from 0 to 1


@dataclass(frozen=True, slots=True)
class Flows:
    """All flows, the largest first; the sum of their shares is 1."""

    flows: tuple[Flow, ...]
    is_of_questions: bool  # else of zones, as no question was asked


def flows_of(loaded: Loaded, asked: AskedOwners, zones: Mapping[bytes, Zone], maps: Mapping[str, AddressMap]) -> Flows:
    """The flows to these zones, by apex. `maps` are the maps that may be named, by key."""
    spaces = _Spaces(loaded.dataset, maps)
    weights: defaultdict[FlowPath, float] = defaultdict(float)
    paths = _paths_of_questions(loaded, asked, spaces) if asked else _paths_of_zones(loaded, zones, spaces)
    for path, weight in paths:
        weights[path] += weight
    return Flows(tuple(_shares(_bounded(weights))), bool(asked))


def _paths_of_questions(loaded: Loaded, asked: AskedOwners, spaces: _Spaces) -> Iterator[tuple[FlowPath, float]]:
    snapshot = loaded.snapshot
    names: dict[bytes, str] = {zone.name: zone.name_text for zone in loaded.dataset.zones_by_name.values()}
    for (zone, owner, qtype), weight in asked.items():
        node = snapshot.names.get(owner) if owner else None
        zone_text = names.get(zone, "a deleted zone")
        if node is None:
            yield (NO_ADDRESSES, NO_MAP, zone_text), weight
            continue
        answer = answer_at(snapshot, node, owner, qtype)
        if answer.edge is None:
            space = STORED if qtype in (A, AAAA) and answer.answer else NO_ADDRESSES
            yield (space, NO_MAP, zone_text), weight
            continue
        for space, part in spaces.of(answer.edge.map, _addresses(answer)):
            yield (space, spaces.title(answer.edge.map), zone_text), weight * part


def _paths_of_zones(loaded: Loaded, zones: Mapping[bytes, Zone], spaces: _Spaces) -> Iterator[tuple[FlowPath, float]]:
    for zone in zones.values():
        if not loaded.dataset.applies_maps(zone):
            yield (STORED, NO_MAP, zone.name_text), 1.0
            continue
        addresses = loaded.snapshot.addresses(zone.id, zone.account_id)
        for source, version in zip(addresses.sources, (4, 6), strict=True):
            ips = tuple(ip for ip in addresses.ips if ip.version == version)
            for space, part in spaces.of(source.map, ips):
                yield (space, spaces.title(source.map), zone.name_text), part * len(ips) / len(addresses.ips)


def _addresses(answer: Answer) -> tuple[IPAddress, ...]:
    """The addresses in an answer; none in HTTPS records, whose hints are those of the map."""
    last = answer.answer[-1]
    return tuple(ip_address(bytes(one)) for one in last.rdatas) if last.rtype in (A, AAAA) else ()


class _Spaces:
    """The parts of the address space to which the addresses of maps belong."""

    def __init__(self, dataset: Dataset, maps: Mapping[str, AddressMap]) -> None:
        self._dataset = dataset
        self._maps = maps
        self._titles = _titles(dataset, maps)
        self._found: dict[tuple[str, tuple[IPAddress, ...]], list[tuple[str, float]]] = {}

    def title(self, key: str) -> str:
        """The title of a map by its key."""
        if not key:
            return POOL
        return self._titles.get(key, OTHER_ACCOUNT)

    def of(self, key: str, ips: tuple[IPAddress, ...]) -> list[tuple[str, float]]:
        """The parts with these addresses of a map, or without any, with all of its addresses; each with its share."""
        if (key, ips) not in self._found:
            self._found[key, ips] = self._parts(key, ips)
        return self._found[key, ips]

    def _parts(self, key: str, ips: tuple[IPAddress, ...]) -> list[tuple[str, float]]:
        if not key:
            return [(POOL_SPACE, 1.0)]
        if key not in self._maps:
            return [(ELSEWHERE, 1.0)]
        address_map = self._maps[key]
        ips = ips or address_map.ips
        counts: defaultdict[str, int] = defaultdict(int)
        for ip in ips:
            counts[self._label(address_map.account_id, ip)] += 1
        return [(label, count / len(ips)) for label, count in counts.items()]

    def _label(self, account_id: str, ip: IPAddress) -> str:
        if ip in self._dataset.accounts[account_id].static_ips:
            return STATIC
        around = [part for part, _ in self._dataset.space_around(account_id, ip)]
        return str(max(around, key=lambda part: part.prefixlen)) if around else ELSEWHERE


def _titles(dataset: Dataset, maps: Mapping[str, AddressMap]) -> Mapping[str, str]:
    """The titles of maps by key, no two the same: with the account's name if there are several, else with the key."""
    titles = {key: one.description or key for key, one in maps.items()}
    if len({one.account_id for one in maps.values()}) > 1:
        names = {key: dataset.accounts[one.account_id].name for key, one in maps.items()}
        titles = {key: f"{title} · {names[key]}" for key, title in titles.items()}
    times = Counter(titles.values())
    return {key: title if times[title] == 1 else f"{title} ({key})" for key, title in titles.items()}


def _bounded(weights: Mapping[FlowPath, float]) -> Mapping[FlowPath, float]:
    """The paths over the largest address spaces, maps and zones; the others of each are one."""
    renamed = [
        _renamed(weights, place, limit, word)
        for place, (limit, word) in enumerate(((MAX_SPACES, "prefix"), (MAX_MAPS, "map"), (MAX_ZONES, "zone")))
    ]
    bounded: defaultdict[FlowPath, float] = defaultdict(float)
    for (space, map_text, zone), weight in weights.items():
        bounded[renamed[0][space], renamed[1][map_text], renamed[2][zone]] += weight
    return bounded


def _renamed(weights: Mapping[FlowPath, float], place: int, limit: int, word: str) -> Mapping[str, str]:
    totals: defaultdict[str, float] = defaultdict(float)
    for path, weight in weights.items():
        totals[path[place]] += weight
    ranked = sorted(totals, key=lambda label: (-totals[label], label))
    if len(ranked) <= limit:
        return {label: label for label in ranked}
    few = len(ranked) - limit + 1
    others = f"{few:,} other {word}{'es' if word.endswith('x') else 's'}"
    return {label: label if number < limit - 1 else others for number, label in enumerate(ranked)}


def is_rest(label: str) -> bool:
    """Whether a label stands for the items that are not shown one by one."""
    return REST.fullmatch(label) is not None


def _shares(weights: Mapping[FlowPath, float]) -> Iterator[Flow]:
    total = sum(weights.values())
    for path, weight in sorted(weights.items(), key=lambda pair: (-pair[1], pair[0])):
        yield Flow(*path, weight / total)
