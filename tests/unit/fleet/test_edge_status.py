"""The status of an edge: as sent, within its bounds, and refused where no edge of ours sends it."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from dnsd.fleet.edge_presence import EdgePresence, LagClock
from dnsd.fleet.edge_status import MAX_HELD, MAX_PROBLEMS, MAX_STATUS, EdgeStatus, parse_status
from dnsd.fleet.store import FleetStore
from dnsd.fleet.values import LaterValueError, ValueFormatError
from dnsd.manage.fleet_view import ServingState

STATUS = EdgeStatus(
    boot=1_764_000_000_000_000_000,
    number=3,
    epoch="e" * 36,
    seq=120,
    revision=7,
    lag_s=0.25,
    version="0.1.0",
    ring=2,
    is_drained=False,
    zones=12,
    rate=31.5,
    held=("acme", "öst"),
    held_total=2,
    problems=("the account acme is held",),
)


def test_a_status_is_read_as_it_was_sent() -> None:
    assert parse_status(STATUS.packed()) == STATUS


@pytest.mark.parametrize("text", ["x", "é", "\U0001f600", "\x00", "\udc80", '"'])
def test_a_status_is_bounded_whatever_its_texts(text: str) -> None:
    long = STATUS._replace(held=(text * 5000,) * 1000, held_total=1000, problems=(text * 5000,) * 1000)
    packed = long.packed()
    assert len(packed) <= MAX_STATUS
    read = parse_status(packed)
    assert read.held_total == 1000
    assert len(read.held) <= MAX_HELD
    assert len(read.problems) <= MAX_PROBLEMS


def changed(**values: Any) -> bytes:
    return json.dumps({**json.loads(STATUS.packed()), **values}).encode()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"{}",
        b"[" * 8000,
        b" " * (MAX_STATUS + 1),
        STATUS.packed()[:-1],
        *(changed(**{key: None}) for key in json.loads(STATUS.packed()) if key != "level"),
        changed(seq=-1),
        changed(seq=2**63),
        changed(seq=True),
        changed(ring=10),
        changed(rate=float("nan")),
        changed(rate=float("inf")),
        changed(rate="1"),
        changed(rate=10**400),
        changed(lag_s=10**400),
        changed(lag_s=-1),
        changed(drained=1),
        changed(version="x" * 33),
        changed(epoch="x" * 65),
        changed(held=["x"] * 11),
        changed(held=["x" * 65]),
        changed(problems=[1]),
        changed(problems={"a": 1}),
    ],
)
def test_what_no_edge_sends_is_refused(data: bytes) -> None:
    with pytest.raises(ValueFormatError):
        parse_status(data)


def test_a_status_of_a_later_version_is_told_apart() -> None:
    with pytest.raises(LaterValueError):
        parse_status(changed(v=2))
    assert parse_status(changed(new_key={"a": [1]})) == STATUS


def test_an_edge_that_serves_each_change_in_turn_does_not_lag() -> None:
    clock = LagClock()
    lags = [clock.seconds(served, served + 1, float(served)) for served in range(100, 110)]
    assert lags == [0.0] * 10


def test_a_lag_grows_until_all_is_served_that_was_missing_when_it_began() -> None:
    clock = LagClock()
    assert [clock.seconds(100, 100 + second, float(second)) for second in range(5)] == [0.0, 0.0, 1.0, 2.0, 3.0]
    assert clock.seconds(101, 110, 5.0) == 0.0
    assert clock.seconds(105, 110, 7.0) == 2.0
    assert clock.seconds(110, 110, 8.0) == 0.0


def test_a_lag_does_not_outlast_the_epoch_in_which_it_began(monkeypatch: pytest.MonkeyPatch) -> None:
    store = SimpleNamespace(follower=SimpleNamespace(newest=1_000_000))
    presence = EdgePresence(cast(FleetStore, store))
    serving = ServingState(epoch="e", seq=999_999, revision=1, zones=1, responses=0, held=(), problems=())
    presence._status(serving, 0.0)
    assert presence._status(serving, 10.0).lag_s == 10.0
    store.follower.newest = 500
    assert presence._status(replace(serving, epoch="new", seq=500), 20.0).lag_s == 0.0
    store.follower.newest = 501
    assert presence._status(replace(serving, epoch="new", seq=500), 3600.0).lag_s == 0.0  # since now
