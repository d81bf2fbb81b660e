"""A store in memory, for tests of the port and of what stands on it. It injects stale files, absence, delay, death."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from dnsd.store.directory import KINDS, FileKind, Files, SourceFile, account_of, path_of
from dnsd.store.files_edit import FilesEdit, edited_files
from dnsd.store.journal import Entries, Settle, no_outcome
from dnsd.store.port import Noted, Op, OvertakenError, Seen, StaleError
from dnsd.store.text_file import content_of
from dnsd.store.write import BegunFile, FileChange

ROOT = "/nowhere"


class KilledError(BaseException):
    """The process of a writer ends in the middle of a write."""


def named(name: str) -> tuple[str, FileKind]:
    """The key and the kind of the object in a file, such as `acme/maps/shop.yaml`."""
    path = PurePosixPath(name)
    if len(path.parts) == 2:
        return path.parts[0], FileKind.ACCOUNT
    return str(path.with_suffix("")), KINDS[path.parts[1]][path.suffix]


def file_of(root: str, name: str, text: str, modified: int) -> SourceFile:
    """A file that is not on a disk."""
    key, kind = named(name)
    return SourceFile(key, kind, path_of(root, key, kind), content_of(text), modified=modified)


def edit_of(files: Files, written: dict[str, str | None], *, modified: int, gone: Sequence[str] = ()) -> FilesEdit:
    """The edit that gives files these texts, or removes them (None), and removes whole accounts."""
    texts = {name: text for name, text in written.items() if text is not None}
    added = {named(name)[0]: file_of(files.root, name, text, modified) for name, text in texts.items()}
    removed = {named(name)[0] for name, text in written.items() if text is None}
    removed |= {file.key for file in files.files if account_of(file.key) in gone}
    moved = {key for key, file in added.items() if (old := files.by_key().get(key)) and old.path != file.path}
    return FilesEdit(files, edited_files(files, added, removed - added.keys() | moved, gone))


class MemoryEngine:
    """What all stores on it hold, and the faults that they meet."""

    def __init__(self, settings: SourceFile) -> None:
        self.settings_file = settings
        self.files: Files | None = Files(ROOT)
        self.beside: dict[str, str | bytes] = {}
        self.unsettled: list[tuple[Entries, bool]] = []  # evidence whose outcome is not written, and whether it is made
        self.is_away = False
        self.stale = 0  # writes to be refused as stale, whatever they touch
        self.overtaken = 0  # the same, by other servers
        self.delay_s = 0.0  # of each call
        self.kills = False  # the next writer, once its evidence is written
        self.moves = asyncio.Event()  # replaced at each write

    def put(self, texts: dict[str, str], *, modified: int = 1_700_000_000) -> None:
        """Have these files in addition, by another's hand."""
        assert self.files
        self.files = edit_of(self.files, dict(texts), modified=modified).after
        self.move()

    def move(self) -> None:
        """Wake all followers."""
        self.moves, moved = asyncio.Event(), self.moves
        moved.set()


class MemoryStore:
    """One process's store on an engine."""

    def __init__(self, engine: MemoryEngine, settle: Settle = no_outcome) -> None:
        self._engine = engine
        self._settle = settle
        self._moves = engine.moves  # since the last `changed`

    async def open(self, known: Seen | None = None, *, noted: Noted, is_patient: bool = False) -> Seen:
        await self._reach()
        self._settle_all()
        return await self.look(known)

    @property
    def is_whole(self) -> bool:
        """Writes are atomic."""
        return True

    def problems(self) -> list[str]:
        """None: files are read themselves."""
        return []

    async def run(self) -> None:
        """Return: all stores share their engine."""

    async def arrival(self) -> bool:
        """What the engine has is all."""
        return False

    async def look(self, known: Seen | None) -> Seen:
        await self._reach()
        return Seen(self._engine.settings_file, Path(ROOT), self._engine.files)

    async def settled(self, known: Seen | None) -> Seen:
        return await self.look(known)

    async def still(self, seen: Seen) -> Seen:
        return await self.look(seen)

    async def changed(self, within_s: float) -> None:
        try:
            async with asyncio.timeout(within_s):
                await self._moves.wait()
        except TimeoutError:
            return
        self._moves = self._engine.moves

    async def begin(self, changes: Sequence[FileChange]) -> Sequence[BegunFile]:
        return ()

    async def forget(self, begun: Sequence[BegunFile]) -> None:
        """Nothing was begun."""

    async def write(self, seen: Seen, edit: FilesEdit, op: Op) -> Seen:
        await self._reach()
        self._settle_all()
        engine = self._engine
        if engine.overtaken:
            engine.overtaken -= 1
            raise OvertakenError(edit.touched_keys())
        if engine.stale or engine.files is None or not _is_current(edit, engine.files):
            engine.stale = max(0, engine.stale - 1)
            raise StaleError(edit.touched_keys())
        entries = op.evidence.entries if op.evidence else ()
        if op.evidence:
            op.evidence.testify()
        if engine.kills:
            engine.kills = False
            engine.unsettled += [(entries, False)] if entries else []
            raise KilledError
        engine.files = edit.applied(engine.files)
        for change in op.beside:
            if change.text is None:
                engine.beside.pop(change.path, None)
            else:
                engine.beside[change.path] = change.text
        engine.unsettled += [(entries, True)] if entries else []
        engine.move()
        return replace(seen, files=edit.applied(seen.files)) if seen.files else seen

    async def finish(self, op: Op, revision: int) -> None:
        if op.evidence:
            op.evidence.made(revision)
            self._engine.unsettled.remove((op.evidence.entries, True))

    async def catch_up(self) -> None:
        """Nothing: `look` sees all."""

    async def keep_times(self, files: Files, previous: Files) -> None:
        """Times are kept with the files."""

    async def _reach(self) -> None:
        await asyncio.sleep(self._engine.delay_s)
        if self._engine.is_away:
            raise OSError(errno.EHOSTUNREACH, "the store cannot be reached")

    def _settle_all(self) -> None:
        while self._engine.unsettled:
            self._settle(*self._engine.unsettled.pop())


def _is_current(edit: FilesEdit, files: Files) -> bool:
    """Whether what an edit touches is as it was before it."""
    now, before = files.by_key(), edit.before.by_key()
    if any(now.get(key) != before.get(key) for key in edit.touched_keys()):
        return False
    accounts = {account_of(key) for key in edit.written} & {*edit.before.accounts}
    own = [[one for one in each.files if account_of(one.key) in edit.gone_accounts] for each in (files, edit.before)]
    return accounts <= {*files.accounts} and own[0] == own[1]
