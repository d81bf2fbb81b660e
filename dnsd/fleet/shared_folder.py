"""The copy of what controls share in one control's state folder, in the same files as those of a server alone.

It serves a start without the fleet's servers, and the way back to a server alone. What a control had before it shared
it is brought to the fleet. What came from the fleet does not go back: it may be gone there since. But if the servers
have lost their state, the first control brings what it has.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from pathlib import Path

from dnsd.fleet.shared_pending import KeptChange, SharedPending
from dnsd.fleet.shared_sessions import SharedSessions
from dnsd.fleet.shared_tokens import SharedTokens
from dnsd.manage.pending_files import PendingFiles
from dnsd.manage.refusal import RefusedError
from dnsd.manage.session_file import SessionFile
from dnsd.manage.state_names import FLEET_COPIED, PENDING
from dnsd.manage.token_file import TokenFile
from dnsd.manage.token_format import KeptToken, token_entry_data
from dnsd.manage.token_port import TokenContent
from dnsd.process.tasks import in_thread
from dnsd.store.kept_file import read_octets
from dnsd.whole_file import make_folder, replacing, sync

MAX_NOTE = 8 * 1024 * 1024  # octets
SUFFIX = ".json"


class SharedFolder:
    """The files in a state folder; `report` is called with the problem of a damaged one."""

    def __init__(self, state: Path, report: Callable[[str], object]) -> None:
        self._pending = state / PENDING
        self._report = report
        self._copied = CopiedIds(state / FLEET_COPIED)
        self._mirrored: dict[str, int] = {}  # the pending changes in files, by id, with the numbers of their messages
        self._pending_files = PendingFiles(state)
        self.tokens = TokenFile(state)
        self.sessions = SessionFile(state, report)

    async def join(self, tokens: SharedTokens, pending: SharedPending) -> None:
        """Bring tokens and pending changes to the fleet that this control had before it shared them.

        Raises TokenFileError, StoreAwayError and OSError.
        """
        own = await in_thread(self.tokens.content)
        for problem in await in_thread(self._pending_files.refresh):
            self._report(problem)
        ids = {*own.tokens, *(one.id for one in self._pending_files.due)}
        copied = await in_thread(partial(self._copied.read, ids))
        was_lost: list[bool] = []

        def edit(content: TokenContent) -> Sequence[KeptToken]:
            was_lost[:] = [not tokens.has_come]
            new = [
                entry
                for token_id, entry in ((one.token.id, one) for one in own.entries.values())
                if token_id not in content.tokens and (was_lost[0] or token_id not in copied)
            ]
            return [*content.entries.values(), *new]

        await tokens.change(edit, is_begun=True)
        for due in self._pending_files.due:
            change = await in_thread(partial(self._pending_files.read, due.id))
            if change and due.id not in pending.all() and (was_lost[0] or due.id not in copied):
                try:
                    await pending.put(change, None)
                except RefusedError as error:
                    self._report(f"pending change {due.id} stays in this control's folder, and is not made: {error}")

    def write(self, tokens: SharedTokens, sessions: SharedSessions, pending: SharedPending) -> None:
        """Write the files that differ. Blocks. Raises OSError, TokenFileError, and ValueError for too many tokens."""
        entries = [*tokens.content().entries.values()]
        before = [*self.tokens.content().entries.values()]
        there = {path.stem for path in self._pending.glob(f"*{SUFFIX}")} if self._pending.is_dir() else set[str]()
        changes = pending.all()
        copied = {*changes, *(there & self._copied.known)}  # what was made here alone stays
        self._copied.write({*(one.token.id for one in (*before, *entries)), *copied})
        if [*map(token_entry_data, before)] != [*map(token_entry_data, entries)]:
            self.tokens.keep(entries)
        if [*self.sessions.begun().items()] != [*sessions.begun().items()]:
            self.sessions.keep(sessions.begun())
        self._write_pending(changes, copied)

    def _write_pending(self, changes: Mapping[str, KeptChange], copied: Collection[str]) -> None:
        for change_id, kept in changes.items():
            if self._mirrored.get(change_id) != kept.seq:
                make_folder(self._pending)
                with replacing(self._file(change_id)) as out:
                    out.write(kept.text)
                self._mirrored[change_id] = kept.seq
        if gone := [one for one in copied if one not in changes]:
            for change_id in gone:
                self._file(change_id).unlink(missing_ok=True)
                self._mirrored.pop(change_id, None)
            sync(self._pending)

    def _file(self, change_id: str) -> Path:
        return self._pending / f"{change_id}{SUFFIX}"


class CopiedIds:
    """The note of the tokens and pending changes in files that came from the fleet, by id. All functions block."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.known: frozenset[str] = frozenset()

    def read(self, own: Collection[str]) -> frozenset[str]:
        """The ids; if the note is damaged, those of all in files: what is gone does not come back. Raises OSError."""
        try:
            self.known = frozenset(map(str, json.loads(read_octets(self._path, MAX_NOTE))["ids"]))
        except FileNotFoundError:
            self.known = frozenset()
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            self.known = frozenset(own)
        return self.known

    def write(self, ids: Collection[str]) -> None:
        """Note tokens and pending changes, before files have them. Raises OSError."""
        if (new := frozenset(ids)) != self.known:
            with replacing(self._path) as out:
                out.write(json.dumps({"ids": sorted(new)}).encode())
            self.known = new
