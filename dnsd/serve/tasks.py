"""Work in the background that nobody may lose sight of."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterable
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")


async def run_until(stop: asyncio.Event, work: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Do all the work until `stop` is set, or all of it is done. Raises what any part of it raises, at once."""
    tasks = [asyncio.create_task(one) for one in work]
    waiting = {asyncio.create_task(stop.wait()), *tasks}
    try:
        while not stop.is_set() and len(waiting) > 1:
            done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
    finally:
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)


async def run_all(work: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Do all the work until all of it is done, or this is cancelled. Raises what any part of it raises, at once."""
    await run_until(asyncio.Event(), work)


def in_thread(work: Callable[[], T]) -> asyncio.Future[T]:
    """The result of `work`, done beside everything else in a thread that the process' end does not wait for."""
    future: Future[T] = Future()

    def run() -> None:
        future.set_running_or_notify_cancel()
        try:
            future.set_result(work())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, name="work", daemon=True).start()
    return asyncio.wrap_future(future)
