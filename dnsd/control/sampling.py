"""Samples of the traffic and of questions, from the workers into memory and files, for the API and the dashboard."""

from __future__ import annotations

import asyncio
import time
from functools import partial

from dnsd.control.publish import Publisher
from dnsd.control.status import COLLECT_S
from dnsd.log import Log
from dnsd.manage.traffic import SAMPLE_S, Traffic
from dnsd.manage.traffic_files import TrafficFiles
from dnsd.process.tasks import in_thread


async def sample_traffic(traffic: Traffic, files: TrafficFiles, publisher: Publisher, log: Log) -> None:
    """Sample the traffic every SAMPLE_S, forever; at the end, save all samples."""
    _warn(log, await in_thread(partial(files.load, traffic)))
    last = time.monotonic()
    try:
        while True:
            await asyncio.gather(publisher.collect_samples(COLLECT_S), publisher.collect(COLLECT_S))
            now = time.monotonic()
            traffic.add(publisher.counts.items(), time.time(), now - last)
            last = now
            if due := files.due(traffic):
                _warn(log, await in_thread(partial(files.save, due)))
            await asyncio.sleep(SAMPLE_S)
    finally:
        _warn(log, files.save(files.all(traffic)))


def _warn(log: Log, problems: list[str]) -> None:
    for problem in problems:
        log.warning(f"warning: {problem}")
