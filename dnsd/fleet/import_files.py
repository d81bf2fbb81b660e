"""Make a fleet's files those of a folder: what differs goes in one commit, accounts whole where a batch holds one."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from uuid import uuid4

from dnsd.app import Loaded
from dnsd.errors import DnsdError
from dnsd.fleet.beginning import accepted, filled, make_state
from dnsd.fleet.fetch import FetchedState, fetched_state
from dnsd.fleet.files import files_of_key
from dnsd.fleet.heads import AccountState
from dnsd.fleet.import_judge import IMPORT_FORCE, check_import
from dnsd.fleet.level import SETTINGS_LEVEL, level_of, level_problem
from dnsd.fleet.node import FleetNode
from dnsd.fleet.objects import block_subjects, removal, replacement
from dnsd.fleet.subjects import (
    BLOCKS,
    NAMES_GUARD,
    OBJECTS,
    SETTINGS,
    SHARED,
    SPACE_GUARD,
    account_of_subject,
    object_of,
)
from dnsd.fleet.writer import Commit, ObjectWrite, StaleAccountsError, Writer
from dnsd.process.tasks import in_thread
from dnsd.store.directory import ZONES, FileKind, Files, SourceFile
from dnsd.store.text_file import FileChangedError


class ImportRefusedError(DnsdError):
    """An import that changes nothing, or no more; the message says why."""


class OvertakenImportError(ImportRefusedError):
    """Others have written the same accounts since they were read: the import may be drawn up anew."""


@dataclass(frozen=True, slots=True)
class FilesDifference:
    """What an import does to the files that a fleet has: old and new ones by the keys of their objects."""

    written: tuple[tuple[SourceFile | None, SourceFile], ...]
    removed: tuple[SourceFile, ...]
    before: int  # files

    def drops_more_than(self, percent: int) -> bool:
        """Whether more than this share of the files goes."""
        return len(self.removed) * 100 > self.before * percent


async def import_files(
    node: FleetNode, after: Loaded, *, replicas: int, is_forced: bool = False, settings: bytes | None = None
) -> tuple[int, int, int]:
    """Make a fleet's files those in `after`, loaded without errors; return how many are new, changed and removed.

    A fleet without a state gets its first, kept by `replicas` servers, with the value `settings` of the shared
    settings, if it is given; edges serve it once it is complete. Raises
    ImportRefusedError if more than `reload.max_drop_percent` of the fleet's files would go, unless forced, or a file
    was edited meanwhile; the errors of `check_import`, `fetched_state` and `Writer.commit`.
    """
    await make_state(node, replicas)
    guards = await guards_now(node)
    async with fetched_state(node) as state:
        difference = difference_of(state.files, after.files)
        if not state.is_filling:  # else no edge serves it
            await in_thread(partial(check_difference, difference, state, after, is_forced=is_forced))
        writes = await in_thread(lambda: together(_writes(difference, after.files, state, settings)))
        if writes:
            await send_writes(node, writes, state, "fleet.import", guards)
    new = sum(old is None for old, _ in difference.written)
    return new, len(difference.written) - new, len(difference.removed)


async def accept_shrink(node: FleetNode) -> None:
    """Have edges serve this state even if it has much less than the one before. Errors are as for `import_files`."""
    async with fetched_state(node) as state:
        if state.is_filling:
            raise ImportRefusedError("the first import is not complete, so edges serve nothing of it: import again")
        await send_writes(node, [accepted(state.meta)], state, "fleet.accept", {})


async def guards_now(node: FleetNode) -> dict[str, int]:
    """The numbers of the guards, to be read before the state. Raises FleetAwayError."""
    writer = Writer(node.line.link)
    return {subject: await writer.guard(subject) for subject in (NAMES_GUARD, SPACE_GUARD)}


def difference_of(before: Files, after: Files) -> FilesDifference:
    """What makes the one the other."""
    old, new = before.by_key(), after.by_key()
    written = [(old.get(key), later(old.get(key), file)) for key, file in new.items() if _differs(old.get(key), file)]
    removed = [file for key, file in old.items() if key not in new]
    return FilesDifference(tuple(written), tuple(removed), len(old))


def _differs(old: SourceFile | None, new: SourceFile) -> bool:
    """Whether a file has another content, or is unusable; another time alone changes nothing, as in a folder."""
    return old is None or old.problem is not None or (old.kind, old.content) != (new.kind, new.content)


def later(old: SourceFile | None, new: SourceFile) -> SourceFile:
    """The new file with a later time than the old one: the time is a zone's serial."""
    return replace(new, modified=max(new.modified, old.modified + 1)) if old else new


