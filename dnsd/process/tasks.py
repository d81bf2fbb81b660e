"""Background work whose errors are never lost."""

from __future__ import annotations

import _thread
import asyncio
from collections.abc import Callable, Coroutine, Iterable
from contextlib import suppress
from typing import Any, TypeVar

T = TypeVar("T")


async def run_until(stop: asyncio.Event, work: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Run all coroutines until `stop` is set or all are done. The first exception is raised at once."""
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
    """Run all coroutines until all are done or this is cancelled. The first exception is raised at once."""
    await run_until(asyncio.Event(), work)


def in_thread(work: Callable[[], T]) -> asyncio.Future[T]:
    """The result of `work`, run in a daemon thread.

    Only the future refers to the result. `asyncio.wrap_future` makes two futures that refer to each other and to the
    result until garbage collection, which may come late, and never for objects frozen before. The work, too, is let go
    at its end: on a busy machine, the thread may live on for long.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    waiting = [work]

    def run() -> None:
        result, error = _outcome(waiting.pop())
        with suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(_settle, future, result, error)

    _thread.start_new_thread(run, ())  # `Thread.start` would wait for it: on a busy machine, for milliseconds
    return future


class OneByOne:
    """Runs work in threads, one at a time, in the order of the calls."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()

    async def run(self, work: Callable[[], T]) -> T:
        """The result of `work`."""
        async with self._turn:
            return await in_thread(work)


def _outcome(work: Callable[[], T]) -> tuple[T | None, BaseException | None]:
    """The work's return value, or its exception."""
    try:
        return work(), None
    except BaseException as error:
        return None, error


def _settle(future: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
    """Set the future's outcome, unless it was cancelled."""
    if future.done():
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)
