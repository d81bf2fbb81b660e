"""The follower of a fleet: keeps a node's copy up to date over one pull consumer, and fetches it anew where it must.

It finds a lost message by the consumer's own numbers, and a silent server by missing heartbeats; then it begins a new
consumer after the last message of which nothing is missing. It never gives up: without servers, the copy stays as it
is. Each reason is noted once, until another one takes its place.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from dnsd.errors import DnsdError, shown
from dnsd.fleet.beat import BEAT, Beat
from dnsd.fleet.beat_watch import BEHIND_S, BeatVerdict, BeatWatch
from dnsd.fleet.consumer import NANOSECONDS, BehindError, LinkReplacedError, RestartError, StateMessages
from dnsd.fleet.doors import Doors
from dnsd.fleet.heads import AccountState
from dnsd.fleet.intake import Flushed, Intake, ResyncError, ShrunkError, StateMessage
from dnsd.fleet.link import Line, Link, json_answer
from dnsd.fleet.stream import STREAM
from dnsd.fleet.subjects import ALL_STATE, META, is_state
from dnsd.fleet.values import ValueFormatError, is_count, json_object
from dnsd.process.tasks import in_thread
from dnsd.store.replica import Replica
from dnsd.store.replica_rows import DamagedReplicaError

LIVES_S = 30  # of a consumer that nobody asks
QUICK_S, QUICK_TRIES = 1.0, 8  # servers without a leader give no answer at all: ask again soon
ANSWER_S = 5.0  # after these: in the first seconds of a cluster, a request may take that long
SHRUNK_PAUSE_S = 60.0
LONGEST_ABSENCE_S = 25 * 86400  # markers of removals live 30 days
PAUSE_S = (0.05, 5.0)  # the first and the longest between attempts
STEADY_S = 10  # after which the next pause is the first again


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
    `written` tells the last message of an epoch that this node has stored: a server that does not send it is left.
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
        written: Callable[[str], int] = lambda epoch: 0,
    ) -> None:
        self._line = line
        self._replica = replica
        self._settings = settings
        self._take = take
        self._note = note
        self._caught_up = caught_up
        self._remark = remark
        self._written = written
        self._said = ""
        self._must_fetch = False
        self._tries = 0  # to begin a consumer, since the last one
        self._has_said_strange = False
        self._doubt_said = ""
        self._has_said_wrong = False
        self._intake: Intake | None = None
        self._watch = BeatWatch()
        self.is_caught_up = False
        self.whole_at: float | None = None  # when the copy last had all, as far as it knew, on the monotonic clock

    @property
    def heads(self) -> dict[str, AccountState]:
        """The heads of the accounts in the copy; empty before it is caught up for the first time."""
        return self._intake.heads if self._intake else {}

    @property
    def newest(self) -> int:
        """The highest number that is known to exist: of the copy, or of a control's beat."""
        return max(self._watch.newest, self._intake.seq if self._intake else 0)

    @property
    def place(self) -> tuple[str, int]:
        """The epoch of the copy, and the last message of which it lacks nothing."""
        place, intake = self._replica.place, self._intake
        return place.epoch, place.seq if intake is None or self._replica.is_anew else intake.seq

    def beat(self) -> Beat | None:
        """What the copy has; None while it may lack something."""
        intake = self._intake
        if not (self.is_caught_up and intake and intake.is_whole) or self._replica.is_anew:
            return None
        return Beat(intake.epoch, intake.seq, intake.heads_sum)

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
            except LinkReplacedError:
                pass  # nothing is wrong
            except DamagedReplicaError:
                raise
            except ShrunkError as error:
                self._say(f"{error}: the copy stays until it has more, or `dnsd fleet accept-shrink` is run")
                await asyncio.sleep(SHRUNK_PAUSE_S)  # each attempt fetches the whole state
            except BehindError as error:
                self._say(str(error))
                await self._line.leave()
            except (DnsdError, OSError) as error:
                self._say(str(error))
            self.is_caught_up = False
            self._tries += 1
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
        messages = StateMessages(self, link, self._settings.doors.next)
        link.when_connected = messages.interrupt
        subscriptions: list[Any] = []
        try:
            subscriptions.append(await link.listen(messages.inbox, messages.put))
            subscriptions.append(await link.listen(BEAT, messages.hear))
            is_anew = self._is_anew(meta.epoch)
            pending = await self._begin(link, 0 if is_anew else self._replica.place.seq)
            self._tries = 0
            self._take_up(await in_thread(partial(self._new_intake, meta, is_anew=is_anew)))
            await messages.run(pending)
        finally:
            for one in subscriptions:  # also while it reconnects: it would subscribe again
                await link.unlisten(one)

    def _take_up(self, intake: Intake) -> None:
        if self._intake and self._intake.epoch != intake.epoch:
            self._watch.begin()
        self._intake = intake

    @property
    def _answer_s(self) -> float:
        return QUICK_S if self._tries < QUICK_TRIES else ANSWER_S

    def _new_intake(self, meta: FleetMeta, *, is_anew: bool) -> Intake:
        """The intake of a consumer; the first one adds up the copy, which takes a while. Raises ResyncError."""
        known = self._intake.served_sums if self._intake else None
        most = self._max_drop_percent(meta)
        return Intake(self._replica, meta.epoch, self._deliver, is_anew=is_anew, max_drop_percent=most, known=known)

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
        reply = await link.request(self._settings.doors.get + META, within_s=self._answer_s)
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
        json_answer((await link.request(doors.delete, within_s=self._answer_s)).data)  # mostly, there is none
        body = {"stream_name": STREAM, "config": config, "action": "create"}
        return await link.ask(doors.create, body, within_s=self._answer_s)

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
            if message.subject == META and _epoch_of(message.value or b"") != self._intake.epoch:
                raise RestartError("the fleet's state was made anew or restored")
        else:
            self._intake.rest(pending, now)
        self._watch.look(self._intake.seq, time.monotonic())
        self._look_for_own()
        was_caught_up = self.is_caught_up
        self.is_caught_up = not pending and self._intake.is_whole and not self._watch.is_behind
        if self.is_caught_up:
            self.whole_at = time.monotonic()
            if not was_caught_up:
                self._said = ""
                self._caught_up()

    def _look_for_own(self) -> None:
        """Raise BehindError if the server does not send what this node has stored: it may lag, and not say so."""
        assert self._intake
        own, last = self._written(self._intake.epoch), self._intake.last
        if own > last and self._watch.lags(own, last, time.monotonic()) is BeatVerdict.BEHIND:
            raise BehindError(f"this copy is behind this node's own changes for more than {BEHIND_S:g} s")

    def beaten(self, beat: Beat) -> None:
        """Compare the copy with what a control has. Raises ResyncError, and RestartError if it is too far behind."""
        assert self._intake
        if self._intake.is_whole and not self._replica.is_anew:
            own = Beat(self._replica.place.epoch, self._intake.seq, self._intake.heads_sum)
            verdict = self._watch.judge(beat, own, time.monotonic())
        elif beat.epoch == self._intake.epoch:  # its heads are not to be compared, but a server may stop in a commit
            verdict = self._watch.lags(beat.seq, self._intake.last, time.monotonic())
        else:
            return
        if verdict is BeatVerdict.OTHER_EPOCH:
            raise RestartError("a control has a state of another epoch than this copy")
        if verdict is BeatVerdict.OTHER_HEADS:
            raise ResyncError("the copy has other heads than a control")
        if verdict is BeatVerdict.BEHIND:
            raise BehindError(f"this copy is behind the controls for more than {BEHIND_S:g} s")
        if verdict is BeatVerdict.OTHER_HEADS_STILL and not self._has_said_wrong:
            self._has_said_wrong = True
            self._remark("a control has other heads than this copy, which was fetched anew from the servers")

    def _say(self, reason: str) -> None:
        if reason != self._said:
            self._said = reason
            self._note(reason)


def _epoch_of(meta: bytes) -> str:
    """The epoch in the state's first object; empty if this version cannot read it."""
    try:
        epoch = json_object(meta).get("epoch")
    except ValueFormatError:
        return ""
    return epoch if isinstance(epoch, str) else ""


def _count(answer: dict[str, Any], *path: str) -> int:
    """A number in an answer of the servers. Raises RestartError."""
    found: Any = answer
    for key in path:
        found = found.get(key) if isinstance(found, dict) else None
    if not is_count(found):
        raise RestartError(f"an answer of the fleet's servers has no number {path[-1]}")
    return found
