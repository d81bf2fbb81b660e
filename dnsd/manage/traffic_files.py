"""The files of traffic over time in the state folder, one for each range, of bounded size.

A file is a line for its form, then a line of JSON for each sample. It is replaced as a whole, and read at the start; a
damaged one counts as missing.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterable, Mapping
from math import isfinite
from pathlib import Path

from dnsd.errors import shown
from dnsd.manage.state_names import TRAFFIC
from dnsd.manage.traffic import SERIES, Sample, TimeRange, Traffic
from dnsd.store.kept_file import read_or_problem, seconds
from dnsd.whole_file import replacing

FORM = "dnsd traffic 1"
MAX_SIZE = 64 * 1024 * 1024  # octets of a file; more than the largest ring
SAVED_EVERY: Mapping[TimeRange, int] = {TimeRange.HOUR: 6, TimeRange.DAY: 30, TimeRange.WEEK: 180}  # samples


class TrafficFiles:
    """The files in a state folder; only one process writes them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._added = 0  # samples
        self._failed: set[TimeRange] = set()  # to save, and told
        self._saving = threading.Lock()

    def load(self, traffic: Traffic) -> list[str]:
        """Fill the rings from the files. Return the problems of those that cannot be used."""
        problems = []
        for time_range, ring in traffic.rings.items():
            consequence = f"the traffic of the last {time_range} starts again"
            samples, problem = read_or_problem(self._path(time_range), _parsed, most=MAX_SIZE, consequence=consequence)
            ring.samples.extend(samples or ())
            problems += [problem] if problem else []
        return problems

    def due(self, traffic: Traffic) -> list[tuple[TimeRange, tuple[Sample, ...]]]:
        """The rings to be saved now; to be called once after each sample."""
        self._added += 1
        return [one for one in self.all(traffic) if self._added % SAVED_EVERY[one[0]] == 0]

    def all(self, traffic: Traffic) -> list[tuple[TimeRange, tuple[Sample, ...]]]:
        """All rings."""
        return [(time_range, tuple(ring.samples)) for time_range, ring in traffic.rings.items()]

    def save(self, rings: Iterable[tuple[TimeRange, tuple[Sample, ...]]]) -> list[str]:
        """Save rings; may run in a thread. Return new problems."""
        with self._saving:
            return [problem for one in rings if (problem := self._saved(*one))]

    def _saved(self, time_range: TimeRange, samples: Iterable[Sample]) -> str | None:
        """Save a ring; return the problem if it is a new one."""
        path = self._path(time_range)
        try:
            with replacing(path) as out:
                out.write(f"{FORM}\n".encode())
                out.writelines(map(_line, samples))
        except OSError as error:
            if time_range in self._failed:
                return None
            self._failed.add(time_range)
            lost = f"a restart would lose the traffic of the last {time_range}"
            return f"{shown(path)} cannot be written: {os.strerror(error.errno or 0)}; {lost}"
        self._failed.discard(time_range)
        return None

    def _path(self, time_range: TimeRange) -> Path:
        return self._folder / f"{TRAFFIC}{time_range}"


def _line(sample: Sample) -> bytes:
    return json.dumps([round(sample.at, 3), round(sample.seconds, 3), sample.counts]).encode() + b"\n"


def _parsed(octets: bytes) -> list[Sample]:
    """The samples in a file. Raises ValueError, TypeError, KeyError … for any deviation from the form."""
    form, *lines = octets.decode().split("\n")
    if form != FORM or not lines or lines.pop():
        raise ValueError("the file is incomplete, or has another form")
    return sorted(map(_sample, lines), key=lambda one: one.at)


def _sample(line: str) -> Sample:
    at, length, counts = json.loads(line)
    sample = Sample(
        seconds(at),
        float(length),
        {name: {str(label): float(count) for label, count in counts[name].items()} for name in SERIES},
    )
    values = (count for labels in sample.counts.values() for count in labels.values())
    if not all(isfinite(one) and one >= 0 for one in values) or not 0 < sample.seconds < float("inf"):
        raise ValueError("not a sample")
    return sample
