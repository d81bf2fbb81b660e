"""The follower of a fleet: keeps a node's copy up to date over one pull consumer, and fetches it anew where it must.

It finds a lost message by the consumer's own numbers, and a silent server by missing heartbeats; then it begins a new
consumer after the last message of which nothing is missing. It never gives up: without servers, the copy stays as it
is. Each reason is noted once, until another one takes its place.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import Any

from nats.aio.msg import Msg

from dnsd.errors import DnsdError, shown
from dnsd.fleet.beat import BEAT, Beat, parse_beat
from dnsd.fleet.doors import Doors
from dnsd.fleet.heads import AccountState
from dnsd.fleet.intake import Flushed, Intake, ResyncError, ShrunkError, StateMessage
from dnsd.fleet.link import Line, Link, json_answer, plain_headers
from dnsd.fleet.stream import STREAM
from dnsd.fleet.subjects import ALL_STATE, META, is_state
from dnsd.fleet.values import ValueFormatError, is_count, json_object
from dnsd.fleet.writer import REMOVED
from dnsd.process.tasks import in_thread
from dnsd.store.replica import Replica
from dnsd.store.replica_rows import DamagedReplicaError

BATCH = 1000  # messages of one request
EXPIRES_S = 20
HEARTBEAT_S = 0.5
SILENCE_S = 1.5
LOOK_AGAIN_S = 0.2
NANOSECONDS = 1_000_000_000
LIVES_S = 30  # of a consumer that nobody asks
ANSWER_S = 5.0  # in the first seconds of a cluster, a request may take that long
SHRUNK_PAUSE_S = 60.0
LONGEST_ABSENCE_S = 25 * 86400  # markers of removals live 30 days
PAUSE_S = (0.05, 5.0)  # the first and the longest between attempts
STEADY_S = 10  # after which the next pause is the first again
BEHIND_S = 2
ACK_TOKENS = 9  # of the reply subject of a message; with a domain and an account, there are two more before the stream


class RestartError(DnsdError):
    """The consumer is to be begun anew after the last whole message; the message says why."""


@dataclass(frozen=True, slots=True)
class FollowerSettings:
    """The name of the consumer, the doors, and how much of the files a state fetched in place of another may lack.

    `accepts_filling`: whether to follow a state whose first import is not complete, too.
    """

    consumer: str
    doors: Doors
    max_drop_percent: Callable[[], int] = lambda: 100
    accepts_filling: bool = False


@dataclass(frozen=True, slots=True)
class FleetMeta:
    """What a fleet's first object says: its epoch, and whether an operator has accepted that it has fewer files."""

    epoch: str
    is_accepted: bool


