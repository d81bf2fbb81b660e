"""A way to a TCP server on loopback that delays all octets, in both directions, and counts them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

HOST = "127.0.0.1"
PIECE = 64 * 1024
MOST = 1024  # pieces on their way in one direction


class SlowLink:
    """`with SlowLink(port, delay_s) as link:` passes connections to `link.port` on; it runs in a thread of its own."""

    def __init__(self, target: int, delay_s: float = 0.0) -> None:
        """`delay_s` is for one direction: a round trip takes twice as long."""
        self._target, self._delay_s = target, delay_s
        self.received = 0  # octets from the server
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._tasks: set[asyncio.Task[None]] = set()  # of connections
        self._ways: set[asyncio.Task[None]] = set()  # one for each direction

    def __enter__(self) -> Self:
        self._thread.start()
        server = self._run(asyncio.start_server(self._pass_on, HOST, 0))
        self.port = server.sockets[0].getsockname()[1]
        self._server = server
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._run(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _close(self) -> None:
        self._server.close()
        for way in self._ways:  # not the connections' own tasks: asyncio reports their cancellation as an error
            way.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._tasks.add(task)
        ways: list[asyncio.Task[None]] = []
        writers = [writer]
        try:
            there, back = await asyncio.open_connection(HOST, self._target)
            writers.append(back)
            ways = [
                asyncio.create_task(self._delayed(reader, back)),
                asyncio.create_task(self._delayed(there, writer, counts=True)),
            ]
            self._ways.update(ways)
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)  # the end of either side ends both
        except OSError:
            pass
        finally:
            for one in writers:
                one.close()
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            self._ways.difference_update(ways)
            self._tasks.discard(task)

    async def _delayed(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, counts: bool = False
    ) -> None:
        """Pass octets on, each piece after the delay, until the end of one side."""
        queue: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(MOST)
        loop = asyncio.get_running_loop()

        async def write() -> None:
            while True:
                due, octets = await queue.get()
                await asyncio.sleep(due - loop.time())
                writer.write(octets)
                with suppress(ConnectionError):
                    await writer.drain()

        task = asyncio.create_task(write())
        try:
            while octets := await reader.read(PIECE):
                self.received += len(octets) if counts else 0
                await queue.put((loop.time() + self._delay_s, octets))
            await asyncio.sleep(self._delay_s)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
