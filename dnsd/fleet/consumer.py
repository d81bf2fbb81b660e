"""The messages of a follower's consumer: asked for in time, checked for gaps, and told to the follower one by one."""

from __future__ import annotations

import asyncio
import json
import time
from collections import deque
from itertools import count
from typing import Protocol

from nats.aio.msg import Msg

from dnsd.errors import DnsdError
from dnsd.fleet.beat import Beat, parse_beat
from dnsd.fleet.intake import StateMessage
from dnsd.fleet.link import Link, plain_headers
from dnsd.fleet.values import ValueFormatError
from dnsd.fleet.writer import REMOVED

BATCH = 1000  # messages of one request
EXPIRES_S = 20
HEARTBEAT_S = 0.5
SILENCE_S = 1.5
MAX_BEATS = 100  # that wait to be judged
LOOK_AGAIN_S = 0.2
NANOSECONDS = 1_000_000_000
ACK_TOKENS = 9  # of the reply subject of a message; with a domain and an account, there are two more before the stream


class RestartError(DnsdError):
    """The consumer is to be begun anew after the last whole message; the message says why."""


class LinkReplacedError(DnsdError):
    """Another connection, with renewed papers, has taken the place of the one that is followed."""


class BehindError(RestartError):
    """The server does not have what controls have: another one is to be asked."""


class Receiver(Protocol):
    """Takes what the messages say; the methods raise what ends them."""

    def taken(self, message: StateMessage | None, pending: int) -> None:
        """Take a message of the state, of which `pending` are to come, or the news that none came for a while."""

    def beaten(self, beat: Beat) -> None:
        """Take the beat of a control."""


class StateMessages:
    """The messages of one consumer, asked for at `door`; they come to `inbox`.

    Beats of controls wait apart: they go on while the server of the consumer is gone, and would hide its silence.
    """

    def __init__(self, receiver: Receiver, link: Link, door: str) -> None:
        self.inbox = f"{link.inbox}.p.{time.monotonic_ns()}"
        self._receiver = receiver
        self._link = link
        self._door = door
        self._queue: asyncio.Queue[Msg | None] = asyncio.Queue()  # None: the connection was interrupted
        self._beats = deque[Msg](maxlen=MAX_BEATS)
        self._pending = 0  # messages that the server has still to send
        self._number = 0  # of the last message
        self._asked = 0  # messages that the server may still send

    async def put(self, message: Msg) -> None:
        """Take a message that came to the inbox."""
        self._queue.put_nowait(message)

    async def hear(self, message: Msg) -> None:
        """Take what may be a control's beat."""
        self._beats.append(message)

    def interrupt(self) -> None:
        """End `run`: the connection was interrupted, or replaced."""
        self._queue.put_nowait(None)

    async def run(self, pending: int) -> None:
        """Take messages, at first `pending` of them, until something is wrong.

        Raises RestartError, LinkReplacedError, NoAnswerError, and as the receiver.
        """
        self._pending = pending
        self._receiver.taken(None, pending)
        for turn in count():
            if self._asked <= BATCH // 2:
                await self._ask()
                self._asked += BATCH
            message = await self._next()
            if message is None:
                if self._link.is_replaced:
                    raise LinkReplacedError("the papers were renewed")
                raise RestartError("the connection to the fleet's servers was interrupted")
            if message.reply:
                self._take_state(message)
            else:
                self._take_status(plain_headers(message))
            while self._beats:
                self._take_beat(self._beats.popleft())
            if not turn % 100:
                await asyncio.sleep(0)

    async def _ask(self) -> None:
        """Ask the consumer for its next messages."""
        body = {
            "batch": BATCH,
            "expires": EXPIRES_S * NANOSECONDS,
            "idle_heartbeat": int(HEARTBEAT_S * NANOSECONDS),
        }
        await self._link.publish(self._door, json.dumps(body).encode(), reply=self.inbox)

    async def _next(self) -> Msg | None:
        for wait_s in (SILENCE_S, LOOK_AGAIN_S):  # a busy process may itself have been late to read
            try:
                async with asyncio.timeout(wait_s):
                    return await self._queue.get()
            except TimeoutError:
                continue
        raise RestartError(f"the fleet's servers were silent for {SILENCE_S:g} s")

    def _take_state(self, message: Msg) -> None:
        seq, number, self._pending = _numbers(message.reply)
        if number != self._number + 1:
            raise RestartError("a message of the fleet's servers was lost")
        self._number = number
        self._asked -= 1
        headers = plain_headers(message)
        self._receiver.taken(
            StateMessage(
                message.subject,
                None if headers.get(REMOVED) else message.data,
                seq,
                self._pending,
                headers.get("Nats-Batch-Id", ""),
                _number(headers.get("Nats-Batch-Sequence", "0")),
                "Nats-Batch-Commit" in headers,
            ),
            self._pending,
        )

    def _take_status(self, headers: dict[str, str]) -> None:
        status = headers.get("Status")
        if status == "100":
            if _number(headers.get("Nats-Last-Consumer", str(self._number))) != self._number:
                raise RestartError("a message of the fleet's servers was lost")
            self._receiver.taken(None, self._pending)
        elif status == "408":  # a request has expired
            self._asked -= _number(headers.get("Nats-Pending-Messages", str(BATCH)))
        else:
            raise RestartError(f"the fleet's servers ended the consumer: {headers.get('Description', status)}")

    def _take_beat(self, message: Msg) -> None:
        if message.reply or message.headers:  # an edge has aimed a consumer at it
            return
        try:
            beat = parse_beat(message.data)
        except ValueFormatError:  # of a later version
            return
        self._receiver.beaten(beat)


def _number(text: str) -> int:
    """The number in a header, 0 without one."""
    return int(text) if text.isascii() and text.isdigit() else 0


def _numbers(reply: str) -> tuple[int, int, int]:
    """The message's number in the stream and in the consumer, and how many are to come. Raises RestartError."""
    tokens = reply.split(".")
    at = 0 if len(tokens) == ACK_TOKENS else 2
    try:
        return int(tokens[at + 5]), int(tokens[at + 6]), int(tokens[at + 8])
    except (IndexError, ValueError):
        raise RestartError("a message of the fleet's servers has no numbers") from None
