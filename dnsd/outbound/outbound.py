"""The process `outbound`: asks resolvers control's questions. It keeps nothing."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass

from dnsd.log import Log
from dnsd.outbound.protocol import OutsideAnswer, OutsideQuestion, unpacked_question
from dnsd.outbound.resolver import look_up
from dnsd.process.link import MAX_REQUEST, MessageKind, packed, peer_uid, read_message
from dnsd.process.shared import Process, Shared
from dnsd.process.signals import leave_on_signal
from dnsd.process.state import State
from dnsd.process.tasks import run_until

BEAT_S = 0.25
RECONNECT_S = 0.2
MAX_AT_ONCE = 50  # questions; control keeps the others waiting


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboundSetup:
    """The parts of the server that the process receives."""

    process: Process
    shared: Shared
    state: State
    log: Log


class Outbound:
    """The process, from its start to its end."""

    def __init__(
        self, setup: OutboundSetup, look: Callable[[OutsideQuestion], Awaitable[OutsideAnswer]] = look_up
    ) -> None:
        self._setup = setup
        self._look = look
        self._room = asyncio.Semaphore(MAX_AT_ONCE)

    async def run(self) -> None:
        """Answer control's questions until a signal to end."""
        stop = asyncio.Event()
        leave_on_signal(asyncio.get_running_loop(), stop.set)
        await run_until(stop, [self._beat(), self.follow_control()])

    async def _beat(self) -> None:
        while True:
            self._setup.shared.beat(self._setup.process)
            await asyncio.sleep(BEAT_S)

    async def follow_control(self) -> None:
        """Answer control's questions, forever; while control is away, wait for its successor."""
        while True:
            with suppress(OSError, EOFError):
                reader, writer = await asyncio.open_unix_connection(self._setup.state.address)
                try:
                    if peer_uid(writer.get_extra_info("socket")) != os.geteuid():
                        raise PermissionError
                    writer.write(packed(MessageKind.OUTBOUND, {"pid": os.getpid()}))
                    await self._serve(reader, writer)
                except ValueError as error:
                    self._setup.log.error(f"outbound cannot use control's message: {error}; reconnecting")
                finally:
                    writer.close()
            await asyncio.sleep(RECONNECT_S)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks: set[asyncio.Task[None]] = set()
        try:
            while True:
                kind, payload = await read_message(reader, limit=MAX_REQUEST)
                if kind is MessageKind.ASK:
                    await self._room.acquire()
                    task = asyncio.create_task(self._answer(writer, *unpacked_question(payload)))
                    tasks.add(task)
                    task.add_done_callback(tasks.discard)
        finally:
            for task in tasks:
                task.cancel()

    async def _answer(self, writer: asyncio.StreamWriter, number: int, question: OutsideQuestion) -> None:
        try:
            found = await self._look(question)
            writer.write(packed(MessageKind.FOUND, found.packed(number)))
        finally:
            self._room.release()