class FleetFollower:
    """Follows the state into a replica. `take` gets each step, `note` each new reason for a new beginning.

    `caught_up` is called when the copy has come to have all, and `remark` gets what is odd and keeps nothing up.
    """

    def __init__(
        self,
        line: Line,
        replica: Replica,
        settings: FollowerSettings,
        *,
        take: Callable[[Flushed], None],
        note: Callable[[str], None],
        caught_up: Callable[[], None] = lambda: None,
        remark: Callable[[str], None] = lambda text: None,
    ) -> None:
        self._line = line
        self._replica = replica
        self._settings = settings
        self._take = take
        self._note = note
        self._caught_up = caught_up
        self._remark = remark
        self._said = ""
        self._must_fetch = False
        self._has_said_strange = False
        self._epoch = ""  # of the state that is followed
        self._doubt_said = ""
        self._intake: Intake | None = None
        self._behind_since: float | None = None
        self._goal = 0  # the number of a control that the copy had not reached then
        self.is_caught_up = False

    @property
    def heads(self) -> dict[str, AccountState]:
        """The heads of the accounts in the copy; empty before it is caught up for the first time."""
        return self._intake.heads if self._intake else {}

    def doubt(self, reason: str) -> None:
        """Have the copy fetched anew: it turned out not to be what the servers have."""
        self._doubt_said = reason

    async def run(self) -> None:
        """Follow until cancelled. Raises DamagedReplicaError: the copy is to be opened anew."""
        pause = PAUSE_S[0]
        while True:
            began = time.monotonic()
            try:
                await self._follow()
            except ResyncError as error:
                self._say(str(error))
                self._doubt()
            except DamagedReplicaError:
                raise
            except ShrunkError as error:
                self._say(f"{error}: the copy stays until it has more, or `dnsd fleet accept-shrink` is run")
                await asyncio.sleep(SHRUNK_PAUSE_S)  # each attempt fetches the whole state
            except (DnsdError, OSError) as error:
                self._say(str(error))
            self.is_caught_up = False
            if time.monotonic() - began > STEADY_S:
                pause = PAUSE_S[0]
            await asyncio.sleep(random.uniform(0, pause))
            pause = min(2 * pause, PAUSE_S[1])

    def _doubt(self) -> None:
        """Have the copy fetched anew, also by the next process. Raises DamagedReplicaError."""
        self._must_fetch = True
        try:
            self._replica.doubt()
        except OSError as error:
            self._say(str(error))

    async def _follow(self) -> None:
        """Follow over one consumer, until something is wrong."""
        link = await self._line.link()
        meta = await self._meta(link)
        queue: asyncio.Queue[Msg | None] = asyncio.Queue()

        async def put(message: Msg | None) -> None:
            queue.put_nowait(message)

        inbox = f"{link.inbox}.p.{time.monotonic_ns()}"
        subscriptions: list[Any] = []
        link.when_connected = lambda: queue.put_nowait(None)
        try:
            for subject in (inbox, BEAT):
                subscriptions.append(await link.listen(subject, put))
            is_anew = self._is_anew(meta.epoch)
            pending = await self._begin(link, 0 if is_anew else self._replica.place.seq)
            self._epoch = meta.epoch
            self._intake = await in_thread(partial(self._new_intake, meta, is_anew=is_anew))
            await _Consumer(self, link, queue, inbox, pending).run()
        finally:
            for one in subscriptions:  # also while it reconnects: it would subscribe again
                await link.unlisten(one)

    def _new_intake(self, meta: FleetMeta, *, is_anew: bool) -> Intake:
        """The intake of a consumer; it adds up the copy, which takes a while. Raises ResyncError."""
        most = self._max_drop_percent(meta)
        return Intake(self._replica, meta.epoch, self._deliver, is_anew=is_anew, max_drop_percent=most)

    def _deliver(self, step: Flushed) -> None:
        if step.subjects is None:
            self._must_fetch = False  # not before: a fetch may be interrupted
        self._take(step)

    def _max_drop_percent(self, meta: FleetMeta) -> int:
        """How much of the files a copy fetched anew may lack: the servers may have lost their state."""
        epoch = self._replica.place.epoch
        is_accepted = meta.is_accepted and meta.epoch != epoch  # the word was for the state that began with this epoch
        return 100 if not epoch or is_accepted else self._settings.max_drop_percent()

    async def _meta(self, link: Link) -> FleetMeta:
        reply = await link.request(self._settings.doors.get + META, within_s=ANSWER_S)
        if "Status" in reply.headers:
            raise RestartError("the fleet has no state yet")
        try:
            found = json_object(reply.data)
        except ValueFormatError:
            found = {}
        if not (epoch := _epoch_of(reply.data)):
            raise RestartError("the fleet's state has no epoch that this version can read")
        if found.get("is_filling") is True and not self._settings.accepts_filling:
            raise RestartError("the first import into the fleet's state is not complete")
        return FleetMeta(epoch, found.get("is_accepted") is True)

    def _is_anew(self, epoch: str) -> bool:
        """Whether the copy must be fetched anew; notes why."""
        place = self._replica.place
        absence_s = time.time() - place.caught_up_at
        if place.epoch and place.epoch != epoch:
            self._say("the fleet's state was made anew or restored")
        elif place.epoch and not place.caught_up_at and not self._must_fetch:
            self._say("the copy was found to be wrong before the last start, and not fetched anew since")
        elif place.epoch and place.caught_up_at and absence_s > LONGEST_ABSENCE_S:
            self._say(f"the copy was last whole {absence_s / 86400:.0f} days ago")
        elif place.epoch and not self._must_fetch:
            return False
        return True

    async def _begin(self, link: Link, last: int) -> int:
        """Make the consumer, after message `last`; the number of messages that it has to send."""
        if not last:
            return _count(await self._make(link, deliver_policy="all"), "num_pending")
        # A consumer that begins after the stream's end waits there, and does not say so: ask for the end first.
        newest = _count(await self._make(link, deliver_policy="last"), "delivered", "stream_seq") + 1
        if newest < last:
            raise ResyncError("the servers have an older state than this copy")
        answer = await self._make(link, deliver_policy="by_start_sequence", opt_start_seq=last + 1)
        return _count(answer, "num_pending")

    async def _make(self, link: Link, **start: str | int) -> dict[str, Any]:
        """Make the consumer anew; what the servers say of it."""
        doors, name = self._settings.doors, self._settings.consumer
        config = {
            "name": name,
            "ack_policy": "none",
            "mem_storage": True,
            "num_replicas": 1,
            "inactive_threshold": LIVES_S * NANOSECONDS,
            "filter_subject": ALL_STATE,
            **start,
        }
        json_answer((await link.request(doors.delete, within_s=ANSWER_S)).data)  # mostly, there is none
        body = {"stream_name": STREAM, "config": config, "action": "create"}
        return await link.ask(doors.create, body, within_s=ANSWER_S)

    def taken(self, message: StateMessage | None, pending: int) -> None:
        """Take a message, or the news that none came for a while."""
        assert self._intake
        now = time.time()
        if message and not self._has_said_strange and not is_state(message.subject):
            self._has_said_strange = True
            what = shown(message.subject)
            self._remark(f"a message has a subject that this version cannot read, and is kept: {what}")
        if self._doubt_said:
            reason, self._doubt_said = self._doubt_said, ""
            raise ResyncError(reason)
        if message:
            self._intake.take(message, now)
            if message.subject == META and _epoch_of(message.value or b"") != self._epoch:
                raise RestartError("the fleet's state was made anew or restored")
        else:
            self._intake.rest(pending, now)
        was_caught_up, self.is_caught_up = self.is_caught_up, not pending and self._intake.is_whole
        if self.is_caught_up and not was_caught_up:
            self._said = ""
            self._caught_up()

    def beaten(self, beat: Beat) -> None:
        """Compare the copy with what a control has. Raises ResyncError, and RestartError if it is too far behind."""
        assert self._intake
        if self._replica.is_anew or not self._intake.is_whole:
            return
        if beat.epoch != self._replica.place.epoch:
            raise RestartError("the fleet's state was made anew or restored")
        seq = self._intake.seq
        if beat.seq == seq and beat.heads_sum != self._intake.heads_sum:
            raise ResyncError("the copy has other heads than a control")
        if self._behind_since is None or seq >= self._goal:  # another control may lag, too
            self._goal, self._behind_since = beat.seq, time.monotonic() if beat.seq > seq else None
        elif time.monotonic() - self._behind_since > BEHIND_S:
            self._behind_since = None
            raise RestartError(f"this copy is behind the controls for more than {BEHIND_S} s")

    async def ask(self, link: Link, inbox: str) -> None:
        """Ask the consumer for its next messages."""
        body = {
            "batch": BATCH,
            "expires": EXPIRES_S * NANOSECONDS,
            "idle_heartbeat": int(HEARTBEAT_S * NANOSECONDS),
        }
        await link.publish(self._settings.doors.next, json.dumps(body).encode(), reply=inbox)

    def _say(self, reason: str) -> None:
        if reason != self._said:
            self._said = reason
            self._note(reason)


