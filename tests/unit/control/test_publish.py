"""Control's messages to workers: a delta, a load of the file, or the whole snapshot."""

from __future__ import annotations

import asyncio
import errno
import io
import json
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dnsd.compile.build import Options, build_snapshot
from dnsd.control import publish as module
from dnsd.control.publish import Publisher, WorkerLink
from dnsd.engine.delta import apply_delta, delta
from dnsd.engine.snapshot import Snapshot
from dnsd.engine.table import MAX_OVERLAY
from dnsd.log import Log
from dnsd.process.link import MessageKind, packed, read_message
from dnsd.process.shared import Shared
from dnsd.process.snapshot_file import FILE_NAME, pickled, unpickled
from dnsd.process.snapshot_log import load_snapshot
from dnsd.process.worker_settings import WorkerSettings
from tests.limits import HANG_S
from tests.models import dataset, record, worker_settings, zone


class Worker:
    """A worker's end of the connection, and its handling of the messages."""

    def __init__(self, publisher: Publisher, state: Path, index: int = 0) -> None:
        self.snapshot: Snapshot | None = None
        self.kinds: list[MessageKind] = []
        self.settings: list[WorkerSettings] = []
        self._file = state / FILE_NAME
        self.octets = b""
        publisher.links[index] = WorkerLink(index, 1, self, serves=0, sent=0)  # type: ignore[arg-type]

    @property
    def transport(self) -> Worker:
        return self

    def get_write_buffer_size(self) -> int:
        return 0

    def write(self, octets: bytes) -> None:
        self.octets += octets

    async def take(self) -> None:
        """Handle the messages sent."""
        reader = asyncio.StreamReader()
        reader.feed_data(self.octets)
        reader.feed_eof()
        self.octets = b""
        while not reader.at_eof():
            kind, payload = await read_message(reader)
            if kind is MessageKind.LIMITS:
                self.settings.append(WorkerSettings.from_json(payload))
                continue
            self.kinds.append(kind)
            if kind is MessageKind.LOAD:
                revision = json.loads(payload)["revision"]
                title, steps = load_snapshot(self._file, revision)
                assert title.revision == revision
                self.snapshot = list(steps)[-1]
            else:
                self.snapshot = list(apply_delta(self.snapshot, unpickled(io.BytesIO(payload))))[-1]


def snapshot(names: int, address: str, previous: Snapshot | None = None) -> Snapshot:
    records = [record(f"h{number} A 192.0.2.1") for number in range(names)] + [record(f"www A {address}")]
    zones = [zone("example.com", records), zone("example.net", [record("www A 192.0.2.9")])]
    return build_snapshot(dataset(zones, {}), Options(()), previous)


async def published(publisher: Publisher, worker: Worker, wanted: Snapshot) -> None:
    await publisher.publish(wanted, worker_settings())
    await worker.take()
    assert worker.snapshot is not None
    assert worker.snapshot.revision == wanted.revision
    assert dict(worker.snapshot.names.items()).keys() == dict(wanted.names.items()).keys()
    for name, node in wanted.names.items():
        assert {key: one.body for key, one in node.answers.items()} == {
            key: one.body for key, one in worker.snapshot.names[name].answers.items()
        }


@pytest.mark.parametrize("has_disk", [True, False])
def test_little_goes_as_a_change_and_much_through_the_file(tmp_path: Path, has_disk: bool) -> None:
    state = tmp_path if has_disk else tmp_path / "gone"
    publisher = Publisher(Shared(1, 8), state, Log())

    async def run() -> None:
        worker = Worker(publisher, state)
        first = snapshot(20, "192.0.2.2")
        await published(publisher, worker, first)
        second = snapshot(20, "192.0.2.3", first)
        await published(publisher, worker, second)
        third = snapshot(MAX_OVERLAY + 100, "192.0.2.4", second)
        await published(publisher, worker, third)
        await publisher.save()
        fourth = snapshot(MAX_OVERLAY + 100, "192.0.2.5", third)
        await published(publisher, worker, fourth)
        much = MessageKind.LOAD if has_disk else MessageKind.DELTA
        assert worker.kinds == [MessageKind.DELTA, MessageKind.DELTA, much, MessageKind.DELTA]

    asyncio.run(run())
    assert bool(publisher.save_problem) != has_disk


