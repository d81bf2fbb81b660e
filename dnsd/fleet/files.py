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
from dnsd.store.replica_reader import ReplicaState


def read_fleet_files(state: ReplicaState, value_of: ValueOf) -> Files:
    """All files in a state of the copy, in order; `value_of` reads their blocks later."""
    found: dict[str, list[SourceFile]] = defaultdict(list)
    for kept in state.objects(OBJECTS):
        if name := object_of(kept.subject):
            found[name.key].append(source_file(name, kept.value, value_of))
    files = sorted(map(_only, found.values()), key=_order)
    return Files(ROOT, tuple(sorted({account_of(file.key) for file in files})), tuple(files))


def changed_fleet_files(files: Files, subjects: Iterable[str], state: ReplicaState, value_of: ValueOf) -> Files:
    """The files once the objects at these subjects have other values, or none, in a later state of the copy."""
    written, removed = {}, set()
    for key in {name.key for name in map(object_of, subjects) if name}:
        now = [*files_of_key(key, state.value, value_of)]
        if now:
            written[key] = _only(now)
        if not now or ((old := files.by_key().get(key)) and old.path != written[key].path):
            removed.add(key)
    there = {account_of(file.key) for file in files.files if file.key not in removed}
    gone = {*map(account_of, removed)} - there - {*map(account_of, written)}
    return edited_files(files, written, removed, gone)


def files_of_key(key: str, there: ValueOf, value_of: ValueOf) -> Iterator[SourceFile]:
    """The files of a key's objects: of each kind that it may have, though one is right."""
    for kind in KINDS:
        try:
            subject = object_subject(key, kind)
        except ValueError:  # not of this kind
            continue
        if (value := there(account_of_subject(subject), subject)) is not None:
            yield source_file(ObjectName(key, kind), value, value_of)


def _only(found: list[SourceFile]) -> SourceFile:
    """The file of an object, which has a problem if there are several."""
    if len(found) == 1:
        return found[0]
    first = found[0]
    message = f"is defined twice, here and in {found[1].path}; remove one of the two"
    return replace(first, problem=Problem(first.key, (), message, place=Place(first.path, 1, 1)))


def _order(file: SourceFile) -> list[str]:
    return file.path.split(os.sep)
