"""Work that reads the files of served data, while a change may replace one of them: it goes on with newer data."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from dnsd.control.current import Current
from dnsd.manage.refusal import Reason, refused
from dnsd.store.text_file import FileChangedError

T = TypeVar("T")
TRIES = 5


async def on_newer_data(current: Current, work: Callable[[], Awaitable[T]]) -> T:
    """The result of `work`, which takes the served data when it begins; begun again if it needs a replaced file.

    Raises the exceptions of `work`, and RefusedError if the file was edited and is not loaded yet, or keeps changing.
    """
    for _ in range(TRIES):
        served = current.loaded
        try:
            return await work()
        except FileChangedError:
            if current.loaded is served:
                async with current.turn:  # at its end, the data of a change that has replaced the file is served
                    pass
        if current.loaded is served:
            break
    raise refused(Reason.NOT_WRITABLE, "a file was just edited and is not loaded yet: try again")
