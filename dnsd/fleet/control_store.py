"""The store of a control: reads the files of a fleet as every node does, and writes changes as commits.

The evidence of a commit is stored with it; the control's own audit log and files beside follow (`fleet/op_journal.py`).
Others may write at the same time: if they have changed the same account, the change is to be drawn up again on what
they have written. Rules between accounts are kept by two guards (`fleet/guards.py`).
"""

from __future__ import annotations

import asyncio
import errno
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from uuid import uuid4

from dnsd.fleet.around_records import AroundRecords
from dnsd.fleet.control_services import control_services
from dnsd.fleet.edge_record import EDGES_PREFIX
from dnsd.fleet.edit_commit import edit_writes, evidence_of, is_current, too_large
from dnsd.fleet.guards import guards_of
from dnsd.fleet.heads import AccountState
from dnsd.fleet.intake import Flushed
from dnsd.fleet.link import EngineRefusedError
from dnsd.fleet.node import control_node
from dnsd.fleet.op_outcomes import LATER_S, OpOutcomes, WriteAttempt
from dnsd.fleet.renewal import own_papers
from dnsd.fleet.shared_pending import GoneError, SharedPart, SharedPending
from dnsd.fleet.steps import Steps
from dnsd.fleet.store import FleetStore
from dnsd.fleet.subjects import ALL_STATE, NAMES_GUARD, SPACE_GUARD, account_of_subject
from dnsd.fleet.writer import (
    GIVE_UP_S,
    MAX_BATCH,
    MAX_OCTETS,
    Commit,
    FleetAwayError,
    ObjectWrite,
    StaleAccountsError,
    Writer,
)
from dnsd.fleet.written_place import WrittenPlace
from dnsd.log import Log
from dnsd.manage.state_names import FLEET_OP
from dnsd.process.tasks import in_thread, run_all
from dnsd.settings.server import Settings
from dnsd.store.files_edit import FilesEdit, edited_files
from dnsd.store.journal import Settle
from dnsd.store.port import ChangeTooLargeError, Noted, Op, OvertakenError, Seen, StoreAwayError

COPIED_WITHIN_S = 5.0  # what is stored, by the control's own copy
LAGS = "this control does not have all of the fleet's state yet; nothing has changed"
OTHER_STATE = "the servers have another state of an account than this copy, as after a restore: it is fetched anew"
SILENT = "the fleet's servers do not answer; nothing has changed"
EMPTY: Mapping[str, int] = {}
MOST_MESSAGES = MAX_BATCH - 5  # objects and heads; the rest are the marker and guards