def test_one_changed_record_is_sent_in_less_than_a_kilobyte(tmp_path: Path) -> None:
    publisher = Publisher(Shared(1, 8), tmp_path, Log())

    async def run() -> None:
        worker = Worker(publisher, tmp_path)
        first = snapshot(2_000, "192.0.2.2")
        await published(publisher, worker, first)
        second = snapshot(2_000, "192.0.2.3", first)
        await publisher.publish(second, worker_settings())
        assert len(worker.octets) < 1_000
        await worker.take()
        assert worker.snapshot is not None
        assert list(worker.snapshot.names.table.entries()) == list(second.names.table.entries())

    asyncio.run(run())


def test_changes_that_add_up_are_in_the_file(tmp_path: Path) -> None:
    publisher = Publisher(Shared(1, 8), tmp_path, Log())

    async def run() -> None:
        worker = Worker(publisher, tmp_path)
        current = snapshot(20, "192.0.2.2")
        await published(publisher, worker, current)
        for number in range(3, 9):
            current = snapshot(20, f"192.0.2.{number}", current)
            await published(publisher, worker, current)
            await publisher.save()
            title, steps = load_snapshot(tmp_path / FILE_NAME)
            saved = list(steps)[-1]
            assert saved is not None
            assert title.revision == saved.revision == current.revision
            assert saved.names.table.shares_octets(current.names.table)
            assert sorted(saved.names) == sorted(current.names)

    asyncio.run(run())


def test_changes_are_logged_until_the_names_are_merged(tmp_path: Path) -> None:
    publisher, file = Publisher(Shared(1, 8), tmp_path, Log()), tmp_path / FILE_NAME

    async def run() -> None:
        worker = Worker(publisher, tmp_path)
        current = snapshot(60, "192.0.2.1")
        await published(publisher, worker, current)
        await publisher.save()
        written = [file.read_bytes()]
        for number in range(2, 7):
            current = snapshot(60 if number < 4 else MAX_OVERLAY + 60, f"192.0.2.{number}", current)
            await published(publisher, worker, current)
            await publisher.save()
            *_, saved = load_snapshot(file)[1]
            assert saved is not None
            assert list(saved.names.table.entries()) == list(current.names.table.entries())
            if file.read_bytes() != written[-1]:
                written.append(file.read_bytes())
        assert len(written) == 2

    asyncio.run(run())


