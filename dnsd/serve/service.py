"""The running server, as the API sees it: the loader carries changes out; they are logged, and answered once served."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import TypeVar

from dnsd.app import Loaded
from dnsd.manage.audit import FILE_NAME, AuditLog, Entry, Outcome
from dnsd.manage.draft import Draft, Note
from dnsd.manage.history import History, Replaced, keep_change
from dnsd.manage.refusal import Code, RefusedError, refused
from dnsd.manage.service import Actor
from dnsd.serve.control import Control
from dnsd.serve.tasks import in_thread
from dnsd.store.text_file import FileChangedError

T = TypeVar("T")
SERVED_WITHIN_S = 5.0  # a worker that takes longer is not waited for
NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class ControlService:
    """Carries out what is asked for over HTTP."""

    def __init__(self, control: Control) -> None:
        self._loader = control.loader
        self._publisher = control.publisher
        self._log = control.desk.log
        self.history = History(control.desk.state.folder)
        self._audit = AuditLog(control.desk.state.folder / FILE_NAME)
        self._noting = asyncio.Lock()  # what was done is noted in the order in which it was

    @property
    def loaded(self) -> Loaded:
        """What is loaded. Raises RefusedError where the files cannot be used."""
        if self._loader.loaded is None:
            raise refused(Code.NOT_LOADED, "the files of the accounts cannot be used: `dnsd check` says why")
        return self._loader.loaded

    async def change(self, actor: Actor, action: str, verb: Callable[[Draft], T]) -> tuple[T, Loaded]:
        """Have a verb carried out: what it returned, and what is loaded with it."""
        drafts: list[Draft] = []  # the last one is the one that was carried out, or refused
        replaced: list[Replaced] = []

        def make(loaded: Loaded) -> tuple[T, Draft]:
            draft = Draft(loaded, datetime.now(UTC), by_operator=actor.token.is_operator)
            drafts.append(draft)
            result = verb(draft)
            replaced[:] = [Replaced(file, file.text()) for file in draft.touched()]
            return result, draft

        try:
            changed = await self._loader.change(make)
        except (RefusedError, OSError) as error:
            refusal = error if isinstance(error, RefusedError) else _not_written(error)
            if refusal is not error:
                self._log.error(f"{action}: {refusal}")
            async with self._noting:
                await self._record(actor, action, drafts, error=refusal)
            raise refusal from None
        if drafts[-1].notes:
            self._log.info(f"{action}: revision {changed.revision}, by {actor.token.name or actor.token.id}")
            async with self._noting:
                await self._record(actor, action, drafts, revision=changed.revision)
                await self._keep(actor, action, drafts[-1], replaced, changed.loaded)
        await self._publisher.wait_until_served(changed.revision, SERVED_WITHIN_S)
        return changed.result, changed.loaded

    async def _keep(self, actor: Actor, action: str, draft: Draft, replaced: list[Replaced], after: Loaded) -> None:
        token = actor.token.name or actor.token.id
        work = partial(keep_change, self.history, draft.loaded, after, draft, replaced, action=action, token=token)
        try:
            await in_thread(work)
        except OSError as error:
            self._log.error(f"{action}: this version is not kept: {error.filename}: {error.strerror}")

    async def plan(self, actor: Actor, verb: Callable[[Draft], T]) -> tuple[Loaded, Loaded]:
        """What is loaded, and what would be if a verb were carried out."""
        before = self.loaded
        draft = Draft(before, datetime.now(UTC), by_operator=actor.token.is_operator)

        def drawn_up() -> Loaded:
            verb(draft)
            return self._loader.load_draft(draft)

        try:
            return before, await in_thread(drawn_up)
        except FileChangedError:
            raise refused(Code.NOT_WRITABLE, "a file was edited just now, and is not loaded yet") from None

    async def _record(
        self,
        actor: Actor,
        action: str,
        drafts: list[Draft],
        *,
        revision: int | None = None,
        error: RefusedError | None = None,
    ) -> None:
        """Write what was asked for, and what became of it, into the audit log: an entry for each object."""
        notes = drafts[-1].notes if drafts and drafts[-1].notes else [Note("", None, None)]
        for note in notes:
            entry = Entry(
                at=datetime.now(UTC),
                token=actor.token,
                client=actor.client,
                action=action,
                object=note.key,
                outcome=Outcome.REFUSED if error else Outcome.OK,
                revision=revision,
                code=error.faults[0].code.number if error else None,
                message=str(error) if error else "",
                before=note.before,
                after=note.after,
            )
            if problem := await in_thread(partial(self._audit.append, entry)):
                self._log.error(problem)


def _not_written(error: OSError) -> RefusedError:
    what = f"{error.filename or 'the files'} cannot be written: {error.strerror}; nothing has changed"
    return refused(Code.NO_ROOM if error.errno in NO_ROOM else Code.NOT_WRITABLE, what)
