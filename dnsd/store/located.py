"""Problems, which the model reports by path, at their positions in the files of their objects."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from dnsd.errors import Place, Problem
from dnsd.store.directory import FileKind
from dnsd.store.objects import Read, ReadZone
from dnsd.store.text_places import TextPlaces
from dnsd.wire.names import name_text
from dnsd.wire.rdata import type_text


def located(problems: Iterable[Problem], read: Read) -> list[Problem]:
    """The problems, which the model reports by path, each at its position in the file."""
    text = TextPlaces(read.file, read.items if isinstance(read, ReadZone) else None)
    return [_located(problem, read, text) for problem in problems]


def _located(problem: Problem, read: Read, text: TextPlaces) -> Problem:
    path, file = problem.path, read.file
    if path[:1] == ("records",) and len(path) > 1 and isinstance(read, ReadZone) and read.zone:
        index = int(path[1])
        is_written = index < len(read.rows)
        if file.kind is FileKind.ZONE_MASTER:
            record = read.zone.records[index]
            words = f"{name_text(record.owner)} {type_text(record.rtype)}"
            return replace(problem, path=(words,), place=Place(file.path, read.rows[index] if is_written else 1, 1))
        path = ("records", read.rows[index], *path[2:]) if is_written else ("nameservers",)
    return text.placed(replace(problem, path=path))