def test_worker_loads_a_file_written_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else it would keep octets of its own, or map a file that was replaced: twice the memory."""
    monkeypatch.setattr("dnsd.process.snapshot_log.MAX_ENTRIES", 2)
    publisher = Publisher(Shared(1, 8), tmp_path, Log())

    async def run() -> None:
        worker = Worker(publisher, tmp_path)
        current = snapshot(20, "192.0.2.1")
        for number in range(2, 7):
            await published(publisher, worker, current)
            await publisher.save()
            await worker.take()
            current = snapshot(20, f"192.0.2.{number}", current)
        load, change = MessageKind.LOAD, MessageKind.DELTA
        assert worker.kinds == [change, load, change, change, change, load, change]

    asyncio.run(run())


@pytest.mark.parametrize("is_saving", [True, False])
def test_file_that_was_begun_for_a_change_that_is_not_made_is_removed(tmp_path: Path, *, is_saving: bool) -> None:
    publisher, new = Publisher(Shared(1, 8), tmp_path, Log()), tmp_path / f"{FILE_NAME}.new"

    async def run() -> None:
        worker = Worker(publisher, tmp_path)
        first = snapshot(20, "192.0.2.2")
        await published(publisher, worker, first)
        await publisher.save()
        large = snapshot(MAX_OVERLAY + 100, "192.0.2.4", first)
        if is_saving:  # nothing is begun behind a save
            async with asyncio.timeout(HANG_S), publisher._saving:
                assert await publisher.begin_to_save(large) is None
            assert not new.exists()
            return
        begun = await publisher.begin_to_save(large)
        await published(publisher, worker, snapshot(20, "192.0.2.3", first))
        await publisher.save()
        assert new.exists()  # changes of others are made, and the change may still be
        await publisher.forget_begun(begun)
        assert not new.exists()

    asyncio.run(run())


def test_file_that_was_begun_and_has_gone_is_written_anew(tmp_path: Path) -> None:
    """As when somebody tidies the folder up: no worker is sent all names instead."""
    publisher, new = Publisher(Shared(1, 8), tmp_path, Log()), tmp_path / f"{FILE_NAME}.new"

    async def run() -> None:
        worker = Worker(publisher, tmp_path)
        first = snapshot(20, "192.0.2.2")
        await published(publisher, worker, first)
        await publisher.save()
        large = snapshot(MAX_OVERLAY + 100, "192.0.2.4", first)
        await worker.take()
        await publisher.begin_to_save(large)
        new.unlink()
        await published(publisher, worker, large)
        assert (publisher.save_problem, worker.kinds[-1]) == (None, MessageKind.LOAD)

    asyncio.run(run())


def test_file_that_was_begun_for_a_change_is_continued(tmp_path: Path) -> None:
    """Also if others' changes came before it; a file that was begun for another change is not."""
    publisher, file = Publisher(Shared(1, 8), tmp_path, Log()), tmp_path / FILE_NAME
    new = file.with_name(f"{FILE_NAME}.new")

    async def run() -> None:
        worker = Worker(publisher, tmp_path)
        first = snapshot(20, "192.0.2.2")
        await published(publisher, worker, first)
        await publisher.save()
        small = snapshot(20, "192.0.2.3", first)
        await publisher.begin_to_save(small)
        assert not new.exists()  # a few octets of the log will do
        large = snapshot(MAX_OVERLAY + 100, "192.0.2.4", first)
        await publisher.begin_to_save(large)
        begun = new.stat()
        assert begun.st_size > len(large.names.table.octets)
        await published(publisher, worker, small)
        await publisher.save()
        await published(publisher, worker, replace(snapshot(MAX_OVERLAY + 100, "192.0.2.5", large), revision=4))
        assert file.stat().st_ino == begun.st_ino
        assert not new.exists()
        await publisher.begin_to_save(snapshot(20, "192.0.2.6", large))
        assert new.exists()
        await published(publisher, worker, replace(snapshot(10, "192.0.2.7", large), revision=5))
        assert not new.exists()
        assert worker.kinds[-2:] == [MessageKind.LOAD, MessageKind.LOAD]

    asyncio.run(run())


def test_worker_makes_no_base_of_its_own() -> None:
    """Changes sent together may be more than control's names in front of the base can hold, though each step fits."""
    first = snapshot(MAX_OVERLAY - 76, "192.0.2.1", snapshot(20, "192.0.2.1"))
    second = snapshot(MAX_OVERLAY - 156, "192.0.2.1", first)
    third = snapshot(MAX_OVERLAY - 236, "192.0.2.1", second)
    assert third.names.table.shares_octets(first.names.table)
    *_, worker = apply_delta(None, delta(None, first))
    *_, taken = apply_delta(worker, unpickled(io.BytesIO(b"".join(pickled(delta(first, third))))))
    assert worker is not None
    assert taken is not None
    assert taken.names.table.shares_octets(worker.names.table)
    assert list(taken.names.table.entries()) == list(third.names.table.entries())


def test_worker_with_an_unknown_revision_loads_the_file(tmp_path: Path) -> None:
    publisher = Publisher(Shared(1, 8), tmp_path, Log())

    async def run() -> None:
        worker = Worker(publisher, tmp_path)
        await published(publisher, worker, replace(snapshot(20, "192.0.2.2"), revision=7))
        publisher.links[0].sent = 3
        await published(publisher, worker, replace(snapshot(20, "192.0.2.3"), revision=9))
        assert worker.kinds == [MessageKind.DELTA, MessageKind.LOAD]

    asyncio.run(run())


