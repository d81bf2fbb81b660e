"""What the controls of a fleet share, copied into one control's memory over a consumer of its own.

Whenever the consumer begins anew, all is fetched, and takes the copy's place at once: it is little, and nothing is
missed then, whatever became of the stream meanwhile. Each second, the leader says whether the copy lags: the server
that the consumer is at may be cut off from the others without knowing.
"""

from __future__ import annotations

import asyncio
import random
import secrets
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from dnsd.errors import DnsdError
from dnsd.fleet.beat import Beat
from dnsd.fleet.consumer import NANOSECONDS, RestartError, StateMessages
from dnsd.fleet.intake import StateMessage
from dnsd.fleet.link import EngineRefusedError, Link, NoAnswerError
from dnsd.fleet.steps import Steps
from dnsd.fleet.stream import STREAM
from dnsd.fleet.values import MAX_VALUE, is_count
from dnsd.fleet.writer import NO_MESSAGE
from dnsd.process.tasks import run_all

ANSWER_S = 5.0  # in the first seconds of a cluster, a request may take that long
LIVES_S = 30  # of a consumer that nobody asks
LOOK_S = 1.0
FETCH_S = 60
PAUSE_S = (0.05, 2.0)  # the first and the longest between attempts
STEADY_S = 10  # after which the next pause is the first again
STOOD_STILL_S = 60  # less than what the marker of a removal lives
API = "$JS.API"


class SharedObject(NamedTuple):
    """The value of an object, and the number of its message."""

    seq: int
    value: bytes


