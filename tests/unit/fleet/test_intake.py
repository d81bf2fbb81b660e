"""What a follower receives becomes states of the fleet, whole ones alone, however far behind it is."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from dnsd.fleet.heads import AccountHead, AccountState, AccountSum
from dnsd.fleet.intake import DOUBT_S, Flushed, Intake, ResyncError, StateMessage
from dnsd.fleet.subjects import account_of_subject, head_subject
from dnsd.store.replica import Replica, open_replica
from dnsd.store.replica_rows import KeptObject, Removal, ReplicaPlace
from tests.limits import examples, growth

X, Y, Z = "dnsd.s.o.acme.map.x", "dnsd.s.o.acme.map.y", "dnsd.s.o.other.map.z"
CAUGHT_UP = 2_000_000_000


@dataclass
class Stream:
    """A stream that keeps the last message of each subject, as the servers do, and all states that it had."""

    messages: dict[str, StateMessage] = field(default_factory=dict)
    seq: int = 0
    values: dict[str, bytes] = field(default_factory=dict)
    states: list[dict[str, bytes]] = field(default_factory=list)

    def commit(self, values: dict[str, bytes | None]) -> None:
        """Store a batch: the op's marker, which is no state, objects, heads."""
        first_seq, batch = self.seq, f"b{self.seq}"
        accounts = list(dict.fromkeys(map(account_of_subject, values)))
        for subject, value in values.items():
            self.values.pop(subject, None)
            self.values |= {} if value is None else {subject: value}
        self.states.append(dict(self.values))
        stored: dict[str, bytes | None] = {**values}
        for account in accounts:
            stored[head_subject(account)] = AccountHead(batch, 1, self.sum_of(account), 2).packed()
        for number, (subject, value) in enumerate(stored.items(), 2):
            is_last = number == len(stored) + 1
            self.messages.pop(subject, None)
            self.seq = first_seq + number
            self.messages[subject] = StateMessage(subject, value, self.seq, 0, batch, number, is_last)

    def sum_of(self, account: str) -> AccountSum:
        found = AccountSum()
        for subject, value in self.values.items():
            if account_of_subject(subject) == account:
                found = found.changed(subject, None, value)
        return found

    def after(self, seq: int) -> StateMessage | None:
        """The next message, with the number of those after it."""
        rest = sorted(one for one in (message.seq for message in self.messages.values()) if one > seq)
        if not rest:
            return None
        found = next(message for message in self.messages.values() if message.seq == rest[0])
        return found._replace(pending=len(rest) - 1)


class Taking(Intake):
    """An intake that notes its steps."""

    def __init__(self, replica: Replica, epoch: str, *, is_anew: bool) -> None:
        self._steps: list[Flushed] = []
        super().__init__(replica, epoch, self._steps.append, is_anew=is_anew)

    def took(self, message: StateMessage, now: float) -> list[Flushed]:
        self._steps.clear()
        self.take(message, now)
        return [*self._steps]

    def rested(self, pending: int, now: float) -> list[Flushed]:
        self._steps.clear()
        self.rest(pending, now)
        return [*self._steps]


def objects_of(replica: Replica) -> dict[str, bytes]:
    return {one.subject: one.value for one in replica.objects() if not one.subject.startswith("dnsd.s.h")}


def drained(stream: Stream, intake: Taking, seq: int = 0) -> list[Flushed]:
    done = []
    while message := stream.after(seq):
        done += intake.took(message, CAUGHT_UP)
        seq = message.seq
    return done


@pytest.fixture
def replica(tmp_path: Path) -> Replica:
    found, problem = open_replica(tmp_path / "replica.db")
    assert problem == ""
    return found


def test_a_commit_is_one_step_at_its_head(replica: Replica) -> None:
    stream, intake = Stream(), Taking(replica, "e", is_anew=True)
    stream.commit({X: b"1"})
    assert [step.subjects for step in drained(stream, intake)] == [None]
    before = stream.seq
    stream.commit({X: b"2", Y: b"3"})
    steps = drained(stream, intake, before)
    assert steps == [Flushed(frozenset({X, Y, head_subject("acme")}), ReplicaPlace("e", stream.seq, CAUGHT_UP))]
    assert intake.heads == {"acme": AccountState(stream.seq, stream.sum_of("acme"))}
    replica.close()


