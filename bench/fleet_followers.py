"""A process with several followers of a fleet: `python -m bench.fleet_followers ROOT FOLDER URLS NAME…`.

It prints `ready` once all have the state, and on SIGTERM writes the times of their steps into FOLDER: for each follower
a list of the number of the last message, and the seconds on the monotonic clock, which all processes share.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from functools import partial
from pathlib import Path

from dnsd.fleet.intake import Flushed
from dnsd.fleet.node import edge_node
from dnsd.store.replica import open_replica

TIMES = "times.json"
LOOK_S = 0.05


async def follow(root: Path, folder: Path, urls: tuple[str, ...], names: Sequence[str]) -> None:
    """Follow with all names until SIGTERM."""
    stop, ready = asyncio.Event(), set[str]()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    times: dict[str, list[tuple[int, float]]] = {name: [] for name in names}

    def take(name: str, step: Flushed) -> None:
        times[name].append((step.place.seq, time.monotonic()))

    async def one(name: str) -> None:
        replica, _ = open_replica(folder / f"{name}.db")
        with closing(replica):
            node = edge_node(root / "edges" / name, urls, lambda: 100)
            note = partial(_say, name)
            follower = node.follower(replica, take=partial(take, name), note=note, caught_up=partial(ready.add, name))
            try:
                await follower.run()
            finally:
                await node.line.close()

    tasks = [asyncio.create_task(one(name)) for name in names]
    while len(ready) < len(names) and not stop.is_set():
        for task in tasks:
            if task.done():
                task.result()
        await asyncio.sleep(LOOK_S)
    print("ready", flush=True)
    await stop.wait()
    (folder / TIMES).write_text(json.dumps(times))
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


def _say(name: str, reason: str) -> None:
    print(f"{name}: {reason}", flush=True)


if __name__ == "__main__":
    root_, folder_, urls_, *names_ = sys.argv[1:]
    asyncio.run(follow(Path(root_), Path(folder_), tuple(urls_.split(",")), names_))
