"""The fleet's adapters of the ports of tokens and sessions, for a control: they read from memory, and write in threads.

Until the copy has come, they have what the files of the state folder say, which are written after each change.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

from dnsd.fleet.shared_sessions import SharedSessions
from dnsd.fleet.shared_tokens import SharedTokens
from dnsd.fleet.shared_writes import LAGS, LATER_S
from dnsd.manage.refusal import Reason, refused
from dnsd.manage.session_file import SessionFile
from dnsd.manage.session_port import BegunSession
from dnsd.manage.token_file import TokenFile
from dnsd.manage.token_format import KeptToken, tokens_not_in
from dnsd.manage.token_port import TokenContent, TokenEdit, Tokens
from dnsd.store.port import StoreAwayError

T = TypeVar("T")

OTHERS = "others have changed the same tokens meanwhile; nothing has changed: try again"


class LoopBridge:
    """The event loop, for work of threads that have to wait for it."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = 0

    def open(self) -> None:
        """Let threads ask this event loop."""
        self._loop, self._thread = asyncio.get_running_loop(), threading.get_ident()

    def run(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """The result of work in the event loop. Blocks. Raises StoreAwayError in its own thread, which must not."""
        if self._loop is None or threading.get_ident() == self._thread:
            raise StoreAwayError(LAGS, LATER_S)
        return asyncio.run_coroutine_threadsafe(work(), self._loop).result()


class FleetTokens(Tokens):
    """The tokens of a fleet. Changes need its servers, and raise OSError."""

    def __init__(self, shared: SharedTokens, file: TokenFile, bridge: LoopBridge) -> None:
        """`file` is the copy in the state folder."""
        self._shared = shared
        self._file = file
        self._bridge = bridge

    def content(self) -> TokenContent:
        """All tokens as this control knows them; without a state of the fleet's tokens, those of the file."""
        return self._shared.content() if self._shared.has_come else self._file.content()

    def without_damage(self) -> str | None:
        """As for the file of tokens."""
        return self._file.without_damage()

    def digest(self, token_id: str) -> str:
        """As for all tokens, once the copy has the last change and all outcomes are known. Blocks, and raises OSError.

        So what became of a change whose answer was lost is not told before it is sure.
        """
        self._bridge.run(self._shared.settle)
        return super().digest(token_id)

    def _change(self, edit: TokenEdit) -> None:
        told: list[tuple[object, object]] = []

        def attested(content: TokenContent) -> Sequence[KeptToken]:
            before, after = content.entries.values(), edit(content)
            if self._testify:
                changed = tokens_not_in(before, after), tokens_not_in(after, before)
                if not told:
                    told.append(changed)
                    self._attest(before, after)
                elif told[0] != changed:  # the evidence is of another change
                    raise refused(Reason.CHANGED_MEANWHILE, OTHERS)
            return after

        self._bridge.run(partial(self._shared.change, attested))


class FleetSessions:
    """The sessions of a fleet. Beginning and ending one need its servers."""

    def __init__(self, shared: SharedSessions, file: SessionFile, bridge: LoopBridge, has_come: Callable[[], bool]):
        """`file` is the copy in the state folder; `has_come` tells whether the fleet's sessions have come."""
        self._shared = shared
        self._file = file
        self._bridge = bridge
        self._has_come = has_come
        self._ended: set[str] = set()  # here; the servers may not know it yet

    def begun(self) -> Mapping[str, BegunSession]:
        """All sessions as this control knows them, oldest first."""
        found = self._shared.begun() if self._has_come() else self._file.begun()
        return {key: one for key, one in found.items() if key not in self._ended} if self._ended else found

    def begin(self, digest: str, session: BegunSession, forgotten: Collection[str]) -> None:
        """Keep a new session at all controls, and forget others. Raises OSError: then it has not begun."""
        self._bridge.run(partial(self._shared.begin, digest, session, forgotten))

    def end(self, digest: str) -> None:
        """Forget a session: here at once; elsewhere, if OSError is raised, once a server answers."""
        if digest in self.begun():
            self._ended.add(digest)
            self._bridge.run(self.end_again)

    async def end_again(self) -> None:
        """Tell the servers of sessions that were ended here. Raises OSError."""
        for digest in [*self._ended]:
            if self._has_come() and digest not in self._shared.begun():
                self._ended.discard(digest)
            else:
                await self._shared.end(digest)