def test_a_commit_of_two_accounts_is_one_step_if_all_of_it_comes(replica: Replica) -> None:
    stream, intake = Stream(), Taking(replica, "e", is_anew=True)
    stream.commit({X: b"1", Z: b"1"})
    drained(stream, intake)
    before = stream.seq
    stream.commit({X: None, Z: b"moved"})
    assert [step.subjects for step in drained(stream, intake, before)] == [
        {X, Z, head_subject("acme"), head_subject("other")}
    ]
    replica.close()


def test_a_commit_of_which_a_part_is_replaced_waits_for_each_head(replica: Replica) -> None:
    stream, intake = Stream(), Taking(replica, "e", is_anew=True)
    stream.commit({X: b"1", Z: b"1"})
    drained(stream, intake)
    before = stream.seq
    stream.commit({X: b"2", Z: b"2"})
    stream.commit({X: b"3"})
    steps = drained(stream, intake, before)
    assert [step.subjects for step in steps] == [{Z, head_subject("other")}, {X, head_subject("acme")}]
    replica.close()


def test_the_place_lacks_nothing_that_waits(replica: Replica) -> None:
    stream, intake = Stream(), Taking(replica, "e", is_anew=True)
    stream.commit({Z: b"0"})
    drained(stream, intake)
    x = StateMessage(X, b"1", 10, 5, "b1", 2)
    intake.took(x, CAUGHT_UP)
    head = AccountHead("o", 1, AccountSum().changed(Z, None, b"2"), 2)
    intake.took(StateMessage(Z, b"2", 20, 4, "b2", 2), CAUGHT_UP)
    intake.took(StateMessage(head_subject("other"), head.packed(), 21, 3, "b2", 3, True), CAUGHT_UP)
    assert (replica.place.seq, intake.seq, intake.is_whole) == (9, 9, False)
    assert objects_of(replica) == {Z: b"2"}
    replica.close()


def test_an_account_with_another_sum_is_not_written_and_then_fetched_anew(replica: Replica) -> None:
    stream, intake = Stream(), Taking(replica, "e", is_anew=True)
    stream.commit({X: b"1", Y: b"1"})
    drained(stream, intake)
    before = stream.seq
    stream.commit({X: b"2", Y: b"2"})
    del stream.messages[Y]  # lost by the servers
    assert drained(stream, intake, before) == []
    assert objects_of(replica) == {X: b"1", Y: b"1"}
    assert intake.rested(0, CAUGHT_UP + DOUBT_S) == []
    with pytest.raises(ResyncError, match="account 'acme' has other objects than its head says"):
        intake.rested(0, CAUGHT_UP + DOUBT_S + 1)
    replica.close()


def test_objects_without_a_head_are_not_written(replica: Replica) -> None:
    intake = Taking(replica, "e", is_anew=True)
    assert intake.took(StateMessage(X, b"1", 1, 0), CAUGHT_UP) == []
    assert intake.rested(0, CAUGHT_UP) == []
    with pytest.raises(ResyncError):
        intake.rested(0, CAUGHT_UP + DOUBT_S + 1)
    assert replica.is_anew
    replica.close()


@pytest.mark.parametrize("value", [b"", b"{}", None])
def test_a_head_that_no_version_wrote_is_not_believed(replica: Replica, value: bytes | None) -> None:
    intake = Taking(replica, "e", is_anew=True)
    intake.took(StateMessage(X, b"1", 1, 1), CAUGHT_UP)
    assert intake.took(StateMessage(head_subject("acme"), value, 2, 0), CAUGHT_UP) == []
    assert replica.is_anew
    replica.close()


