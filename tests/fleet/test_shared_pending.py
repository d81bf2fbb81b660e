"""Pending changes of a fleet: all controls know them, and one of them makes each, once."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from dnsd.fleet import shared_pending
from dnsd.fleet.root import RootFolder
from dnsd.fleet.shared_pending import GoneError, guard_of, pack_pending, subject_of, unpack_pending
from dnsd.fleet.subjects import CLAIMS
from dnsd.manage import pending as pending_module
from dnsd.manage.map_request import MapRequest
from dnsd.manage.pending import PendingChange
from dnsd.manage.pending_files import PendingFiles, pack_change
from dnsd.manage.refusal import RefusedError
from dnsd.store.port import StoreAwayError
from tests.api.server import A1, FILES
from tests.api.test_pending_changes import MAP, PENDING, SHOP, SHOP_TEXT, ahead, scheduled, soon
from tests.fleet.edges import FleetSource
from tests.fleet.nats_servers import needs_nats_server
from tests.fleet.servers import NatsServer, connected, control_folder, new_root
from tests.fleet.sharing import SharingControl, begin_state
from tests.fleet.test_control import ControlApi, control_pid, wait_for

pytestmark = needs_nats_server
NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
CHANGE, OTHER = "c1" * 16, "c2" * 16


@pytest.fixture
def root(tmp_path: Path) -> RootFolder:
    return new_root(tmp_path, controls=("c1", "c2"))


@pytest.fixture
def server(root: RootFolder, tmp_path: Path) -> Iterator[NatsServer]:
    with NatsServer(root, root.servers[0]) as server:
        yield server


def change_of(change_id: str = CHANGE, **fields: Any) -> PendingChange:
    request = MapRequest("map.edit", A1, SHOP, {"enabled": False})
    found = PendingChange(
        id=change_id,
        request=request,
        at=NOW,
        created_at=NOW,
        token_id="0" * 32,
        token_name="alice",
        tag="0" * 24,
        zones=frozenset({"21" * 16}),
        plan={"zones": [], "text": "x" * 2000},
    )
    return replace(found, **fields)


@pytest.fixture
def two(root: RootFolder, server: NatsServer, tmp_path: Path) -> Iterator[tuple[SharingControl, SharingControl]]:
    begin_state(root)
    with ExitStack() as stack:
        found = [stack.enter_context(SharingControl(root, tmp_path / name, name)).joined() for name in ("c1", "c2")]
        yield found[0], found[1]


def test_each_control_knows_the_changes_of_all(two: tuple[SharingControl, SharingControl]) -> None:
    first, second = (one.state.pending for one in two)
    change = change_of()
    first.write(change)
    wait_for(lambda: second.read(CHANGE) == change)
    assert [(one.id, one.account_id, one.at) for one in second.due] == [(CHANGE, A1, NOW)]
    second.write(change_of(OTHER, at=NOW + timedelta(hours=1)))
    wait_for(lambda: [one.id for one in first.of_account(A1)] == [CHANGE, OTHER])
    stopped = replace(change, stopped="the map is gone", stopped_at=NOW)
    second.write(stopped, change)
    wait_for(lambda: first.read(CHANGE) == stopped)
    assert not first.is_there(change)
    assert (first.remove(CHANGE), first.remove(CHANGE)) == (True, False)
    wait_for(lambda: second.read(CHANGE) is None)
    with pytest.raises(RefusedError, match="another control"):
        second.write(stopped, stopped)
    assert [one.id for one in second.due] == [OTHER]


def test_the_state_folder_has_the_changes_as_a_server_alone_writes_them(
    two: tuple[SharingControl, SharingControl],
) -> None:
    first, second = two
    first.state.pending.write(change_of())
    for one in two:
        file = one.folder / "pending" / f"{CHANGE}.json"
        wait_for(file.exists)
        assert file.read_bytes() == pack_change(change_of()).encode()
        assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    second.state.pending.remove(CHANGE)
    for one in two:
        file = one.folder / "pending" / f"{CHANGE}.json"
        wait_for(lambda file=file: not file.exists())  # type: ignore[misc]


def test_changes_from_before_the_fleet_are_shared_and_made_ones_do_not_come_back(
    root: RootFolder, server: NatsServer, tmp_path: Path
) -> None:
    begin_state(root)
    first, second = [SharingControl(root, tmp_path / name, name) for name in ("c1", "c2")]
    for control, change_id in ((first, CHANGE), (second, OTHER)):
        control.folder.mkdir()
        PendingFiles(control.folder).write(change_of(change_id))
    with first as one, second as other:
        for control in (one.joined(), other.joined()):
            wait_for(lambda control=control: {due.id for due in control.state.pending.due} == {CHANGE, OTHER})  # type: ignore[misc]
            wait_for(lambda control=control: len([*(control.folder / "pending").iterdir()]) == 2)  # type: ignore[misc]
    with first as one:
        assert one.joined().state.pending.remove(OTHER)
    with second as other:
        wait_for(lambda: [due.id for due in other.joined().state.pending.due] == [CHANGE])
        wait_for(lambda: not (other.folder / "pending" / f"{OTHER}.json").exists())
        assert (other.folder / "pending" / f"{CHANGE}.json").exists()


def test_of_two_that_change_one_at_once_one_goes_on(two: tuple[SharingControl, SharingControl]) -> None:
    first, second = (one.state.pending for one in two)
    for number in range(10):
        change = change_of(f"{number:032x}")
        first.write(change)
        wait_for(lambda change=change: second.is_there(change))  # type: ignore[misc]
        outcomes: list[object] = []

        def stop(pending: PendingFiles, why: str, change: PendingChange, outcomes: list[object]) -> None:
            try:
                pending.write(replace(change, stopped=why, stopped_at=NOW), change)
                outcomes.append(why)
            except RefusedError as error:
                outcomes.append(error)

        each = ((first, "one"), (second, "other"))
        threads = [threading.Thread(target=stop, args=(*one, change, outcomes)) for one in each]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(type(one).__name__ for one in outcomes) == ["RefusedError", "str"]
        wait_for(lambda change=change: first.read(change.id) == second.read(change.id))  # type: ignore[misc]


def test_a_draft_is_refused_once_others_have_changed_what_it_rewrites(
    two: tuple[SharingControl, SharingControl],
) -> None:
    first, second = two
    pending, change, other = first.state.pending, change_of(), change_of(OTHER)
    pending.write(change)
    pending.write(other)
    guard = pending.guard(A1)
    beside = pending.once_made(change, [replace(other, tag="1" * 24)], NOW, guard)
    wait_for(lambda: second.state.pending.is_there(other))
    second.state.pending.write(replace(other, stopped="theirs", stopped_at=NOW), other)
    wait_for(lambda: not pending.is_there(other))
    part, _ = first.state.pending_objects.split(beside)
    assert part.guards == {guard_of(A1): guard}
    assert guard < pending.guard(A1)


def test_the_room_of_an_account_counts_the_changes_of_all_controls(
    two: tuple[SharingControl, SharingControl], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pending_module, "MAX_PENDING", 1)
    two[0].state.pending.write(change_of())
    with pytest.raises(RefusedError, match="the limit is 1"):
        two[1].state.pending.write(change_of(OTHER))
    two[0].state.pending.write(change_of(tag="1" * 24), change_of())


def test_a_claim_is_one_controls(two: tuple[SharingControl, SharingControl]) -> None:
    first, second = (one.state.pending for one in two)
    assert [first.claim(CHANGE), second.claim(CHANGE), first.claim(CHANGE)] == [True, False, True]
    assert second.claim(OTHER)


def test_a_made_change_goes_with_the_commit_or_is_gone(two: tuple[SharingControl, SharingControl]) -> None:
    first, second = two
    objects, pending = first.state.pending_objects, first.state.pending
    one, other = change_of(), change_of(OTHER)
    pending.write(one)
    pending.write(other)
    beside = pending.once_made(one, [replace(other, tag="1" * 24)], NOW, pending.guard(A1))
    part, others = objects.split(beside)
    assert others == []
    assert [write.subject for write in part.writes] == [subject_of(A1, CHANGE), subject_of(A1, OTHER)]
    assert (part.writes[0].new, [*part.guards]) == (None, [guard_of(A1)])
    assert part.writes[1].new == pack_pending(pack_change(replace(other, tag="1" * 24)).encode())
    wait_for(lambda: second.state.pending.is_there(one))
    second.state.pending.remove(CHANGE)
    wait_for(lambda: not pending.is_there(one))
    with pytest.raises(GoneError):
        objects.split(beside)


def test_without_servers_changes_are_listed_and_none_changes(
    two: tuple[SharingControl, SharingControl], server: NatsServer
) -> None:
    first = two[0].state.pending
    first.write(change_of())
    server.process.send_signal(signal.SIGSTOP)
    try:
        assert [one.id for one in first.due] == [CHANGE]
        with pytest.raises(StoreAwayError):
            first.remove(CHANGE)
        assert not first.claim(CHANGE)
    finally:
        server.process.send_signal(signal.SIGCONT)


def test_a_change_too_large_for_the_servers_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    assert unpack_pending(pack_pending(b"{" + b"x" * 100_000)) == b"{" + b"x" * 100_000
    with pytest.raises(RefusedError, match="too large to wait"):
        pack_pending(os.urandom(shared_pending.MAX_VALUE + 1))
    bomb = pack_pending(b"x" * 1_000_000)
    monkeypatch.setattr(shared_pending, "MAX_SIZE", 1000)
    with pytest.raises(ValueError, match="too large"):
        unpack_pending(bomb)


# Of whole servers


@pytest.fixture
def controls(root: RootFolder, server: NatsServer, tmp_path: Path) -> Iterator[tuple[ControlApi, ControlApi]]:
    FleetSource(root, tmp_path).send({**FILES, "acme/maps/shop.yaml": SHOP_TEXT})
    with ExitStack() as stack:
        found = [ControlApi(root, tmp_path / name, name) for name in ("c1", "c2")]
        for one in found:
            stack.enter_context(one.running())
        yield found[0], found[1]


def made(api: ControlApi) -> list[tuple[str, str]]:
    """The changes of maps in a control's audit log, and the ends of pending ones."""
    entries = [one for one in api.audited() if one["action"].startswith("map.") and one["action"] != "map.drain"]
    return [(one["action"], one["outcome"]) for one in entries if one["action"] != "map.schedule"]


