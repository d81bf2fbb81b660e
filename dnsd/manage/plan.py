"""The plan of a change: its effect on answers, old and new, computed without making it.

One function for the API, `--dry-run` and the pages that ask for confirmation. It shows the names of one account; names
of other accounts that lead to them are counted, never named.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import ip_address

from dnsd.app import Loaded
from dnsd.compile.effects import Effects
from dnsd.compile.endings import Ending, EndKind, Rdatas
from dnsd.compile.moved import Moved
from dnsd.compile.moves import Fate
from dnsd.engine.answer import EdgeSource
from dnsd.engine.node import Alias, Flattened
from dnsd.engine.snapshot import Snapshot
from dnsd.errors import Problem
from dnsd.manage.asked import Asked
from dnsd.manage.replayed import ReplayPlan, replay_of
from dnsd.model.record_parts import Steps
from dnsd.model.zones import Zone
from dnsd.store.directory import account_of
from dnsd.wire.names import ASTERISK, name_text


class Effect(StrEnum):
    """What a change does to a name."""

    READDRESSED = "readdressed"  # other edge addresses
    ONTO_POOL = "onto_pool"  # the default pool's addresses instead of a map's
    INTO_OPEN = "into_open"  # answered as stored: its origin becomes public
    UNANSWERED = "unanswered"  # no addresses any more
    ONTO_EDGE = "onto_edge"  # edge addresses, for the first time


EFFECTS = {
    None: Effect.ONTO_EDGE,
    Fate.READDRESSED: Effect.READDRESSED,
    Fate.POOLED: Effect.ONTO_POOL,
    Fate.OPENED: Effect.INTO_OPEN,
    Fate.GONE: Effect.UNANSWERED,
}


LEFT_OUT = "The names below DNAMEs are too many to compare: some that change may be missing from this plan."


class AnswerSource(StrEnum):
    """The source of the addresses in answers."""

    MAP = "map"
    POOL = "pool"  # the default addresses
    OTHER_ACCOUNT = "other_account"  # the edge addresses of another account, to whose name an alias leads
    STORED = "stored"  # the records
    NONE = "none"  # no addresses


@dataclass(frozen=True, slots=True)
class ZoneAddresses:
    """The addresses in the answers to names of a zone, and their source."""

    v4: tuple[str, ...]
    v6: tuple[str, ...]
    source: AnswerSource
    map_id: str | None = None  # of the first address
    v6_map_id: str | None = None  # differs only with `missing_family: fallback`
    outside: str = ""  # the name elsewhere to which an alias leads


@dataclass(frozen=True, slots=True)
class PlannedName:
    """One name with changed answers."""

    name: str  # `*.d` for all names below a DNAME at d
    via: str = ""  # CNAME, flattened CNAME or DNAME, if it leads to another name


@dataclass(frozen=True, slots=True)
class AnswersPlan:
    """Names of one zone with the same answers, before and after."""

    effect: Effect
    old: ZoneAddresses
    new: ZoneAddresses
    names_total: int
    names: tuple[PlannedName, ...]  # a sample
    is_mixed: bool  # some of the names have other addresses than these


@dataclass(frozen=True, slots=True)
class ZonePlan:
    """A zone with changed answers; `answers` are its names in groups, the largest first."""

    zone: Zone
    answers: tuple[AnswersPlan, ...]
    by_aliases: bool = False  # its names change because aliases lead to names that do

    @property
    def names_total(self) -> int:
        """The number of names with changed answers."""
        return sum(one.names_total for one in self.answers)

    @property
    def old(self) -> ZoneAddresses:
        """The addresses of most of its names before the change."""
        return self.answers[0].old

    @property
    def new(self) -> ZoneAddresses:
        """The addresses of most of its names after the change."""
        return self.answers[0].new


@dataclass(frozen=True, slots=True)
class Share:
    """The share of an account's recent questions that a change affects, from 0 to 1."""

    share: float
    is_sampled: bool  # by names, from a sample of questions; else by the counters of whole zones


