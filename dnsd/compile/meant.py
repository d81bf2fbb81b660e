"""What a change of data names itself: records that it deletes or switches, zones that end or pause, maps that end.

`engine/verdict.py` judges changed answers by it. A content that is replaced names nothing: an alias to a name that does
not exist shall be found.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Container, Iterable, Iterator, Set
from itertools import chain, islice
from typing import TYPE_CHECKING

from dnsd.compile.zone_names import LISTED
from dnsd.engine.verdict import MAX_NAMES
from dnsd.model.columns import FEW_NAMES, Records
from dnsd.model.dataset import Dataset
from dnsd.model.differences import differences
from dnsd.model.guard import differing

if TYPE_CHECKING:
    from dnsd.model.record_parts import Steps

MAX_EDITED = 10_000  # records of a zone; beyond, no names of its edited records are listed

RecordKind = tuple[int, bool]  # type, proxied


class MeantByChange:
    """What the change from one dataset to another names. `listed` are the names whose changes its plan shows."""

    def __init__(self, old: Dataset, new: Dataset, listed: Container[bytes] | None = None) -> None:
        self.listed = listed
        self._old, self._new = old, new
        ended = (old.maps[one] for one in differing(old.maps, new.maps) if old.maps[one].enabled)
        self._maps = {one.key for one in ended if one.id not in new.maps or not new.maps[one.id].enabled}

    def deletes_zone(self, zone_id: str) -> bool:
        """Whether the change deletes a zone."""
        return zone_id in self._old.zones and zone_id not in self._new.zones

    def names_zone(self, zone_id: str) -> bool:
        """Whether it deletes or pauses a zone."""
        before, after = self._old.zones.get(zone_id), self._new.zones.get(zone_id)
        return before is not None and (after is None or (after.paused and not before.paused))

    def names_map(self, key: str) -> bool:
        """Whether it disables or deletes a map."""
        return key in self._maps

    def named_owners(self, zone_id: str, owners: Set[bytes]) -> Steps[Container[bytes]]:
        """Of these owner names in a zone, those with records that it deletes, or switches between proxied and not."""
        before, after = self._old.zones.get(zone_id), self._new.zones.get(zone_id)
        if before is None or after is None or before.records is after.records:
            return ()
        was = yield from _kinds(before.records, owners)
        now = yield from _kinds(after.records, owners)
        return {owner for owner, kinds in was.items() if kinds - now.get(owner, Counter())}

    def edited_names(self) -> Iterator[bytes]:
        """The owners of records that the change edits in zones that stay, the first MAX_NAMES."""
        return islice(self._edited_names(), MAX_NAMES)

    def _edited_names(self) -> Iterator[bytes]:
        for zone_id in differing(self._old.zones, self._new.zones):
            before, after = self._old.zones[zone_id], self._new.zones.get(zone_id)
            if after is None or before.records is after.records:
                continue
            for now, was in differences(after.records, before.records, MAX_EDITED) or ():
                yield from after.records.owners[now.start : now.stop]
                yield from before.records.owners[was.start : was.stop]


def _kinds(records: Records, owners: Set[bytes]) -> Steps[dict[bytes, Counter[RecordKind]]]:
    """The number of records of each kind at these names."""
    found: defaultdict[bytes, Counter[RecordKind]] = defaultdict(Counter)
    if len(owners) <= FEW_NAMES:
        indexes: Iterable[int] = chain.from_iterable(records.indexes_of(owners).values())
    else:
        indexes = yield from _indexes(records, owners)
    for index in indexes:
        traits = records.distinct[records.traits[index]]
        found[records.owners[index]][traits.rtype, traits.proxied] += 1
    return found


def _indexes(records: Records, owners: Set[bytes]) -> Steps[list[int]]:
    """The indexes of the records of these names, of which there are many."""
    found: list[int] = []
    for start in range(0, len(records), LISTED):
        some = records.owners[start : start + LISTED]
        found += [start + place for place, owner in enumerate(some) if owner in owners]
        yield
    return found
