"""Objects as pages show them: address maps, the zones they answer for, and the effect of a change. Read only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import islice

from dnsd.app import Loaded
from dnsd.manage.plan import answering, proxied_names
from dnsd.model.accounts import Approval
from dnsd.model.dataset import Dataset
from dnsd.model.fields import IPAddress
from dnsd.model.maps import AddressMap, Considered, MemberKind, Precedence
from dnsd.model.zones import Status, Zone
from dnsd.wire.names import name_text

MAX_ZONES = 20  # listed one by one on a page
MAX_NAMES = 5  # of each zone
MAX_MEMBERS = 100
UNNAMED = "(no description)"
STEP_TITLES = {
    Precedence.ZONE: "Map of the zone",
    Precedence.ACCOUNT: "Map of the account",
    Precedence.IMMUTABLE: "Managed map of the account",
}
WINS: Mapping[Precedence | None, str] = {
    Precedence.ZONE: "a zone map wins",
    Precedence.ACCOUNT: "the account's map wins",
    Precedence.IMMUTABLE: "the managed map wins",
}


@dataclass(frozen=True, slots=True)
class MapRow:
    """An address map in a list."""

    map: AddressMap
    title: str
    scope: str
    members: tuple[str, ...]  # names of its first zones
    members_total: int
    v4: int
    v6: int
    created: datetime
    modified: datetime

    @property
    def status(self) -> str:
        """The status as a word."""
        return "Enabled" if self.map.enabled else "Disabled"


def map_row(loaded: Loaded, address_map: AddressMap) -> MapRow:
    """The row of a map in a list."""
    zones = [one for one in address_map.memberships if one.kind is MemberKind.ZONE]
    names = tuple(loaded.dataset.zones[one.identifier].name_text for one in zones[:3])
    is_account = len(zones) < len(address_map.memberships)
    scopes = [*(["Account"] if is_account else []), *(["Zones"] if zones else [])]
    v4 = sum(ip.version == 4 for ip in address_map.ips)
    times = loaded.times.of_map(address_map)
    return MapRow(
        map=address_map,
        title=map_title(address_map),
        scope=" and ".join(scopes) or "None",
        members=names,
        members_total=len(zones),
        v4=v4,
        v6=len(address_map.ips) - v4,
        created=times.created,
        modified=times.modified,
    )


def map_title(address_map: AddressMap) -> str:
    """The title of a map: its description."""
    return address_map.description or UNNAMED


def map_name(dataset: Dataset, map_id: str | None) -> str:
    """The name of the map that answers: its title, `default pool`, or `the new map` if it does not exist yet."""
    if map_id is None:
        return "default pool"
    return map_title(dataset.maps[map_id]) if map_id in dataset.maps else "the new map"


def origin_of(dataset: Dataset, account_id: str, ip: IPAddress) -> str:
    """The origin of an account's address: a static IP or a prefix."""
    account = dataset.accounts[account_id]
    if ip in account.static_ips:
        return "static IP"
    for part, prefix in dataset.space_around(account_id, ip):
        if prefix.approved is Approval.ACTIVE:
            return str(part) if prefix in account.prefixes else f"{part}, delegated"
    return "no longer the account's"


def warnings_of(loaded: Loaded, key: str) -> list[str]:
    """The warnings about one object."""
    return [problem.message for problem in loaded.warnings if problem.source == key]


@dataclass(frozen=True, slots=True)
class MemberView:
    """A zone that a map covers, and whether the map answers for it; if not, the reason."""

    zone: Zone
    answers: bool
    why_not: str  # empty if it answers


def members_of(loaded: Loaded, address_map: AddressMap) -> list[MemberView]:
    """The first member zones of a map, as many as a page shows."""
    zones = [loaded.dataset.zones[one.identifier] for one in address_map.memberships if one.kind is MemberKind.ZONE]
    return [member_view(loaded, address_map, zone) for zone in zones[:MAX_MEMBERS]]


