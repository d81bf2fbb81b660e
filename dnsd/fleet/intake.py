"""From messages to the copy: what a follower receives waits by account for the account's head, and is written at once.

Each commit rewrites the head last, so while a head is current, all that it counts is. A follower that is behind gets
batches of which later ones have replaced a part; heads alone say where a state is whole. The commit of several accounts
is one step if all of its messages came. An account whose objects do not have the head's sum is not written: its next
head is awaited, and if there is none, the copy is fetched anew. No sockets; times are given.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from dnsd.errors import DnsdError
from dnsd.fleet.copy_sums import CopySums, ObjectStep, is_head, known_head
from dnsd.fleet.heads import AccountState, AccountSum
from dnsd.fleet.subjects import OBJECTS, SHARED, account_of_subject, head_subject, is_state
from dnsd.store.replica import Replica
from dnsd.store.replica_rows import KeptObject, Removal, ReplicaPlace

DOUBT_S = 2  # an account may have another sum than its head says


class ResyncError(DnsdError):
    """The copy is not the fleet's state, and is to be fetched anew; the message says why."""


class ShrunkError(DnsdError):
    """A copy fetched anew has too few files to take the place of the first one; the message has the numbers."""


class StateMessage(NamedTuple):
    """One message of the state: the value of an object (None: it was removed), and its place in stream and batch."""

    subject: str
    value: bytes | None
    seq: int
    pending: int  # messages that the stream has after it
    batch: str = ""
    batch_seq: int = 0
    is_last: bool = False  # of its batch


class Flushed(NamedTuple):
    """What one step changed: the subjects with other values, None for a copy fetched anew; and the place after it."""

    subjects: frozenset[str] | None
    place: ReplicaPlace


@dataclass(slots=True)
class _Waiting:
    """The messages of one account since its last head, by subject, and the number of the first, replaced or not."""

    first: int
    messages: dict[str, StateMessage] = field(default_factory=dict)