class ControlStore(FleetStore):
    """The files of a fleet, read and written."""

    def __init__(
        self,
        config: Path,
        state: Path,
        settings: Settings,
        settle: Settle,
        log: Log,
        *,
        pending: SharedPending | None = None,
    ) -> None:
        """`settle` writes the outcome of entries of evidence; the rest is as for `FleetStore`.

        `pending` takes what a change says of files that stand for the fleet's pending changes, into the commit.
        """
        fleet = settings.fleet
        assert fleet
        super().__init__(
            config,
            state,
            settings,
            log,
            lambda: control_node(fleet.identity_folder(config), fleet.servers, settings.reload.max_drop_percent),
        )
        self._around = AroundRecords()
        self._pending = pending
        self._outcomes = OpOutcomes(state / FLEET_OP, settle, self.link, log)
        self.written = WrittenPlace()
        self._has_record_news = True  # records of edges may have changed since they were read
        self._steps = Steps()  # of the follower
        self.keep_papers(own_papers)
        self.services += control_services(self._identity, fleet, self.note_trouble, log)

    async def run(self) -> None:
        """Keep the copy like the fleet's state, and settle commits whose outcome was not known."""
        await run_all([super().run(), self._outcomes.run(self._recover)])

    async def open(self, known: Seen | None = None, *, noted: Noted, is_patient: bool = False) -> Seen:
        """See the files; if a killed process left a commit without an outcome, find it out, if servers answer."""
        async with self._outcomes.turn:
            await self._outcomes.try_to(self._recover)
        return await super().open(known, noted=noted, is_patient=is_patient)

    async def write(self, seen: Seen, edit: FilesEdit, op: Op) -> Seen:
        """Commit an edit, if what it touches is as in `edit.before`; see `seen` with it.

        Raises StoreAwayError, too: if the servers gave no answer to the commit, it may be made.
        """
        async with self._outcomes.turn:
            await self._recover()
            part, op = self._split(edit, op)
            if not (edit.written or edit.removed or part.writes):  # only files beside
                await self._outcomes.write_beside(op)
                return seen
            attempt = WriteAttempt(op)
            try:
                states = await self._stored(seen, edit, attempt, part)
            except BaseException as error:
                await self._outcomes.give_up(attempt, error)
                raise
            await self._outcomes.complete(attempt)
            if self._pending:
                await self._pending.until_copied(part)
            return await self._seen_with(seen, edit, states)

    async def catch_up(self) -> None:
        """Have what other controls have written until now, pending changes first. Raises StoreAwayError."""
        if self._pending:
            await self._pending.catch_up()
        last = await self._last(ALL_STATE)
        await self._until_copied(last)
        if (files := (await self.look(None)).files) is None or files.seq < last:
            raise StoreAwayError(LAGS, LATER_S)

    async def write_shared(self, subject: str, make: Callable[[bytes | None], bytes], op: Op) -> None:
        """Commit what `make` makes of the value of an object that belongs to no account; None: it has none yet.

        Raises as `write` does, and as `make`.
        """
        async with self._outcomes.turn:
            await self._recover()
            heads, _ = await self._copied()
            old = await in_thread(partial(self.shared_value, subject))
            attempt = WriteAttempt(op)
            try:
                states = await self._commit([ObjectWrite(subject, old, make(old))], heads, attempt, SharedPart())
            except BaseException as error:
                await self._outcomes.give_up(attempt, error)
                raise
            await self._outcomes.complete(attempt)
            await self._steps.until(partial(self._has_all, states), COPIED_WITHIN_S)

    async def finish(self, op: Op, revision: int) -> None:
        """Write the outcome of a commit to the audit log, and forget it."""
        if op.evidence:
            async with self._outcomes.turn:
                await self._outcomes.finish(op.evidence, revision)

    async def _recover(self) -> None:
        """Find out what became of an earlier commit; if it is stored, wait for it. Raises OSError."""
        if await self._outcomes.recover():
            await self._until_copied(await self._last(ALL_STATE))

    def _split(self, edit: FilesEdit, op: Op) -> tuple[SharedPart, Op]:
        """What a change says of pending changes, and the rest. Raises OvertakenError if one is gone."""
        if self._pending is None:
            return SharedPart(), op
        try:
            part, beside = self._pending.split(op.beside)
        except GoneError:
            raise OvertakenError(edit.touched_keys()) from None
        return part, replace(op, beside=beside)

    async def _stored(
        self, seen: Seen, edit: FilesEdit, attempt: WriteAttempt, part: SharedPart
    ) -> dict[str, AccountState]:
        """Store the commit of an edit; the new state of its accounts. Raises as `write` does."""
        heads, now = await self._copied()
        if not await in_thread(partial(is_current, edit, seen.files, now.files)):
            raise OvertakenError(edit.touched_keys())
        guards = await self._guards(edit, seen, now)
        writes = await in_thread(partial(edit_writes, edit, self._value))
        return await self._commit(writes, heads, attempt, part, edit.touched_keys(), **guards)

    async def _commit(
        self,
        writes: Sequence[ObjectWrite],
        heads: Mapping[str, AccountState],
        attempt: WriteAttempt,
        part: SharedPart,
        keys: Collection[str] = (),
        *,
        rewritten: Mapping[str, int] = EMPTY,
        read: Mapping[str, int] = EMPTY,
    ) -> dict[str, AccountState]:
        """Store a commit of these writes, of objects with these keys; the new state of its accounts.

        Raises as `write` does.
        """
        if problem := self._in_force.level_problem:
            raise OSError(errno.EPERM, problem)
        accounts = {account_of_subject(one.subject) for one in writes}
        octets = sum(len(one.new or b"") for one in writes)
        others = len(accounts) + len(part.writes) + len(part.guards)
        if len(writes) + others > MOST_MESSAGES or octets > MAX_OCTETS:  # several batches are not all or nothing
            raise ChangeTooLargeError(too_large(len(writes), MOST_MESSAGES - others, octets))
        states = {account: heads.get(account, AccountState()) for account in accounts}
        guards = {**rewritten, **part.guards}
        commit = Commit(str(uuid4()), evidence_of(attempt.op), writes, states, guards, read, shared=part.writes)
        epoch = self._follower.place[0] if self._follower else ""
        await self._outcomes.prepare(commit.op, attempt)
        try:
            stored = await self._writer.commit(commit)
        except StaleAccountsError as error:
            if part.writes and self._pending:
                await self._pending.catch_up()
            if not await self._steps.until(partial(self._have_moved, error.accounts, states), COPIED_WITHIN_S):
                if self._follower:
                    self._follower.doubt(OTHER_STATE)
                raise StoreAwayError(LAGS, LATER_S) from None
            raise OvertakenError(keys) from None
        except FleetAwayError as error:
            raise StoreAwayError(str(error), error.retry_after_s) from error
        except EngineRefusedError as error:
            raise OSError(errno.EIO, str(error)) from None
        self.written.note(epoch, (state.seq for state in stored.values()), time.monotonic())
        return stored

    # What the copy has

    async def look(self, known: Seen | None) -> Seen:
        """See the files in the copy; while that lacks what this control has stored, those that the caller knows.

        They have it: an older copy is no edit of theirs.
        """
        seen = await super().look(known)
        if not (known and known.files and seen.files) or known.files.epoch != seen.files.epoch:
            return seen
        return replace(seen, files=known.files) if seen.files.seq < self._awaited(seen.files.epoch) else seen

    def _awaited(self, epoch: str) -> int:
        return self.written.awaited(epoch, time.monotonic())

    def _take(self, step: Flushed) -> None:
        super()._take(step)
        if step.subjects is None or any(one.startswith(EDGES_PREFIX) for one in step.subjects):
            self.note_record_news()
        self._steps.take()

    def note_record_news(self) -> None:
        """Have the records of edges read again."""
        self._has_record_news = True

    def take_record_news(self) -> bool:
        """Whether records of edges may have changed since the last call."""
        has_news, self._has_record_news = self._has_record_news, False
        return has_news

    def _note_whole(self) -> None:
        super()._note_whole()
        self._steps.take()

    async def _until_copied(self, seq: int) -> None:
        """Wait until the copy has a message of the state, or for COPIED_WITHIN_S seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(COPIED_WITHIN_S):
                while True:
                    step = self._steps.next
                    if (files := (await self.look(None)).files) and files.seq >= seq:
                        return
                    await step.wait()

    async def _copied(self) -> tuple[dict[str, AccountState], Seen]:
        """The heads of a copy that is whole, then what it has: if that has moved on, the servers refuse the heads.

        A copy that is not whole may be fetched anew: its heads are not those of the files that are seen. Raises
        StoreAwayError.
        """
        if not await self._steps.until(lambda: bool(self._follower and self._follower.is_caught_up), COPIED_WITHIN_S):
            raise StoreAwayError(LAGS, LATER_S)
        heads = dict(self._heads)
        return heads, await self.look(None)

    def _have_moved(self, accounts: frozenset[str], states: Mapping[str, AccountState]) -> bool:
        """Whether the copy has what others have written to accounts; without any, guards alone have changed."""
        heads = self._heads
        return all(heads.get(account, AccountState()) != states[account] for account in accounts)

    async def _seen_with(self, seen: Seen, edit: FilesEdit, states: Mapping[str, AccountState]) -> Seen:
        """What the caller has seen with an edit that is stored, from the copy once that has it.

        What others have written meanwhile is not in it: the caller has not loaded it, and sees it next.
        """

        await self._steps.until(partial(self._has_all, states), COPIED_WITHIN_S)
        if seen.files is None or (now := (await self.look(None)).files) is None:
            return seen
        copied = now.by_key()
        written = {key: copied[key] if copied.get(key) == file else file for key, file in edit.written.items()}
        files = edited_files(seen.files, written, edit.removed.keys(), edit.gone_accounts)
        return replace(seen, files=now if now == files else files)

    def _has_all(self, states: Mapping[str, AccountState]) -> bool:
        """Whether the copy has these states of accounts, or later ones."""
        return all(self._heads.get(account, AccountState()).seq >= state.seq for account, state in states.items())

    @property
    def _heads(self) -> Mapping[str, AccountState]:
        return self._follower.heads if self._follower else {}

    # What the servers have

    @property
    def _writer(self) -> Writer:
        return Writer(self.link, give_up_s=GIVE_UP_S)

    async def _last(self, subject: str) -> int:
        """The number of the last message at a subject. Raises StoreAwayError."""
        try:
            return await self._writer.guard(subject)
        except FleetAwayError:
            raise StoreAwayError(SILENT, LATER_S) from None

    async def _guards(self, edit: FilesEdit, seen: Seen, now: Seen) -> dict[str, dict[str, int]]:
        """The guards that an edit rewrites and reads, which must be as when it was drawn up.

        Raises OvertakenError if they have changed since, and StoreAwayError.
        """
        guards = await in_thread(partial(guards_of, edit, self._around))
        both = (NAMES_GUARD, SPACE_GUARD)  # also one that it does not need: are the servers there?
        numbers = await asyncio.gather(*map(self._last, both))  # at once: servers may be far away
        found = dict(zip(both, numbers, strict=True))
        last = max(found[one] for one in (*guards.rewritten, *guards.read)) if any(guards) else 0
        known = now if seen.files == now.files else seen  # what was changed and changed back is not loaded again
        if last > (known.files.seq if known.files else 0):
            await self._until_copied(last)
            raise OvertakenError(edit.touched_keys())
        return {name: {one: found[one] for one in subjects} for name, subjects in guards._asdict().items()}
