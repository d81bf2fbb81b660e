"""The writer of a fleet: one commit is one batch that the servers store as a whole, or not at all.

A batch is: the op's marker, guards, objects, and the head of each account, in this order. The expectation of a head
makes the writers of one account take turns, so it stands for all objects of the account: they need none of their own.
The marker is stored only where it is new, so a batch may be repeated until it is known to be stored.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any, NamedTuple
from uuid import uuid4

from dnsd.errors import DnsdError
from dnsd.fleet.batches import accounts_of, fitting
from dnsd.fleet.heads import AccountHead, AccountState, AccountSum
from dnsd.fleet.link import EngineRefusedError, Link, NoAnswerError, json_answer
from dnsd.fleet.stream import STREAM
from dnsd.fleet.subjects import account_of_subject, head_subject, op_subject
from dnsd.fleet.values import MAX_VALUE

MAX_BATCH = 1000  # messages: the limit of nats-server
MAX_OCTETS = 16_000_000  # of the objects in a batch: a larger one needs too long for one attempt
GIVE_UP_S = 8.0
RETRY_AFTER_S = 5
PAUSES_S = (0.05, 0.1, 0.2, 0.4)  # between attempts; the last one again and again
USUAL, SLOWEST = 4_000_000, 250_000  # octets per second that a batch travels: in the first attempt, and at least
WAIT_S = 0.7
OP_LIVES = "24h"
MARKER_LIVES = "720h"  # 30 days; a follower that was away for longer starts anew
SHARED_OP_LIVES = "10m"  # a tenant may change tokens all the time
SHARED_MARKER_LIVES = "5m"  # of what controls share: a consumer of it begins anew with all, and lags by less
REMOVED = "KV-Operation"  # header of the marker of a removal
NO_MESSAGE = 10037

STALE = {10071, 10164}  # an expectation is not met
AGAIN = {10008, 10176, 10201}  # the batch was lost on its way, or the servers are not ready
FULL = {10023, 10047, 10077}  # no room on the disk, or the limit of the stream


class FleetAwayError(DnsdError):
    """The servers did not answer in time; whether the commit was stored is found out later, by its op."""

    def __init__(self, op: str) -> None:
        self.op = op
        self.retry_after_s = RETRY_AFTER_S
        super().__init__("the fleet's servers do not answer; nothing is known of the change yet")


class StaleAccountsError(DnsdError):
    """Others have written accounts or guards (subjects) since they were read: nothing of the batch is stored, ever."""

    def __init__(self, accounts: Iterable[str], guards: Iterable[str]) -> None:
        self.accounts, self.guards = frozenset(accounts), frozenset(guards)
        super().__init__("others have changed the same accounts")


@dataclass(frozen=True, slots=True)
class ObjectWrite:
    """The new value of one object of the state, and the old one that was read; None stands for a missing object.

    One that `is_joined` is stored in the same batch as the write before it.
    """

    subject: str
    old: bytes | None
    new: bytes | None
    is_joined: bool = False


@dataclass(frozen=True, slots=True)
class ControlWrite:
    """The new value of an object that control alone reads; None removes it.

    `seq` is the number of the last message at its subject, 0 without one. What is stored lives for `lives`, such as 1h.
    """

    subject: str
    seq: int
    new: bytes | None
    lives: str


@dataclass(frozen=True, slots=True)
class Commit:
    """A change of a fleet's state.

    `writes` stand in the order in which they are stored. If a batch does not hold all of them, it ends before an
    account of which it would hold a part; only an account of more writes than a batch holds is divided. `accounts` has
    the state of each account in `writes`. `rewritten` and `read` are guards with the sequence numbers at which they
    were read, before the change was drawn up. `control` goes with the first batch.
    """

    op: str  # an id of its own for each commit
    entry: bytes  # evidence, kept with the marker
    writes: Sequence[ObjectWrite]
    accounts: Mapping[str, AccountState]
    rewritten: Mapping[str, int] = field(default_factory=dict)
    read: Mapping[str, int] = field(default_factory=dict)
    control: Sequence[ControlWrite] = ()
    shared: Sequence[SharedWrite] = ()  # of what controls share, in the first batch; their guards are `rewritten`

    @property
    def guards(self) -> dict[str, int]:
        """What the first batch expects of subjects outside of the state."""
        return {**self.rewritten, **self.read, **{one.subject: one.seq for one in self.control}}


class SharedWrite(NamedTuple):
    """The new value of an object that controls share; None removes it."""

    subject: str
    new: bytes | None


@dataclass(frozen=True, slots=True)
class _Message:
    subject: str
    payload: bytes
    headers: dict[str, str]


def _expect(seq: int, subject: str = "") -> dict[str, str]:
    found = {"Nats-Expected-Last-Subject-Sequence": str(seq)}
    return found | ({"Nats-Expected-Last-Subject-Sequence-Subject": subject} if subject else {})


class Writer:
    """Commits changes. `link` gives the open connection, and raises NoAnswerError without one."""

    def __init__(self, link: Callable[[], Awaitable[Link]], *, give_up_s: float = GIVE_UP_S) -> None:
        self._link = link
        self._give_up_s = give_up_s

    async def commit(
        self, commit: Commit, *, stored: Callable[[int], None] = lambda number: None
    ) -> dict[str, AccountState]:
        """Store a commit, and return the new state of its accounts.

        `stored` gets the number of writes stored so far, after each batch.

        Raises StaleAccountsError, FleetAwayError, OSError if the servers have no room, and EngineRefusedError. A commit
        of more messages than a batch holds goes in several, each with a marker of its own: if a later one fails, the
        earlier ones are stored, and a follower gets them like others' changes.
        """
        for write in commit.writes:
            if write.new is not None and len(write.new) > MAX_VALUE:
                raise EngineRefusedError(f"an object of {len(write.new):,} octets; the limit is {MAX_VALUE:,}")
        states = {account: commit.accounts[account] for account in accounts_of(commit.writes)}
        writes, part = [*commit.writes], 0
        while writes or not part:
            others = 1 + (0 if part else len(commit.rewritten) + len(commit.control) + len(commit.shared))
            now = fitting(writes, MAX_BATCH - others, MAX_OCTETS)
            op = commit.op if not part else f"{commit.op}-{part}"
            heads = _heads(op, now, states, first=1 + others)
            messages = _batch(commit, op, now, heads, states, is_first=not part)
            guards = {} if part else commit.guards
            last = await self._store(op, messages, {account: states[account] for account in heads}, guards)
            for place, (account, head) in enumerate(reversed(heads.items())):
                states[account] = AccountState(last - place, head.sum)
            writes, part = writes[len(now) :], part + 1
            stored(len(commit.writes) - len(writes))
        return states

    async def commit_shared(self, op: str, entry: bytes, writes: Sequence[SharedWrite], guard: str, seq: int) -> int:
        """Store objects that controls share, if their guard is at `seq`; the new number of the guard, rewritten last.

        Raises as `commit` does. All must fit into one batch. Its marker lives for ten minutes: it is asked for at once.
        """
        messages = [_Message(op_subject(op), entry, {**_expect(0), "Nats-TTL": SHARED_OP_LIVES})]
        messages += map(_shared_message, writes)
        messages.append(_Message(guard, op.encode(), _expect(seq)))
        return await self._store(op, messages, {}, {guard: seq})

    async def guard(self, subject: str) -> int:
        """The sequence number of a guard at the leader, 0 if it was never written.

        Read it, then wait until the follower has passed it, and draw the change up on that. Raises FleetAwayError.
        """
        return await self._last_until(subject, "", time.monotonic() + self._give_up_s)

    async def _store(
        self,
        op: str,
        messages: list[_Message],
        heads: Mapping[str, AccountState],
        guards: Mapping[str, int],
    ) -> int:
        """Store a batch, as often as needed; the sequence number of its last message."""
        octets = sum(len(message.payload) for message in messages)
        end = time.monotonic() + self._give_up_s + octets / SLOWEST
        is_known = True  # whether nothing is on its way: each attempt so far was refused for a reason
        for attempt in count():
            refused, code = None, 0
            try:
                usual_s = WAIT_S + octets / USUAL * 2**attempt  # longer each time: the link may be slow
                answer = await self._send(messages, min(usual_s, max(WAIT_S, end - time.monotonic())))
                error = answer.get("error")
                if not error:
                    return int(answer["seq"])
                code = int(error.get("err_code", 0))
                refused = _refusal(code, str(error.get("description")))
            except EngineRefusedError as error:  # without a server that a fleet can use
                refused = error
            except (NoAnswerError, KeyError, TypeError, ValueError, AttributeError):
                is_known = False
            if refused and code not in STALE | AGAIN and is_known:
                raise refused
            if found := await self._last_until(op_subject(op), op, end):  # also if stale: by our own earlier attempt
                return found + len(messages) - 1
            # A server also calls stale what collides with a batch on its way, perhaps our own: if nothing differs yet,
            # the outcome is unknown. If something differs, no batch on its way can be stored any more.
            if code in STALE and (stale := await self._stale(op, heads, guards, end)):
                if found := await self._last_until(op_subject(op), op, end):
                    return found + len(messages) - 1
                raise stale
            is_known = is_known and code not in STALE
            if time.monotonic() >= end:
                raise FleetAwayError(op)
            await asyncio.sleep(PAUSES_S[min(attempt, len(PAUSES_S) - 1)] * random.uniform(0.5, 1.5))
        raise AssertionError("not reached")

    async def _send(self, messages: list[_Message], within_s: float) -> dict[str, Any]:
        """The answer to a batch. Raises NoAnswerError without one in time, and as `link` does."""
        link = await self._link()
        try:
            async with asyncio.timeout(within_s):
                return await self._sent(link, messages, within_s)
        except TimeoutError:
            raise NoAnswerError(f"the fleet's servers did not take a batch within {within_s:g} s") from None

    async def _sent(self, link: Link, messages: list[_Message], within_s: float) -> dict[str, Any]:
        batch = uuid4().hex
        for number, message in enumerate(messages, 1):
            headers = message.headers | {"Nats-Batch-Id": batch, "Nats-Batch-Sequence": str(number)}
            if number < len(messages):
                await link.publish(message.subject, message.payload, headers=headers, within_s=within_s)
        reply = await link.request(
            messages[-1].subject, messages[-1].payload, headers=headers | {"Nats-Batch-Commit": "1"}, within_s=within_s
        )
        return json_answer(reply.data)

    async def _last_until(self, subject: str, op: str, end: float) -> int:
        """As `_last`, but asks until the leader answers. Raises FleetAwayError at the end."""
        for attempt in count():
            try:
                return await self._last(subject, op)
            except FleetAwayError:
                if time.monotonic() >= end:
                    raise
            await asyncio.sleep(PAUSES_S[min(attempt, len(PAUSES_S) - 1)])
        raise AssertionError("not reached")

    async def _last(self, subject: str, op: str = "") -> int:
        """The sequence number of a subject's last message at the leader; a direct get might be answered by another."""
        try:
            link = await self._link()
            answer = await link.ask(f"$JS.API.STREAM.MSG.GET.{STREAM}", {"last_by_subj": subject})
            return int(answer["message"]["seq"])
        except EngineRefusedError as error:
            if error.code == NO_MESSAGE:
                return 0
            raise FleetAwayError(op) from None
        except (NoAnswerError, KeyError, ValueError, TypeError):
            raise FleetAwayError(op) from None

    async def _stale(
        self, op: str, heads: Mapping[str, AccountState], guards: Mapping[str, int], end: float
    ) -> StaleAccountsError | None:
        """Which expectations are not met at the leader; None if all are."""
        accounts = [
            account
            for account, state in heads.items()
            if await self._last_until(head_subject(account), op, end) != state.seq
        ]
        changed = [subject for subject, seq in guards.items() if await self._last_until(subject, op, end) != seq]
        return StaleAccountsError(accounts, changed) if accounts or changed else None


