"""Times of objects: sightings, and the file that keeps them beyond the process."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from dnsd.model.dataset import Dataset
from dnsd.model.maps import AddressMap
from dnsd.model.sightings import KEPT, MAX_GONE, NEVER_SEEN, ObjectTimes, Sighting, see
from dnsd.model.times import EARLIEST, LATEST, WrittenTimes, time_text
from dnsd.model.zones import Status, Zone, ZoneSettings
from dnsd.store.first_seen import SPARE_LINES, FirstSeen

T0 = datetime(2026, 3, 1, 12, 0, 0, 7, tzinfo=UTC)
DAY = timedelta(days=1)
ACCOUNT = "a1" * 16
ZONE_ID = "2e" * 16
ZONE = Zone("acme/zones/x", ZONE_ID, ACCOUNT, b"\1x\0", Status.ACTIVE, False, ZoneSettings(), ())  # type: ignore[arg-type]
MAP = AddressMap("acme/maps/m", "3e" * 16, ACCOUNT, "", True, (), (), None, False)


def dataset(*zones: Zone, maps: tuple[AddressMap, ...] = ()) -> Dataset:
    return Dataset({}, {one.id: one for one in maps}, {zone.id: zone for zone in zones})


STEPS: dict[str, tuple[list[Zone], tuple[int, int, int | None]]] = {
    # versions of a zone, one a day -> days from T0: created, modified, activated
    "as it is": ([ZONE, ZONE], (0, 0, 0)),
    "read anew": ([ZONE, replace(ZONE), replace(ZONE)], (0, 0, 0)),
    "under another key": ([ZONE, replace(ZONE, key="acme/zones/y")], (0, 0, 0)),
    "paused": ([ZONE, replace(ZONE, paused=True)], (0, 1, 0)),
    "paused, and resumed": ([ZONE, replace(ZONE, paused=True), ZONE], (0, 2, 0)),
    "a setting": ([ZONE, replace(ZONE, settings=ZoneSettings(ipv6=False))], (0, 1, 0)),
    "a default setting written out": ([ZONE, replace(ZONE, settings=ZoneSettings(ipv6=True))], (0, 0, 0)),
    "another account's": ([ZONE, replace(ZONE, account_id="a2" * 16)], (0, 1, 0)),
    "never active": ([replace(ZONE, status=Status.PENDING)], (0, 0, None)),
    "active at last": ([replace(ZONE, status=Status.PENDING), ZONE, ZONE], (0, 1, 1)),
    "active again": ([ZONE, replace(ZONE, status=Status.MOVED), ZONE], (0, 2, 2)),
    "created earlier": ([ZONE, replace(ZONE, written_times=WrittenTimes(created=T0 - 9 * DAY))], (-9, 0, 0)),
    "created earlier, time removed": (
        [ZONE, replace(ZONE, written_times=WrittenTimes(created=T0 - 9 * DAY)), ZONE],
        (-9, 0, 0),
    ),
    "created earlier from the start": ([replace(ZONE, written_times=WrittenTimes(created=T0 - 9 * DAY))], (-9, -9, -9)),
    "modified": ([ZONE, replace(ZONE, written_times=WrittenTimes(modified=T0 - 3 * DAY), paused=True)], (0, -3, 0)),
    "modified, time removed": ([replace(ZONE, written_times=WrittenTimes(modified=T0 - 3 * DAY)), ZONE], (0, 1, 0)),
    "modified, and changed": (
        [
            replace(ZONE, written_times=WrittenTimes(modified=T0)),
            replace(ZONE, written_times=WrittenTimes(modified=T0)),
        ],
        (0, 0, 0),
    ),
    "all times in its file": (
        [replace(ZONE, written_times=WrittenTimes(T0 - 9 * DAY, T0 - 8 * DAY, T0 - 7 * DAY))],
        (-9, -8, -7),
    ),
}


@pytest.mark.parametrize("is_another_process", [False, True])
@pytest.mark.parametrize("case", STEPS)
def test_times_follow_from_sightings(tmp_path: Path, case: str, is_another_process: bool) -> None:
    zones, expected = STEPS[case]
    times, previous = NEVER_SEEN, None
    for day, zone in enumerate(zones):
        if is_another_process:
            times, previous = FirstSeen(tmp_path).load(), None
        now = dataset(zone)
        times = see(now, T0 + day * DAY, before=times, previous=previous)
        previous = now
        if is_another_process:
            file = FirstSeen(tmp_path)
            file.load()
            file.save(times)
    found = times.of_zone(zones[-1])
    assert tuple(None if at is None else (at - T0) // DAY for at in found) == expected


def test_change_with_an_unchanged_time_in_the_file_counts(tmp_path: Path) -> None:
    """An editor changes an object that the API wrote, and leaves the time in the file unchanged."""
    made = replace(MAP, created_at=T0, modified_at=T0)
    steps = {
        "made": (made, 0),
        "edited": (replace(made, enabled=False), 2),
        "read anew": (replace(made, enabled=False), 2),
        "edited with its time": (replace(made, modified_at=T0 - DAY), -1),
        "edited again": (replace(made, modified_at=T0 - DAY, default_sni="x.example"), 5),
        "changed over the API": (replace(made, modified_at=T0 + 6 * DAY), 6),
        "restored": (made, 0),
    }
    times, previous = NEVER_SEEN, None
    for day, (step, (found, expected)) in enumerate(steps.items(), 1):
        now = dataset(maps=(found,))
        times = see(now, T0 + day * DAY, before=times, previous=previous)
        assert (times.of_map(found).modified - T0) // DAY == expected, step
        file = saved(tmp_path, times.sightings)
        assert see(now, T0 + 99 * DAY, before=FirstSeen(file.parent).load()).of_map(found) == times.of_map(found), step
        previous = now


def test_unchanged_data_changes_no_sighting() -> None:
    first = see(dataset(ZONE, maps=(MAP,)), T0)
    again = dataset(replace(ZONE), maps=(replace(MAP),))
    assert see(again, T0 + DAY, before=first) is first
    assert see(again, T0 + DAY, before=first, previous=dataset(ZONE, maps=(MAP,))) is first


def test_object_that_comes_back_with_some_times_keeps_the_others() -> None:
    zone = replace(ZONE, written_times=WrittenTimes(created=T0 - 9 * DAY))
    full, empty = dataset(zone), dataset()
    changed = dataset(replace(zone, paused=True))
    times = see(changed, T0 + DAY, before=see(full, T0), previous=full)
    times = see(empty, T0 + 2 * DAY, before=times, previous=changed)
    found = see(changed, T0 + 3 * DAY, before=times, previous=empty).of_zone(zone)
    assert ((found.created - T0) // DAY, (found.modified - T0) // DAY) == (-9, 1)


@pytest.mark.parametrize("is_another_process", [False, True])
@pytest.mark.parametrize(("away", "made"), [(KEPT - DAY, 0), (KEPT + DAY, 40)])
def test_object_that_comes_back_soon_keeps_its_times(away: timedelta, made: int, is_another_process: bool) -> None:
    full, empty, other = dataset(ZONE), dataset(), dataset(replace(ZONE, id="4e" * 16))
    times = see(full, T0)
    times = see(empty, T0 + DAY, before=times, previous=None if is_another_process else full)
    # Another object is removed meanwhile, which triggers the cleanup of removed objects.
    times = see(other, T0 + 2 * DAY, before=times, previous=empty)
    times = see(empty, T0 + DAY + away, before=times, previous=other)
    back = see(full, T0 + 40 * DAY, before=times, previous=empty)
    assert (back.of_zone(ZONE).created - T0) // DAY == made


def test_remembered_removed_objects_are_bounded() -> None:
    zones = [replace(ZONE, id=f"{number:032x}") for number in range(MAX_GONE + 500)]
    full = dataset(*zones)
    times = see(full, T0)
    times = see(dataset(ZONE), T0 + DAY, before=times, previous=full)
    assert len(times.sightings) == MAX_GONE + 1


def test_removed_objects_with_all_times_in_their_files_are_forgotten() -> None:
    """However many zones are created over the API and deleted."""
    times, previous = see(dataset(ZONE), T0), dataset(ZONE)
    for number in range(3):
        made = replace(ZONE, id=f"{number:032x}", written_times=WrittenTimes(T0, T0, T0))
        times = see(now := dataset(ZONE, made), T0, before=times, previous=previous)
        assert len(times.sightings) == 2
        times, previous = see(dataset(ZONE), T0, before=times, previous=now), dataset(ZONE)
    assert len(times.sightings) == 1


def sightings(count: int, **fields: object) -> dict[str, Sighting]:
    one = Sighting(T0, None, None, "ab" * 8)._replace(**fields)
    return {f"zone:{number:032x}": one for number in range(count)}


def saved(folder: Path, *states: Mapping[str, Sighting]) -> Path:
    file = FirstSeen(folder)
    file.load()
    for state in states:
        file.save(ObjectTimes(state))
    return file.path


def test_file_has_the_last_saved_state(tmp_path: Path) -> None:
    first = sightings(3)
    second = first | {"map:x": Sighting(EARLIEST, LATEST, T0, "", T0 + DAY)}
    third = second | sightings(1, modified=T0 + DAY)
    file = saved(tmp_path, first, second, third)
    assert FirstSeen(tmp_path).load().sightings == third
    assert file.stat().st_mode & 0o777 == 0o600
    assert [*tmp_path.iterdir()] == [file]


def test_new_sightings_are_appended(tmp_path: Path) -> None:
    first = sightings(200)
    file = saved(tmp_path, first)
    before = file.read_bytes()
    saved(tmp_path, FirstSeen(tmp_path).load().sightings)
    again = FirstSeen(tmp_path)
    seen = again.load().sightings
    again.save(ObjectTimes({**seen, "map:x": Sighting(T0, T0, None, "")}))
    assert file.read_bytes() == before + f"map:x {time_text(T0)} {time_text(T0)} - - -\n".encode()


def test_file_does_not_grow_for_ever(tmp_path: Path) -> None:
    file, lines = FirstSeen(tmp_path), []
    for number in range(3 * SPARE_LINES):
        file.save(ObjectTimes(sightings(1, modified=T0 + number * DAY)))
        if number % 100 == 0:
            lines.append(file.path.read_bytes().count(b"\n"))
    assert max(lines) <= SPARE_LINES + 2
    assert FirstSeen(tmp_path).load().sightings == sightings(1, modified=T0 + number * DAY)


DAMAGES = {
    "an end that is missing": lambda octets: octets[:-9],
    "a line that was not finished": lambda octets: octets + b"zone:00 2026-0",
    "a line of something else": lambda octets: octets + b"\xff\0\n",
    "a line of a later version": lambda octets: octets + b"zone:00 1 2 3 4 5 6 7\n",
    "an invalid time": lambda octets: octets + b"zone:00 yesterday - - - -\n",
    "a thing that was never made": lambda octets: octets + b"zone:00 - - - - -\n",
    "an empty line": lambda octets: octets + b"\n",
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_file_is_read_as_far_as_possible(tmp_path: Path, damage: str) -> None:
    first = sightings(3)
    file = saved(tmp_path, first)
    file.write_bytes(DAMAGES[damage](file.read_bytes()))
    again = FirstSeen(tmp_path)
    found = again.load()
    assert set(found.sightings) >= {*first} - {list(first)[-1]}
    assert set(found.sightings) <= {*first}
    new = ObjectTimes({**found.sightings, "map:x": Sighting(T0, T0, None, "")})
    again.save(new)
    assert FirstSeen(tmp_path).load().sightings == new.sightings


def test_missing_file_is_written_whole(tmp_path: Path) -> None:
    file = FirstSeen(tmp_path)
    file.save(ObjectTimes(sightings(2)))
    file.path.unlink()
    file.save(ObjectTimes(sightings(3)))
    assert FirstSeen(tmp_path).load().sightings == sightings(3)


def test_unwritable_file_is_written_whole_later(tmp_path: Path) -> None:
    file = FirstSeen(tmp_path)
    file.save(ObjectTimes(sightings(2)))
    os.rename(file.path, tmp_path / "kept")
    file.path.mkdir()
    with pytest.raises(OSError, match="first_seen"):
        file.save(ObjectTimes(sightings(3)))
    file.path.rmdir()
    file.save(ObjectTimes(sightings(3)))
    assert FirstSeen(tmp_path).load().sightings == sightings(3)
    assert {one.name for one in tmp_path.iterdir()} == {"first_seen", "kept"}
