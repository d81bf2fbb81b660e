"""The ids of records as clients see them, and the records of a zone by id and by place in the list.

A record's id is the one in its file, else it is derived from its content. For a search by id, each part of a zone keeps
the first four octets of its records' ids; what they find is verified by deriving the id again.
"""

from __future__ import annotations

import re
import threading
import time
from collections import OrderedDict
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from hashlib import sha256
from itertools import islice
from typing import NamedTuple
from weakref import ref

from dnsd.model.columns import Records
from dnsd.model.fields import derived_id
from dnsd.model.record_parts import PartView, RecordPart, RecordParts, Steps
from dnsd.model.records import Record
from dnsd.model.requests import is_servers_own
from dnsd.model.zones import Zone
from dnsd.wire.names import name_text
from dnsd.wire.rdata import NS, SOA, canonical_rdata, type_text

KEPT_OCTETS = 128 * 1024 * 1024  # of answers about parts, over all zones
KEPT_S = 600.0  # since the last question about a zone
FEW = 50  # ids that are each searched for by themselves
HEAD = 4  # octets of an id that a part keeps
ID = re.compile(r"[0-9a-f]{32}")


class _OfZone(NamedTuple):
    """What is kept about one zone; an edit of the zone goes on with most of its parts."""

    places: tuple[ref[RecordParts] | ref[RecordPart], ...]
    octets: int
    used_at: float  # monotonic


class KeptAnswers:
    """What is kept about the zones that were asked about lately, within a limit."""

    def __init__(self) -> None:
        self._zones: OrderedDict[str, _OfZone] = OrderedDict()  # the last one used is last
        self._octets = 0
        self._lock = threading.Lock()

    def note_use(self, zone: Zone, now: float) -> None:
        """Note a question about a zone; drop what is kept about others, if it is too much or too old."""
        parts = zone.records.parts
        with self._lock:
            before = self._zones.pop(zone.id, None)
            self._zones[zone.id] = _OfZone((ref(parts), *map(ref, parts.parts)), parts.octets, now)
            self._octets += self._zones[zone.id].octets - (before.octets if before else 0)
            self._keep_limits(now)

    def note_answers(self, zone: Zone, now: float, *, waits: bool = True) -> None:
        """Count the answers that are new about a zone, unless an edit has taken its place.

        Without `waits`, nothing is counted while the lock is held.
        """
        parts = zone.records.parts
        if not self._lock.acquire(blocking=waits):
            return
        try:
            kept = self._zones.get(zone.id)
            if kept and kept.places[0]() is parts:
                octets = parts.octets
                self._zones[zone.id] = kept._replace(octets=octets)
                self._octets += octets - kept.octets
                self._keep_limits(now)
        finally:
            self._lock.release()

    def _keep_limits(self, now: float) -> None:
        while len(self._zones) > 1 and (self._octets > KEPT_OCTETS or self._is_old(now)):
            self._forget_first()

    def forget_old(self, now: float) -> None:
        """Drop what nobody has asked for lately."""
        with self._lock:
            while self._zones and self._is_old(now):
                self._forget_first()

    def _is_old(self, now: float) -> bool:
        return now - next(iter(self._zones.values())).used_at >= KEPT_S

    def _forget_first(self) -> None:
        """Drop what is kept about the zone that was not used for longest."""
        _, kept = self._zones.popitem(last=False)
        self._octets -= kept.octets
        for place in kept.places:
            if there := place():
                there.forget()


_answers = KeptAnswers()


def views(zone: Zone) -> Iterator[PartView]:
    """The parts of a zone's records, to ask questions about."""
    _answers.note_use(zone, time.monotonic())
    try:
        yield from zone.records.parts.views(zone.records)
    except GeneratorExit:  # perhaps by the garbage collector, in a thread that holds the lock
        _answers.note_answers(zone, time.monotonic(), waits=False)
        raise
    _answers.note_answers(zone, time.monotonic())


def forget_unused_answers() -> None:
    """Drop the answers about zones that nobody has asked about for KEPT_S."""
    _answers.forget_old(time.monotonic())


def is_shown(zone: Zone, record: Record) -> bool:
    """Whether clients see a record: the SOA and the NS records at the apex are the server's own."""
    return not is_servers_own(zone.name, record.owner, record.rtype)


@dataclass(frozen=True, slots=True)
class Hidden:
    """The places, counted from the start, of the records that clients do not see."""

    zone_name: bytes

    def __call__(self, records: Records, start: int, stop: int) -> tuple[int, ...]:
        """Answer the question."""
        if not any(records.distinct[number].rtype in (SOA, NS) for number in set(records.traits[start:stop])):
            return ()
        return tuple(
            index - start
            for index in range(start, stop)
            if is_servers_own(self.zone_name, records.owners[index], records.rtype(index))
        )


def shown_page(zone: Zone, start: int, stop: int, *, is_reversed: bool = False) -> Steps[list[int]]:
    """The indexes of the records from `start` to `stop` of those that clients see, in the order of the file."""
    if is_reversed:
        start, stop = max(0, zone.client_records - stop), max(0, zone.client_records - start)
    found: list[int] = []
    before = 0  # records seen in the parts before
    for view in views(zone):
        if before >= stop:
            break
        hidden = view.ask(Hidden(zone.name))
        count = view.part.size - len(hidden)
        if before + count > start:
            shown = (index for index in range(view.start, view.stop) if index - view.start not in hidden)
            found += islice(shown, max(0, start - before), stop - before)
        before += count
        yield
    return found[::-1] if is_reversed else found