def test_a_due_change_is_made_once_by_one_control(controls: tuple[ControlApi, ControlApi]) -> None:
    first, second = controls
    for number in range(3):
        ip = f"203.0.113.{70 + number}"
        change = soon(first, "PUT", f"{MAP}/ips/{ip}")
        for one in controls:
            wait_for(lambda one=one, ip=ip: ip in one.ask("www.example.com"))  # type: ignore[misc]
            wait_for(lambda one=one: one.result("GET", PENDING) == [])  # type: ignore[misc]
        assert datetime.now(UTC) >= datetime.fromisoformat(change["deploy_at"])
    assert sorted([*made(first), *made(second)]) == [("map.add_ip", "ok")] * 3
    assert second.result("GET", MAP)["ips"] == first.result("GET", MAP)["ips"]


def test_changes_due_together_are_made_in_their_order_by_whichever_control(
    controls: tuple[ControlApi, ControlApi], root: RootFolder
) -> None:
    """The claim to the first one is held by a control that was killed."""
    first, second = controls
    at = ahead(seconds=20)
    one = scheduled(first, "PUT", f"{MAP}/ips/203.0.113.70", at=at)
    wait_for(lambda: len(second.result("GET", PENDING)) == 1)
    other = scheduled(second, "DELETE", f"{MAP}/ips/203.0.113.70", at=at)
    assert other["follows"] == [one["id"]]

    async def claim() -> None:
        async with connected(root, control_folder(root)) as client:
            answer = await client.connection.request(CLAIMS + one["id"], b"killed", headers={"Nats-TTL": "25s"})
            assert "error" not in json.loads(answer.data)

    asyncio.run(claim())
    for api in controls:
        wait_for(lambda api=api: api.result("GET", PENDING) == [])  # type: ignore[misc]
    assert sorted([*made(first), *made(second)]) == [("map.add_ip", "ok"), ("map.remove_ip", "ok")]


