"""A worker's settings: the parts that a change renews, and the parts that it keeps."""

from __future__ import annotations

import asyncio
import gc
import sys
import weakref
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dnsd.log import Level, Log
from dnsd.net.udp import Udp
from dnsd.process.shared import Shared
from dnsd.process.state import State
from dnsd.process.worker_settings import WorkerSettings
from dnsd.worker.worker import Worker, WorkerSetup
from tests.models import worker_settings
from tests.unit.control.test_publish import snapshot


def live(**rrl: Any) -> WorkerSettings:
    return worker_settings(limits={"rrl": {"responses_per_second": 20, **rrl}})


@pytest.fixture(name="worker")
def _worker(tmp_path: Path) -> Iterator[Worker]:
    shared = Shared(1, 100)
    place = WorkerSetup(
        process=shared.workers[0],
        shared=shared,
        listeners=(),
        state=State(folder=tmp_path, address="", lock=-1, is_temporary=False),
        settings=live(),
        cookie_secret=bytes(16),
        log=Log("test"),
        udp=Udp.PORTABLE,
    )
    worker = Worker(place)
    asyncio.run(begin(worker))
    gc.disable()
    yield worker
    gc.enable()


async def begin(worker: Worker) -> None:
    worker._serve(snapshot(3, "192.0.2.1"))


KEPT = {
    "the same": live(),
    "another level of the log": replace(live(), log_level=Level.DEBUG),
    "a sample of the queries": replace(live(), query_sample=0.1),
}


@pytest.mark.parametrize("settings", KEPT.values(), ids=KEPT.keys())
def test_limiter_survives_unrelated_changes(worker: Worker, settings: WorkerSettings) -> None:
    assert worker._serving is not None
    limiter = worker._serving.limiter
    assert limiter is not None
    worker._change_settings(settings)
    worker._serve(snapshot(4, "192.0.2.2"))
    assert worker._serving.limiter is limiter
    assert worker._serving.query_sample == settings.query_sample


REPLACED = {"another rate": live(responses_per_second=21), "none": live(responses_per_second=0), "slip": live(slip=1)}


@pytest.mark.parametrize("settings", REPLACED.values(), ids=REPLACED.keys())
def test_replaced_objects_are_freed(worker: Worker, settings: WorkerSettings) -> None:
    serving = worker._serving
    assert serving is not None
    limiter, cookies = serving.limiter, weakref.ref(serving.cookies)
    assert limiter is not None
    worker._change_settings(settings)
    assert cookies() is None
    assert sys.getrefcount(limiter) == 2, "the one here, and the call's"
    assert (serving.limiter is None) == (not settings.rates.responses_per_second)
