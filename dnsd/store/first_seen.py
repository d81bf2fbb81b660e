"""The file of first sights in the state folder: when objects were first seen, a line per object and per change to it.

The last line of an object counts. Changes are appended, so that each costs only its own line; the whole file is
rewritten once most of its lines are outdated. An incomplete last line is ignored; a file with other damaged lines is
moved aside, and written again with the rest.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import lru_cache
from pathlib import Path

from dnsd.model.sightings import ObjectTimes, Sighting
from dnsd.model.times import parse_time, time_text
from dnsd.store.kept_file import DamagedFileError, kept, move_aside, read_octets
from dnsd.whole_file import replacing

FILE_NAME = "first_seen"  # in the state folder
MAX_SIZE = 256 * 1024 * 1024  # octets; a larger file is not ours
NONE = "-"  # an empty field
SPARE_LINES = 1_000  # outdated lines allowed in addition to one per object


class FirstSeen:
    """The file in a state folder; only one process writes it."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE_NAME
        self.problem: str | None = None  # of the last reading
        self._saved: Mapping[str, Sighting] | None = None  # the file's content; None: it must be rewritten
        self._size = 0  # octets of the file
        self._lines = 0

    def load(self) -> ObjectTimes:
        """Read the times in the file, as far as it is readable; empty without a file. Raises OSError."""
        self._saved, self.problem = None, None
        try:
            lines, octets = kept(self.path, _lines)
        except FileNotFoundError:
            return ObjectTimes({})
        except DamagedFileError as error:
            self.problem = str(error)
            return ObjectTimes({})
        found = [*map(_parsed, lines[:-1])]
        sightings = dict(filter(None, found))
        if None in found or "\0" in lines[-1]:
            self.problem = f"{move_aside(self.path)}, but {len(sightings):,} objects could be read"
        elif lines[-1] == "" and len(lines) - 1 <= _most_lines(sightings):
            self._saved, self._size, self._lines = sightings, len(octets), len(lines) - 1
        return ObjectTimes(sightings)

    def save(self, times: ObjectTimes) -> None:
        """Save the times to disk, unless the file holds them already. Raises OSError."""
        sightings, saved = times.sightings, self._saved
        if saved is not None and not self._is_unchanged():
            saved = None
        if sightings is saved:
            return
        self._saved = None  # until this succeeds
        if saved is None:
            self._write(sightings)
        else:
            news = [(key, one) for key, one in sightings.items() if saved.get(key) != one]
            if self._lines + len(news) > _most_lines(sightings):
                self._write(sightings)
            elif news:
                self._append(news)
        self._saved = sightings

    def _is_unchanged(self) -> bool:
        try:
            return self.path.stat().st_size == self._size
        except FileNotFoundError:
            return False

    def _append(self, news: Iterable[tuple[str, Sighting]]) -> None:
        octets = _packed(news)
        fd = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC)
        with open(fd, "wb") as out:
            out.write(octets)
            out.flush()
            os.fsync(fd)
        self._size += len(octets)
        self._lines += octets.count(b"\n")

    def _write(self, sightings: Mapping[str, Sighting]) -> None:
        octets = _packed(sightings.items())
        with replacing(self.path) as out:
            out.write(octets)
        self._size, self._lines = len(octets), len(sightings)


def _lines(path: Path) -> tuple[list[str], bytes]:
    octets = read_octets(path, MAX_SIZE)
    return octets.decode(errors="replace").split("\n"), octets


def _most_lines(sightings: Mapping[str, Sighting]) -> int:
    return 2 * len(sightings) + SPARE_LINES


def _packed(sightings: Iterable[tuple[str, Sighting]]) -> bytes:
    return "".join(f"{_line(key, one)}\n" for key, one in sightings).encode()


def _line(key: str, one: Sighting) -> str:
    times = (one.created, one.modified, one.activated, one.gone)
    return " ".join((key, *map(_word, times), one.digest or NONE))


@lru_cache(maxsize=1024)  # many objects share the same time
def _word(at: datetime | None) -> str:
    return time_text(at) if at else NONE


def _parsed(line: str) -> tuple[str, Sighting] | None:
    """The key and sighting in a line; None if the line is damaged, or from a later version."""
    try:
        key, created, modified, activated, gone, digest = line.split(" ")
        times = (_time(created), _time(modified), _time(activated), _time(gone))
    except ValueError:
        return None
    if times[0] is None:
        return None
    return key, Sighting(times[0], times[1], times[2], "" if digest == NONE else digest, times[3])


@lru_cache(maxsize=1024)
def _time(word: str) -> datetime | None:
    return None if word == NONE else parse_time(word)