def test_changes_of_one_map_due_at_the_same_time_are_all_made(controls: tuple[ControlApi, ControlApi]) -> None:
    first, second = controls
    at, ips = ahead(seconds=15), [f"203.0.113.{number}" for number in range(70, 76)]
    for number, ip in enumerate(ips):
        scheduled(controls[number % 2], "PUT", f"{MAP}/ips/{ip}", at=at)
        wait_for(lambda number=number: {len(one.result("GET", PENDING)) for one in controls} == {number + 1})  # type: ignore[misc]
    for one in controls:
        wait_for(lambda one=one: one.result("GET", PENDING) == [])  # type: ignore[misc]
    assert sorted([*made(first), *made(second)]) == [("map.add_ip", "ok")] * len(ips)


def test_a_change_of_one_control_is_cancelled_at_another(controls: tuple[ControlApi, ControlApi]) -> None:
    first, second = controls
    change = scheduled(first, "PATCH", MAP, {"enabled": False})
    wait_for(lambda: [one["id"] for one in second.result("GET", PENDING)] == [change["id"]])
    assert second.result("GET", f"{PENDING}/{change['id']}") == change
    second.result("DELETE", f"{PENDING}/{change['id']}")
    assert second.result("GET", PENDING) == []
    wait_for(lambda: first.result("GET", PENDING) == [])
    assert first.refused("DELETE", f"{PENDING}/{change['id']}")[0] == 404
    assert made(second) == [("map.cancel", "ok")]


def test_another_control_makes_the_change_of_one_that_is_down(
    root: RootFolder, server: NatsServer, tmp_path: Path
) -> None:
    FleetSource(root, tmp_path).send({**FILES, "acme/maps/shop.yaml": SHOP_TEXT})
    first, second = [ControlApi(root, tmp_path / name, name) for name in ("c1", "c2")]
    with second.running():
        with first.running():
            scheduled(first, "PUT", f"{MAP}/ips/203.0.113.77", at=ahead(seconds=15))
            wait_for(lambda: len(second.result("GET", PENDING)) == 1)
            os.kill(control_pid(first), signal.SIGKILL)
        wait_for(lambda: "203.0.113.77" in second.ask("www.example.com"))
        assert second.result("GET", PENDING) == []
        assert made(second) == [("map.add_ip", "ok")]
