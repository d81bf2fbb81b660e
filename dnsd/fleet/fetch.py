"""The state of a fleet, fetched whole into a copy for one command."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from dnsd.errors import DnsdError
from dnsd.fleet.files import read_fleet_files
from dnsd.fleet.follower import FleetFollower
from dnsd.fleet.heads import AccountState
from dnsd.fleet.node import FleetNode
from dnsd.process.tasks import in_thread
from dnsd.store.directory import Files
from dnsd.store.replica import open_replica
from dnsd.store.replica_reader import ReplicaReader

FETCH_S = 600.0
LOOK_S = 0.05


class NotFetchedError(DnsdError):
    """The state cannot be fetched; the message says why."""


@dataclass(frozen=True, slots=True)
class FetchedState:
    """What a fleet has: its files, whose blocks `reader` has, and the heads of its accounts."""

    files: Files
    heads: Mapping[str, AccountState]
    reader: ReplicaReader


@asynccontextmanager
async def fetched_state(node: FleetNode) -> AsyncIterator[FetchedState]:
    """The state of a fleet that has one, until the context ends. Raises NotFetchedError and OSError."""
    with tempfile.TemporaryDirectory(prefix="dnsd-fleet-") as folder:
        path, said = Path(folder) / "replica.db", [""]
        replica, _ = open_replica(path)
        with closing(replica), closing(ReplicaReader(path)) as reader:
            follower = node.follower(replica, note=said.append)
            await _caught_up(follower, said)
            yield FetchedState(await in_thread(partial(read_fleet_files, reader, reader.value)), follower.heads, reader)


async def _caught_up(follower: FleetFollower, said: list[str]) -> None:
    """Run a follower until it has all. Raises NotFetchedError."""
    task = asyncio.create_task(follower.run())
    try:
        async with asyncio.timeout(FETCH_S):
            while not follower.is_caught_up:
                if task.done():
                    task.result()
                await asyncio.sleep(LOOK_S)
    except TimeoutError:
        raise NotFetchedError(f"the fleet's state did not come within {FETCH_S:g} s: {said[-1]}") from None
    finally:
        task.cancel()
        await asyncio.wait([task])
