"""Make a fleet's files those of a folder: the difference goes in one commit, the state of each account whole."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from uuid import uuid4

from dnsd.errors import DnsdError
from dnsd.fleet.fetch import FetchedState, fetched_state
from dnsd.fleet.heads import AccountState
from dnsd.fleet.link import Link, NoAnswerError
from dnsd.fleet.node import FleetNode
from dnsd.fleet.objects import removal, replacement
from dnsd.fleet.stream import make_stream
from dnsd.fleet.subjects import META, NAMES_GUARD, SHARED, SPACE_GUARD, account_of_subject
from dnsd.fleet.values import json_object
from dnsd.fleet.writer import Commit, ObjectWrite, Writer
from dnsd.store.directory import ZONES, FileKind, Files, SourceFile

MAKE_TRIES, PAUSE_S = 10, 0.5  # a new cluster does not answer in its first seconds


class ImportRefusedError(DnsdError):
    """An import that changes nothing; the message says why."""


@dataclass(frozen=True, slots=True)
class FilesDifference:
    """What an import does to the files that a fleet has: old and new ones by the keys of their objects."""

    written: tuple[tuple[SourceFile | None, SourceFile], ...]
    removed: tuple[SourceFile, ...]
    before: int  # files

    def drops_more_than(self, percent: int) -> bool:
        """Whether more than this share of the files goes."""
        return len(self.removed) * 100 > self.before * percent


async def import_files(node: FleetNode, files: Files, *, replicas: int, max_drop_percent: int) -> tuple[int, int, int]:
    """Make a fleet's files `files`, which were loaded without errors; return how many are new, changed and removed.

    A fleet without a state gets its first.

    `replicas` is the number of servers that keep the state. Raises ImportRefusedError if more than `max_drop_percent`
    of the fleet's files would go, and the errors of `fetched_state` and `Writer.commit`.
    """
    link, writer = await node.line.link(), Writer(node.line.link)
    await _make_state(link, writer, node, replicas)
    guards = {subject: await writer.guard(subject) for subject in (NAMES_GUARD, SPACE_GUARD)}
    async with fetched_state(node) as state:
        difference = difference_of(state.files, files)
        if difference.drops_more_than(max_drop_percent):
            raise ImportRefusedError(
                f"{len(difference.removed):,} of the fleet's {difference.before:,} files would go, over "
                f"`reload.max_drop_percent` ({max_drop_percent}): nothing was changed; --force does it"
            )
        writes = tuple(_writes(difference, state))
        if writes:
            accounts = {account_of_subject(write.subject) for write in writes}
            states = {account: state.heads.get(account, AccountState()) for account in accounts}
            entry = json.dumps({"action": "fleet.import", "node": node.name}).encode()
            await writer.commit(Commit(str(uuid4()), entry, writes, states, rewritten=guards))
    new = sum(old is None for old, _ in difference.written)
    return new, len(difference.written) - new, len(difference.removed)


def difference_of(before: Files, after: Files) -> FilesDifference:
    """What makes the one the other."""
    old, new = before.by_key(), after.by_key()
    written = [(old.get(key), _later(old.get(key), file)) for key, file in new.items() if _differs(old.get(key), file)]
    removed = [file for key, file in old.items() if key not in new]
    return FilesDifference(tuple(written), tuple(removed), len(old))


def _differs(old: SourceFile | None, new: SourceFile) -> bool:
    """Whether a file has another content; another time alone changes nothing, as in a folder."""
    return old is None or (old.kind, old.content) != (new.kind, new.content)


def _later(old: SourceFile | None, new: SourceFile) -> SourceFile:
    """The new file with a later time than the old one: the time is a zone's serial."""
    return replace(new, modified=max(new.modified, old.modified + 1)) if old else new


def _writes(difference: FilesDifference, state: FetchedState) -> Iterator[ObjectWrite]:
    """The writes in an order of which each beginning is valid: maps stand on zones, and all on accounts."""
    for old, new in sorted(difference.written, key=lambda pair: _height(pair[1])):
        moves = old is not None and old.kind is not new.kind
        yield from replacement(new, None if moves else old, state.reader.value)
        if old and moves:
            yield from removal(old, state.reader.value)
    for file in sorted(difference.removed, key=_height, reverse=True):
        yield from removal(file, state.reader.value)


def _height(file: SourceFile) -> int:
    return 0 if file.kind is FileKind.ACCOUNT else 1 if file.kind in ZONES else 2


async def accept_shrink(node: FleetNode) -> None:
    """Have edges serve this state even if it has much less than the one before. Errors are as for `import_files`."""
    async with fetched_state(node) as state:
        old = state.reader.value(SHARED, META)
        if old is None:
            raise ImportRefusedError("the fleet has no state yet")
        value = json.dumps(json_object(old) | {"is_accepted": True}).encode()
        entry = json.dumps({"action": "fleet.accept", "node": node.name}).encode()
        commit = Commit(str(uuid4()), entry, (ObjectWrite(META, old, value),), {SHARED: state.heads[SHARED]})
        await Writer(node.line.link).commit(commit)


async def _make_state(link: Link, writer: Writer, node: FleetNode, replicas: int) -> None:
    """Make the stream and the first object of a state, if they are missing."""
    for attempt in range(MAKE_TRIES):
        try:
            await make_stream(link, replicas)
            break
        except NoAnswerError:
            if attempt == MAKE_TRIES - 1:
                raise
            await asyncio.sleep(PAUSE_S)
    if not await writer.guard(META):
        value = json.dumps({"epoch": str(uuid4()), "schema": 1, "level": 1}).encode()
        entry = json.dumps({"action": "fleet.begin", "node": node.name}).encode()
        writes = (ObjectWrite(META, None, value),)
        await writer.commit(Commit(str(uuid4()), entry, writes, {SHARED: AccountState()}))
