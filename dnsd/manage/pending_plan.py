"""The plan of a pending change: its effect on the data as earlier pending changes will have left it.

All earlier changes together are one load, so that a plan costs about the same after one of them and after a hundred.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from dnsd.app import Loaded, load_change
from dnsd.errors import InvalidDataError
from dnsd.manage.draft import Draft
from dnsd.manage.history import History
from dnsd.manage.map_request import MapRequest
from dnsd.manage.pending import FIELD, PendingChange, tag_in, zones_of
from dnsd.manage.plan import Plan, plan_of
from dnsd.manage.refusal import Reason, RefusedError, refused, refused_for
from dnsd.model.changes import foreign_addresses, map_change_problems
from dnsd.model.claims import ZoneNames
from dnsd.model.dataset import Dataset
from dnsd.model.dataset_rules import map_problems
from dnsd.model.maps import AddressMap, MapFields
from dnsd.model.record_parts import finished
from dnsd.model.resolve import resolve_map
from dnsd.store.directory import FileKind, SourceFile
from dnsd.store.objects import read_fields


@dataclass(frozen=True, slots=True)
class PendingPlan:
    """A plan, the pending changes on which it stands, and the tag of the map now."""

    plan: Plan
    follows: tuple[str, ...]
    tag: str


@dataclass(frozen=True, slots=True)
class Earlier:
    """A pending change that comes before the one to plan, and whether an operator scheduled it."""

    change: PendingChange
    by_operator: bool


def plan_pending(
    loaded: Loaded,
    request: MapRequest,
    earlier: Sequence[Earlier],
    history: History,
    now: datetime,
    *,
    by_operator: bool,
) -> PendingPlan:
    """Plan a request on top of the `earlier` changes, in their order; those refused now are left out.

    Raises RefusedError, and FileChangedError as `Draft.load`.
    """
    steps = _Steps(loaded, now, by_operator=True)
    made = [one.change for one in earlier if steps.carry_out(one, history)]
    for one in made:
        if one.request.action == "map.delete" and one.request.map_id == request.map_id:
            message = f"the map is to be deleted before, at {one.at:%Y-%m-%dT%H:%M:%SZ}: cancel {one.id} first"
            raise refused(Reason.FORBIDDEN, message, FIELD)
    before = steps.load()
    draft = Draft(before, now, by_operator=by_operator)
    request.carry_out(draft, history)
    plan = finished(plan_of(before, draft.load(), request.account_id))
    zones = zones_of(plan)
    follows = tuple(one.id for one in made if one.request.map_id == request.map_id or not zones.isdisjoint(one.zones))
    return PendingPlan(plan, follows, tag_in(loaded.dataset, request))


class _Steps(Draft):
    """A draft of several requests for maps: each sees the maps as those before it leave them."""

    def __init__(self, loaded: Loaded, now: datetime, *, by_operator: bool) -> None:
        super().__init__(loaded, now, by_operator=by_operator)
        self._seen = loaded.dataset
        self._names: ZoneNames | None = None  # of the account's zones

    @property
    def dataset(self) -> Dataset:
        """The loaded data, with the maps of the requests so far."""
        return self._seen

    def carry_out(self, one: Earlier, history: History) -> bool:
        """Carry out a request if the rules on changes of a map allow it; return whether they do."""
        written, removed = dict(self._written), dict(self._removed)
        self.by_operator = one.by_operator
        try:
            one.change.request.carry_out(self, history)
            self._see(one.change.request, written)
        except RefusedError:
            self._written, self._removed = written, removed
            return False
        return True

    def load(self) -> Loaded:
        """The loaded data with all requests; without them, if they break a rule together."""
        try:
            return load_change(self.loaded, self._edited(), self.now)
        except InvalidDataError:
            return self.loaded

    def _see(self, request: MapRequest, written_before: Mapping[str, SourceFile]) -> None:
        """Take over the map that a request wrote or removed. Raises RefusedError if the rules forbid it."""
        before = self._seen.maps.get(request.map_id)
        written = [file for key, file in self._written.items() if file is not written_before.get(key)]
        files = [file for file in written if file.kind is FileKind.MAP]
        if not files and not (before and before.key in self._removed):
            return
        if before and files and files[0].key != before.key:
            raise refused(Reason.INVALID, "another map has this id")
        after = self._map(files[0], request.account_id) if files else None
        broken = [*map_change_problems(before, after, by_operator=self.by_operator)]
        if after:
            dataset = self.loaded.dataset
            broken += (*foreign_addresses(dataset, before, after), *map_problems(dataset, after))
        if any(not problem.warning for problem in broken):
            raise refused_for(broken, Reason.FORBIDDEN)
        maps = {key: one for key, one in self._seen.maps.items() if one is not before}
        self._seen = replace(self._seen, maps={**maps, after.id: after} if after else maps)

    def _map(self, file: SourceFile, account_id: str) -> AddressMap:
        """The map in a file. Raises RefusedError if it cannot be read."""
        read, dataset = read_fields(MapFields, file), self.loaded.dataset
        if read.fields is None:
            raise refused_for(read.problems)
        self._names = self._names or ZoneNames(one for one in dataset.zones.values() if one.account_id == account_id)
        return resolve_map(file.key, read.fields, dataset.accounts[account_id], self._names, dataset.zones)[0]