def test_a_copy_that_is_not_what_its_heads_say_is_not_continued(replica: Replica) -> None:
    head = AccountHead("o", 1, AccountSum().changed(X, None, b"1"), 2).packed()
    with closing(replica):
        replica.flush(
            [KeptObject("acme", X, 1, b"1"), KeptObject("acme", head_subject("acme"), 2, head)], ReplicaPlace("e", 2, 1)
        )
        assert Taking(replica, "e", is_anew=False).heads["acme"].seq == 2
        replica.flush([KeptObject("acme", X, 1, b"other")], ReplicaPlace("e", 2, 1))
        with pytest.raises(ResyncError, match="than its head says"):
            Taking(replica, "e", is_anew=False)
        replica.flush([KeptObject("other", Z, 1, b"1"), KeptObject("acme", X, 1, b"1")], ReplicaPlace("e", 2, 1))
        with pytest.raises(ResyncError, match="without a head"):
            Taking(replica, "e", is_anew=False)


@pytest.mark.parametrize("subject", ["dnsd.s.o.acme.map.a~b", "dnsd.s.o.acme.map.=zz", "dnsd.s.o..x", "dnsd.s.o.=.x"])
def test_a_subject_that_no_version_makes_is_kept_and_in_no_sum(replica: Replica, subject: str) -> None:
    stream, intake = Stream(), Taking(replica, "e", is_anew=True)
    stream.commit({X: b"1"})
    drained(stream, intake)
    seq = stream.seq
    assert intake.took(StateMessage(subject, b"odd", seq + 1, 0), CAUGHT_UP) == [
        Flushed(frozenset({subject}), ReplicaPlace("e", seq + 1, CAUGHT_UP))
    ]
    again = Taking(replica, "e", is_anew=False)
    assert (objects_of(replica), again.heads_sum) == ({X: b"1", subject: b"odd"}, intake.heads_sum)
    again.took(StateMessage(subject, None, seq + 2, 0), CAUGHT_UP)
    assert (objects_of(replica), replica.place.seq) == ({X: b"1"}, seq + 2)
    replica.close()


def test_a_half_filled_copy_never_takes_the_place_of_the_whole_one(replica: Replica) -> None:
    stream, intake = Stream(), Taking(replica, "e", is_anew=True)
    stream.commit({X: b"1", Z: b"1"})
    drained(stream, intake)
    half = Taking(replica, "e", is_anew=True)
    first = stream.after(0)
    assert first
    assert half.took(first, CAUGHT_UP) == []
    intake = Taking(replica, "e", is_anew=False)  # the copy is continued
    assert intake.rested(0, CAUGHT_UP) == []
    assert (objects_of(replica), replica.is_anew) == (stream.values, False)
    before = stream.seq
    stream.commit({Y: b"2"})
    assert [step.subjects for step in drained(stream, intake, before)] == [{Y, head_subject("acme")}]
    assert objects_of(replica) == stream.values
    replica.close()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(examples(12, 400)))
def test_a_follower_that_is_behind_never_writes_a_mixture(tmp_path: Path, seed: int) -> None:
    draw = random.Random(seed)
    stream = Stream()
    replica, _ = open_replica(tmp_path / "replica.db")
    intake, seq = Taking(replica, "e", is_anew=True), 0
    subjects = [f"dnsd.s.o.{account}.map.{name}" for account in "abc" for name in "xyz"]
    for _ in range(60):
        for _ in range(draw.choice([0, 1, 1, 3])):
            chosen = draw.sample(subjects, draw.choice([1, 1, 2, 4]))
            stream.commit({one: draw.choice([None, draw.randbytes(4), draw.randbytes(4)]) for one in chosen})
        for _ in range(draw.choice([0, 1, 2, 5, 50])):
            if message := stream.after(seq):
                intake.took(message, CAUGHT_UP)
                seq = message.seq
                judge(replica, stream)
        if draw.random() < 0.1:  # killed: a new consumer begins after the place
            is_anew = not replica.place.epoch
            intake = Taking(replica, "e", is_anew=is_anew)
            seq = 0 if is_anew else replica.place.seq
    while message := stream.after(seq):
        intake.took(message, CAUGHT_UP)
        seq = message.seq
    assert (objects_of(replica), replica.place.seq) == (stream.values, stream.seq)
    replica.close()