def test_hanging_disk_delays_no_worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    is_over = threading.Event()
    monkeypatch.setattr(module, "SAVED_WITHIN_S", 0.05)
    monkeypatch.setattr(module, "save_snapshot", lambda *_: is_over.wait(HANG_S))
    publisher = Publisher(Shared(1, 8), tmp_path, Log())

    async def run() -> None:
        worker = Worker(publisher, tmp_path)
        first = snapshot(20, "192.0.2.2")
        await published(publisher, worker, first)
        await asyncio.wait_for(published(publisher, worker, snapshot(MAX_OVERLAY + 100, "192.0.2.3", first)), 5)
        assert worker.kinds == [MessageKind.DELTA, MessageKind.DELTA]
        is_over.set()

    asyncio.run(run())


def test_failed_save_is_not_repeated_for_each_worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tries = []

    def fail(*_: object) -> None:
        tries.append(1)
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(module, "save_snapshot", fail)
    publisher = Publisher(Shared(2, 8), tmp_path, Log())

    async def run() -> None:
        first = snapshot(20, "192.0.2.2")
        workers = [Worker(publisher, tmp_path, index) for index in range(2)]
        await publisher.publish(first, worker_settings())
        await publisher.publish(snapshot(MAX_OVERLAY + 100, "192.0.2.3", first), worker_settings())
        for worker in workers:
            await worker.take()
            assert worker.snapshot is not None
            assert worker.snapshot.revision == 2

    asyncio.run(run())
    assert len(tries) == 1


def test_messages_have_kinds_of_their_own() -> None:
    kinds: list[Any] = list(MessageKind)
    assert len({packed(kind, b"")[4] for kind in kinds}) == len(kinds)


def test_changed_settings_are_sent(tmp_path: Path) -> None:
    publisher = Publisher(Shared(1, 8), tmp_path, Log())
    usual, sampled = worker_settings(), worker_settings(query_log={"sample": 0.5})

    async def run() -> None:
        worker = Worker(publisher, tmp_path)
        current = None
        for number, live in enumerate([usual, usual, sampled, sampled, worker_settings()]):
            current = snapshot(20, f"192.0.2.{number}", current)
            await publisher.publish(current, live)
            await worker.take()
        assert worker.settings == [usual, sampled, usual]
        another = Worker(publisher, tmp_path)  # its successor
        await publisher.publish(snapshot(20, "192.0.2.99", current), usual)
        await another.take()
        assert another.settings == [usual]

    asyncio.run(run())


def test_counts_of_many_removed_zones_and_maps_are_dropped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MANY_COUNTS", 10)
    publisher = Publisher(Shared(1, 8), tmp_path, Log())
    kept = [
        ("dnsd_zone_requests_total", "example.com"),
        ("dnsd_zone_requests_total", "none"),
        ("dnsd_edge_answers_total", "default", ""),
        ("dnsd_responses_total", "udp", "NOERROR"),
    ]
    served = snapshot(3, "192.0.2.1")
    assert {source.map for source in served.default.sources} == {""}

    async def run() -> None:
        for key in kept:
            publisher.counts.add(*key, by=7)
        publisher.counts.add("dnsd_zone_requests_total", "gone.example.")
        await publisher.publish(served, worker_settings())
        assert ("dnsd_zone_requests_total", "gone.example.") in dict(publisher.counts.items())  # too few to be dropped
        for number in range(20):
            publisher.counts.add("dnsd_zone_requests_total", f"gone-{number}.example.")
            publisher.counts.add("dnsd_edge_answers_total", "zone", f"acme/maps/gone-{number}")
        await publisher.publish(snapshot(4, "192.0.2.1", served), worker_settings())
        assert dict(publisher.counts.items()) == dict.fromkeys(kept, 7.0)

    asyncio.run(run())


@pytest.mark.parametrize("passes", range(6))
def test_collecting_counts_keeps_no_task_from_ending(tmp_path: Path, passes: int) -> None:
    publisher = Publisher(Shared(1, 8), tmp_path, Log())

    async def run() -> None:
        task = asyncio.create_task(publisher.collect(HANG_S))
        for _ in range(passes):  # of the loop, before the task is told to end
            await asyncio.sleep(0)
        is_told = task.cancel()
        await asyncio.wait([task])
        assert task.cancelled() == is_told

    asyncio.run(run())
