"""The verdict on a change by replay: whether it takes answers from clients that its request does not name itself.

A request names the owners of records that it deletes, or switches between proxied and DNS only; zones that it deletes
or pauses; and maps that it disables or deletes. Their changed answers are *meant*. Unmeant are SERVFAIL and REFUSED;
data lost, unless the plan lists the name and no map answered for it; and changes at the edge that the plan does not
list. Two answers to one question have no noise: a share of a zone's or map's questions decides.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Container, Generator, Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple, Protocol

from dnsd.engine.node import Apex
from dnsd.engine.replay import AnswerChange, Replayed, replayed
from dnsd.engine.snapshot import Snapshot
from dnsd.questions import Question
from dnsd.wire.rdata import AAAA, CNAME, HTTPS, A

LEAST_QUESTIONS = 20  # of a zone or map, to be judged by its questions
LEAST_SHARE = 0.02  # of unmeant changes, for a halt
MAX_NAMES = 10_000  # asked for where questions are too few
NAME_TYPES = (A, AAAA, HTTPS, CNAME)  # asked of each name
STEP = 16  # questions between two pauses
LOSSES = frozenset({AnswerChange.NXDOMAIN, AnswerChange.NO_DATA})
ERRORS = frozenset({AnswerChange.SERVFAIL, AnswerChange.REFUSED})


class Meant(Protocol):
    """What the request behind a change names itself, and what its plan lists."""

    @property
    def listed(self) -> Container[bytes] | None:
        """The names whose edge addresses the plan says will change; None without a plan."""

    def deletes_zone(self, zone_id: str) -> bool:
        """Whether it deletes a zone."""

    def names_zone(self, zone_id: str) -> bool:
        """Whether it deletes or pauses a zone."""

    def names_map(self, key: str) -> bool:
        """Whether it disables or deletes a map."""

    def named_owners(self, zone_id: str, owners: Set[bytes]) -> Generator[None, None, Container[bytes]]:
        """Of these owner names in a zone, those with records that it deletes or switches; in steps."""


class ChangedAnswer(NamedTuple):
    """A changed answer, and the number of questions that it stands for."""

    replayed: Replayed
    questions: int
    weight: float


@dataclass(slots=True)
class Figures:
    """Questions, and the changes of their answers."""

    questions: int = 0
    weight: float = 0.0  # of the questions; a question of a sample stands for many
    changes: Counter[AnswerChange] = field(default_factory=Counter)
    unmeant: Counter[AnswerChange] = field(default_factory=Counter)
    unmeant_weight: float = 0.0

    @property
    def share(self) -> float:
        """The share of unmeant changes, by weight."""
        return self.unmeant_weight / self.weight if self.weight else 0.0

    def is_bad(self, least: int) -> bool:
        """Whether the share of unmeant changes is too high, of at least so many questions."""
        return bool(self.unmeant) and self.questions >= least and self.share >= LEAST_SHARE


class Replay:
    """Questions answered from both snapshots, and counted by zone and by map. `may_count` limits the zones."""

    def __init__(self, old: Snapshot, new: Snapshot, may_count: Callable[[Apex], bool]) -> None:
        self.all = Figures()
        self.zones: defaultdict[str, Figures] = defaultdict(Figures)  # by id
        self.maps: defaultdict[str, Figures] = defaultdict(Figures)  # by key: of the map that answered before
        self.apexes: dict[str, Apex] = {}  # of these zones
        self.changed: list[ChangedAnswer] = []
        self.unmeant: set[int] = set()  # indexes in `changed`
        self._old, self._new = old, new
        self._may_count = may_count

    def ask(self, qname: bytes, qtype: int, count: int = 1, weight: float = 1.0) -> None:
        """Answer a question that was asked so many times, and stands for `weight` questions."""
        one = replayed(self._old, self._new, qname, qtype)
        if one is None or (apex := one.apex) is None:
            return
        was, now = one.apexes
        if not self._may_count(apex) or (was and now and not self._may_count(now)):
            return
        self.apexes[apex.zone_id] = apex
        for figures in self._groups(one, apex.zone_id):
            figures.questions += count
            figures.weight += weight
            if one.change:
                figures.changes[one.change] += count
        if one.change:
            self.changed.append(ChangedAnswer(one, count, weight))

    def judge(self, meant: Meant) -> Generator[None, None, None]:
        """Find the unmeant changes."""
        owners: list[bytes] = []
        by_zone: defaultdict[str, set[bytes]] = defaultdict(set)
        for number, (one, _, _) in enumerate(self.changed):
            if number % STEP == 0:
                yield
            owners.append(self._old.place_of(one.qname)[1])
            if one.apex and owners[-1]:
                by_zone[one.apex.zone_id].add(owners[-1])
        named: dict[str, Container[bytes]] = {}
        for zone_id, found in by_zone.items():
            yield
            named[zone_id] = yield from meant.named_owners(zone_id, found)
        for number, ((one, count, weight), owner) in enumerate(zip(self.changed, owners, strict=True)):
            if number % STEP == 0:
                yield
            zone_id = one.apex.zone_id if one.apex else ""
            if _is_unmeant(one, meant, zone_id, is_named=owner in named.get(zone_id, ())):
                self.unmeant.add(number)
                for figures in self._groups(one, zone_id):
                    assert one.change
                    figures.unmeant[one.change] += count
                    figures.unmeant_weight += weight

    def pairs(self) -> Iterator[tuple[ChangedAnswer, bool]]:
        """The changed answers, each with whether it is unmeant."""
        return ((one, number in self.unmeant) for number, one in enumerate(self.changed))

    def _groups(self, one: Replayed, zone_id: str) -> list[Figures]:
        found = [self.all, self.zones[zone_id]]
        if key := one.map:
            found.append(self.maps[key])
        return found


@dataclass(frozen=True, slots=True)
class Halt:
    """A zone or a map with too many unmeant changes."""

    zone_id: str  # empty: a map
    map: str  # its key; empty: a zone
    figures: Figures
    by_names: bool  # of names that were asked for, not of recent questions


@dataclass(frozen=True, slots=True)
class ChangeVerdict:
    """A change as judged by recent questions and, in zones with too few, by the names that it changes."""

    recent: Replay
    names: Replay

    @property
    def halts(self) -> list[Halt]:
        """The reasons not to go on with the change, maps first; empty without any."""
        return [*_halts(self.recent, LEAST_QUESTIONS, by_names=False), *_halts(self.names, 1, by_names=True)]

    def examples(self, limit: int, of_kind: int) -> list[tuple[ChangedAnswer, bool]]:
        """Some changed answers, each with whether it is unmeant: unmeant and frequent ones first."""
        both = [
            (one, number in of.unmeant) for of in (self.recent, self.names) for number, one in enumerate(of.changed)
        ]
        both.sort(key=lambda pair: (not pair[1], -pair[0].questions))
        kinds: Counter[tuple[AnswerChange | None, bool]] = Counter()
        found = []
        for one, is_unmeant in both:
            kind = one.replayed.change, is_unmeant
            kinds[kind] += 1
            if kinds[kind] <= of_kind:
                found.append((one, is_unmeant))
        return found[:limit]


def judged(
    old: Snapshot,
    new: Snapshot,
    sample: Iterable[Question],
    names: Iterable[bytes],
    meant: Meant,
    may_count: Callable[[Apex], bool] = lambda apex: True,
) -> Generator[None, None, ChangeVerdict]:
    """The verdict on the change from `old` to `new`, in steps.

    It is found by a sample of questions; where that has fewer than LEAST_QUESTIONS of a zone, by the first MAX_NAMES of
    the `names` that the change touches, each asked for once with NAME_TYPES. `may_count` limits the zones further.
    """
    recent, by_name = Replay(old, new, may_count), Replay(old, new, may_count)
    for number, question in enumerate(_distinct(sample)):
        if number % STEP == 0:
            yield
        recent.ask(*question)
    yield from recent.judge(meant)
    loud = {recent.apexes[zone_id].name for zone_id, one in recent.zones.items() if one.questions >= LEAST_QUESTIONS}
    asked = set[bytes]()
    for number, name in enumerate(islice(names, MAX_NAMES)):
        if number % STEP == 0:
            yield
        if name not in asked and old.place_of(name)[0] not in loud:
            asked.add(name)
            for qtype in NAME_TYPES:
                by_name.ask(name, qtype)
    yield from by_name.judge(meant)
    return ChangeVerdict(recent, by_name)


def _distinct(sample: Iterable[Question]) -> Iterator[tuple[bytes, int, int, float]]:
    """The questions of a sample, each once, with their number and weight."""
    counts: Counter[tuple[bytes, int]] = Counter()
    weights: defaultdict[tuple[bytes, int], float] = defaultdict(float)
    for one in sample:
        counts[one.qname, one.qtype] += 1
        weights[one.qname, one.qtype] += one.weight
    return ((*key, count, weights[key]) for key, count in counts.items())


def _is_unmeant(one: Replayed, meant: Meant, zone_id: str, *, is_named: bool) -> bool:
    """Whether a changed answer counts against the change."""
    if one.change in ERRORS:  # the end of a zone is REFUSED: that alone is meant
        return not (one.change is AnswerChange.REFUSED and meant.deletes_zone(zone_id))
    if is_named or meant.names_zone(zone_id) or (one.map and meant.names_map(one.map)):
        return False
    is_listed = meant.listed is not None and one.qname in meant.listed
    if one.change in LOSSES:
        return bool(one.map) or not is_listed
    if one.change is AnswerChange.OTHER:
        return meant.listed is not None and one.is_edge and not is_listed
    return not is_listed


def _halts(replay: Replay, least: int, *, by_names: bool) -> Iterator[Halt]:
    yield from (Halt("", key, one, by_names) for key, one in _bad(replay.maps, least))
    yield from (Halt(zone_id, "", one, by_names) for zone_id, one in _bad(replay.zones, least))


def _bad(groups: Mapping[str, Figures], least: int) -> list[tuple[str, Figures]]:
    """The groups with too many unmeant changes, those with the most first."""
    return sorted(
        ((key, one) for key, one in groups.items() if one.is_bad(least)), key=lambda pair: -pair[1].unmeant_weight
    )