class SharedCopy:
    """The objects at some subjects, while `run` runs. `guard` is the one that is compared with the leader's.

    `note` gets each new reason for a new beginning, and `changed` is called after each change.
    """

    def __init__(
        self,
        subjects: Sequence[str],
        guard: str,
        *,
        note: Callable[[str], None],
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        self._subjects = [*subjects, guard]
        self._guard = guard
        self._note = note
        self._changed = changed
        self._said = ""
        self._fetched: dict[str, SharedObject] | None = None  # of a copy that is fetched anew
        self._last = 0  # number of the last message of a copy that is fetched anew
        self._goal = 0  # number of the guard at the leader, before the copy is fetched anew
        self._taken_at = 0.0
        self._steps = Steps()
        self.objects: dict[str, SharedObject] = {}  # by subject
        self.last = 0  # number of the last message
        self.fetches = 0  # how often all was fetched
        self._changes = dict.fromkeys((one.removesuffix(">") for one in subjects), 0)  # by prefix, since the start
        self.is_whole = False  # all was fetched, and the consumer goes on

    def seq(self, subject: str) -> int:
        """The number of an object in the copy, 0 without it; a guard's tells which of its commits the copy has."""
        found = self.objects.get(subject)
        return found.seq if found else 0

    def version(self, prefix: str) -> tuple[int, int]:
        """Another one after each change of the objects below a prefix, one of `subjects` without its `>`."""
        return self.fetches, self._changes[prefix]

    def forget(self, subject: str) -> None:
        """Drop an object that is over: the servers do not tell that its time has passed."""
        self.objects.pop(subject, None)

    async def until(self, holds: Callable[[], bool], within_s: float) -> bool:
        """Whether something about the copy holds within a time."""
        return await self._steps.until(holds, within_s)

    async def run(self, link: Callable[[], Awaitable[Link]], consumer: str) -> None:
        """Follow until cancelled. `link` gives the open connection, and raises as `Line.link` does."""
        pause = PAUSE_S[0]
        while True:
            began = time.monotonic()
            try:
                await self._follow(await link(), consumer)
            except (DnsdError, OSError) as error:
                self._say(str(error))
            self.is_whole = False
            if time.monotonic() - began > STEADY_S:
                pause = PAUSE_S[0]
            await asyncio.sleep(random.uniform(0, pause))
            pause = min(2 * pause, PAUSE_S[1])

    async def _follow(self, link: Link, consumer: str) -> None:
        """Fetch all and follow, over one consumer, until something is wrong."""
        # Of another name each time: to remove one whose server has just ended takes seconds.
        consumer = f"{consumer}-{secrets.token_hex(4)}"
        messages = StateMessages(self, link, f"{API}.CONSUMER.MSG.NEXT.{STREAM}.{consumer}")
        link.when_connected = messages.interrupt
        subscription = await link.listen(messages.inbox, messages.put)
        try:
            self._goal = await _last_number(link, self._guard)
            pending = await self._begin(link, consumer)
            self._fetched, self._last = {}, 0
            self._taken_at = time.monotonic()
            await run_all([messages.run(pending), self._watch(link)])
        finally:
            self._fetched = None
            with suppress(NoAnswerError):  # else it ends by itself
                await link.publish(f"{API}.CONSUMER.DELETE.{STREAM}.{consumer}")
            await link.unlisten(subscription)

    async def _begin(self, link: Link, consumer: str) -> int:
        """Make the consumer; the number of messages that it has to send."""
        config = {
            "name": consumer,
            "ack_policy": "none",
            "mem_storage": True,
            "num_replicas": 1,
            "inactive_threshold": LIVES_S * NANOSECONDS,
            "filter_subjects": self._subjects,
            "deliver_policy": "all",
        }
        body = {"stream_name": STREAM, "config": config, "action": "create"}
        answer = await link.ask(f"{API}.CONSUMER.CREATE.{STREAM}.{consumer}", body, within_s=ANSWER_S)
        pending = answer.get("num_pending")
        if not is_count(pending):
            raise RestartError("an answer of the fleet's servers has no number of messages")
        return pending

    async def _watch(self, link: Link) -> None:
        """Compare the copy with the leader, forever. Raises RestartError if it lags, or has what the leader lacks."""
        goal, began = 0, time.monotonic()
        while True:
            await asyncio.sleep(LOOK_S)
            if self._fetched is not None and time.monotonic() - began > FETCH_S:
                raise RestartError(f"what the fleet's controls share did not come within {FETCH_S} s")
            seq, is_whole = self.seq(self._guard), self.is_whole  # before the answer: more may come meanwhile
            try:
                newest = await _last_number(link, self._guard)
            except NoAnswerError:  # without a leader, nothing is written
                continue
            if is_whole and (newest < seq or self.seq(self._guard) < goal):
                raise RestartError("the copy of what controls share is not what the servers have")
            goal = newest

    def taken(self, message: StateMessage | None, pending: int) -> None:
        """Take a message, or the news that none came for a while. Raises RestartError."""
        now = time.monotonic()
        if now - self._taken_at > STOOD_STILL_S:  # the markers of removals may have gone meanwhile
            raise RestartError(f"this process stood still for more than {STOOD_STILL_S} s")
        self._taken_at = now
        objects = self.objects if self._fetched is None else self._fetched
        if message:
            self._last = message.seq
            self.last = self._last if self._fetched is None else self.last
        if message and message.value is None:
            objects.pop(message.subject, None)
        elif message and message.value is not None and len(message.value) <= MAX_VALUE:
            objects[message.subject] = SharedObject(message.seq, message.value)
        if self._fetched is not None and not pending and self._has_goal():
            self.objects, self._fetched, self.last = objects, None, self._last
            self.fetches += 1
            self.is_whole, self._said = True, ""
        elif self._fetched is not None or not message:
            return
        if message:
            self._note_change(message.subject)
        self._steps.take()
        self._changed()

    def _has_goal(self) -> bool:
        """Whether the copy that is fetched anew has what the leader had: a server that lags sends an older state."""
        found = self._fetched.get(self._guard) if self._fetched else None
        return (found.seq if found else 0) >= self._goal

    def _note_change(self, subject: str) -> None:
        for prefix in self._changes:
            if subject.startswith(prefix):
                self._changes[prefix] += 1

    def beaten(self, beat: Beat) -> None:
        """Ignore it: beats are about the files."""

    def _say(self, reason: str) -> None:
        if reason != self._said:
            self._said = reason
            self._note(reason)


async def _last_number(link: Link, subject: str) -> int:
    """The number of a subject's last message at the leader, 0 without one. Raises NoAnswerError."""
    try:
        answer: dict[str, Any] = await link.ask(f"{API}.STREAM.MSG.GET.{STREAM}", {"last_by_subj": subject})
    except EngineRefusedError as error:
        if error.code == NO_MESSAGE:
            return 0
        raise NoAnswerError(str(error)) from None
    found = answer.get("message")
    seq = found.get("seq") if isinstance(found, dict) else None
    if not is_count(seq):
        raise NoAnswerError("the answer of the fleet's servers has no number")
    return seq
