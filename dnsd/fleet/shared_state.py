"""What a control shares with the others in addition to the fleet's files: tokens, sessions and pending changes.

They are followed in memory (`fleet/shared_copy.py`); the state folder has a copy (`fleet/shared_folder.py`).
"""

from __future__ import annotations

import asyncio
import re
import time
from contextlib import suppress
from functools import partial
from pathlib import Path

from dnsd.errors import DnsdError
from dnsd.fleet.identity import IdentityError
from dnsd.fleet.link import Link, NoAnswerError
from dnsd.fleet.node import FleetNode, control_node
from dnsd.fleet.shared_brake import SharedBrake
from dnsd.fleet.shared_copy import SharedCopy
from dnsd.fleet.shared_folder import SharedFolder
from dnsd.fleet.shared_pending import FleetPending, SharedPending
from dnsd.fleet.shared_ports import FleetSessions, FleetTokens, LoopBridge
from dnsd.fleet.shared_sessions import SharedSessions
from dnsd.fleet.shared_tokens import SharedTokens
from dnsd.fleet.shared_writes import SharedWrites
from dnsd.fleet.subjects import BRAKE, PENDING, SESSIONS, TOKENS, TOKENS_GUARD
from dnsd.log import Log
from dnsd.manage.state_names import PENDING as PENDING_FOLDER
from dnsd.process.tasks import in_thread, run_all
from dnsd.settings.server import Settings
from dnsd.store.port import StoreAwayError

AGAIN_S = 1.0
KEEP_S = 0.1  # between two writings of the copy: changes come in bursts
LOOK_S, LOOKED_WITHIN_S = 0.1, 1.0  # between two looks for what others have changed; of one
SUBJECTS = (f"{TOKENS}>", f"{SESSIONS}>", f"{PENDING}>", f"{BRAKE}>")
PENDING_FILE = re.compile(rf"{PENDING_FOLDER}/([0-9a-f]{{32}})\.json")


class SharedState:
    """The shared state of one control, while `run` runs."""

    def __init__(self, config: Path, state: Path, settings: Settings, log: Log) -> None:
        """`config` is the settings file; `settings` are those of the server's start, which has a fleet."""
        fleet = settings.fleet
        assert fleet
        self._open_node = partial(control_node, fleet.identity_folder(config), fleet.servers, 100)
        self._log = log
        self._problem = ""  # the reason why the copy may not be what the fleet has
        self._node: FleetNode | None = None
        self._is_due = asyncio.Event()  # the copy in the state folder may differ
        self._is_joined = asyncio.Event()
        self._bridge = LoopBridge()
        self._copy = SharedCopy(SUBJECTS, TOKENS_GUARD, note=self._note, changed=self._note_change)
        self._folder = SharedFolder(state, log.error)
        self._changes = writes = SharedWrites(self._copy, self._link)
        self._next_look: asyncio.Task[None] | None = None  # at the servers, for those who wait
        self._may_look_at = 0.0
        self._tokens = SharedTokens(self._copy, writes)
        self._sessions = SharedSessions(self._copy, self._link)
        self.pending_objects = SharedPending(self._copy, writes, state)
        self.brake = SharedBrake(self._copy, self._link)
        self.is_brake_due = asyncio.Event()  # a control's book and the others' may differ
        self.tokens = FleetTokens(self._tokens, self._folder.tokens, self._bridge)
        self.sessions = FleetSessions(self._sessions, self._folder.sessions, self._bridge, self._has_come)
        self.pending = FleetPending(
            state,
            self.pending_objects,
            self._bridge,
            self._link,
            has_come=self._has_come,
            name=lambda: self._node.name if self._node else "",
        )

    def problems(self) -> list[str]:
        """The reason why what is shared may not be what other controls have."""
        return [f"fleet: tokens and sessions: {self._problem}"] if self._problem and not self._copy.is_whole else []

    def seen(self, what: str) -> str | None:
        """What the file of a pending change stands for, as `Acts` sees files: `there`, or empty; None for other files.

        Blocks. Raises OSError while that is not known.
        """
        found = PENDING_FILE.fullmatch(what)
        if not found:
            return None
        self._bridge.run(self.pending_objects.settle)
        return "there" if found[1] in self.pending_objects.all() else ""

    async def until_whole(self, within_s: float) -> None:
        """Wait for what the fleet's controls share, or so many seconds."""
        try:
            async with asyncio.timeout(within_s):
                await self._is_joined.wait()
        except TimeoutError:
            self._log.warning("warning: fleet: tokens and sessions are those of the last time with the fleet's servers")

    async def catch_up(self) -> None:
        """Have the last tokens and sessions, if servers answer soon: somebody shows one that is not known here.

        All who wait share the next look at the servers, of which there are a few in a second.
        """
        if not self._copy.is_whole:
            return
        if self._next_look is None:
            self._next_look = asyncio.create_task(self._look())
        await asyncio.shield(self._next_look)

    async def _look(self) -> None:
        await asyncio.sleep(max(0.0, self._may_look_at - time.monotonic()))
        self._may_look_at = time.monotonic() + LOOK_S
        self._next_look = None  # who comes now may know of something later
        with suppress(StoreAwayError, TimeoutError):
            async with asyncio.timeout(LOOKED_WITHIN_S):
                for subject in (TOKENS_GUARD, f"{SESSIONS}>"):
                    await self._changes.catch_up(subject)

    async def run(self) -> None:
        """Follow the servers, and keep the copy in the state folder, until cancelled."""
        self._bridge.open()
        await run_all([self._follow(), self._keep()])

    async def _follow(self) -> None:
        while True:
            try:
                self._node = node = await in_thread(self._open_node)
                try:
                    await self._copy.run(node.line.link, f"shared-{node.name}")
                finally:
                    self._node = None
                    await node.line.close()
            except (DnsdError, OSError) as error:  # of the papers, which may be replaced
                self._note(str(error))
            await asyncio.sleep(AGAIN_S)

    async def _keep(self) -> None:
        """Bring what is new here to the fleet, and what the fleet has to the state folder, forever."""
        said = ""
        while True:
            await self._is_due.wait()
            self._is_due.clear()
            try:
                if self._copy.is_whole and not (self._has_come() and self._is_joined.is_set()):
                    await self._folder.join(self._tokens, self.pending_objects)
                    self._is_joined.set()
                if self._has_come() and self._is_joined.is_set():
                    await self.sessions.end_again()
                    write = partial(self._folder.write, self._tokens, self._sessions, self.pending_objects)
                    await in_thread(write)
                said = ""
            except (DnsdError, OSError, ValueError) as error:
                if str(error) != said:
                    said = str(error)
                    self._log.error(f"the copy of what the fleet's controls share: {error}")
                await asyncio.sleep(AGAIN_S)
                self._is_due.set()
            await asyncio.sleep(KEEP_S)

    def _note_change(self) -> None:
        self._is_due.set()
        self.is_brake_due.set()

    def _has_come(self) -> bool:
        """Whether the fleet has what controls share, or had, and this one knows it."""
        return self._tokens.has_come

    def _note(self, reason: str) -> None:
        if reason != self._problem:
            self._problem = reason
            self._log.warning(f"warning: fleet: tokens and sessions: {reason}")

    async def _link(self) -> Link:
        """The open connection. Raises NoAnswerError."""
        if self._node is None:
            raise NoAnswerError("there is no connection to the fleet's servers yet")
        try:
            return await self._node.line.link()
        except (IdentityError, OSError) as error:  # of the papers, which may be replaced
            raise NoAnswerError(str(error)) from None