def member_view(loaded: Loaded, address_map: AddressMap, zone: Zone) -> MemberView:
    """Whether a map answers for a zone."""
    if why := not_applied(loaded.dataset, zone):
        return MemberView(zone, False, why)
    taken = answering(loaded, zone).map_id
    if taken == address_map.id:
        return MemberView(zone, True, "")
    own = next((one for one in loaded.dataset.considered(zone) if one.map is address_map), None)
    why = own.skipped if own and own.skipped else f"{map_name(loaded.dataset, taken)} takes precedence"
    return MemberView(zone, False, why)


def not_applied(dataset: Dataset, zone: Zone) -> str:
    """The reason why maps do not apply to a zone; empty if they do."""
    if dataset.applies_maps(zone):
        return ""
    if zone.id in dataset.waiting:
        return "the zone is pending: it is not served until it is verified"
    if zone.status is Status.INITIALIZING:
        return "the zone is initializing: its queries are refused"
    if zone.paused:
        return "the zone is paused: proxied records are answered as stored"
    if zone.applies_maps:
        return "the account enforces DNS only: proxied records are answered as stored"
    return f"the zone is {zone.status}: proxied records are answered as stored"


@dataclass(frozen=True, slots=True)
class Answered:
    """A zone that a map answers for, with its first names."""

    zone: Zone
    names: tuple[str, ...]
    has_more: bool


@dataclass(frozen=True, slots=True)
class AnsweredFor:
    """The zones that a map answers for now."""

    zones: tuple[Answered, ...]
    zones_total: int


def answered_for(loaded: Loaded, address_map: AddressMap) -> AnsweredFor:
    """The zones whose proxied names a map answers for now; the first zones have their first names."""
    zones = sorted(_zones_answered(loaded, address_map), key=lambda zone: zone.name_text)
    shown = []
    for zone in zones[:MAX_ZONES]:
        names = [name_text(name) for name in islice(proxied_names(loaded, zone), MAX_NAMES + 1)]
        shown.append(Answered(zone, tuple(names[:MAX_NAMES]), len(names) > MAX_NAMES))
    return AnsweredFor(tuple(shown), len(zones))


def _zones_answered(loaded: Loaded, address_map: AddressMap) -> Iterator[Zone]:
    for zone in loaded.dataset.zones.values():
        if zone.account_id == address_map.account_id and loaded.dataset.applies_maps(zone):
            addresses = loaded.snapshot.addresses(zone.id, zone.account_id)
            if any(source.map == address_map.key for source in addresses.sources):
                yield zone


@dataclass(frozen=True, slots=True)
class StepView:
    """One step of the search for a zone's addresses."""

    title: str
    maps: tuple[tuple[Considered, str], ...]  # each with the reason why it was skipped; empty for the map that is taken
    is_taken: bool
    is_reached: bool  # false after the step that is taken


def steps_of(loaded: Loaded, zone: Zone) -> list[StepView]:
    """The steps of precedence for a zone, the default pool last."""
    not_consulted = not_applied(loaded.dataset, zone)
    taken = answering(loaded, zone).map_id if not not_consulted else ""
    found = loaded.dataset.considered(zone)
    otherwise = "not consulted" if not_consulted else next((WINS[one.step] for one in found if one.map.id == taken), "")
    steps, is_reached = [], not not_consulted
    for step, title in STEP_TITLES.items():
        in_step = [one for one in found if one.step == step]
        maps = [(one, "" if one.map.id == taken else one.skipped or otherwise) for one in in_step]
        is_taken = any(not why for _, why in maps)
        steps.append(StepView(title, tuple(maps), is_taken, is_reached))
        is_reached = is_reached and not is_taken
    return [*steps, StepView("Default pool", (), taken is None, is_reached)]


ACTIONS = {
    "file": "as in the file",
    "brake.release": "brake released",
    "reload.refused": "reload refused by the guard",
    "reload.forced": "reload forced",
    "map.create": "created",
    "map.edit": "edited",
    "map.enable": "enabled",
    "map.disable": "disabled",
    "map.restore": "restored",
    "map.add_ip": "address added",
    "map.remove_ip": "address removed",
}


def action_words(action: str) -> str:
    """An action in words."""
    return ACTIONS.get(action, action)
