"""The table of a fleet's edges: bounded whatever edges send, the newest status of each, and who lacks a change."""

from __future__ import annotations

import pytest

from dnsd.fleet import edge_table
from dnsd.fleet.edge_record import EdgeRecord
from dnsd.fleet.edge_status import EdgeStatus
from dnsd.fleet.edge_table import JUDGED_S, KEPT_S, LAGS_S, SILENT_S, SPACING_S, EdgeTable
from dnsd.manage.fleet_view import EdgeState, EdgeView


def status(number: int = 1, seq: int = 100, boot: int = 1, **more: object) -> EdgeStatus:
    values = {"epoch": "e", "revision": 1, "lag_s": 0.0, "version": "1", "ring": 0, "is_drained": False, "zones": 1}
    return EdgeStatus(boot=boot, number=number, seq=seq, **{**values, "rate": 1.0, **more})  # type: ignore[arg-type]


def subject(name: str) -> str:
    return f"dnsd.edge.{name}.status"


def take(table: EdgeTable, name: str, said: EdgeStatus, now: float) -> bool:
    return table.take(subject(name), said.packed(), now)


def only(table: EdgeTable, now: float, *, seq: int = 100) -> EdgeView:
    (view,) = table.views("e", seq, now)
    return view


@pytest.mark.parametrize(
    "where",
    [
        "dnsd.edge..status",
        "dnsd.edge.A.status",
        "dnsd.edge.a.b.status",
        "dnsd.edge.-a.status",
        "dnsd.edge." + "a" * 33 + ".status",
        "dnsd.edge.a",
        "a",
    ],
)
def test_a_subject_without_the_name_of_a_node_is_passed_over(where: str) -> None:
    table = EdgeTable()
    assert not table.take(where, status().packed(), 0.0)
    assert len(table) == 0


def test_what_is_not_a_status_is_passed_over_and_costs_the_edge_its_turn() -> None:
    table = EdgeTable()
    assert not table.take(subject("a"), b"nonsense", 0.0)
    assert not take(table, "a", status(), SPACING_S / 2)
    assert take(table, "a", status(), SPACING_S)


def test_an_edge_is_read_at_most_once_in_a_tenth_of_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    table, read = EdgeTable(), []
    parse = edge_table.parse_status
    monkeypatch.setattr(edge_table, "parse_status", lambda data: (read.append(data), parse(data))[1])
    for number in range(1000):
        take(table, "a", status(number), number / 1000)
        take(table, "b", status(number), number / 1000)
    assert 2 * 9 <= len(read) <= 2 * 10


def test_the_newest_of_several_copies_counts() -> None:
    table = EdgeTable()
    assert take(table, "a", status(5, seq=105), 0.0)
    assert not take(table, "a", status(5, seq=105), 0.2)
    assert not take(table, "a", status(4, seq=104), 0.4)
    assert only(table, 0.4).seq == 105
    assert take(table, "a", status(1, seq=106, boot=2), 0.6)  # it was started again
    assert not take(table, "a", status(9, seq=107, boot=1), 0.8)
    assert only(table, 0.8).seq == 106
    assert take(table, "a", status(1, seq=108, boot=1), 4.0)  # its clock went back


def test_the_number_of_edges_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edge_table, "MAX_EDGES", 500)
    table = EdgeTable()
    for number in range(1000):
        assert take(table, f"e{number}", status(), 0.0) == (number < 500)
    for number in range(500):
        assert take(table, f"e{number}", status(2), 1.0)
    assert len(table) == len(table.views("e", 100, 1.0)) == 500


def test_a_silent_edge_stays_for_a_week_and_with_a_record_for_ever() -> None:
    table = EdgeTable()
    take(table, "a", status(), 0.0)
    take(table, "b", status(), 0.0)
    table.records = {"a": EdgeRecord("U", 3, "Oslo"), "c": EdgeRecord("U", 1)}
    now = KEPT_S - 1
    table.forget(now)
    assert {one.name: one.silence_s for one in table.views("e", 100, now)} == {"a": now, "b": now, "c": None}
    table.forget(KEPT_S + 1)
    found = table.views("e", 100, KEPT_S + 1)
    assert [(one.name, one.ring, one.label, one.state) for one in found] == [
        ("a", 3, "Oslo", EdgeState.SILENT),
        ("c", 1, "", EdgeState.SILENT),
    ]


def test_ring_and_drain_are_those_of_the_record_if_there_is_one() -> None:
    table = EdgeTable()
    take(table, "a", status(ring=1, is_drained=True), 0.0)
    assert (only(table, 0.0).ring, only(table, 0.0).is_drained, only(table, 0.0).is_recorded) == (1, True, False)
    table.records = {"a": EdgeRecord("U", 2)}
    assert (only(table, 0.0).ring, only(table, 0.0).is_drained, only(table, 0.0).is_recorded) == (2, False, True)


STATES = [
    (status(), {}, 0.0, EdgeState.OK),
    (status(), {}, SILENT_S + 0.1, EdgeState.SILENT),
    (status(is_drained=True), {}, 0.0, EdgeState.DRAINED),
    (status(is_drained=True), {}, SILENT_S + 0.1, EdgeState.SILENT),
    (status(seq=99, lag_s=LAGS_S + 0.1), {}, 0.0, EdgeState.LAGGING),
    (status(seq=99, lag_s=LAGS_S - 0.1), {}, 0.0, EdgeState.OK),
    (status(seq=100, lag_s=60.0), {}, 0.0, EdgeState.OK),  # it has what this control has
    (status(epoch="other", lag_s=60.0), {}, 0.0, EdgeState.LAGGING),
    (status(problems=("x",)), {}, 0.0, EdgeState.PROBLEMS),
    (status(held=("x",), held_total=1), {}, 0.0, EdgeState.PROBLEMS),
    (status(), {"a": EdgeRecord("U", is_drained=True)}, 0.0, EdgeState.DRAINED),
]


@pytest.mark.parametrize(("said", "records", "now", "state"), STATES)
def test_an_edge_is_in_the_worst_of_its_states(
    said: EdgeStatus, records: dict[str, EdgeRecord], now: float, state: EdgeState
) -> None:
    table = EdgeTable()
    take(table, "a", said, 0.0)
    table.records = records
    assert only(table, now).state is state


def test_the_lag_of_a_silent_edge_grows() -> None:
    table = EdgeTable()
    take(table, "a", status(seq=99, lag_s=1.0), 0.0)
    assert only(table, 60.0).lag_s == 61.0
    assert only(table, 60.0, seq=99).lag_s == 0.0


def test_a_change_is_everywhere_once_all_healthy_edges_serve_it() -> None:
    table, now = EdgeTable(), 0.0
    assert table.is_everywhere("e", 101, now)  # there is none
    for name in ("a", "b", "drained", "gone"):
        take(table, name, status(seq=100), 0.0)
    table.records = {"drained": EdgeRecord("U", is_drained=True)}
    now = SILENT_S - 0.5
    for name in ("a", "b", "drained"):
        take(table, name, status(2, seq=100), now)
    now = SILENT_S + 0.5
    assert table.late("e", 101, now) == ["a", "b"]
    assert not table.is_everywhere("e", 101, now)
    take(table, "a", status(3, seq=101), now)
    take(table, "b", status(3, seq=102, epoch="other"), now)
    assert table.late("e", 101, now + JUDGED_S) == ["b"]
    take(table, "b", status(4, seq=102), now + 2 * SPACING_S)
    assert table.is_everywhere("e", 101, now + 2 * SPACING_S)
    assert not table.is_everywhere("e", 103, now + 3 * SPACING_S)