@dataclass(frozen=True, slots=True)
class Plan:
    """The effect of a change on all answers."""

    zones: tuple[ZonePlan, ...]
    others_total: int  # names of other accounts with changed answers
    warnings: tuple[Problem, ...]  # only new ones
    forgotten_s: int  # from the change until caches have forgotten the old answers; 0 if there were none
    share: Share | None  # None: no recent questions are known, or no name changes
    objection: str = ""  # of the brake, if the change were made now
    is_cut: bool = False  # names of the account may be missing, as too many lie below its DNAMEs
    is_count_cut: bool = False  # so may names of other accounts, in `others_total`
    replay: ReplayPlan | None = None  # None: no sample of recent questions, or nothing changes

    @property
    def names_total(self) -> int:
        """The number of the account's names with changed answers."""
        return sum(one.names_total for one in self.zones)

    @property
    def effects(self) -> dict[Effect, int]:
        """The number of the account's names by effect."""
        found: Counter[Effect] = Counter()
        for zone in self.zones:
            for one in zone.answers:
                found[one.effect] += one.names_total
        return {effect: found[effect] for effect in Effect}

    @property
    def remarks(self) -> tuple[str, ...]:
        """What a reader of the plan must know first."""
        cut = [LEFT_OUT] if self.is_cut or self.is_count_cut else []
        return (*filter(None, [self.objection]), *cut, *(self.replay.reasons if self.replay else ()))


def plan_of(
    before: Loaded,
    after: Loaded,
    account_id: str,
    asked: Asked | None = None,
    *,
    may_name: Callable[[Zone], bool] = lambda zone: True,
    objection: str = "",
) -> Steps[Plan]:
    """The effect of replacing `before` with `after`, as shown to an account. Takes seconds for the largest changes.

    `may_name` limits the zones further; the names of the others are counted like those of other accounts.
    """
    if before is after:
        return Plan((), 0, (), 0, None)
    effects = Effects(before.snapshot, after.snapshot)
    yield from effects.compare()
    planner = _Planner(before, after, account_id, may_name)
    zones: dict[str, list[AnswersPlan]] = {}
    others_total = 0
    moves = effects.moved
    for moved in moves:
        if planner.may_show(moved.zone_id):
            zones.setdefault(moved.zone_id, []).append(planner.answers(moved))
        else:
            others_total += moved.names_total
    plans = [
        ZonePlan(planner.zone(zone_id), tuple(answers), by_aliases=zone_id not in effects.compared)
        for zone_id, answers in zones.items()
    ]
    replay = None
    if asked:
        may_show = planner.may_show
        replay = yield from replay_of(before, after, asked, effects, account_id=account_id, may_show=may_show)
    return Plan(
        zones=tuple(sorted(plans, key=lambda one: one.zone.name_text)),
        others_total=others_total,
        warnings=planner.warnings(),
        forgotten_s=max((moved.ttl_s for moved in moves), default=0),
        share=planner.share(effects, zones, asked) if asked and effects else None,
        objection=objection,
        is_cut=account_id in effects.cut,
        is_count_cut=not effects.cut <= {account_id},
        replay=replay,
    )


def answering(loaded: Loaded, zone: Zone) -> ZoneAddresses:
    """The addresses that answer for a zone's proxied names now, by the zone's settings."""
    addresses = loaded.snapshot.addresses(zone.id, zone.account_id)
    v4 = tuple(str(ip) for ip in addresses.ips if ip.version == 4)
    v6 = tuple(str(ip) for ip in addresses.ips if ip.version == 6 and zone.settings.ipv6)
    maps = [_map_id(loaded, source) for source in addresses.sources]
    source = AnswerSource.MAP if any(maps) else AnswerSource.POOL
    return ZoneAddresses(v4, v6, source, maps[0] if v4 or not v6 else maps[1], maps[1])


def proxied_names(loaded: Loaded, zone: Zone) -> Iterator[bytes]:
    """The names of a zone that are answered with edge addresses."""
    built = loaded.snapshot.zones.get(zone.id)  # None: the zone is not served
    return iter(built.proxied_names if built else ())


def _map_id(loaded: Loaded, source: EdgeSource | None) -> str | None:
    found = loaded.stored.maps.get(source.map) if source else None
    return found.id if found else None


