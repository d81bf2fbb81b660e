"""Control's link to the process `outbound`: questions go out, answers come back. Without the process, none come."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count

from dnsd.errors import DnsdError
from dnsd.outbound.protocol import AnswerKind, OutsideAnswer, OutsideQuestion, unpacked_answer
from dnsd.process.link import MAX_REQUEST, MessageKind, packed, read_message

WAIT_S = 30.0  # for an answer; the process asks each resolver within a few seconds
NO_ANSWER = OutsideAnswer(AnswerKind.NO_ANSWER)


class AwayError(DnsdError):
    """The process is not connected, or ended before it answered."""

    def __init__(self) -> None:
        super().__init__("the process `outbound` is away")


class Outside:
    """Asks questions of other servers, by way of `outbound`."""

    def __init__(self) -> None:
        self._writer: asyncio.StreamWriter | None = None  # None: the process is not connected
        self.pid = 0  # of the process
        self._waiting: dict[int, asyncio.Future[OutsideAnswer]] = {}
        self._numbers = count(1)

    @property
    def is_connected(self) -> bool:
        """Whether the process is connected."""
        return self._writer is not None

    async def ask(self, question: OutsideQuestion) -> OutsideAnswer:
        """The answer to a question; NO_ANSWER if it is late. Raises AwayError."""
        writer = self._writer
        if writer is None:
            raise AwayError
        with self._numbered() as (number, answer):
            writer.write(packed(MessageKind.ASK, question.packed(number)))
            try:
                async with asyncio.timeout(WAIT_S):
                    return await answer
            except TimeoutError:
                return NO_ANSWER

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, hello: bytes) -> None:
        """Take the answers of the process for as long as it is connected. A new connection replaces the last one."""
        self._writer, self.pid = writer, int(json.loads(hello)["pid"])
        try:
            while True:
                kind, payload = await read_message(reader, limit=MAX_REQUEST)
                if kind is MessageKind.FOUND:
                    self._settle(*unpacked_answer(payload))
        finally:
            if self._writer is writer:
                self._writer, self.pid = None, 0
                for future in self._waiting.values():
                    if not future.done():
                        future.set_exception(AwayError())

    @contextmanager
    def _numbered(self) -> Iterator[tuple[int, asyncio.Future[OutsideAnswer]]]:
        number = next(self._numbers)
        self._waiting[number] = future = asyncio.get_running_loop().create_future()
        try:
            yield number, future
        finally:
            del self._waiting[number]

    def _settle(self, number: int, answer: OutsideAnswer) -> None:
        future = self._waiting.get(number)
        if future and not future.done():
            future.set_result(answer)
