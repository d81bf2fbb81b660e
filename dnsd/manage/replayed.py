"""The replay in a plan: recent questions for an account's zones that the change would answer otherwise, and a verdict.

It shows names, zones and maps of one account. Questions for other accounts' zones are neither shown nor counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from dnsd.app import Loaded
from dnsd.compile.effects import Effects
from dnsd.compile.meant import MeantByChange
from dnsd.engine.node import Apex
from dnsd.engine.replay import AnswerChange, answer_words
from dnsd.engine.verdict import ChangedAnswer, ChangeVerdict, Figures, Halt, judged
from dnsd.manage.asked import Asked
from dnsd.model.record_parts import Steps
from dnsd.wire.names import name_text
from dnsd.wire.rdata import type_text

MAX_NAMES = 1_000  # asked for where recent questions are too few; beyond, as many spread over all
MAX_ROWS = 20  # zones, and maps
MAX_EXAMPLES = 20
MAX_ALIKE = 5  # examples with the same kind of change

WORDS: Mapping[AnswerChange, str] = {
    AnswerChange.SERVFAIL: "SERVFAIL",
    AnswerChange.REFUSED: "REFUSED",
    AnswerChange.NXDOMAIN: "NXDOMAIN instead of data",
    AnswerChange.NO_DATA: "no data any more",
    AnswerChange.ONTO_POOL: "the default pool instead of a map",
    AnswerChange.INTO_OPEN: "as stored instead of with edge addresses",
    AnswerChange.OTHER: "with other data",
}


@dataclass(frozen=True, slots=True)
class ReplayedRow:
    """The questions of one zone or map, and the changes of their answers."""

    id: str
    name: str
    questions: int
    changed: int
    unmeant: int  # of these, changes that the request does not name itself


@dataclass(frozen=True, slots=True)
class ReplayedExample:
    """A question that would be answered otherwise."""

    name: str
    rtype: str
    change: AnswerChange
    is_unmeant: bool
    questions: int
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class ReplayPlan:
    """The answers to recent questions for an account's zones, before and after a change."""

    questions: int
    changes: Mapping[AnswerChange, int]
    zones: tuple[ReplayedRow, ...]  # with changed answers, those with the most first
    zones_total: int
    maps: tuple[ReplayedRow, ...]
    maps_total: int
    names: int  # questions for names of the plan, asked where recent questions are too few
    name_changes: Mapping[AnswerChange, int]
    examples: tuple[ReplayedExample, ...]
    reasons: tuple[str, ...]  # to halt the change, in words; empty: nothing speaks against it
    silent: tuple[str, ...]  # workers whose last questions are missing

    @property
    def lines(self) -> Iterator[str]:
        """The figures in words."""
        if self.questions or not self.names:
            yield f"of {_counted(self.questions, 'recent question')} for the account's zones, {_words(self.changes)}"
        if self.names:
            what = f"too few recent questions: of {_counted(self.names, 'question')} for names of this plan"
            yield f"{what}, {_words(self.name_changes)}"
        if self.silent:
            yield f"the last recent questions of {', '.join(self.silent)} are missing"


