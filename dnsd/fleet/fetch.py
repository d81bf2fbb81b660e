"""The state of a fleet, fetched whole into a copy for one command."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from dnsd.errors import DnsdError
from dnsd.fleet.beginning import is_filling
from dnsd.fleet.files import read_fleet_files
from dnsd.fleet.follower import FleetFollower
from dnsd.fleet.heads import AccountState
from dnsd.fleet.node import FleetNode
from dnsd.fleet.stream import check_stream
from dnsd.fleet.subjects import ALL_STATE, META, SHARED
from dnsd.fleet.values import json_object
from dnsd.fleet.writer import Writer
from dnsd.process.tasks import in_thread
from dnsd.store.directory import Files
from dnsd.store.replica import open_replica
from dnsd.store.replica_reader import ReplicaReader

FETCH_S = 600.0
STALLED_S = 60.0  # without another account, once something has gone wrong
LOOK_S = 0.05


class NotFetchedError(DnsdError):
    """The state did not come in time; the message says why."""


class NoStateError(DnsdError):
    """The fleet has no state yet."""


@dataclass(frozen=True, slots=True)
class FetchedState:
    """What a fleet has: its files, whose blocks `reader` has, and the heads of its accounts.

    `meta` is the value of the state's first object, and `seq` the number of its last message.
    """

    files: Files
    heads: Mapping[str, AccountState]
    reader: ReplicaReader
    meta: bytes
    seq: int = 0

    @property
    def epoch(self) -> str:
        """The state's epoch."""
        return str(json_object(self.meta).get("epoch"))

    @property
    def is_filling(self) -> bool:
        """Whether its first import is not complete."""
        return is_filling(self.meta)


@asynccontextmanager
async def fetched_state(node: FleetNode) -> AsyncIterator[FetchedState]:
    """The state of a fleet, until the context ends.

    Notes what goes wrong meanwhile. Raises NoStateError, NotFetchedError, OSError, and as the node's line does.
    """
    last = await _last_of_state(node)
    with tempfile.TemporaryDirectory(prefix="dnsd-fleet-") as folder:
        path, said = Path(folder) / "replica.db", [""]

        def note(reason: str) -> None:
            said.append(reason)
            node.note(reason)

        replica, _ = open_replica(path)
        with closing(replica), closing(ReplicaReader(path)) as reader:
            follower = node.follower(replica, note=note)
            await _caught_up(follower, lambda: replica.place.seq >= last, said)
            with closing(reader.state()) as state:
                files, seq = await in_thread(partial(read_fleet_files, state, reader.value)), state.place.seq
            yield FetchedState(files, follower.heads, reader, reader.value(SHARED, META) or b"{}", seq)


async def _last_of_state(node: FleetNode) -> int:
    """The number of the state's last message at the leader: a follower may be served by a server that lags.

    Raises NoStateError, and without an answer NoAnswerError or FleetAwayError at once: a follower would try on.
    """
    link = await node.line.link()
    if not await check_stream(link) or not await Writer(node.line.link).guard(META):
        raise NoStateError("the fleet has no state yet: `dnsd fleet import` makes it")
    return await Writer(node.line.link).guard(ALL_STATE)


async def _caught_up(follower: FleetFollower, has_all: Callable[[], bool], said: list[str]) -> None:
    """Run a follower until it is caught up and has all. Raises NotFetchedError."""
    task = asyncio.create_task(follower.run())
    try:
        async with asyncio.timeout(FETCH_S):
            accounts, since = 0, time.monotonic()
            while not (follower.is_caught_up and has_all()):
                if task.done():
                    task.result()
                if len(follower.heads) != accounts or not said[-1]:
                    accounts, since = len(follower.heads), time.monotonic()
                if time.monotonic() - since > STALLED_S:
                    raise NotFetchedError(f"the fleet's state does not come: {said[-1]}")
                await asyncio.sleep(LOOK_S)
    except TimeoutError:
        raise NotFetchedError(f"the fleet's state did not come within {FETCH_S:g} s: {said[-1]}") from None
    finally:
        task.cancel()
        await asyncio.wait([task])
