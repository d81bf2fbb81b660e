"""The brake's windows and releases as controls share them: for each author an object with what any control has seen.

A control adds what others have seen to its own book, and writes what it has more. No guard is needed: windows only
grow while they are open, so the union of two is the same in any order. Two changes in the same moment may both pass.
"""

from __future__ import annotations

import asyncio
import json
import time
import zlib
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import NamedTuple

from dnsd.fleet.last_message import last_message
from dnsd.fleet.link import EngineRefusedError, Link, NoAnswerError, json_answer
from dnsd.fleet.shared_copy import SharedCopy
from dnsd.fleet.subjects import BRAKE, name_of, token
from dnsd.manage.brake import UNBOUNDED, Book, Window
from dnsd.manage.brake_file import parse_window, window_data
from dnsd.manage.brake_merge import merged

LIVES = "25h"  # of an object; longer than a release, and than any window that counts
MAX_VALUE = 64 * 1024  # octets, compressed; a window of more counts its accounts until it ends
MAX_TEXT = 16 * 1024 * 1024
VERSION = 1
AGAIN_S = 1.0


class SharedWindow(NamedTuple):
    """What controls have seen of one author: the open window, and the end of a release; 0 without one."""

    window: Window | None
    released: float


class SharedBrake:
    """The brake of the controls. `link` gives the open connection, and raises NoAnswerError without one."""

    def __init__(self, copy: SharedCopy, link: Callable[[], Awaitable[Link]]) -> None:
        self._copy = copy
        self._link = link
        self._known: tuple[tuple[int, int], Mapping[str, SharedWindow]] = ((-1, 0), {})

    def all(self) -> Mapping[str, SharedWindow]:
        """What controls have seen, by author."""
        version = self._copy.version(BRAKE)
        if self._known[0] != version:
            found: dict[str, SharedWindow] = {}
            for subject, kept in self._copy.objects.copy().items():
                if subject.startswith(BRAKE) and (one := _parsed(kept.value)):
                    with suppress(ValueError):
                        found[name_of(subject.removeprefix(BRAKE))] = one
            self._known = version, found
        return self._known[1]

    def with_others(self, book: Book, window_s: float, now: float) -> Book:
        """A book with what other controls have seen."""
        found = self.all()
        windows = {author: one.window for author, one in found.items() if one.window}
        return merged(book, windows, {author: one.released for author, one in found.items()}, window_s, now)

    async def send(self, book: Book, window_s: float, now: float) -> bool:
        """Write what the book has more than the copy; return whether all of it is written. The book has the others'."""
        done = True
        for author in {*book.windows, *book.released, *self.all()}:
            wanted = SharedWindow(book.window(author, window_s, now), book.released.get(author, 0))
            there = self.all().get(author, SharedWindow(None, 0))
            # That a window has ended is not written: clocks differ, and two controls would go on writing.
            is_more = wanted != there and (wanted.window or book.is_released(author, now))
            if is_more and _parsed(_packed(wanted)) != there:  # which may be shorter
                done = await self._store(author, wanted) and done
        return done

    async def _store(self, author: str, shared: SharedWindow) -> bool:
        """Whether an object could be written, as nobody else has meanwhile."""
        subject = BRAKE + token(author)
        headers = {"Nats-Expected-Last-Subject-Sequence": str(self._copy.seq(subject)), "Nats-TTL": LIVES}
        try:
            link = await self._link()
            answer = json_answer((await link.request(subject, _packed(shared), headers=headers)).data)
            if "error" in answer and not (await last_message(link, subject)).seq:
                self._copy.forget(subject)  # its time has passed, of which the servers tell nothing
        except (NoAnswerError, EngineRefusedError):
            return False
        if "error" in answer or "seq" not in answer:
            return False
        return await self._copy.until(lambda: self._copy.last >= answer["seq"], AGAIN_S)


def _packed(shared: SharedWindow) -> bytes:
    """The value, with as much as has room: first accounts are unbounded, then some are left out, the same at all."""
    value = _text(shared)
    if window := shared.window:
        accounts = sorted(window.accounts)
        while len(value) > MAX_VALUE and accounts:
            short = Window(window.began_at, window.name, dict.fromkeys(accounts, UNBOUNDED))
            value = _text(SharedWindow(short, shared.released))
            accounts = accounts[: len(accounts) * 3 // 4]
    return value


def _text(shared: SharedWindow) -> bytes:
    data = {"v": VERSION, "window": shared.window and window_data(shared.window), "released": shared.released}
    return zlib.compress(json.dumps(data).encode(), 1)


def _parsed(value: bytes) -> SharedWindow | None:
    """What a value says; None if this version cannot read it."""
    try:
        unpacker = zlib.decompressobj()
        data = json.loads(unpacker.decompress(value, MAX_TEXT))
        if data["v"] != VERSION:
            return None
        return SharedWindow(data["window"] and parse_window(data["window"]), float(data["released"]))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, zlib.error):
        return None


async def share_brake(
    shared: SharedBrake,
    is_due: asyncio.Event,
    read: Callable[[], tuple[Book, float]],
    take: Callable[[Callable[[Book], Book]], Awaitable[None]],
) -> None:
    """Have a control's book and the others' be the same, whenever `is_due` is set, forever.

    `read` gives the book and the length of a window; `take` replaces the book as a function says.
    """
    while True:
        await is_due.wait()
        is_due.clear()
        (book, window_s), now = read(), time.time()

        def with_others(book: Book, window_s: float = window_s, now: float = now) -> Book:
            return shared.with_others(book, window_s, now)

        if with_others(book) != book:
            await take(with_others)
        (book, window_s), now = read(), time.time()
        if not await shared.send(book, window_s, now):
            await asyncio.sleep(AGAIN_S)
            is_due.set()
