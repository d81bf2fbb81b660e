"""A zone as it was read and packed, as octets: its columns, from which `Records` over a mapped file are made, and the
few objects around them. What is in these octets is known here alone.

Octets are in frames, each with its size. The first one has all that is small, pickled; columns follow, and lists of
objects in pieces, so that making or reading them does not keep other threads waiting.
"""

from __future__ import annotations

import io
import pickle
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import islice
from struct import Struct
from typing import Any, ClassVar, NamedTuple, TypeVar

from dnsd.engine.entry import Octets
from dnsd.engine.node import Apex
from dnsd.engine.snapshot import BuiltZone
from dnsd.errors import Problem
from dnsd.formats.zone_blocks import line_numbers
from dnsd.model.columns import Records
from dnsd.model.octet_column import Numbers, OctetColumn
from dnsd.model.records import DEFAULT_SETTINGS, RecordSettings, Traits
from dnsd.model.zones import Status, Zone, ZoneSettings
from dnsd.store.directory import SourceFile
from dnsd.store.objects import ReadZone

SIZE = Struct("<Q")  # of a frame
ALIGNED = 8  # octets: frames begin at multiples of it
SMALL = 4096  # octets of a column up to which it stands in the first frame
NUMBER = 4  # octets of a number in a column
PIECE = 1000  # objects pickled at once
SETTINGS = 3  # their place in traits
DEFAULT_ZONE_SETTINGS = ZoneSettings()
KNOWN_CLASSES = {
    "array": {"_array_reconstructor", "array"},
    "builtins": {"range"},
    "datetime": {"datetime", "timedelta", "timezone"},
    "pydantic_core._pydantic_core": {"TzInfo"},
    "dnsd.errors": {"BrokenRule", "Place", "Problem"},
    "dnsd.formats.yaml_items": {"ItemLines"},
    "dnsd.formats.zone_blocks": {"ZonePart"},
    "dnsd.formats.zone_reader": {"ReaderState", "TextProblem"},
    "dnsd.model.records": {"Identity", "Record", "RecordSettings"},
    "dnsd.model.times": {"WrittenTimes"},
    "dnsd.model.zones": {"ZoneSettings"},
    "dnsd.store.blocks": {"TextBlock"},
}


T = TypeVar("T")


class PackedRead(NamedTuple):
    """A zone as it was read and, if it is served, as it was packed."""

    read: ReadZone
    built: BuiltZone | None


def key_of(file: SourceFile, account_id: str, nameservers: tuple[str, ...]) -> tuple[Any, ...]:
    """All that a zone depends on, as plain values: the same key, the same zone."""
    return file.key, file.kind.value, file.content.digest, file.modified, account_id, nameservers


def packed_zone(read: ReadZone, built: BuiltZone | None) -> Iterator[Octets]:
    """The octets of a zone, in pieces. The zone must have a `zone`."""
    zone = read.zone
    assert zone is not None, "a zone that is served was read"
    columns: list[memoryview] = []

    def keep(buffer: pickle.PickleBuffer) -> bool:
        octets = buffer.raw()
        if octets.nbytes > SMALL:
            columns.append(octets)
        return octets.nbytes <= SMALL

    records = zone.records
    lists: tuple[list[Any], ...] = (
        list(read.parts),
        [(*one[:SETTINGS], _unless(DEFAULT_SETTINGS, one.settings), *one[SETTINGS + 1 :]) for one in records.distinct],
        list(records.identities.items()),
        list(read.problems),
    )
    fields = (
        (zone.key, zone.id, zone.account_id, zone.name, zone.status.value, zone.paused),
        _unless(DEFAULT_ZONE_SETTINGS, zone.settings),
        (zone.verified, zone.written_times),
        (_column(records.owners), _column(records.rdatas), _numbers(records.traits), _numbers(records.grouped)),
        (records.most_of_a_name, bool(records.repeats())),
        None if read.parts else len(read.rows) if _are_counted(read.rows) else _numbers(read.rows),
        (read.items, read.file.path),
        _packed(built) if built else None,
        [one if len(one) <= PIECE else len(one) for one in lists],
    )
    yield from _frame(pickle.dumps(fields, protocol=pickle.HIGHEST_PROTOCOL, buffer_callback=keep))
    for column in columns:
        yield from _frame(column)
    for objects in lists:
        for start in range(0, len(objects) if len(objects) > PIECE else 0, PIECE):
            yield from _frame(pickle.dumps(objects[start : start + PIECE], protocol=pickle.HIGHEST_PROTOCOL))