class Intake:
    """Takes the messages of one consumer, in their order, into a replica. Its methods raise as the replica's do."""

    def __init__(
        self,
        replica: Replica,
        epoch: str,
        deliver: Callable[[Flushed], None],
        *,
        is_anew: bool,
        max_drop_percent: int = 100,
        known: CopySums | None = None,
    ) -> None:
        """Continue the copy, or begin one anew, of a fleet of this epoch; `deliver` gets each step once it is written.

        One anew is served unless it lacks more than `max_drop_percent` of the files that the first one has. `known` are
        the sums of the copy that is continued, as an earlier intake left them; without them, all of it is read. Raises
        ResyncError if the copy is not what its heads say.
        """
        self._replica = replica
        self.epoch = epoch  # of the state that is followed
        self._deliver = deliver
        self._sums = CopySums()
        self._waiting: OrderedDict[str, _Waiting] = OrderedDict()  # by account, in the order of their first messages
        self._doubtful: OrderedDict[str, float] = OrderedDict()  # accounts with another sum, and since when
        self._ready: list[str] = []  # accounts whose heads came, in a batch that is not complete yet
        self._run = ("", 0, 0)  # of messages of one batch without a gap: its id, first and last number
        self._last = 0 if is_anew else replica.place.seq
        self._is_anew = is_anew  # until the copy is served
        self._max_drop_percent = max_drop_percent
        if is_anew:
            replica.begin_anew()
        else:
            replica.forget_anew()  # a half-filled one must not be served in the place of the whole one
            self._continue(known)

    def _continue(self, known: CopySums | None) -> None:
        if known and known.objects == self._replica.counts("")[0]:
            self._sums = known
        elif fault := self._sums.add_all(self._replica.objects()):
            raise ResyncError(fault)

    @property
    def heads(self) -> dict[str, AccountState]:
        """The heads of what the copy has, by account."""
        return self._sums.heads

    @property
    def heads_sum(self) -> int:
        """The sum of all heads, which stands for the whole state."""
        return self._sums.heads_sum

    @property
    def served_sums(self) -> CopySums | None:
        """The sums of the served copy, for the next intake; None while another one is fetched."""
        return None if self._is_anew else self._sums

    @property
    def seq(self) -> int:
        """The last message of which nothing is missing."""
        return next(iter(self._waiting.values())).first - 1 if self._waiting else self._last

    @property
    def last(self) -> int:
        """The last message that was taken, whether or not something before it is missing."""
        return self._last

    @property
    def is_whole(self) -> bool:
        """Whether nothing waits for a head."""
        return not self._waiting

    def take(self, message: StateMessage, now: float) -> None:
        """Take one message, and make the steps that it completes. Raises ResyncError."""
        if not self._continues(message):
            self._flush_ready(now)
        if not is_state(message.subject):
            self._keep(message, now)
            return
        account = account_of_subject(message.subject)
        if account not in self._waiting:
            self._waiting[account] = _Waiting(message.seq)
        self._waiting[account].messages[message.subject] = message
        self._last = message.seq
        if is_head(message.subject):
            self._ready.append(account)
            if message.is_last or not self._has_all(message):
                self._flush_ready(now)
        self._finish(message.pending, now)

    def rest(self, pending: int, now: float) -> None:
        """Make the steps that are complete since no message came for a while. Raises ResyncError."""
        self._flush_ready(now)
        for account in () if pending else self._waiting:  # without a head, though no more is to come
            self._doubtful.setdefault(account, now)
        self._finish(pending, now)

    def _keep(self, message: StateMessage, now: float) -> None:
        """Write a message whose subject no version of dnsd makes: no account has it, and no sum counts it."""
        self._last = message.seq
        step = self._step_of(message, SHARED)
        place = ReplicaPlace(self.epoch, self.seq, self._replica.place.caught_up_at)
        self._replica.flush([_change(message, SHARED)], place)
        self._sums.take([step], {})
        if not self._is_anew:
            self._deliver(Flushed(frozenset({message.subject}), place))
        self._finish(message.pending, now)

    def _continues(self, message: StateMessage) -> bool:
        """Whether a message follows the last one in its batch; notes the run of its batch."""
        batch, first, last = self._run
        is_next = bool(batch) and message.batch == batch and message.batch_seq == last + 1
        self._run = (message.batch, first if is_next else message.batch_seq, message.batch_seq)
        return is_next

    def _has_all(self, message: StateMessage) -> bool:
        """Whether all state messages of a head's batch came, as far as the head."""
        head = known_head(message.value)
        return head is not None and bool(message.batch) and self._run[1] == head.first

    def _flush_ready(self, now: float) -> None:
        """Write the accounts whose heads came, in one transaction; those with another sum wait on."""
        sums: dict[str, AccountSum] = {}
        steps: list[ObjectStep] = []
        changes: list[KeptObject | Removal] = []
        for account in dict.fromkeys(self._ready):
            messages = self._waiting[account].messages
            own = [self._step_of(message, account) for message in messages.values()]
            found = self._sums.sum_after(account, own)
            head = known_head(messages[head_subject(account)].value)
            if head is None or head.sum != found:
                self._doubtful.setdefault(account, now)
                continue
            sums[account] = found
            steps += own
            changes += [_change(message, account) for message in messages.values()]
        self._ready = []
        for account in sums:
            del self._waiting[account]
            self._doubtful.pop(account, None)
        if not sums:
            return
        place = ReplicaPlace(self.epoch, self.seq, self._replica.place.caught_up_at)
        self._replica.flush(changes, place)
        self._sums.take(steps, sums)
        if not self._is_anew:
            self._deliver(Flushed(frozenset(one.subject for one in steps if one.old != one.new), place))

    def _finish(self, pending: int, now: float) -> None:
        """Make the step from a copy fetched anew to the served one, once nothing is missing.

        Raises ResyncError and ShrunkError.
        """
        for account, since in self._doubtful.items():
            if now - since > DOUBT_S:
                raise ResyncError(f"account {account!r} has other objects than its head says")
            break  # the others came later
        if pending or not self.is_whole:
            return
        place = ReplicaPlace(self.epoch, self._last, int(now))
        if self._is_anew:
            before, after = self._replica.counts(OBJECTS)
            if (before - after) * 100 > before * self._max_drop_percent:
                raise ShrunkError(f"the fleet's new state has {after:,} files, and this copy has {before:,}")
            self._replica.serve_anew(place)
            self._is_anew = False
            self._deliver(Flushed(None, place))
        elif now - self._replica.place.caught_up_at >= 60:
            self._replica.flush((), place)

    def _step_of(self, message: StateMessage, account: str) -> ObjectStep:
        kept = self._replica.get(account, message.subject)
        return ObjectStep(message.subject, kept.value if kept else None, message.value, message.seq)


def _change(message: StateMessage, account: str) -> KeptObject | Removal:
    if message.value is None:
        return Removal(account, message.subject)
    return KeptObject(account, message.subject, message.seq, message.value)
