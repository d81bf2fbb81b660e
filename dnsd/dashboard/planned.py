"""Plans as pages show them: the answers whose addresses a change would replace. Read only."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from dnsd.dashboard.views import MAX_NAMES, MAX_ZONES, map_name
from dnsd.errors import Problem
from dnsd.manage.plan import AnswerSource, AnswersPlan, Effect, Plan, PlannedName, ZoneAddresses, ZonePlan
from dnsd.manage.replayed import ReplayPlan
from dnsd.model.dataset import Dataset
from dnsd.model.fields import IPAddress
from dnsd.model.maps import MissingFamily

SOURCES = {
    AnswerSource.POOL: "default pool",
    AnswerSource.STORED: "as stored",
    AnswerSource.NONE: "no addresses",
    AnswerSource.OTHER_ACCOUNT: "a map of another account",
}
NOTES = {  # effects that need attention
    Effect.ONTO_POOL: "fall onto the default pool",
    Effect.INTO_OPEN: "are answered as stored: their origin becomes public",
    Effect.UNANSWERED: "have no addresses any more",
}


@dataclass(frozen=True, slots=True)
class PlannedRow:
    """Names of a zone whose answers of one type change alike."""

    zone: str
    rtype: str
    names_total: int
    names: tuple[PlannedName, ...]  # the first
    old: tuple[str, ...]
    new: tuple[str, ...]
    old_source: str
    new_source: str


@dataclass(frozen=True, slots=True)
class PlanView:
    """The effect of a change, as shown on a page."""

    zones: tuple[PlannedRow, ...]
    zone_names: tuple[str, ...]  # of the first zones
    zones_total: int
    names_total: int
    others_total: int  # names of other accounts
    notes: tuple[str, ...]
    warnings: tuple[str, ...]
    replay: ReplayPlan | None  # of recent questions

    @property
    def zones_more(self) -> int:
        """The number of zones that are not shown."""
        return self.zones_total - len(self.zone_names)


def plan_view(
    dataset: Dataset,
    plan: Plan,
    ips: Sequence[IPAddress] | None,
    missing: MissingFamily,
    *,
    is_enabled: bool = True,
) -> PlanView:
    """The view of a plan; `ips` are the map's new addresses, if the change sets them."""
    disabled = () if is_enabled else ("The map is disabled: nothing changes in DNS until it is enabled.",)
    shown = plan.zones[:MAX_ZONES]
    return PlanView(
        zones=tuple(row for zone in shown for one in zone.answers for row in _rows(dataset, zone, one)),
        zone_names=tuple(zone.zone.name_text for zone in shown),
        zones_total=len(plan.zones),
        names_total=plan.names_total,
        others_total=plan.others_total,
        notes=tuple(_notes(plan)),
        warnings=(*plan.remarks, *disabled, *_family_warnings(ips, missing), *map(_warning, plan.warnings)),
        replay=plan.replay,
    )


def _rows(dataset: Dataset, zone: ZonePlan, answers: AnswersPlan) -> Iterator[PlannedRow]:
    old, new = answers.old, answers.new
    for rtype, before, after in (("A", old.v4, new.v4), ("AAAA", old.v6, new.v6)):
        if before != after or (rtype == "A" and old.v6 == new.v6):
            yield PlannedRow(
                zone=zone.zone.name_text,
                rtype=rtype,
                names_total=answers.names_total,
                names=answers.names[:MAX_NAMES],
                old=before,
                new=after,
                old_source=_source(dataset, old, rtype),
                new_source=_source(dataset, new, rtype),
            )


def _source(dataset: Dataset, addresses: ZoneAddresses, rtype: str) -> str:
    """The source of the addresses of one type."""
    if addresses.outside:
        return f"as stored, a CNAME to {addresses.outside}"
    if addresses.source in SOURCES:
        return SOURCES[addresses.source]
    return map_name(dataset, (rtype == "AAAA" and addresses.v6_map_id) or addresses.map_id)


def _notes(plan: Plan) -> Iterator[str]:
    """The figures of a plan, in words."""
    for effect, words in NOTES.items():
        if count := plan.effects[effect]:
            yield f"{count:,} name{'' if count == 1 else 's'} {words}"
    if plan.share:
        of = "these names" if plan.share.is_sampled else "these zones"
        yield f"{100 * plan.share.share:.0f} % of the account's recent questions were for {of}"
    if plan.forgotten_s:
        yield f"caches may give the old answers for {plan.forgotten_s:,} s after the change"


def _family_warnings(ips: Sequence[IPAddress] | None, missing: MissingFamily) -> Iterator[str]:
    if ips is None:
        return
    if not ips:
        yield "The map has no addresses: it has no effect until it has one."
        return
    for version, other, rtype in ((4, 6, "A"), (6, 4, "AAAA")):
        if not any(ip.version == version for ip in ips):
            substitute = (
                "no address" if missing is MissingFamily.NODATA else "the addresses of the next map that has any"
            )
            yield f"The map has IPv{other} addresses only: {rtype} queries are answered with {substitute}."


def _warning(problem: Problem) -> str:
    return f"{problem.source}: {problem.message}"
