"""The measurements of bench.distinct, saved after each step, so that a later run goes on with the others."""

from __future__ import annotations

import argparse
import json
import statistics
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Self

from bench.figures import Figure, figure
from bench.peers import dnsd_version
from bench.progress import Progress

VERSION = "dnsd"  # the key of the version in `about`

(
    START,
    START_CPU,
    SETTLED_CPU,
    AGAIN,
    AGAIN_CPU,
    MEMORY,
    ASKED_MEMORY,
    WORKER,
    ASKED_WORKER,
    COLD,
    HOT,
    COLD_USER,
    HOT_USER,
    OTHERS,
    SENT,
) = (
    "first start, s",
    "… CPU until all workers answer, s",
    "… CPU until idle, s",
    "start with the snapshot file, s",
    "… its CPU, s",
    "memory after the start, MiB",
    "memory after the questions, MiB",
    "memory of a further worker, MiB",
    "memory of a further worker after the questions, MiB",
    "CPU per answer, every name once, µs",
    "CPU per answer, 10,000 hot names, µs",
    "user time per answer, every name once, µs",
    "user time per answer, 10,000 hot names, µs",
    "share of both cores that other processes took",
    "message to a worker for a changed record, octets",
)


class Step(NamedTuple):
    """What is measured at once: all servers, with one world of some names."""

    world: str
    names: int
    round: int


@dataclass
class Found:
    """Values by (world, names, figure, server) and number of the sample; samples of a number are neighbours."""

    values: dict[tuple[str, int, str, str], dict[int, float]] = field(default_factory=dict)
    done: dict[Step, list[str]] = field(default_factory=dict)  # servers by step
    seconds: dict[tuple[str, int], float] = field(default_factory=dict)  # that a step took
    failures: dict[str, str] = field(default_factory=dict)  # the reason, by what failed
    about: dict[str, str] = field(default_factory=dict)

    def add(self, world: str, names: int, what: str, server: str, sample: int, value: float) -> None:
        """Add a value."""
        self.values.setdefault((world, names, what, server), {})[sample] = value

    def figure(self, world: str, names: int, what: str, server: str) -> Figure | None:
        """The median and the spread; None without measurements."""
        return figure([*self.values.get((world, names, what, server), {}).values()])

    def ratio(self, world: str, names: int, above: tuple[str, str], below: tuple[str, str]) -> Figure | None:
        """One (figure, server) divided by another, sample by sample; without samples in common, median by median."""
        ours, theirs = (self.values.get((world, names, *one), {}) for one in (above, below))
        if not ours or not theirs:
            return None
        if common := [number for number in ours.keys() & theirs.keys() if theirs[number]]:
            return figure([ours[number] / theirs[number] for number in common])
        return figure([statistics.median(ours.values()) / statistics.median(theirs.values())])

    def others(self, world: str, names: int) -> float | None:
        """The share of both cores that other processes took meanwhile; None without questions asked."""
        found = self.figure(world, names, OTHERS, "")
        return found.median if found else None

    def save(self, file: Path) -> None:
        """Write all to a file."""
        parts = {
            "about": self.about,
            "values": [[*key, number, value] for key, found in self.values.items() for number, value in found.items()],
            "done": [[*step, *servers] for step, servers in self.done.items()],
            "seconds": [[*key, value] for key, value in self.seconds.items()],
            "failures": self.failures,
        }
        draft = file.with_name(f"{file.name}.new")
        draft.write_text(json.dumps(parts, ensure_ascii=False, indent=0), encoding="utf-8")
        draft.replace(file)

    @classmethod
    def kept(cls, options: argparse.Namespace, progress: Progress) -> Self:
        """The measurements of earlier runs, unless they are of another version, or to be forgotten."""
        if options.fresh or not options.results.exists():
            return cls()
        found = cls.load(options.results)
        if not options.page and found.about.get(VERSION) != dnsd_version():
            progress.say(f"{options.results} is of {found.about.get(VERSION)}: beginning anew")
            return cls()
        return found

    @classmethod
    def load(cls, file: Path) -> Self:
        """Read it again."""
        parts = json.loads(file.read_text(encoding="utf-8"))
        found = cls(failures=parts["failures"], about=parts["about"])
        for world, names, what, server, sample, value in parts["values"]:
            found.add(world, names, what, server, sample, value)
        found.done = {Step(world, names, turn): servers for world, names, turn, *servers in parts["done"]}
        found.seconds = {(world, names): value for world, names, value in parts["seconds"]}
        return found
