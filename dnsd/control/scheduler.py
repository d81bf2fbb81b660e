"""The clock of pending changes: each is made once when it is due, or stopped with an alarm.

The changes of one account are handled one after another, in the order of their times. The files of a change, with its
own, are written together (`Draft.beside`), so a killed server neither loses a change nor makes it twice.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from dnsd.api.codes import text_of
from dnsd.api.plans import plan_shape
from dnsd.app import Loaded
from dnsd.control.account_turns import AccountTurns
from dnsd.control.change_request import not_written
from dnsd.control.control import Control
from dnsd.control.newer_data import on_newer_data
from dnsd.manage.audit_entries import Entry, Outcome
from dnsd.manage.draft import Draft
from dnsd.manage.history import History
from dnsd.manage.map_request import MapRequest
from dnsd.manage.pending import (
    Due,
    PendingChange,
    check_room,
    check_time,
    map_of,
    moved_on,
    obstacle,
    others_touched,
    tag_in,
    zones_of,
)
from dnsd.manage.pending_plan import Earlier, plan_pending
from dnsd.manage.plan import plan_of
from dnsd.manage.refusal import Reason, RefusedError, refused
from dnsd.manage.service import Actor
from dnsd.manage.state_names import PENDING
from dnsd.manage.token_port import TokenFileError
from dnsd.manage.tokens import Token
from dnsd.model.record_parts import finished
from dnsd.model.times import time_text
from dnsd.process.tasks import in_thread
from dnsd.store.port import EvidenceError, StoreAwayError

LOOK_S = 0.5
AGAIN = timedelta(seconds=10)  # after a failure that passes without a person, such as a full disk
PASSING = frozenset({Reason.NOT_LOADED, Reason.NOT_WRITABLE, Reason.NO_ROOM, Reason.AWAY})
MAX_ACCOUNTS = 20  # whose changes are made at the same time
MAX_SHOWN_ZONES = 20  # of a plan that is kept
MAX_REASON = 500  # characters

ChangeVerb = Callable[[Actor, str, Callable[[Draft], None]], Awaitable[tuple[None, Loaded]]]


class Scheduler:
    """Plans, keeps, makes, stops and cancels pending changes."""

    def __init__(self, control: Control, history: History, change: ChangeVerb) -> None:
        """`change` carries out a verb, as in `Service`."""
        self._current = control.current
        self._store, self._loader = control.store, control.loader
        self._files = control.pending
        self._audit, self._acts = control.audit, control.acts
        self._log = control.setup.log
        self._tokens = control.tokens
        self._history = history
        self._change = change
        self._turns = AccountTurns()
        self._room = asyncio.Semaphore(MAX_ACCOUNTS)
        self._not_before: dict[str, datetime] = {}  # of changes to try again
        self._judged: Loaded | None = None  # the data in which deleted maps were last looked for

    # The clock

    async def follow(self) -> None:
        """Make or stop due changes, and cancel those of deleted maps, every LOOK_S, forever."""
        while True:
            try:
                await self.look(datetime.now(UTC))
            except Exception as error:  # later changes must not wait for a person
                self._log.error(f"pending changes: {type(error).__name__}: {error}")
            await asyncio.sleep(LOOK_S)

    async def look(self, now: datetime) -> None:
        """Make or stop the changes due at `now`, and cancel those of deleted maps."""
        for problem in await in_thread(self._files.refresh):
            self._log.error(problem)
        loaded = self._current.loaded
        if loaded is None:  # the files cannot be used: nothing can change before they can
            return
        due = self._files.due
        self._not_before = {one.id: self._not_before[one.id] for one in due if one.id in self._not_before}
        found = {one.account_id for one in due if one.is_due(now) and now >= self._not_before.get(one.id, now)}
        if loaded is not self._judged:
            found |= {one.account_id for one in due if one.is_gone(loaded.dataset)}
            self._judged = loaded
        await asyncio.gather(*(self._look_at(account_id, now) for account_id in sorted(found)))

    async def _look_at(self, account_id: str, now: datetime) -> None:
        async with self._room, self._turns.of(account_id):
            ids = [change.id for change in await in_thread(partial(self._files.of_account, account_id))]
            waits = False  # a due change that is not made yet: those after it may stand on it
            for change_id in ids:
                change = await in_thread(partial(self._files.read, change_id))  # those before may have moved it on
                if change is None:
                    continue
                if self._current.loaded and Due.of(change).is_gone(self._current.loaded.dataset):
                    if not await in_thread(partial(self._files.remove, change.id)):
                        continue  # another control was faster
                    self._log.info(f"pending change {change.id}: cancelled, as its map was deleted")
                    await self._record(None, "map.cancel", change, "the map was deleted")
                elif Due.of(change).is_due(now) and not waits:
                    is_early = now < self._not_before.get(change.id, now)
                    waits = is_early or not await self._make_or_stop(change, now)

    async def _make_or_stop(self, change: PendingChange, now: datetime) -> bool:
        """Make a due change, or stop it if it is refused for long; False if it waits for what passes by itself."""
        if not await in_thread(partial(self._files.claim, change.id)):
            self._not_before[change.id] = now + AGAIN  # another control makes it
            return False
        try:
            await self._store.catch_up()  # what another control has just made, so that it does not seem an obstacle
            await self._loader.load_change()
            token = await in_thread(partial(self._token, change.token_id))
            if token is None:
                return await self._stop(change, f"{change.scheduler} that scheduled it was revoked", now)
            note = f"scheduled {change.created_at:%Y-%m-%d %H:%M} UTC"
            verb = partial(self._carry_out, change, now)
            await self._change(Actor(token, "", note), change.request.action, verb)
            self._log.info(f"pending change {change.id} is made, as {change.by} scheduled it")
        except StoreAwayError as error:
            return self._wait(change, now, str(error))
        except RefusedError as error:
            if not await in_thread(partial(self._files.is_there, change)):
                self._log.info(f"pending change {change.id}: made, moved on or cancelled by another control")
                return False
            if error.faults[0].reason in PASSING:
                return self._wait(change, now, str(error))
            return await self._stop(change, text_of(error), now)
        except Exception as error:
            self._log.error(f"pending change {change.id}: {type(error).__name__}: {error}")
            if await in_thread(partial(self._files.read, change.id)):  # else it is made, and its publication failed
                return await self._stop(change, "it failed; the server's log has the details", now)
        finally:
            await in_thread(partial(self._note_all, change.request.account_id))
        return True

    def _wait(self, change: PendingChange, now: datetime, why: str) -> bool:
        self._not_before[change.id] = now + AGAIN
        self._log.error(f"pending change {change.id} waits: {why}; trying again in {AGAIN.seconds} s")
        return False

    def _carry_out(self, change: PendingChange, now: datetime, draft: Draft) -> None:
        """Carry out a due change on a draft, if nothing stands against it. Blocks. Raises RefusedError."""
        token = self._token(change.token_id)
        if why := obstacle(change, draft.loaded, token, now, waiting=self._ids()):
            raise refused(Reason.FORBIDDEN, why)
        after = self._apply(change, draft)
        plan = finished(plan_of(draft.loaded, after, change.request.account_id))
        if why := others_touched(change, plan):
            raise refused(Reason.FORBIDDEN, why)

    def _apply(self, change: PendingChange, draft: Draft) -> Loaded:
        """Carry out a change on a draft, with the files of pending changes that go with it. Blocks, and refuses."""
        guard = self._files.guard(change.request.account_id)  # first: what others change from here on refuses the draft
        pending = self._files.of_account(change.request.account_id)
        if change not in pending:
            raise _gone()
        before = tag_in(draft.dataset, change.request)
        change.request.carry_out(draft, self._history)
        after = draft.load()
        others = (one for one in pending if one.id != change.id)
        moved = moved_on(others, change, before, tag_in(after.dataset, change.request))
        draft.beside += self._files.once_made(change, moved, draft.now, guard)
        return after

    async def _stop(self, change: PendingChange, why: str, now: datetime) -> bool:
        """Stop a change; False if that cannot be written, and it waits."""
        why = why[:MAX_REASON]
        try:
            await in_thread(partial(self._files.write, replace(change, stopped=why, stopped_at=now), change))
        except (OSError, RefusedError) as error:
            self._not_before[change.id] = now + AGAIN
            self._log.error(f"pending change {change.id} cannot be marked as stopped: {error}")
            return False
        self._log.error(f"alarm: pending change {change.id} of {self._name(change)} is stopped: {why}")
        await self._record(None, "map.stop", change, why, is_refused=True)
        return True

    # Requests

    def stopped(self) -> list[Due]:
        """The stopped changes of all accounts."""
        return [one for one in self._files.due if one.stopped]

    async def of_account(self, account_id: str) -> list[PendingChange]:
        """The pending changes of an account, in the order of their times. Raises OSError."""
        async with self._turns.of(account_id):  # a change that is being made is listed until its effect can be seen
            found = await in_thread(partial(self._files.of_account, account_id))
        loaded = self._current.loaded
        return [one for one in found if not (loaded and Due.of(one).is_gone(loaded.dataset))]

    async def find(self, account_id: str, change_id: str) -> PendingChange:
        """A pending change of an account. Raises RefusedError."""
        found = await in_thread(partial(self._files.read, change_id))
        if found is None or found.request.account_id != account_id:
            raise _gone()
        return found

    async def add(
        self, actor: Actor, request: MapRequest, at: datetime, expect: Callable[[str], None]
    ) -> PendingChange:
        """Plan a change, and make it at its time; on return, it is on disk. Raises RefusedError and OSError."""
        async with self._turns.of(request.account_id):
            planned = partial(self._planned, actor.token, request, at, expect)
            change = await on_newer_data(self._current, lambda: in_thread(planned))
            await self._act(actor, "map.schedule", change, partial(self._files.write, change))
            self._log.info(f"{request.action}: pending change {change.id}, due {time_text(at)}, by {change.by}")
        return change

    def _planned(self, token: Token, request: MapRequest, at: datetime, expect: Callable[[str], None]) -> PendingChange:
        now, loaded = datetime.now(UTC), self._current.loaded
        if loaded is None:
            raise refused(Reason.NOT_LOADED, "the accounts' files cannot be used: run `dnsd check` for the reasons")
        check_time(at, now, token)
        pending = self._files.of_account(request.account_id)
        check_room(pending)
        before = [one for one in pending if not one.stopped and one.at <= at]
        owners = [(one, self._token(one.token_id)) for one in before]
        earlier = [Earlier(one, owner.is_operator) for one, owner in owners if owner]
        planned = plan_pending(loaded, request, earlier, self._history, now, by_operator=token.is_operator)
        expect(planned.tag)
        shape = plan_shape(planned.plan)
        return PendingChange(
            id=secrets.token_hex(16),
            request=request,
            at=at,
            created_at=now,
            token_id=token.id,
            token_name=token.name,
            by_operator=token.is_operator,
            tag=planned.tag,
            zones=zones_of(planned.plan),
            is_cut=planned.plan.is_cut,
            plan=shape | {"zones": shape["zones"][:MAX_SHOWN_ZONES]},
            follows=planned.follows,
        )

    async def cancel(self, actor: Actor, account_id: str, change_id: str) -> list[PendingChange]:
        """Cancel a change; return those whose plans stand on it, which will be stopped. Raises RefusedError."""
        async with self._turns.of(account_id):
            change = await self.find(account_id, change_id)
            await self._act(actor, "map.cancel", change, partial(self._remove, change_id))
            self._log.info(f"pending change {change_id}: cancelled by {actor.token.name or actor.token.id}")
            left = await in_thread(partial(self._files.of_account, account_id))
            return [one for one in left if change_id in one.follows]

    def _remove(self, change_id: str) -> None:
        if not self._files.remove(change_id):
            raise _gone()

    async def run(self, actor: Actor, account_id: str, change_id: str) -> Loaded:
        """Make a stopped change now, as a change of the actor. Raises RefusedError."""
        async with self._turns.of(account_id):
            change = await self.find(account_id, change_id)
            if not change.stopped:
                message = f"it is not stopped, and due at {time_text(change.at)}: to make it now, cancel it and send"
                raise refused(Reason.FORBIDDEN, f"{message} the change itself")

            def verb(draft: Draft) -> None:
                self._apply(change, draft)

            try:
                by = replace(actor, note=f"scheduled by {change.by}")
                _, loaded = await self._change(by, change.request.action, verb)
            finally:
                await in_thread(partial(self._note_all, account_id))
        return loaded

    # Shared

    def _token(self, token_id: str) -> Token | None:
        """The token with an id, expired or not. Blocks. Raises RefusedError if the tokens cannot be read."""
        try:
            return next((token for token in self._tokens.tokens() if token.id == token_id), None)
        except TokenFileError as error:
            raise refused(Reason.NOT_LOADED, str(error)) from None

    def _ids(self) -> set[str]:
        return {one.id for one in self._files.due}

    def _note_all(self, account_id: str) -> None:
        for one in self._files.due:
            if one.account_id == account_id:
                self._files.note(one.id)

    def _name(self, change: PendingChange) -> str:
        loaded, request = self._current.loaded, change.request
        found = map_of(loaded.dataset, request.account_id, request.map_id) if loaded else None
        return found.key if found else request.map_id

    async def _record(
        self, actor: Actor | None, action: str, change: PendingChange, why: str = "", *, is_refused: bool = False
    ) -> None:
        """An entry in the audit log."""
        entry = self._entry(actor, action, change, why, is_refused=is_refused)
        if problem := await in_thread(partial(self._audit.append, entry)):
            self._log.error(problem)

    async def _act(self, actor: Actor, action: str, change: PendingChange, verb: Callable[[], None]) -> None:
        """Make or remove the file of a change, with its entry in the audit log. Raises RefusedError and OSError."""
        entry, needed = self._entry(actor, action, change), self._current.settings.audit.applies(action, removes=False)
        file = f"{PENDING}/{change.id}.json"
        try:
            await in_thread(partial(self._acts.carry_out, entry, file, verb, needs_evidence=needed))
        except (EvidenceError, StoreAwayError) as error:
            raise not_written(error) from None

    def _entry(
        self, actor: Actor | None, action: str, change: PendingChange, why: str = "", *, is_refused: bool = False
    ) -> Entry:
        after: dict[str, Any] = {
            "pending": change.id,
            "action": change.request.action,
            "arguments": change.request.arguments,
            "deploy_at": time_text(change.at),
            "scheduled_by": change.by,
        }
        return Entry(
            at=datetime.now(UTC),
            token=actor.token if actor else None,
            client=actor.client if actor else "",
            action=action,
            object=self._name(change),
            account_id=change.request.account_id,
            outcome=Outcome.REFUSED if is_refused else Outcome.OK,
            message=why,
            after=after,
        )


def _gone() -> RefusedError:
    return refused(Reason.NOT_FOUND, "not_found: there is no pending change with this id in the account")
