"""The state that controls share, for commands on a control's machine: over the fleet's servers, with its identity."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from dnsd.errors import DnsdError
from dnsd.fleet.fetch import NoStateError, NotFetchedError
from dnsd.fleet.link import NoAnswerError
from dnsd.fleet.node import FleetNode, as_control
from dnsd.fleet.shared_copy import SharedCopy
from dnsd.fleet.shared_pending import SharedPending
from dnsd.fleet.shared_sessions import SharedSessions
from dnsd.fleet.shared_state import SUBJECTS
from dnsd.fleet.shared_tokens import SharedTokens
from dnsd.fleet.shared_writes import SharedWrites
from dnsd.fleet.stream import check_stream
from dnsd.fleet.subjects import TOKENS_GUARD
from dnsd.manage.refusal import RefusedError
from dnsd.manage.token_file import TokenFile
from dnsd.manage.token_format import KeptToken, token_entry_data
from dnsd.manage.token_port import NoSuchTokenError, TokenContent, TokenEdit, TokenFileError, Tokens, TokensAwayError
from dnsd.store.port import StoreAwayError

T = TypeVar("T")

FETCH_S = 60.0
SERVED_WITHIN_S = 5.0
LOOK_S = 0.02


class FetchedShared(NamedTuple):
    """What controls share, and changes of it, while its context lasts."""

    tokens: SharedTokens
    sessions: SharedSessions
    pending: SharedPending


@asynccontextmanager
async def fetched_shared(node: FleetNode) -> AsyncIterator[FetchedShared]:
    """What the controls of a fleet share. Raises NoStateError; NotFetchedError and NoAnswerError without servers."""
    link, said = await node.line.link(), [""]
    if not await check_stream(link):
        raise NoStateError("the fleet has no state yet: `dnsd fleet import` makes it")
    copy = SharedCopy(SUBJECTS, TOKENS_GUARD, note=said.append)
    task = asyncio.create_task(copy.run(node.line.link, f"shared-{node.name}-{secrets.token_hex(4)}"))
    try:
        if not await copy.until(lambda: copy.is_whole, FETCH_S):
            raise NotFetchedError(f"what controls share did not come within {FETCH_S:g} s: {said[-1]}")
        writes, sessions = SharedWrites(copy, node.line.link), SharedSessions(copy, node.line.link)
        yield FetchedShared(SharedTokens(copy, writes), sessions, SharedPending(copy, writes, Path()))
    except StoreAwayError as error:
        raise NotFetchedError(str(error.strerror)) from None
    finally:
        task.cancel()
        await asyncio.wait([task])


class CommandTokens(Tokens):
    """The tokens of a fleet, for one command. Each method asks the servers, and raises TokensAwayError without them."""

    def __init__(
        self,
        identity: Path,
        servers: tuple[str, ...],
        file: TokenFile,
        *,
        is_served: Callable[[], bool],
        note: Callable[[str], None],
    ) -> None:
        """`file` is the copy of a server that `is_served` finds running: it is to know a change, too, at the end."""
        self._identity = identity
        self._servers = servers
        self._file = file
        self._is_served = is_served
        self._note = note

    def content(self) -> TokenContent:
        """All tokens as the servers have them."""

        async def read(shared: FetchedShared) -> TokenContent:
            await shared.tokens.settle()
            return shared.tokens.content()

        return self._asked(read)

    def _change(self, edit: TokenEdit) -> None:
        last: list[tuple[TokenContent, Sequence[KeptToken]]] = []

        def noted(content: TokenContent) -> Sequence[KeptToken]:
            after = edit(content)
            last[:] = [(content, after)]
            return after

        async def change(shared: FetchedShared) -> None:
            await shared.tokens.change(noted)

        self._asked(change)
        if self._is_served():
            self._wait_for_server(*last[0])

    def _wait_for_server(self, before: TokenContent, after: Sequence[KeptToken]) -> None:
        """Wait until the running server's copy has what a change has changed, but not for long."""
        old, new = ({one.token.id: token_entry_data(one) for one in all_} for all_ in (before.entries.values(), after))
        changed = {one for one in {*old, *new} if old.get(one) != new.get(one)}
        end = time.monotonic() + SERVED_WITHIN_S
        while time.monotonic() < end:
            there = {one.token.id: token_entry_data(one) for one in self._file.content().entries.values()}
            if all(there.get(one) == new.get(one) for one in changed):
                return
            time.sleep(LOOK_S)

    def _asked(self, work: Callable[[FetchedShared], Coroutine[Any, Any, T]]) -> T:
        async def run(node: FleetNode) -> T:
            async with fetched_shared(node) as shared:
                return await work(shared)

        try:
            return as_control(self._identity, self._servers, run, note=self._note)
        except (NoAnswerError, NotFetchedError) as error:
            raise TokensAwayError(str(error)) from None
        except (NoSuchTokenError, RefusedError, TokenFileError):
            raise
        except (DnsdError, OSError) as error:
            raise TokenFileError(str(error)) from None
