"""The running server, as the API sees it: changes are carried out; they are logged, and answered once served."""

from __future__ import annotations

import asyncio
import errno
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar

from dnsd.app import Loaded
from dnsd.manage.audit import Entry, Outcome
from dnsd.manage.draft import Draft, Note
from dnsd.manage.history import History, Replaced, keep_change, owner_of
from dnsd.manage.refusal import Code, RefusedError, refused
from dnsd.manage.service import Actor
from dnsd.manage.traffic import SAMPLE_S, Traffic
from dnsd.serve.control import Control
from dnsd.serve.status import COLLECT_S, worries
from dnsd.serve.tasks import in_thread
from dnsd.store.text_file import FileChangedError

T = TypeVar("T")
SERVED_WITHIN_S = 5.0  # a worker that takes longer is not waited for
NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class ControlService:
    """Carries out what is asked for over HTTP."""

    def __init__(self, control: Control) -> None:
        self._control = control
        self._loader = control.loader
        self._changes = control.changes
        self._publisher = control.publisher
        self._log = control.setup.log
        self.history = History(control.setup.state.folder)
        self._audit = control.audit
        self.traffic = Traffic()
        self._untold: list[_Done] = []
        self._telling = asyncio.Lock()
        self._looking = asyncio.Lock()  # into the audit log: one after another

    @property
    def loaded(self) -> Loaded:
        """What is loaded. Raises RefusedError where the files cannot be used."""
        if self._loader.loaded is None:
            raise refused(Code.NOT_LOADED, "the files of the accounts cannot be used: `dnsd check` says why")
        return self._loader.loaded

    def problems(self) -> list[str]:
        """Why the server does not do all that it should."""
        return worries(self._control)

    async def audit(
        self, limit: int, is_wanted: Callable[[dict[str, Any]], bool], *, skip: int = 0
    ) -> list[dict[str, Any]]:
        """The last entries of the audit log that are wanted, the newest first. Raises OSError."""
        async with self._looking:
            return await in_thread(partial(self._audit.read, limit, is_wanted, skip=skip))

    async def sample(self) -> None:
        """Keep an eye on what is answered, for ever."""
        last = time.monotonic()
        while True:
            await self._publisher.collect(COLLECT_S)
            now = time.monotonic()
            self.traffic.add(self._publisher.counts.items(), time.time(), now - last)
            last = now
            await asyncio.sleep(SAMPLE_S)

    async def change(self, actor: Actor, action: str, verb: Callable[[Draft], T]) -> tuple[T, Loaded]:
        """Have a verb carried out: what it returned, and what is loaded with it."""
        done = _Done(actor, action)

        def make(loaded: Loaded) -> tuple[T, Draft]:
            done.draft = draft = Draft(loaded, datetime.now(UTC), by_operator=actor.token.is_operator)
            result = verb(draft)
            done.replaced = [Replaced(file, file.text()) for file in draft.touched()]
            return result, draft

        try:
            changed = await self._changes.change(make)
        except (RefusedError, OSError) as error:
            done.refusal = error if isinstance(error, RefusedError) else _not_written(error)
            if done.refusal is not error:
                self._log.error(f"{action}: {done.refusal}")
            await self._tell(done)
            raise done.refusal from None
        if done.draft and done.draft.notes:
            done.after, done.revision = changed.loaded, changed.revision
            self._log.info(f"{action}: revision {changed.revision}, by {done.by}")
            await self._tell(done)
        await self._publisher.wait_until_served(changed.revision, SERVED_WITHIN_S)
        return changed.result, changed.loaded

    async def _tell(self, done: _Done) -> None:
        """Have it in the audit log and in the history, in the order of the changes, with all else that waits."""
        self._untold.append(done)
        async with self._telling:
            if done in self._untold:  # else somebody who came before has told it with theirs
                waiting, self._untold = self._untold, []
                for problem in await in_thread(partial(self._told, waiting)):
                    self._log.error(problem)

    def _told(self, waiting: Sequence[_Done]) -> list[str]:
        """In a thread; the problems."""
        problem = self._audit.append(*(entry for done in waiting for entry in done.entries()))
        problems = [problem] if problem else []
        for done in waiting:
            try:
                done.keep(self.history)
            except Exception as error:  # the change is made, whatever its history is like
                problems.append(f"{done.action}: this version is not kept: {error}")
        return problems

    async def plan(self, actor: Actor, verb: Callable[[Draft], T]) -> tuple[Loaded, Loaded]:
        """What is loaded, and what would be if a verb were carried out."""
        before = self.loaded
        draft = Draft(before, datetime.now(UTC), by_operator=actor.token.is_operator)

        def drawn_up() -> Loaded:
            verb(draft)
            return draft.load()

        try:
            return before, await in_thread(drawn_up)
        except FileChangedError:
            raise refused(Code.NOT_WRITABLE, "a file was edited just now, and is not loaded yet") from None


@dataclass(slots=True, eq=False)
class _Done:
    """A request to change something, and what became of it."""

    actor: Actor
    action: str
    draft: Draft | None = None  # the last one: that which was carried out, or refused
    replaced: Sequence[Replaced] = ()
    refusal: RefusedError | None = None
    after: Loaded | None = None
    revision: int | None = None

    @property
    def by(self) -> str:
        """Who asked, for people."""
        return self.actor.token.name or self.actor.token.id

    def entries(self) -> Iterator[Entry]:
        """For the audit log: one for each object."""
        refusal = self.refusal
        for note in (self.draft and self.draft.notes) or [Note("", None, None)]:
            account_id, zone_id = owner_of(self.draft.loaded, self.after, note.key) if self.draft else ("", "")
            yield Entry(
                at=datetime.now(UTC),
                token=self.actor.token,
                client=self.actor.client,
                action=self.action,
                object=note.key,
                account_id=account_id,
                zone_id=zone_id,
                outcome=Outcome.REFUSED if refusal else Outcome.OK,
                revision=self.revision,
                code=refusal.faults[0].code.number if refusal else None,
                message=str(refusal or ""),
                before=note.before,
                after=note.after,
            )

    def keep(self, history: History) -> None:
        """Keep what objects were, and have become. Raises OSError."""
        if self.draft and self.after:
            before = self.draft.loaded
            keep_change(history, before, self.after, self.draft, self.replaced, action=self.action, token=self.by)


def _not_written(error: OSError) -> RefusedError:
    what = f"{error.filename or 'the files'} cannot be written: {error.strerror}; nothing has changed"
    return refused(Code.NO_ROOM if error.errno in NO_ROOM else Code.NOT_WRITABLE, what)
