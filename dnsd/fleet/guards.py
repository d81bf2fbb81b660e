"""The guards that a change needs: rules between accounts are kept although their commits do not wait for each other.

Who changes the names of accounts and zones rewrites one, who changes address space the other; who depends on space
reads that. An edit of a zone's records needs none of them, as it is most of what a fleet writes.
"""

from __future__ import annotations

from typing import NamedTuple

from dnsd.fleet.around_records import AroundRecords
from dnsd.fleet.subjects import NAMES_GUARD, SPACE_GUARD
from dnsd.store.directory import ZONES, FileKind, SourceFile
from dnsd.store.files_edit import FilesEdit


class Guards(NamedTuple):
    """The subjects of guards that a commit rewrites, and of those that it reads."""

    rewritten: tuple[str, ...]
    read: tuple[str, ...]


def guards_of(edit: FilesEdit, around: AroundRecords) -> Guards:
    """The guards of an edit. Blocks; `around` remembers what was read of large zones.

    An account's file has its id and its prefixes; a zone's YAML file has its id, and whether it is verified.
    """
    before, removed = edit.before.by_key(), {file.kind for file in edit.removed.values()}
    kinds = removed | {file.kind for file in edit.written.values()}
    names = bool(removed & {FileKind.ACCOUNT, *ZONES}) or any(
        _may_rename(before.get(key), file, around) for key, file in edit.written.items()
    )
    space = FileKind.ACCOUNT in kinds
    reads = FileKind.MAP in kinds and not space
    return Guards((*[NAMES_GUARD] * names, *[SPACE_GUARD] * space), (SPACE_GUARD,) * reads)


def _may_rename(before: SourceFile | None, after: SourceFile, around: AroundRecords) -> bool:
    """Whether a written file may change the name, the id or the claim of an account or zone."""
    if after.kind is FileKind.MAP:
        return False
    if before is None or before.kind is not after.kind or after.kind is FileKind.ACCOUNT:
        return True
    if after.kind is FileKind.ZONE_MASTER:  # it has nothing but records
        return False
    new = around.lines(after)
    return new is None or new != around.lines(before)