class _Consumer:
    """The messages of one consumer."""

    def __init__(
        self, follower: FleetFollower, link: Link, queue: asyncio.Queue[Msg | None], inbox: str, pending: int
    ) -> None:
        self._follower = follower
        self._link = link
        self._queue = queue
        self._inbox = inbox
        self._pending = pending
        self._number = 0  # of the last message
        self._asked = 0  # messages that the server may still send

    async def run(self) -> None:
        """Take messages until something is wrong. Raises RestartError, ResyncError, NoAnswerError, OSError."""
        self._follower.taken(None, self._pending)
        for turn in count():
            if self._asked <= BATCH // 2:
                await self._follower.ask(self._link, self._inbox)
                self._asked += BATCH
            message = await self._next()
            if message is None:
                raise RestartError("the connection to the fleet's servers was interrupted")
            if message.subject == BEAT:
                self._take_beat(message)
            elif message.reply:
                self._take_state(message)
            else:
                self._take_status(plain_headers(message))
            if not turn % 100:
                await asyncio.sleep(0)

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
        self._follower.taken(
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
            self._follower.taken(None, self._pending)
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
        self._follower.beaten(beat)


def _epoch_of(meta: bytes) -> str:
    """The epoch in the state's first object; empty if this version cannot read it."""
    try:
        epoch = json_object(meta).get("epoch")
    except ValueFormatError:
        return ""
    return epoch if isinstance(epoch, str) else ""


def _number(text: str) -> int:
    """The number in a header, 0 without one."""
    return int(text) if text.isascii() and text.isdigit() else 0


def _count(answer: dict[str, Any], *path: str) -> int:
    """A number in an answer of the servers. Raises RestartError."""
    found: Any = answer
    for key in path:
        found = found.get(key) if isinstance(found, dict) else None
    if not is_count(found):
        raise RestartError(f"an answer of the fleet's servers has no number {path[-1]}")
    return found


def _numbers(reply: str) -> tuple[int, int, int]:
    """The message's number in the stream and in the consumer, and how many are to come. Raises RestartError."""
    tokens = reply.split(".")
    at = 0 if len(tokens) == ACK_TOKENS else 2
    try:
        return int(tokens[at + 5]), int(tokens[at + 6]), int(tokens[at + 8])
    except (IndexError, ValueError):
        raise RestartError("a message of the fleet's servers has no numbers") from None