def check_difference(
    difference: FilesDifference, state: FetchedState, after: Loaded, *, is_forced: bool, force: str = IMPORT_FORCE
) -> None:
    """Judge what differs, as an import does; `force` is the command that does it anyway. Blocks.

    Raises ImportRefusedError and InvalidDataError.
    """
    percent = after.settings.reload.max_drop_percent
    if not is_forced and difference.drops_more_than(percent):
        raise ImportRefusedError(
            f"{len(difference.removed):,} of the fleet's {difference.before:,} files would go, over "
            f"`reload.max_drop_percent` ({percent}): nothing was changed; --force does it"
        )
    if state.files.files and (difference.written or difference.removed):
        try:
            check_import(state.files, after, is_forced=is_forced, force=force)
        except FileChangedError:
            raise ImportRefusedError("a file was edited meanwhile: nothing was changed; run it again") from None


def _writes(
    difference: FilesDifference, after: Files, state: FetchedState, settings: bytes | None = None
) -> list[ObjectWrite]:
    """The writes that make a fleet's files those in `after`, and end a first import.

    Raises ImportRefusedError if a file was edited meanwhile.
    """
    writes = difference_writes(difference, state)
    writes += _unnamed_blocks(after, {write.subject for write in writes}, state)
    if state.is_filling:
        has_settings = state.reader.value(SHARED, SETTINGS) is not None
        if settings is not None and not has_settings and level_of(state.meta) >= SETTINGS_LEVEL:
            writes.append(ObjectWrite(SETTINGS, None, settings))
        writes.append(filled(state.meta))
    return writes


def difference_writes(difference: FilesDifference, state: FetchedState) -> list[ObjectWrite]:
    """The writes: accounts before zones, and these before maps, which go first; then what no file names any more.

    Raises ImportRefusedError if a file was edited meanwhile.
    """
    writes: list[ObjectWrite] = []
    for old, new in sorted(difference.written, key=lambda pair: _height(pair[1])):
        try:
            writes += _replaced(old, new, state)
        except FileChangedError:
            raise ImportRefusedError(f"{new.path} was edited meanwhile: nothing was changed; run it again") from None
    for file in sorted(difference.removed, key=_height, reverse=True):
        for one in _there(file, state) if file.problem else [file]:
            writes += removal(one, state.reader.value)
    return writes


def _replaced(old: SourceFile | None, new: SourceFile, state: FetchedState) -> Iterator[ObjectWrite]:
    """The writes for a file; the object of another kind that it replaces goes in the same batch."""
    value, others = state.reader.value, [old] if old else []
    if old and (old.problem or old.kind is not new.kind):
        others = _there(old, state)
    yield from replacement(new, next((one for one in others if one.kind is new.kind), None), value)
    for other in others:
        if other.kind is not new.kind:
            first, *rest = removal(other, value)
            yield replace(first, is_joined=True)
            yield from rest


def _there(file: SourceFile, state: FetchedState) -> list[SourceFile]:
    """The objects at the key of a file: two, if an earlier change of its kind came in part."""
    return [*files_of_key(file.key, state.reader.value, state.reader.value)]


def _unnamed_blocks(after: Files, written: set[str], state: FetchedState) -> Iterator[ObjectWrite]:
    """Remove the blocks that no file has, as left by an import that was cut; those of later versions' kinds stay."""
    named = {subject for file in after.files for subject in block_subjects(file)}
    with closing(state.reader.state()) as whole:
        for kept in whole.objects(BLOCKS):
            name = object_of(OBJECTS + kept.subject.removeprefix(BLOCKS).rpartition(".")[0])
            if name and kept.subject not in named and kept.subject not in written:
                yield ObjectWrite(kept.subject, kept.value, None)


def _height(file: SourceFile) -> int:
    return 0 if file.kind is FileKind.ACCOUNT else 1 if file.kind in ZONES else 2


def together(writes: Iterable[ObjectWrite]) -> list[ObjectWrite]:
    """The writes of each account one after another, the accounts in the order of their first ones."""
    found: dict[str, list[ObjectWrite]] = defaultdict(list)
    for write in writes:
        found[account_of_subject(write.subject)].append(write)
    return [*chain.from_iterable(found.values())]


async def send_writes(
    node: FleetNode, writes: list[ObjectWrite], state: FetchedState, action: str, guards: Mapping[str, int]
) -> None:
    """Commit writes. Raises OvertakenImportError if others have written meanwhile, and as `Writer.commit` does."""
    if problem := level_problem(level_of(state.meta)):
        raise ImportRefusedError(f"{problem}; nothing was changed")
    accounts = {account_of_subject(write.subject) for write in writes}
    states = {account: state.heads.get(account, AccountState()) for account in accounts}
    entry = json.dumps({"action": action, "node": node.name}).encode()
    commit = Commit(str(uuid4()), entry, writes, states, rewritten=guards)
    stored = [0]
    try:
        await Writer(node.line.link).commit(commit, stored=stored.append)
    except (DnsdError, OSError) as error:
        part = f"{stored[-1]:,} of {len(writes):,} objects are stored, the others are not"
        if isinstance(error, StaleAccountsError):
            done = part if stored[-1] else "nothing was changed"
            raise OvertakenImportError(f"{error} meanwhile: {done}; run it again") from None
        if stored[-1]:
            node.note(f"{part}: run it again")
        raise
