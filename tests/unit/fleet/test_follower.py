"""What a follower concludes from the beats of controls; no servers."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from dnsd.fleet import follower as follower_module
from dnsd.fleet.beat import Beat
from dnsd.fleet.consumer import BehindError, RestartError
from dnsd.fleet.doors import control_doors
from dnsd.fleet.follower import FleetFollower, FleetMeta, FollowerSettings
from dnsd.fleet.intake import Intake, StateMessage
from dnsd.fleet.link import FleetReply, Line, LinkSettings, NoAnswerError
from dnsd.fleet.subjects import OBJECTS
from dnsd.store.replica import open_replica
from dnsd.store.replica_rows import KeptObject, ReplicaPlace


@pytest.fixture
def follower(tmp_path: Path) -> Iterator[FleetFollower]:
    replica, _ = open_replica(tmp_path / "replica.db")
    with closing(replica):
        replica.flush((), ReplicaPlace("e", 90, 1))
        settings = FollowerSettings("test", control_doors("test"))
        follower = FleetFollower(Line(LinkSettings("n", ())), replica, settings, take=print, note=print)
        follower._intake = Intake(replica, "e", print, is_anew=False)
        yield follower


# the beats of each second, as numbers of controls, and the copy's number then
LAGS = [
    ([[100]] * 4, [90] * 4, True),
    ([[100, 90]] * 4, [90] * 4, True),  # the second control is as far behind
    ([[90, 100]] * 4, [90] * 4, True),
    ([[100, 90]] * 4, [90, 99, 100, 100], False),
    ([[100], [110], [120], [130], [140]], [90, 109, 119, 129, 139], False),  # it keeps up with each
    ([[90]] * 4, [90] * 4, False),
]


@pytest.mark.parametrize(("beats", "numbers", "is_found"), LAGS)
def test_a_lag_is_found_however_many_controls_beat(
    follower: FleetFollower, monkeypatch: pytest.MonkeyPatch, beats: list[list[int]], numbers: list[int], is_found: bool
) -> None:
    now = [0.0]
    monkeypatch.setattr(follower_module.time, "monotonic", lambda: now[0])
    assert follower._intake
    found = False
    for second, (numbers_of_controls, number) in enumerate(zip(beats, numbers, strict=True)):
        now[0] = float(second)
        follower._intake._last = number
        for seq in numbers_of_controls:
            try:
                follower.beaten(Beat("e", seq, follower._intake.heads_sum))
            except RestartError:
                found = True
    assert found == is_found


@pytest.mark.parametrize("is_moving", [False, True])
def test_a_server_that_stops_in_a_commit_is_left(
    follower: FleetFollower, monkeypatch: pytest.MonkeyPatch, *, is_moving: bool
) -> None:
    now, found = [0.0], []
    monkeypatch.setattr(follower_module.time, "monotonic", lambda: now[0])
    for second in range(6):
        now[0] = float(second)
        if is_moving or not second:
            subject = f"{OBJECTS}acme.map.m{second}"
            follower.taken(StateMessage(subject, b"x", 91 + second, 9), 9)
        try:
            follower.beaten(Beat("e", 100, 0))
        except BehindError:
            found.append(second)
    assert found == ([] if is_moving else [3])


@pytest.mark.parametrize(("own", "left_at"), [(100, [2.5]), (90, []), (0, [])])
def test_a_server_that_does_not_send_what_the_node_has_stored_is_left(
    follower: FleetFollower, monkeypatch: pytest.MonkeyPatch, own: int, left_at: list[float]
) -> None:
    """No beat tells of it: controls tell what they have, and follow that server, too."""
    now = [0.0]
    monkeypatch.setattr(follower_module.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(follower, "_written", lambda epoch: own)
    found = []
    for half_second in range(7):
        now[0] = half_second / 2
        try:
            follower.taken(None, 0)
        except BehindError:
            found.append(now[0])
    assert found == left_at
    assert follower.is_caught_up is not bool(left_at)


class Reconnecting:
    """A connection that breaks after the first subscription, or between the subscriptions and the consumer."""

    def __init__(self, *, may_listen: int) -> None:
        self.may_listen, self.open = may_listen, 0
        self.inbox, self.when_connected = "_INBOX_n.1", print
        self.is_closed = False
        self.client = type("C", (), {"is_reconnecting": True})

    async def request(self, subject: str, payload: bytes = b"", **more: object) -> FleetReply:
        if "GET" in subject:
            return FleetReply({}, b'{"epoch":"e"}')
        raise NoAnswerError("there is no connection")

    async def listen(self, subject: str, take: object) -> Reconnecting:
        if not self.may_listen:
            raise NoAnswerError("there is no connection")
        self.may_listen -= 1
        self.open += 1
        return self

    async def unlisten(self, subscription: Reconnecting) -> None:
        self.open -= 1


@pytest.mark.parametrize("may_listen", [0, 1, 2])
def test_no_subscription_outlives_its_consumer(follower: FleetFollower, may_listen: int) -> None:
    link = Reconnecting(may_listen=may_listen)

    async def test() -> None:
        follower._line._link = link  # type: ignore[assignment]
        with pytest.raises(NoAnswerError):
            await follower._follow()

    asyncio.run(test())
    assert link.open == 0


def test_a_new_consumer_reads_the_copy_no_more(follower: FleetFollower, monkeypatch: pytest.MonkeyPatch) -> None:
    def objects(account: str | None = None) -> Iterator[KeptObject]:
        raise AssertionError("the copy is read")

    monkeypatch.setattr(follower._replica, "objects", objects)
    known = follower._intake
    assert known
    found = follower._new_intake(FleetMeta("e", is_accepted=False), is_anew=False)
    assert found.heads is known.heads


class Leaderless(Reconnecting):
    """A connection to servers that do not answer who asks for a consumer; it notes how long each request waited."""

    def __init__(self) -> None:
        super().__init__(may_listen=1000)
        self.waits: list[float] = []

    async def request(self, subject: str, payload: bytes = b"", **more: object) -> FleetReply:
        if "GET" not in subject:
            self.waits.append(float(str(more["within_s"])))
        return await super().request(subject, payload, **more)


def test_servers_without_a_leader_are_asked_again_soon_then_with_patience(
    follower: FleetFollower, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follower_module, "PAUSE_S", (0.0, 0.0))
    link = Leaderless()

    async def test() -> None:
        follower._line._link = link  # type: ignore[assignment]
        task = asyncio.create_task(follower.run())
        while len(link.waits) < follower_module.QUICK_TRIES + 2:
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])

    asyncio.run(test())
    quick, patient = follower_module.QUICK_S, follower_module.ANSWER_S
    assert quick < patient
    tries = follower_module.QUICK_TRIES
    assert link.waits[: tries + 2] == [quick] * tries + [patient] * 2


def test_numbers_of_another_epoch_are_forgotten(follower: FleetFollower) -> None:
    assert follower._intake
    follower.beaten(Beat("e", 1_000_000, 1))
    assert follower.newest == 1_000_000
    follower._take_up(Intake(follower._replica, "e", print, is_anew=False))
    assert follower.newest == 1_000_000
    follower._take_up(Intake(follower._replica, "new", print, is_anew=True))
    assert follower.newest == follower._intake.seq < 1_000_000