class _Planner:
    """Describes effects as one account may see them."""

    def __init__(self, before: Loaded, after: Loaded, account_id: str, may_name: Callable[[Zone], bool]) -> None:
        self._before, self._after = before, after
        self._account_id, self._may_name = account_id, may_name
        self._known: dict[int, ZoneAddresses] = {}  # by the id of an ending: many zones may have the same

    def may_show(self, zone_id: str) -> bool:
        """Whether a zone belongs to the account, before and after, and may be named."""
        zones = (one.dataset.zones.get(zone_id) for one in (self._before, self._after))
        return all(zone is None or (zone.account_id == self._account_id and self._may_name(zone)) for zone in zones)

    def zone(self, zone_id: str) -> Zone:
        """A zone, as it will be if it remains."""
        return self._after.dataset.zones.get(zone_id) or self._before.dataset.zones[zone_id]

    def answers(self, moved: Moved) -> AnswersPlan:
        """The plan for a group of names."""
        return AnswersPlan(
            effect=EFFECTS[moved.fate],
            old=self._known.get(id(moved.old)) or self._addresses(self._before, moved.old),
            new=self._known.get(id(moved.new)) or self._addresses(self._after, moved.new),
            names_total=moved.names_total,
            names=tuple(sorted(map(self._name, moved.names), key=lambda one: one.name)),
            is_mixed=moved.is_mixed,
        )

    def warnings(self) -> tuple[Problem, ...]:
        """The new warnings about the account's objects."""
        known = {(problem.source, problem.message) for problem in self._before.warnings}
        keys = {
            account.key
            for one in (self._before, self._after)
            if (account := one.dataset.accounts.get(self._account_id)) is not None
        }
        return tuple(
            problem
            for problem in self._after.warnings
            if (problem.source, problem.message) not in known and account_of(problem.source) in keys
        )

    def share(self, effects: Effects, changed: Container[str], asked: Asked) -> Share | None:
        """The share of the account's questions that are for changed names, else for zones with changed names."""
        served = self._before.dataset.zones_by_name.values()
        own = [zone for zone in served if zone.account_id == self._account_id]
        sampled = asked.sample.share_of(effects, zones={zone.name for zone in own}) if asked.sample else None
        if sampled is not None:
            return Share(sampled, is_sampled=True)
        of_all = sum(asked.by_zone.get(zone.name_text, 0) for zone in own)
        if not of_all:
            return None
        of_changed = sum(asked.by_zone.get(zone.name_text, 0) for zone in own if zone.id in changed)
        return Share(of_changed / of_all, is_sampled=False)

    def _addresses(self, loaded: Loaded, end: Ending) -> ZoneAddresses:
        source, maps = self._source(loaded, end)
        found = self._known[id(end)] = ZoneAddresses(
            v4=_texts(end.v4),
            v6=_texts(end.v6),
            source=source,
            map_id=maps[0] if end.v4 or not end.v6 else maps[1],
            v6_map_id=maps[1],
            outside=name_text(end.outside) if end.outside else "",
        )
        return found

    def _source(self, loaded: Loaded, end: Ending) -> tuple[AnswerSource, tuple[str | None, str | None]]:
        """The source of an ending, and the maps of its IPv4 and its IPv6 addresses."""
        none = (None, None)
        if end.kind is not EndKind.EDGE:
            return (AnswerSource.STORED if end.kind is EndKind.STORED else AnswerSource.NONE), none
        keys = {source.map for source in (end.v4_source, end.v6_source) if source}
        if not any(keys):
            return AnswerSource.POOL, none
        found = [loaded.stored.maps[key] for key in keys if key]
        if any(one.account_id != self._account_id for one in found):
            return AnswerSource.OTHER_ACCOUNT, none
        return AnswerSource.MAP, (_map_id(loaded, end.v4_source), _map_id(loaded, end.v6_source))

    def _name(self, name: bytes) -> PlannedName:
        return PlannedName(name_text(name), _via(self._after.snapshot, name) or _via(self._before.snapshot, name))


def _via(snapshot: Snapshot, name: bytes) -> str:
    """The kind of alias at a name, in words; empty without one."""
    node = snapshot.names.get(name)
    if node is None and name.startswith(ASTERISK):
        return "DNAME"
    if node is not None and isinstance(node.rule, Alias | Flattened):
        return "CNAME" if isinstance(node.rule, Alias) else "flattened CNAME"
    return ""


def _texts(rdatas: Rdatas) -> tuple[str, ...]:
    return tuple(str(ip_address(rdata)) for rdata in rdatas)
