"""One nats-server with the stream of a fleet, and what tests write to it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from itertools import count
from pathlib import Path
from typing import Any
from uuid import uuid4

from dnsd.fleet.heads import AccountState
from dnsd.fleet.link import Line, LinkSettings
from dnsd.fleet.stream import make_stream
from dnsd.fleet.subjects import META, account_of_subject
from dnsd.fleet.writer import Commit, ObjectWrite, Writer
from tests.fleet.nats_servers import NatsServer, free_ports
from tests.limits import HANG_S

NAMES = count()


@contextmanager
def one_server(folder: Path, *, more: str = "") -> Iterator[NatsServer]:
    """A running server."""
    server = NatsServer(folder, free_ports(1)[0], more=more)
    try:
        yield server.start()
    finally:
        server.end()


@asynccontextmanager
async def line_to(*urls: str) -> AsyncIterator[Line]:
    """A connection of a node."""
    line = Line(LinkSettings(f"node{next(NAMES)}", urls))
    try:
        yield line
    finally:
        await line.close()


class State:
    """The state as one control knows it that alone writes: it commits values of objects by subject."""

    def __init__(self, line: Line) -> None:
        self.line = line
        self.writer = Writer(line.link)
        self.values: dict[str, bytes] = {}
        self.accounts: dict[str, AccountState] = {}

    async def begin(self, epoch: str = "epoch-1") -> State:
        """Make the stream, and commit the epoch."""
        await make_stream(await self.line.link(), 1)
        await self.commit({META: b'{"epoch":"%s","schema":1,"level":1}' % epoch.encode()})
        return self

    def drawn_up(self, values: Mapping[str, bytes | None], **others: Any) -> Commit:
        """The commit that gives objects these values."""
        writes = [ObjectWrite(subject, self.values.get(subject), value) for subject, value in values.items()]
        accounts = {account_of_subject(subject) for subject in values}
        states = {account: self.accounts.get(account, AccountState()) for account in accounts}
        return Commit(str(uuid4()), b'{"action":"test"}', writes, states, **others)

    async def commit(self, values: Mapping[str, bytes | None], **others: Any) -> None:
        """Commit these values."""
        commit = self.drawn_up(values, **others)
        self.accounts |= await self.writer.commit(commit)
        for subject, value in values.items():
            self.values.pop(subject, None)
            self.values |= {} if value is None else {subject: value}


def run(coroutine: object) -> None:
    """Run a test's coroutine within a bounded time."""

    async def bounded() -> None:
        async with asyncio.timeout(HANG_S):
            await coroutine  # type: ignore[misc]

    asyncio.run(bounded())


def random_value(size: int = 20) -> bytes:
    """Octets that differ each time."""
    return os.urandom(size)