def replay_of(
    before: Loaded,
    after: Loaded,
    asked: Asked,
    effects: Effects,
    *,
    account_id: str,
    may_show: Callable[[str], bool],
) -> Steps[ReplayPlan | None]:
    """The answers to recent questions before and after a change; None without a sample.

    `may_show` says whether the zone with an id may be shown.
    """
    if asked.sample is None:
        return None
    zones = before.dataset.zones_by_name.values()
    own = {zone.name for zone in zones if zone.account_id == account_id and may_show(zone.id)}
    meant = MeantByChange(before.dataset, after.dataset, effects)
    old, known = before.snapshot, dict[str, bool]()

    def may_count(apex: Apex) -> bool:
        if apex.zone_id not in known:
            known[apex.zone_id] = may_show(apex.zone_id)
        return known[apex.zone_id]

    touched = [*effects.names, *meant.edited_names()]
    some = touched[:: max(1, -(-len(touched) // MAX_NAMES))]
    names = (name for name in some if old.place_of(name)[0] in own)
    verdict = yield from judged(old, after.snapshot, asked.sample.of(own), names, meant, may_count)
    return _Shown(before, verdict, account_id).plan(asked.silent)


class _Shown:
    """A verdict as one account may see it."""

    def __init__(self, before: Loaded, verdict: ChangeVerdict, account_id: str) -> None:
        self._verdict = verdict
        self._apexes = verdict.names.apexes | verdict.recent.apexes
        self._maps = {
            key: (found.id, found.description)
            for key in (*verdict.recent.maps, *verdict.names.maps)
            if (found := before.stored.maps.get(key)) and found.account_id == account_id
        }

    def plan(self, silent: tuple[str, ...]) -> ReplayPlan:
        recent, names = self._verdict.recent, self._verdict.names
        zones = _changed((zone_id, self._zone(zone_id), one) for zone_id, one in recent.zones.items())
        maps = _changed((*self._map(key), one) for key, one in recent.maps.items() if key in self._maps)
        return ReplayPlan(
            questions=recent.all.questions,
            changes=_in_order(recent.all),
            zones=tuple(zones[:MAX_ROWS]),
            zones_total=len(zones),
            maps=tuple(maps[:MAX_ROWS]),
            maps_total=len(maps),
            names=names.all.questions,
            name_changes=_in_order(names.all),
            examples=tuple(_example(*one) for one in self._verdict.examples(MAX_EXAMPLES, MAX_ALIKE)),
            reasons=tuple(self._reason(one) for one in self._verdict.halts if not one.map or one.map in self._maps),
            silent=silent,
        )

    def _zone(self, zone_id: str) -> str:
        return name_text(self._apexes[zone_id].name)

    def _map(self, key: str) -> tuple[str, str]:
        map_id, description = self._maps[key]
        return map_id, description or map_id

    def _reason(self, halt: Halt) -> str:
        figures = halt.figures
        asked = "questions for names of this plan" if halt.by_names else "recent questions"
        what = f"answered by the map {self._map(halt.map)[1]}" if halt.map else f"for {self._zone(halt.zone_id)}"
        if halt.by_names and not halt.map:
            what = f"in {self._zone(halt.zone_id)}"
        count, share = sum(figures.unmeant.values()), f"{100 * figures.share:.0f} %"
        kinds = ", ".join(f"{number:,} {WORDS[one]}" for one, number in _ordered(figures.unmeant))
        subject = f"{count:,} of {figures.questions:,} {asked} {what} ({share})"
        return f"{subject} would be answered otherwise, though the change does not name them: {kinds}"


def _changed(rows: Iterable[tuple[str, str, Figures]]) -> list[ReplayedRow]:
    """The rows with changed answers, those with the most first."""
    found = [
        ReplayedRow(one_id, name, one.questions, sum(one.changes.values()), sum(one.unmeant.values()))
        for one_id, name, one in rows
        if one.changes
    ]
    return sorted(found, key=lambda row: (-row.unmeant, -row.changed, row.name))


def _example(changed: ChangedAnswer, is_unmeant: bool) -> ReplayedExample:
    one = changed.replayed
    assert one.change
    return ReplayedExample(
        name=name_text(one.qname),
        rtype=type_text(one.qtype),
        change=one.change,
        is_unmeant=is_unmeant,
        questions=changed.questions,
        old=answer_words(one.old),
        new=answer_words(one.new),
    )


def _in_order(figures: Figures) -> dict[AnswerChange, int]:
    return {one: figures.changes[one] for one in AnswerChange}


def _ordered(changes: Mapping[AnswerChange, int]) -> list[tuple[AnswerChange, int]]:
    return [(one, changes[one]) for one in AnswerChange if changes.get(one)]


def _words(changes: Mapping[AnswerChange, int]) -> str:
    """The number of changed answers, and of each kind."""
    kinds = ", ".join(f"{count:,} {WORDS[one]}" for one, count in _ordered(changes))
    total = sum(changes.values())
    return f"{total:,} would be answered otherwise: {kinds}" if total else "none would be answered otherwise"


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"