class WrittenIds(NamedTuple):
    """The ids in a zone's file; of those that several records have, the index of the first that clients see."""

    ids: frozenset[str]
    first: dict[str, int]


def _written_ids(zone: Zone) -> WrittenIds:
    records, kept = zone.records, zone.records.parts.kept
    if WrittenIds not in kept:
        ids: set[str] = set()
        repeated: dict[str, int] = {}
        for identity in records.identities.values():
            if identity.id in ids:
                repeated[str(identity.id)] = len(records)
            elif identity.id:
                ids.add(identity.id)
        for index, identity in records.identities.items() if repeated else ():
            if identity.id in repeated and is_shown(zone, records[index]):
                repeated[identity.id] = min(index, repeated[identity.id])
        kept[WrittenIds] = WrittenIds(frozenset(ids), repeated)
    found: WrittenIds = kept[WrittenIds]
    return found


def record_id(zone: Zone, index: int) -> str:
    """The id of a record that clients see; of records with one id in the file, the first has it."""
    record, written = zone.records[index], _written_ids(zone)
    own = record.identity.id
    if own and written.first.get(own, index) == index:
        return own
    derived = _derived_id(zone, record)
    found, number = own or derived, 1
    while found in written.ids:
        found = derived_id(derived, str(number))
        number += 1
    return found


def find_record(zone: Zone, wanted: str) -> Steps[int | None]:
    """The index of the record with an id; None if clients see no such record."""
    found = yield from find_records(zone, (wanted,))
    return found.get(wanted)


def find_records(zone: Zone, wanted: Collection[str]) -> Steps[dict[str, int]]:
    """The indexes of the records with these ids, by id; without ids of no record that clients see."""
    left = {one for one in wanted if ID.fullmatch(one)}
    found: dict[str, int] = {}
    for view in views(zone):
        if not left:
            break
        heads = {bytes.fromhex(one[: 2 * HEAD]) for one in left}
        for index in _beginning(view, view.ask(IdHeads(zone.id)), heads):
            if not _is_hidden(zone, view, index) and (one := record_id(zone, index)) in left:
                found[one] = index
                left.remove(one)
        yield
    if left:
        numbered = yield from _numbered_ids(zone)
        found.update({one: numbered[one] for one in left if one in numbered})
    return found


def _is_hidden(zone: Zone, view: PartView, index: int) -> bool:
    return index - view.start in view.ask(Hidden(zone.name))


@dataclass(frozen=True, slots=True)
class IdHeads:
    """The first octets of the id of each record, as in its file or derived."""

    zone_id: str

    def __call__(self, records: Records, start: int, stop: int) -> bytes:
        """Answer the question."""
        begin = sha256(f"record\0{self.zone_id}\0".encode())
        types: dict[int, bytes] = {}
        found = []
        rows = zip(range(start, stop), records.owners[start:stop], records.rdatas[start:stop], strict=True)
        for index, owner, rdata in rows:
            identity = records.identities.get(index)
            if identity and identity.id:
                found.append(bytes.fromhex(identity.id[: 2 * HEAD]))
                continue
            rtype, digest = records.rtype(index), begin.copy()
            middle = types.get(rtype) or types.setdefault(rtype, f"\0{type_text(rtype)}\0".encode())
            data = canonical_rdata(rtype, rdata).hex().encode()
            digest.update(name_text(owner).encode() + middle + data)
            found.append(digest.digest()[:HEAD])
        return b"".join(found)


def _numbered_ids(zone: Zone) -> Steps[dict[str, int]]:
    """The ids of records whose own or derived id is that of another record: few, if any."""
    kept = zone.records.parts.kept
    key = _numbered_ids, zone.id
    if key not in kept:
        found: dict[str, int] = {}
        heads = {bytes.fromhex(one[: 2 * HEAD]) for one in _written_ids(zone).ids}
        for view in views(zone) if heads else ():
            for index in _beginning(view, view.ask(IdHeads(zone.id)), heads):
                if not _is_hidden(zone, view, index):
                    found.setdefault(record_id(zone, index), index)
            yield
        kept[key] = found
    numbered: dict[str, int] = kept[key]
    return numbered


def _beginning(view: PartView, column: bytes, heads: set[bytes]) -> list[int]:
    """The indexes of the records of a part whose ids have one of these beginnings; `column` has those of the part."""
    if len(heads) < FEW:
        places = (place for head in heads for place in _places(column, head) if place % HEAD == 0)
        return [view.start + place // HEAD for place in places]
    cut = (column[place : place + HEAD] for place in range(0, len(column), HEAD))
    return [view.start + number for number, head in enumerate(cut) if head in heads]


def _places(column: bytes, head: bytes) -> Iterator[int]:
    place = column.find(head)
    while place >= 0:
        yield place
        place = column.find(head, place + 1)


def _derived_id(zone: Zone, record: Record) -> str:
    rdata = canonical_rdata(record.rtype, record.rdata).hex()
    return derived_id("record", zone.id, name_text(record.owner), type_text(record.rtype), rdata)
