"""The outcome of each commit in this node's own folders: its evidence, and the files beside it, follow what is stored.

They are noted and written before the commit is sent. A commit that is refused leaves nothing of them. If no server
tells what became of one, or the process is killed, that is found out later, and nothing else is written before.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from dnsd.fleet.link import Link
from dnsd.fleet.op_journal import OpJournal
from dnsd.fleet.op_verdict import is_stored
from dnsd.fleet.writer import FleetAwayError
from dnsd.log import Log
from dnsd.process.tasks import in_thread
from dnsd.store.journal import Settle, finish_change, undo_unfinished
from dnsd.store.kept_file import DamagedFileError
from dnsd.store.port import Op, StoreAwayError
from dnsd.store.write import Evidence, write_files

TOLD_WITHIN_S = 3.0  # by the servers: what became of an earlier commit
AGAIN_S = 1.0
LATER_S = 5  # for a requester
UNKNOWN = "the fleet's servers do not tell yet what became of an earlier change; nothing has changed since"


@dataclass(slots=True)
class WriteAttempt:
    """How far a write has come with what belongs to it."""

    op: Op
    is_noted: bool = False  # perhaps
    has_testified: bool = False


class OpOutcomes:
    """Sees to it that each commit of one node gets its outcome. Its callers hold `turn`."""

    def __init__(self, journal: Path, settle: Settle, link: Callable[[], Awaitable[Link]], log: Log) -> None:
        """`settle` writes the outcome of entries of evidence; `link` gives the open connection, or NoAnswerError."""
        self.turn = asyncio.Lock()
        self._journal = OpJournal(journal, settle)
        self._beside = journal.with_name(f"{journal.name}.beside")  # of changes of no file of the fleet
        self._settle = settle
        self._link = link
        self._log = log
        self._is_settled = False  # whether no commit waits for its outcome
        self._is_due = asyncio.Event()  # one does, and nobody else will see to it
        self._said = ""  # why it still does

    async def prepare(self, commit: str, attempt: WriteAttempt) -> None:
        """Note a commit by its id with what belongs to it, and write its evidence, before it is sent.

        Raises OSError, and as the evidence does.
        """
        op = attempt.op
        entries = op.evidence.entries if op.evidence else ()
        if entries or op.beside:
            attempt.is_noted, self._is_settled = True, False
            await in_thread(partial(self._journal.begin, commit, entries, op.beside))
        if op.evidence:
            await in_thread(op.evidence.testify)
            attempt.has_testified = True

    async def give_up(self, attempt: WriteAttempt, error: BaseException) -> None:
        """Forget a write that failed; if it may be stored, or the evidence cannot be settled, leave that for later."""
        if not attempt.is_noted or not isinstance(error, Exception):  # the process ends
            return
        if isinstance(error.__cause__, FleetAwayError):
            self._is_due.set()
            return
        try:
            await in_thread(partial(self._undo, attempt))
            self._is_settled = True
        except OSError as failure:
            self._log.error(f"the outcome of a change is not in the audit log yet: {failure.strerror}")
            self._is_due.set()

    def _undo(self, attempt: WriteAttempt) -> None:
        if attempt.has_testified and (evidence := attempt.op.evidence):
            evidence.settle(evidence.entries, False)
        self._journal.finish()

    async def complete(self, attempt: WriteAttempt) -> None:
        """Make what belongs to a commit that is stored; if that fails, it is made later: the commit stays."""
        if not attempt.is_noted:
            return
        try:
            await in_thread(self._journal.complete)
            if attempt.op.evidence is None:
                await in_thread(self._journal.finish)
                self._is_settled = True
        except (OSError, DamagedFileError) as error:
            self._log.error(f"a change is made, but not yet the files that belong to it: {error}")
            if attempt.op.evidence is None:
                self._is_due.set()

    async def write_beside(self, op: Op) -> None:
        """Make a change of files beside alone. Raises OSError: then nothing has changed."""
        self._is_settled = op.evidence is None
        await in_thread(partial(write_files, op.beside, self._beside, evidence=op.evidence, settle=self._settle))

    async def finish(self, evidence: Evidence, revision: int) -> None:
        """Write the outcome of a change that is made, and forget it. Raises OSError: then it is written later."""
        try:
            await in_thread(partial(self._finish, evidence, revision))
            self._is_settled = True
        except OSError:
            self._is_due.set()
            raise

    def _finish(self, evidence: Evidence, revision: int) -> None:
        try:
            self._journal.complete()  # if it failed at first
        except DamagedFileError as error:
            self._log.error(f"files that belong to a change are not made: {error}")
        evidence.made(revision)
        self._journal.finish()
        finish_change(self._beside)

    async def run(self, recover: Callable[[], Awaitable[None]]) -> None:
        """Call `recover` whenever a commit waits for its outcome, until it has that."""
        while True:
            await self._is_due.wait()
            async with self.turn:
                await self.try_to(recover)
            if self._is_due.is_set():
                await asyncio.sleep(AGAIN_S)

    async def try_to(self, recover: Callable[[], Awaitable[None]]) -> None:
        """Call `recover`; if it fails, that is logged, and it is called again later."""
        try:
            await recover()
            self._said = ""
        except OSError as error:
            self._is_due.set()
            if self._said != (said := f"an earlier change waits for its outcome: {error.strerror}"):
                self._said = said
                self._log.warning(f"warning: fleet: {said}")

    async def recover(self) -> bool:
        """Find out what became of an earlier commit, and do the rest; return whether one was found to be stored.

        Raises StoreAwayError while no server tells, and OSError.
        """
        if self._is_settled:
            self._is_due.clear()
            return False
        await in_thread(partial(undo_unfinished, self._beside, self._settle, is_tolerant=True))
        found = False
        try:
            async with asyncio.timeout(TOLD_WITHIN_S):
                found = await self._journal.recover(partial(is_stored, self._link))
        except DamagedFileError as error:
            self._log.error(f"{error}; if it was of an unfinished change, look for its entry in the audit log")
        except TimeoutError:
            raise StoreAwayError(UNKNOWN, LATER_S) from None
        self._is_settled = True
        self._is_due.clear()
        return found