def judge(replica: Replica, stream: Stream) -> None:
    """Each account is as it was at one moment."""
    found = objects_of(replica)
    for account in "abc":
        part = {key: value for key, value in found.items() if account_of_subject(key) == account}
        states = [{key: one[key] for key in one if account_of_subject(key) == account} for one in stream.states]
        assert part in [{}, *states]


def test_a_step_that_is_written_is_told_though_the_next_write_fails(
    replica: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream, intake = Stream(), Taking(replica, "e", is_anew=True)
    stream.commit({X: b"1"})
    drained(stream, intake)
    seq = stream.seq
    replica.flush((), replica.place._replace(caught_up_at=int(CAUGHT_UP) - 100))  # the time is to be noted again
    stream.commit({X: b"2"})
    real, writes = replica.flush, list[ReplicaPlace]()

    def flush(changes: Any, place: ReplicaPlace) -> None:
        writes.append(place)
        if len(writes) == 2:
            raise OSError(28, "No space left on device")
        real(changes, place)

    monkeypatch.setattr(replica, "flush", flush)
    with pytest.raises(OSError, match="No space left"):
        drained(stream, intake, seq)
    assert objects_of(replica) == {X: b"2"}
    assert [step.subjects for step in intake._steps] == [frozenset({X, head_subject("acme")})]


@pytest.mark.slow
def test_a_fetch_costs_each_edited_account_alike(tmp_path: Path) -> None:
    folders = count()

    def work_of(accounts: int) -> Callable[[], object]:
        """All objects first, then all heads: as of accounts that were edited one after another."""
        objects: list[tuple[str, bytes]] = [(f"dnsd.s.o.a{number}.map.x", b"1") for number in range(accounts)]
        heads = [
            (head_subject(f"a{number}"), AccountHead("o", 1, AccountSum().changed(subject, None, value), 2).packed())
            for number, (subject, value) in enumerate(objects)
        ]
        messages = [
            StateMessage(subject, value, seq, 2 * accounts - seq, f"b{seq}", 1)
            for seq, (subject, value) in enumerate((*objects, *heads), 1)
        ]
        replica, _ = open_replica(tmp_path / f"replica{next(folders)}.db")

        def fetch() -> None:
            with closing(replica):
                intake = Intake(replica, "e", lambda step: None, is_anew=True)
                for message in messages:
                    intake.take(message, CAUGHT_UP)
                assert (intake.is_whole, len(intake.heads), replica.is_anew) == (True, accounts, False)

        return fetch

    assert growth(work_of, 1000, 6000, enough=10) <= 10


def test_a_new_consumer_of_a_known_copy_reads_none_of_it(replica: Replica, monkeypatch: pytest.MonkeyPatch) -> None:
    stream, intake = Stream(), Taking(replica, "e", is_anew=True)
    assert intake.served_sums is None
    stream.commit({X: b"1", Y: b"1", Z: b"1"})
    drained(stream, intake)
    seq = stream.seq
    stream.commit({X: None, Y: b"2"})
    intake.took(StateMessage("dnsd.s.o..odd", b"1", seq + 1, 9), CAUGHT_UP)
    drained(stream, intake, seq)
    reads: list[str] = []
    real = replica.objects
    monkeypatch.setattr(replica, "objects", lambda: reads.append("all") or real())
    again = Intake(replica, "e", print, is_anew=False, known=intake.served_sums)
    assert (reads, again.heads, again.heads_sum) == ([], intake.heads, intake.heads_sum)
    assert again.heads == Intake(replica, "e", print, is_anew=False).heads
    assert reads == ["all"]
    replica.flush([Removal("acme", Y)], replica.place)  # a row is missing, which no digest tells
    with pytest.raises(ResyncError, match="than its head says"):
        Intake(replica, "e", print, is_anew=False, known=again.served_sums)
    replica.close()
