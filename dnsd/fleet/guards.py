"""The guards that a change needs: rules between accounts are kept although their commits do not wait for each other.

Who changes the names of accounts and zones rewrites one, who changes address space the other; who depends on space
reads that. An edit of a zone's records needs none of them, as it is most of what a fleet writes.
"""

from __future__ import annotations

from typing import NamedTuple

from dnsd.fleet.subjects import NAMES_GUARD, SPACE_GUARD
from dnsd.store.directory import ZONES, FileKind, SourceFile
from dnsd.store.files_edit import FilesEdit

RECORDS = "records:"  # how the line begins after which a zone's YAML file has its records
WITHIN = ("", " ", "\t", "-", "#")  # how lines of a block begin


class Guards(NamedTuple):
    """The subjects of guards that a commit rewrites, and of those that it reads."""

    rewritten: tuple[str, ...]
    read: tuple[str, ...]


def guards_of(edit: FilesEdit) -> Guards:
    """The guards of an edit.

    An account's file has its id and its prefixes; a zone's YAML file has its id, and whether it is verified.
    """
    before, removed = edit.before.by_key(), {file.kind for file in edit.removed.values()}
    kinds = removed | {file.kind for file in edit.written.values()}
    names = bool(removed & {FileKind.ACCOUNT, *ZONES}) or any(
        _may_rename(before.get(key), file) for key, file in edit.written.items()
    )
    space = FileKind.ACCOUNT in kinds
    reads = FileKind.MAP in kinds and not space
    return Guards((*[NAMES_GUARD] * names, *[SPACE_GUARD] * space), (SPACE_GUARD,) * reads)


def _may_rename(before: SourceFile | None, after: SourceFile) -> bool:
    """Whether a written file may change the name, the id or the claim of an account or zone."""
    if after.kind is FileKind.MAP:
        return False
    if before is None or before.kind is not after.kind or after.kind is FileKind.ACCOUNT:
        return True
    if after.kind is FileKind.ZONE_MASTER:  # it has nothing but records
        return False
    old, new = before.content.text, after.content.text
    return old is None or new is None or _around_records(old) != _around_records(new)  # None: a large one is not read


def _around_records(text: str) -> list[str]:
    """The lines of a zone's YAML file outside of its records; all lines if it has another form."""
    found, is_within = list[str](), False
    for line in text.splitlines():
        is_within = line.startswith(RECORDS) or (is_within and line[:1] in WITHIN)
        if not is_within:
            found.append(line)
    return found