def _packed(built: BuiltZone) -> tuple[Any, ...]:
    """What a packed zone has beside the zone and its apex."""
    return (
        (built.applies_maps, built.number),
        (_column(_octets_of(built.proxied_names)), _buffer(built.rules)),
        (_numbers(built.aliases_at), _numbers(array("I", sorted(built.flattened_at))), _numbers(built.dnames_at)),
    )


def _are_counted(rows: Sequence[int]) -> bool:
    """Whether rows count from 0."""
    return isinstance(rows, range) and rows == range(len(rows))


def _column(column: OctetColumn) -> tuple[pickle.PickleBuffer, pickle.PickleBuffer]:
    return _buffer(column.octets), _buffer(column.ends)


def _octets_of(names: Sequence[bytes]) -> OctetColumn:
    return names if isinstance(names, OctetColumn) else OctetColumn.of([*names])


def _numbers(numbers: Sequence[int]) -> pickle.PickleBuffer:
    return _buffer(numbers if isinstance(numbers, array | memoryview) else array("I", numbers))


def _buffer(octets: bytes | array[int] | memoryview) -> pickle.PickleBuffer:
    """A buffer that is read as bytes if it is small, else as a part of the mapped file."""
    return pickle.PickleBuffer(memoryview(octets).toreadonly())


def _unless(usual: T, one: T) -> T | None:
    """None in place of the usual one."""
    return None if one == usual else one


def _frame(octets: Octets) -> Iterator[Octets]:
    size = memoryview(octets).nbytes
    yield SIZE.pack(size)
    yield octets
    yield bytes(-size % ALIGNED)


def unpacked_zone(
    octets: memoryview, file: SourceFile, nameservers: tuple[str, ...], apexes: Sequence[Apex | None]
) -> PackedRead:
    """The zone in octets, for the file that it was read from; its columns stay there. `apexes` are those by number.

    Raises ValueError for other octets.
    """
    try:
        return _unpacked(octets, file, nameservers, apexes)
    except ValueError:
        raise
    except Exception as error:  # of any kind, as the octets may be anything
        raise ValueError(f"not the octets of a zone: {error}") from None


def _unpacked(
    octets: memoryview, file: SourceFile, nameservers: tuple[str, ...], apexes: Sequence[Apex | None]
) -> PackedRead:
    frames = _frames(octets)
    of_zone, settings, (verified, times), columns, (most, has_repeats), rows, (items, path), of_built, lists = _fields(
        frames
    )
    parts, distinct, identities, problems = (_list(frames, one) if isinstance(one, int) else one for one in lists)
    owners, rdatas, traits, grouped = columns
    records = Records(
        owners=OctetColumn(*owners),
        rdatas=OctetColumn(*rdatas),
        traits=_of_numbers(traits),
        distinct=tuple(_traits(*one) for one in distinct),
        grouped=_of_numbers(grouped),
        identities=dict(identities),
        most=most,
        repeats=None if has_repeats else {},
    )
    key, zone_id, account_id, name, status, paused = of_zone
    settings = settings or DEFAULT_ZONE_SETTINGS
    zone = Zone(key, zone_id, account_id, name, Status(status), paused, settings, records, verified, times)
    found = tuple(_moved(problem, path, file.path) for problem in problems)
    parts = tuple(parts)
    if rows is None:
        rows = line_numbers(parts)
    else:
        rows = range(rows) if isinstance(rows, int) else _of_numbers(rows)
    read = ReadZone(file, zone.account_id, nameservers, zone, rows, found, items, parts=parts)
    return PackedRead(read, _built(zone, of_built, apexes) if of_built else None)


