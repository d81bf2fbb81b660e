"""From messages to the copy: what a follower receives waits by account for the account's head, and is written at once.

Each commit rewrites the head last, so while a head is current, all that it counts is. A follower that is behind gets
batches of which later ones have replaced a part; heads alone say where a state is whole. The commit of several accounts
is one step if all of its messages came. An account whose objects do not have the head's sum is not written: its next
head is awaited, and if there is none, the copy is fetched anew. No sockets; times are given.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from dnsd.errors import DnsdError
from dnsd.fleet.heads import AccountHead, AccountState, AccountSum, parse_head
from dnsd.fleet.subjects import OBJECTS, SHARED, account_of_subject, head_subject, is_state
from dnsd.fleet.values import ValueFormatError
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
    """The messages of one account since its last head, by subject, and when its sum became doubtful."""

    messages: dict[str, StateMessage] = field(default_factory=dict)
    doubtful_since: float | None = None


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
    ) -> None:
        """Continue the copy, or begin one anew, of a fleet of this epoch; `deliver` gets each step once it is written.

        One anew is served unless it lacks more than `max_drop_percent` of the files that the first one has.
        """
        self._replica = replica
        self.epoch = epoch  # of the state that is followed
        self._deliver = deliver
        self._sums: dict[str, AccountSum] = {}
        self.heads: dict[str, AccountState] = {}  # of what the copy has, by account
        self._heads_sum = AccountSum()
        self._waiting: dict[str, _Waiting] = {}
        self._ready: list[str] = []  # accounts whose heads came, in a batch that is not complete yet
        self._run = ("", 0, 0)  # of messages of one batch without a gap: its id, first and last number
        self._last = 0 if is_anew else replica.place.seq
        self._is_anew = is_anew  # until the copy is served
        self._max_drop_percent = max_drop_percent
        if is_anew:
            replica.begin_anew()
        else:
            replica.forget_anew()  # a half-filled one must not be served in the place of the whole one
            self._count(replica.objects())

    @property
    def seq(self) -> int:
        """The last message of which nothing is missing."""
        waiting = [one.seq for found in self._waiting.values() for one in found.messages.values()]
        return min(waiting, default=self._last + 1) - 1

    @property
    def is_whole(self) -> bool:
        """Whether nothing waits for a head."""
        return not self._waiting

    @property
    def heads_sum(self) -> int:
        """The sum of all heads, which stands for the whole state."""
        return self._heads_sum.total

    def take(self, message: StateMessage, now: float) -> None:
        """Take one message, and make the steps that it completes. Raises ResyncError."""
        if not self._continues(message):
            self._flush_ready(now)
        if not is_state(message.subject):
            self._keep(message, now)
            return
        account = account_of_subject(message.subject)
        self._waiting.setdefault(account, _Waiting()).messages[message.subject] = message
        self._last = message.seq
        if message.subject == head_subject(account):
            self._ready.append(account)
            if message.is_last or not self._has_all(message):
                self._flush_ready(now)
        self._finish(message.pending, now)

    def rest(self, pending: int, now: float) -> None:
        """Make the steps that are complete since no message came for a while. Raises ResyncError."""
        self._flush_ready(now)
        for found in self._waiting.values():  # without a head, though no more is to come
            if not pending and found.doubtful_since is None:
                found.doubtful_since = now
        self._finish(pending, now)

    def _keep(self, message: StateMessage, now: float) -> None:
        """Write a message whose subject no version of dnsd makes: no account has it, and no sum counts it."""
        self._last = message.seq
        place = ReplicaPlace(self.epoch, self.seq, self._replica.place.caught_up_at)
        self._replica.flush([_change(message, SHARED)], place)
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
        head = _head(message)
        return head is not None and bool(message.batch) and self._run[1] == head.first

    def _flush_ready(self, now: float) -> None:
        """Write the accounts whose heads came, in one transaction; those with another sum wait on."""
        accounts = [account for account in self._ready if self._fits(account, now)]
        self._ready = []
        if not accounts:
            return
        messages = [one for account in accounts for one in self._waiting.pop(account).messages.values()]
        changed = [one for one in messages if self._old(one.subject) != one.value]
        place = ReplicaPlace(self.epoch, self.seq, self._replica.place.caught_up_at)
        sums = {account: self._sum_after(account, messages) for account in accounts}
        heads = [(one, self._old(one.subject)) for one in messages if _is_head(one.subject)]
        self._replica.flush([_change(one, account_of_subject(one.subject)) for one in messages], place)
        self._sums |= sums
        for one, old in heads:
            self._note_head(one.subject, old, one.value, one.seq)
        if not self._is_anew:
            self._deliver(Flushed(frozenset(one.subject for one in changed), place))

    def _finish(self, pending: int, now: float) -> None:
        """Make the step from a copy fetched anew to the served one, once nothing is missing.

        Raises ResyncError and ShrunkError.
        """
        for account, found in self._waiting.items():
            since = found.doubtful_since
            if since is not None and now - since > DOUBT_S:
                raise ResyncError(f"account {account!r} has other objects than its head says")
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

    def _fits(self, account: str, now: float) -> bool:
        """Whether an account has the sum in its head, with what waits."""
        found = self._waiting[account]
        head = _head(found.messages[head_subject(account)])
        if head and head.sum == self._sum_after(account, found.messages.values()):
            return True
        found.doubtful_since = now if found.doubtful_since is None else found.doubtful_since
        return False

    def _sum_after(self, account: str, messages: Iterable[StateMessage]) -> AccountSum:
        found = self._sums.get(account, AccountSum())
        for one in messages:
            if account_of_subject(one.subject) == account and not _is_head(one.subject):
                found = found.changed(one.subject, self._old(one.subject), one.value)
        return found

    def _old(self, subject: str) -> bytes | None:
        kept = self._replica.get(account_of_subject(subject), subject)
        return kept.value if kept else None

    def _count(self, objects: Iterable[KeptObject]) -> None:
        """Add up what the copy has. Raises ResyncError if an account's head says otherwise."""
        heads = {}
        for one in filter(lambda one: is_state(one.subject), objects):
            if _is_head(one.subject):
                heads[one.account] = one
            else:
                before = self._sums.get(one.account, AccountSum())
                self._sums[one.account] = before.changed(one.subject, None, one.value)
        for account, one in heads.items():
            self._note_head(one.subject, None, one.value, one.seq)
            if self.heads[account].sum != self._sums.get(account, AccountSum()):
                raise ResyncError(f"the copy of account {account!r} has other objects than its head says")
        if self._sums.keys() - heads.keys():
            raise ResyncError("the copy has an account without a head")

    def _note_head(self, subject: str, old: bytes | None, new: bytes | None, seq: int) -> None:
        self._heads_sum = self._heads_sum.changed(subject, old, new)
        head = _parsed(new)
        self.heads[account_of_subject(subject)] = AccountState(seq, head.sum if head else AccountSum())


def _is_head(subject: str) -> bool:
    return subject == head_subject(account_of_subject(subject))


def _head(message: StateMessage) -> AccountHead | None:
    return _parsed(message.value)


def _parsed(value: bytes | None) -> AccountHead | None:
    """A head; None if no version of dnsd wrote it."""
    try:
        return parse_head(value) if value is not None else None
    except ValueFormatError:
        return None


def _change(message: StateMessage, account: str) -> KeptObject | Removal:
    if message.value is None:
        return Removal(account, message.subject)
    return KeptObject(account, message.subject, message.seq, message.value)
