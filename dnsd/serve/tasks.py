"""Work in the background that nobody may lose sight of."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterable
from contextlib import suppress
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
    """The result of `work`, done beside everything else in a thread that the process' end does not wait for.

    Nothing of it is left behind but for the result: `asyncio.wrap_future` has two futures refer to each other, and
    both to the result, until garbage is looked for. That may be late, and never for what is frozen before.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def run() -> None:
        result, error = _outcome(work)
        with suppress(RuntimeError):  # the loop has ended meanwhile: nobody waits any more
            loop.call_soon_threadsafe(_settle, future, result, error)

    threading.Thread(target=run, name="work", daemon=True).start()
    return future


def _outcome(work: Callable[[], T]) -> tuple[T | None, BaseException | None]:
    """What the work returns, or raises."""
    try:
        return work(), None
    except BaseException as error:
        return None, error


def _settle(future: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
    """Tell whoever waits, unless they have gone."""
    if future.done():
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)