def rest_on(zone: PackedRead, octets: memoryview) -> None:
    """Have a zone use its columns in these octets, its own in a mapped file, and let go of those in memory.

    The content is the same, so others may read the zone meanwhile.
    """
    records = zone.read.zone.records if zone.read.zone else Records.of(())
    if max(NUMBER * len(records), len(records.owners.octets), len(records.rdatas.octets)) <= SMALL:
        return  # nothing is mapped
    _, _, _, (owners, rdatas, traits, grouped), _, _, _, of_built, _ = _fields(_frames(octets))
    records.owners.rest_on(OctetColumn(*owners))
    records.rdatas.rest_on(OctetColumn(*rdatas))
    records.traits, records.grouped = _of_numbers(traits), _of_numbers(grouped)
    if zone.built and isinstance(zone.built.proxied_names, OctetColumn):
        zone.built.proxied_names.rest_on(OctetColumn(*of_built[1][0]))


def _built(zone: Zone, fields: tuple[Any, ...], apexes: Sequence[Apex | None]) -> BuiltZone:
    (applies_maps, number), (proxied_names, rules), (aliases, flattened, dnames) = fields
    apex = apexes[number]
    if apex is None or (apex.zone_id, apex.account_id, apex.name) != (zone.id, zone.account_id, zone.name):
        raise ValueError(f"number {number} is that of another zone")
    return BuiltZone(
        zone,
        applies_maps,
        apex,
        number,
        OctetColumn(*proxied_names),
        bytes(rules),
        _of_numbers(aliases),
        frozenset(_of_numbers(flattened)),
        _of_numbers(dnames),
    )


def _fields(frames: Iterator[memoryview]) -> Any:
    """The fields in the first of the frames, with the columns in the next ones."""
    return _ZoneUnpickler(io.BytesIO(next(frames)), buffers=frames).load()


def _frames(octets: memoryview) -> Iterator[memoryview]:
    """The frames in octets. Raises ValueError for a frame that is cut off."""
    at = 0
    while at + SIZE.size <= len(octets):
        (size,) = SIZE.unpack_from(octets, at)
        at += SIZE.size
        if at + size > len(octets):
            raise ValueError("a frame is cut off")
        yield octets[at : at + size]
        at += size + -size % ALIGNED


def _list(frames: Iterator[memoryview], count: int) -> Iterator[Any]:
    """The next list of so many objects."""
    for frame in islice(frames, -(-count // PIECE)):
        yield from _ZoneUnpickler(io.BytesIO(frame)).load()


def _of_numbers(octets: Octets) -> Numbers:
    return array("I", octets) if isinstance(octets, bytes) else octets.cast("I")  # an array needs less memory


def _traits(
    rtype: int, ttl: int, proxied: bool, settings: RecordSettings | None, comment: str, tags: tuple[str, ...]
) -> Traits:
    if settings or comment or tags:
        return Traits(rtype, ttl, proxied, settings or DEFAULT_SETTINGS, comment, tags)
    return _plain_traits(rtype, ttl, proxied)


@lru_cache(maxsize=1024)
def _plain_traits(rtype: int, ttl: int, proxied: bool) -> Traits:
    """Traits that records of many zones share."""
    return Traits(rtype, ttl, proxied)


def _moved(problem: Problem, before: str, now: str) -> Problem:
    """A problem in a file that was at another path before."""
    place = problem.place
    if place is None or before == now or place.file != before:
        return problem
    return replace(problem, place=replace(place, file=now))


class _ZoneUnpickler(pickle.Unpickler):
    found: ClassVar[dict[tuple[str, str], Any]] = {}  # classes found already

    def find_class(self, module: str, name: str) -> Any:
        if name not in KNOWN_CLASSES.get(module, ()):
            raise ValueError(f"{module}.{name} is not allowed in a packed zone")
        if (module, name) not in self.found:
            self.found[module, name] = super().find_class(module, name)
        return self.found[module, name]