def _heads(
    op: str, writes: Iterable[ObjectWrite], states: Mapping[str, AccountState], *, first: int
) -> dict[str, AccountHead]:
    """The new head of each account."""
    sums: dict[str, AccountSum] = {}
    for write in writes:
        account = account_of_subject(write.subject)
        before = sums[account] if account in sums else states[account].sum
        sums[account] = before.changed(write.subject, write.old, write.new)
    at = int(time.time())
    return {account: AccountHead(op, at, found, first) for account, found in sums.items()}


def _batch(
    commit: Commit,
    op: str,
    writes: Iterable[ObjectWrite],
    heads: Mapping[str, AccountHead],
    states: Mapping[str, AccountState],
    *,
    is_first: bool,
) -> list[_Message]:
    """The messages of a batch; guards belong to the first one of a commit."""
    entry = commit.entry if is_first else json.dumps({"part_of": commit.op}).encode()
    messages = [_Message(op_subject(op), entry, {**_expect(0), "Nats-TTL": OP_LIVES})]
    reads = [*commit.read.items()] if is_first else []
    if is_first:
        messages += map(_shared_message, commit.shared)
        messages += [_Message(guard, op.encode(), _expect(seq)) for guard, seq in commit.rewritten.items()]
        messages += map(_control_message, commit.control)
    for write in writes:
        headers = {} if write.new is not None else {REMOVED: "DEL", "Nats-TTL": MARKER_LIVES}
        if reads:  # a message has one expectation: those of objects carry the guards that are only read
            guard, seq = reads.pop()
            headers |= _expect(seq, guard)
        messages.append(_Message(write.subject, write.new or b"", headers))
    if reads:
        raise ValueError("a commit that reads guards has at least as many objects")
    return messages + [
        _Message(head_subject(account), head.packed(), _expect(states[account].seq)) for account, head in heads.items()
    ]


def _control_message(write: ControlWrite) -> _Message:
    removed = {REMOVED: "DEL"} if write.new is None else {}
    return _Message(write.subject, write.new or b"", {**_expect(write.seq), "Nats-TTL": write.lives, **removed})


def _shared_message(write: SharedWrite) -> _Message:
    headers = {} if write.new is not None else {REMOVED: "DEL", "Nats-TTL": SHARED_MARKER_LIVES}
    return _Message(write.subject, write.new or b"", headers)


def _refusal(code: int, words: str) -> Exception:
    if code in FULL:
        return OSError(28, f"the fleet's servers have no room: {words}")
    return EngineRefusedError(f"the fleet's servers refuse a change: {words}", code)
