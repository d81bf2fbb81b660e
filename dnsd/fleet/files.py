"""The accounts' files in a node's copy of the state, and what they become when objects of the copy change."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import replace

from dnsd.errors import Place, Problem
from dnsd.fleet.objects import ROOT, ValueOf, source_file
from dnsd.fleet.subjects import KINDS, OBJECTS, ObjectName, account_of_subject, object_of, object_subject
from dnsd.store.directory import Files, SourceFile, account_of
from dnsd.store.files_edit import edited_files
from dnsd.store.replica_reader import ReplicaReader


def read_fleet_files(reader: ReplicaReader, value_of: ValueOf) -> Files:
    """All files in a copy, in order; `value_of` reads their blocks later."""
    found: dict[str, list[SourceFile]] = defaultdict(list)
    for kept in reader.objects(OBJECTS):
        if name := object_of(kept.subject):
            found[name.key].append(source_file(name, kept.value, value_of))
    files = sorted(map(_only, found.values()), key=_order)
    return Files(ROOT, tuple(sorted({account_of(file.key) for file in files})), tuple(files))


def changed_fleet_files(files: Files, subjects: Iterable[str], reader: ReplicaReader, value_of: ValueOf) -> Files:
    """The files once the objects at these subjects have other values, or none, in the copy."""
    written, removed = {}, set()
    for key in {name.key for name in map(object_of, subjects) if name}:
        now = [source_file(name, value, value_of) for name, value in _values(key, reader)]
        if now:
            written[key] = _only(now)
        if not now or ((old := files.by_key().get(key)) and old.path != written[key].path):
            removed.add(key)
    there = {account_of(file.key) for file in files.files if file.key not in removed}
    gone = {*map(account_of, removed)} - there - {*map(account_of, written)}
    return edited_files(files, written, removed, gone)


def _values(key: str, reader: ReplicaReader) -> Iterator[tuple[ObjectName, bytes]]:
    """The values of a key's objects: of each kind that it may have."""
    for kind in KINDS:
        try:
            subject = object_subject(key, kind)
        except ValueError:  # not of this kind
            continue
        if (value := reader.value(account_of_subject(subject), subject)) is not None:
            yield ObjectName(key, kind), value


def _only(found: list[SourceFile]) -> SourceFile:
    """The file of an object, which has a problem if there are several."""
    if len(found) == 1:
        return found[0]
    first = found[0]
    message = f"is defined twice, here and in {found[1].path}; remove one of the two"
    return replace(first, problem=Problem(first.key, (), message, place=Place(first.path, 1, 1)))


def _order(file: SourceFile) -> list[str]:
    return file.path.split(os.sep)
