"""Traffic over an hour, a day and a week, in memory and in files that outlive restarts."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from dnsd.manage.state_names import TRAFFIC
from dnsd.manage.traffic import (
    MAPS,
    MAX_NAMED,
    QUERIES,
    RCODES,
    SIZES,
    ZONES,
    Ring,
    RingSize,
    Sample,
    TimeRange,
    Traffic,
)
from dnsd.manage.traffic_files import FORM, SAVED_EVERY, TrafficFiles
from dnsd.metrics import Key

START = 1_700_000_000.0


def counted(total: float, *, zones: int = 1) -> list[tuple[Key, float]]:
    return [
        (("dnsd_requests_total", "udp", "ipv4", "A"), total),
        (("dnsd_requests_total", "tcp", "ipv6", "AAAA"), total),
        (("dnsd_responses_total", "udp", "NOERROR"), total),
        *((("dnsd_zone_requests_total", f"z{number}.example"), total * (number + 1)) for number in range(zones)),
        (("dnsd_edge_answers_total", "zone", "acme/maps/shop"), total),
        (("dnsd_tcp_accepted_total",), total),
    ]


def filled(seconds: int, *, zones: int = 1) -> Traffic:
    traffic = Traffic()
    for number in range(seconds // 10 + 1):
        traffic.add(counted(number * 10.0, zones=zones), START + number * 10, 10.0)
    return traffic


def test_counts_grow_from_the_second_time_on() -> None:
    traffic = filled(20)
    for ring in traffic.rings.values():
        assert sum(one.seconds for one in ring.samples) == 20
        assert sum(one.counts[QUERIES][""] for one in ring.samples) == 40
        assert sum(one.counts[ZONES]["z0.example"] for one in ring.samples) == 20
    assert traffic.rings[TimeRange.HOUR].samples[-1].counts == {
        QUERIES: {"": 20.0},
        RCODES: {"NOERROR": 10.0},
        MAPS: {"acme/maps/shop": 10.0},
        ZONES: {"z0.example": 10.0},
    }


@pytest.mark.parametrize(
    ("time_range", "samples", "covered_s"), [("hour", 360, 3_600), ("day", 288, 86_400), ("week", 336, 604_800)]
)
def test_rings_cover_their_range_and_no_more(time_range: TimeRange, samples: int, covered_s: float) -> None:
    size = SIZES[TimeRange(time_range)]
    assert (size.kept, size.covered_s) == (samples, covered_s)
    ring = Ring(size)
    for number in range(2 * size.kept):
        ring.add(Sample(START + number * size.step_s, size.step_s, {}))
    assert len(ring.samples) == size.kept
    ring.add(Sample(START + 10 * size.covered_s, 10, {}))
    assert len(ring.samples) == 1


def test_samples_of_a_step_are_added_up() -> None:
    day = filled(700).rings[TimeRange.DAY].samples
    assert [one.seconds for one in day] == [90, 300, 300, 10]  # the first and the last step are not complete
    assert [one.counts[QUERIES][""] for one in day] == [180, 600, 600, 20]


def test_only_the_busiest_zones_of_a_sample_are_kept() -> None:
    traffic = filled(30, zones=500)
    for ring in traffic.rings.values():
        for sample in ring.samples:
            assert len(sample.counts[ZONES]) == MAX_NAMED
            assert "z499.example" in sample.counts[ZONES]


def test_clock_that_is_set_back_drops_later_samples() -> None:
    ring = Ring(RingSize(10, 5))
    for at in (100.0, 110.0, 50.0, 60.0):
        ring.add(Sample(at, 10, {}))
    assert [one.at for one in ring.samples] == [50.0, 60.0]


def all_samples(traffic: Traffic) -> list[list[Sample]]:
    return [list(ring.samples) for ring in traffic.rings.values()]


def test_samples_outlive_a_restart(tmp_path: Path) -> None:
    before, files = filled(4_000, zones=20), TrafficFiles(tmp_path)
    assert files.save(files.all(before)) == []
    after = Traffic()
    assert TrafficFiles(tmp_path).load(after) == []
    assert all_samples(after) == all_samples(before)
    after.add(counted(1.0), START + 4_010, 10)
    after.add(counted(3.0), START + 4_020, 10)
    assert after.rings[TimeRange.HOUR].samples[-1].counts[QUERIES] == {"": 4.0}
    assert len(after.rings[TimeRange.HOUR].samples) == 359  # no sample at the restart
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}


def test_each_ring_is_saved_once_in_its_step(tmp_path: Path) -> None:
    traffic, files = filled(20), TrafficFiles(tmp_path)
    due = [[one[0] for one in files.due(traffic)] for _ in range(180)]
    for time_range in TimeRange:
        assert sum(time_range in one for one in due) == 180 // SAVED_EVERY[time_range]
        assert SAVED_EVERY[time_range] * 10 <= max(60, SIZES[time_range].step_s)


def test_without_files_nothing_is_wrong(tmp_path: Path) -> None:
    traffic = Traffic()
    assert TrafficFiles(tmp_path).load(traffic) == []
    assert all_samples(traffic) == [[], [], []]


def line(at: object = START, seconds: object = 10.0, counts: object = None) -> str:
    empty: dict[str, dict[str, float]] = {QUERIES: {}, RCODES: {}, MAPS: {}, ZONES: {}}
    return json.dumps([at, seconds, empty if counts is None else counts])


def lines(*given: str) -> bytes:
    return "".join(f"{one}\n" for one in given).encode()


EMPTY = {QUERIES: {}, RCODES: {}, MAPS: {}, ZONES: {}}
DAMAGED = {
    "empty": b"",
    "octets": bytes(range(256)) * 20,
    "zeros": bytes(4_096),
    "another form": lines("dnsd traffic 2", line()),
    "cut off": lines(FORM, line())[:-5],
    "no JSON": lines(FORM, "{"),
    "a number": lines(FORM, "5"),
    "a series is missing": lines(FORM, line(counts={QUERIES: {}})),
    "a count is text": lines(FORM, line(counts=EMPTY | {ZONES: {"a": "b"}})),
    "a count is no number": lines(FORM, line(counts=EMPTY | {ZONES: {"a": float("nan")}})),
    "a count is negative": lines(FORM, line(counts=EMPTY | {ZONES: {"a": -1}})),
    "a count is endless": lines(FORM, f"[1, 1, {json.dumps(EMPTY | {ZONES: {'a': 10**400}})}]"),
    "labels are a list": lines(FORM, line(counts=EMPTY | {ZONES: [1]})),
    "no time has passed": lines(FORM, line(seconds=0)),
    "time is endless": lines(FORM, line(at=float("inf"))),
    "deeply nested": lines(FORM, "[" * 100_000),
}


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED.keys())
def test_damaged_file_starts_its_range_again(tmp_path: Path, content: bytes) -> None:
    before, files = filled(100), TrafficFiles(tmp_path)
    files.save(files.all(before))
    (tmp_path / f"{TRAFFIC}day").write_bytes(content)
    after = Traffic()
    (problem,) = TrafficFiles(tmp_path).load(after)
    assert problem.startswith(f"{tmp_path}/{TRAFFIC}day is corrupt: ")
    assert problem.endswith("; the traffic of the last day starts again")
    hour, day, week = all_samples(after)
    assert (len(hour), len(day), len(week)) == (10, 0, 1)
    files.save(files.all(after))
    assert TrafficFiles(tmp_path).load(Traffic()) == []


def replaced_by_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def grown(path: Path) -> None:
    with path.open("ab") as out:
        out.truncate(64 * 1024 * 1024 + 1)


@pytest.mark.parametrize("harm", [replaced_by_a_folder, grown], ids=lambda one: one.__name__)
def test_file_of_a_wrong_kind_or_size_is_told(tmp_path: Path, harm: Callable[[Path], None]) -> None:
    files = TrafficFiles(tmp_path)
    files.save(files.all(filled(100)))
    harm(tmp_path / f"{TRAFFIC}week")
    traffic = Traffic()
    (problem,) = TrafficFiles(tmp_path).load(traffic)
    assert "traffic_week is corrupt: moved aside as traffic_week.damaged" in problem
    assert len(traffic.rings[TimeRange.HOUR].samples) == 10


def test_full_disk_is_told_once(tmp_path: Path) -> None:
    files, traffic = TrafficFiles(tmp_path / "gone"), filled(50)
    hour: Iterable[tuple[TimeRange, tuple[Sample, ...]]] = files.all(traffic)[:1]
    (problem,) = files.save(hour)
    assert "traffic_hour cannot be written: No such file or directory" in problem
    assert files.save(hour) == []
    (tmp_path / "gone").mkdir()
    assert files.save(hour) == []
    (tmp_path / "gone/traffic_hour").unlink()
    (tmp_path / "gone").rmdir()
    assert len(files.save(hour)) == 1


def test_largest_file_is_read_again(tmp_path: Path) -> None:
    traffic, files = Traffic(), TrafficFiles(tmp_path)
    labels = {f"{'x' * 250}{number}": 1e9 for number in range(MAX_NAMED)}
    for number in range(SIZES[TimeRange.HOUR].kept):
        counts = {QUERIES: {"": 1e12}, RCODES: {"NOERROR": 1e12}, MAPS: labels, ZONES: labels}
        traffic.rings[TimeRange.HOUR].add(Sample(START + number * 10, 10, counts))
    files.save(files.all(traffic))
    assert TrafficFiles(tmp_path).load(Traffic()) == []
