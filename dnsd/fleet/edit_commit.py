"""An edit of the accounts' files as a commit: its objects, its evidence, and whether it may still be made. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Set

from dnsd.fleet.objects import ValueOf, removal, replacement
from dnsd.fleet.values import MAX_VALUE, ValueFormatError
from dnsd.fleet.writer import MAX_OCTETS, ObjectWrite
from dnsd.store.directory import Files, SourceFile, account_of
from dnsd.store.files_edit import FilesEdit
from dnsd.store.port import ChangeTooLargeError, Op, OvertakenError
from dnsd.store.text_file import FileChangedError


def edit_writes(edit: FilesEdit, value: ValueOf) -> tuple[ObjectWrite, ...]:
    """The writes that make an edit; `value` reads objects of now.

    Raises OvertakenError if a large text is no longer in the copy, ChangeTooLargeError, and other OSErrors.
    """
    try:
        return tuple(_each_write(edit, value))
    except FileChangedError:
        raise OvertakenError(edit.touched_keys()) from None
    except ValueFormatError as error:
        raise ChangeTooLargeError(str(error)) from None


def _each_write(edit: FilesEdit, value: ValueOf) -> Iterator[ObjectWrite]:
    before = edit.before.by_key()
    for key, file in sorted(edit.written.items()):
        old = before.get(key)
        moves = old is not None and old.kind is not file.kind
        yield from replacement(file, None if moves else old, value)
    for file in edit.removed.values():
        yield from removal(file, value)


def too_large(objects: int, most: int, octets: int) -> str:
    """The words for a change of so many objects, where `most` is the limit, and octets."""
    return (
        f"the change is of {objects:,} objects with {octets:,} octets; a fleet stores at most {most:,} objects with "
        f"{MAX_OCTETS:,} octets at once: divide it into several changes. Nothing has changed"
    )


def evidence_of(op: Op) -> bytes:
    """The evidence as it is stored with the commit; if it is too large for a message, its number alone."""
    entries = [*op.evidence.entries] if op.evidence else []
    packed = json.dumps({"entries": entries}).encode()
    return packed if len(packed) <= MAX_VALUE else json.dumps({"left_out": len(entries)}).encode()


def is_current(edit: FilesEdit, seen: Files | None, now: Files | None) -> bool:
    """Whether what an edit touches is as it was before it, and its accounts as the caller has seen them.

    Rules are about whole accounts: two edits of different objects may break one together.
    """
    if seen is None or now is None:
        return False
    found, before, touched = now.by_key(), edit.before.by_key(), edit.touched_keys()
    if any(found.get(key) != before.get(key) for key in touched):
        return False
    pairs = ((seen, {*map(account_of, touched)}), (edit.before, edit.gone_accounts))
    return all(_files_of(files, accounts) == _files_of(now, accounts) for files, accounts in pairs)


def _files_of(files: Files, accounts: Set[str]) -> list[SourceFile]:
    return [file for file in files.files if account_of(file.key) in accounts] if accounts else []
