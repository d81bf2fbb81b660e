"""Evidence of changes: on disk before they are made, or they are refused; with their outcome after any kill."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import shutil
import threading
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest

from dnsd.control.change_request import ChangeRequest
from dnsd.control.publish import Publisher
from dnsd.control.recording import Recorder
from dnsd.control.status import problems_for_operator
from dnsd.manage.accounts import delete_lease, lease_id
from dnsd.manage.audit_files import LineFile
from dnsd.manage.draft import Draft
from dnsd.manage.find import find_account
from dnsd.manage.history import BY_HAND, History
from dnsd.manage.maps import MapChange, delete_map, edit_map
from dnsd.manage.record_ids import record_id, shown_page
from dnsd.manage.records import Batch, change_records
from dnsd.manage.refusal import Reason, RefusedError
from dnsd.manage.service import Actor
from dnsd.manage.zones import delete_zone
from dnsd.model.fields import parse_ip
from dnsd.model.record_parts import finished
from dnsd.process.tasks import in_thread
from dnsd.store import write
from dnsd.store.journal import is_temporary_name
from tests.limits import HANG_S, IS_LONG
from tests.unit.control.scheduling import ACME, FILES, GLOBEX, OTHER, SALE, SETTINGS, SHOP, Life, Scheduling
from tests.unit.store.test_write import killed_in

SALE_FILE, CAKE_FILE = "acme/maps/sale.yaml", "acme/zones/cake.example.yaml"
Verb = Callable[[Draft], object]


def cake(draft: Draft) -> str:
    return next(one.id for one in draft.dataset.zones.values() if one.name_text == "cake.example")


def without_record(draft: Draft) -> None:
    zone_id = cake(draft)
    zone = draft.dataset.zones[zone_id]
    indexes = finished(shown_page(zone, 0, zone.client_records))
    change_records(draft, zone_id, Batch(deletes=[record_id(zone, index) for index in indexes]))


def without_lease(draft: Draft) -> None:
    account_id = find_account(draft.dataset, draft.dataset.accounts[ACME].id).id
    account = draft.dataset.accounts[account_id]
    delete_lease(draft, account_id, lease_id(account, parse_ip("198.51.100.77")))


DELETED: dict[str, tuple[str, Verb]] = {
    "a map": ("map.delete", lambda draft: delete_map(draft, ACME, SALE)),
    "a zone": ("zone.delete", lambda draft: delete_zone(draft, cake(draft))),
    "a record, in a batch": ("record.batch", without_record),
    "a part of an account's file": ("lease.delete", without_lease),
}
EDITED: dict[str, tuple[str, Verb]] = {
    "a map edited": ("map.edit", lambda draft: edit_map(draft, ACME, SHOP, MapChange(description="x"))),
}
CHANGES = DELETED | EDITED


OBJECTS = {"a map": ["acme/maps/sale"], "a zone": ["acme/maps/shop", "acme/zones/cake.example"]}


async def make(life: Life, what: str) -> None:
    action, verb = CHANGES[what]
    await life.service.change(Actor(life.world.alice, "192.0.2.7"), action, verb)


async def nothing(life: Life) -> None:
    """A start, and no more."""


def texts(world: Scheduling) -> dict[str, str]:
    root = world.folder / "accounts"
    files = [path for path in sorted(root.rglob("*")) if path.is_file() and not is_temporary_name(path.name)]
    return {str(path.relative_to(root)): path.read_text() for path in files}


def entries(world: Scheduling, what: str) -> list[dict[str, Any]]:
    return [one for one in world.audit() if one["action"] == CHANGES[what][0]]


def leased(folder: Path) -> Scheduling:
    files = dict(FILES)
    files["acme/account.yaml"] += "static_ips: [198.51.100.77]\n"
    return Scheduling(folder, files)


def full(monkeypatch: pytest.MonkeyPatch, after: int = 0, number: int = errno.ENOSPC) -> None:
    """After some writes, the audit log cannot be written."""
    append, left = LineFile.append, iter(range(after))

    def failing(self: LineFile, *arguments: Any, **options: Any) -> tuple[int, bool]:
        if next(left, None) is None:
            raise OSError(number, os.strerror(number))
        return append(self, *arguments, **options)

    monkeypatch.setattr(LineFile, "append", failing)


# Kills


@pytest.mark.slow
@pytest.mark.parametrize("what", ["a map", "a zone"])
def test_a_kill_at_any_moment_leaves_one_entry_with_the_outcome(tmp_path: Path, what: str) -> None:
    first = Scheduling(tmp_path / "first")
    before = texts(first)
    ok = [(one, "ok") for one in OBJECTS[what]]
    outcomes = []
    for call in range(0, 1000, 1 if IS_LONG else 7):
        world = first.copy(tmp_path / str(call))
        is_killed = killed_in(call, partial(world.run, partial(make, what=what)))
        if call % 3 == 0:  # and again, while the next start completes the entry
            killed_in(call // 3 % 12, partial(world.run, nothing))
        world.run(nothing)
        is_made = texts(world) != before
        found = entries(world, what)
        if is_made:
            assert sorted((one["object"], one["outcome"]) for one in found) == ok, f"killed in call {call}"
            assert any(world.state.glob("history/*/*")), f"no version after a kill in call {call}"
        else:
            said = sorted((one["object"], one["outcome"]) for one in found)
            assert said in ([], [(one, "refused") for one, _ in ok]), f"killed in call {call}"
        assert not list(world.state.glob("journal*")), call
        outcomes.append((is_made, bool(found)))
        if not is_killed:
            break
    # In this order, except for neighbours: calls of other threads are counted, too.
    assert {(False, False), (False, True), (True, True)} == set(outcomes)
    assert (outcomes[0], outcomes[-1]) == ((False, False), (True, True))


def held_records(monkeypatch: pytest.MonkeyPatch, of: str = "") -> tuple[threading.Event, threading.Event]:
    """Hold records of objects whose keys begin so; the events say that one waits, and let them go on."""
    is_there, is_open, write = threading.Event(), threading.Event(), Recorder._write

    def slowly(self: Recorder, requests: Sequence[ChangeRequest]) -> list[str]:
        if any(key.startswith(of) for request in requests for key in request.keys):
            is_there.set()
            assert is_open.wait(HANG_S)
        return write(self, requests)

    monkeypatch.setattr(Recorder, "_write", slowly)
    return is_there, is_open


def test_change_waits_for_earlier_versions_of_its_own_objects_alone(
    world: Scheduling, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A neighbour's versions take long to write: what needs evidence itself is published meanwhile."""
    world.config.write_text(f"{SETTINGS}data: accounts\naudit: required\n")
    is_there, is_open = held_records(monkeypatch)

    async def work(life: Life) -> None:
        first = edited(life, ACME, SHOP, "first")
        await in_thread(is_there.wait)
        other = edited(life, GLOBEX, OTHER, "other")
        async with asyncio.timeout(HANG_S):
            while "other" not in world.read("globex/maps/other.yaml"):
                await asyncio.sleep(0.001)
        second = edited(life, ACME, SHOP, "second")
        await asyncio.sleep(0.05)
        assert "first" in world.read("acme/maps/shop.yaml")
        assert not any(one.done() for one in (first, other, second))
        is_open.set()
        await asyncio.gather(first, other, second)
        assert said_by_versions(life) == [["second"], ["first"], []]

    world.run(work)


def test_end_of_control_waits_for_the_records_of_changes(world: Scheduling, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of one that is being written, and of one that waits for it: their tasks are cancelled."""
    is_there, is_open = held_records(monkeypatch)

    async def work(life: Life) -> list[asyncio.Task[Any]]:
        first = edited(life, ACME, SHOP, "first")
        await in_thread(is_there.wait)
        second = edited(life, ACME, SHOP, "second")
        async with asyncio.timeout(HANG_S):
            while len(life.service._recorder._unwritten) < 2:
                await asyncio.sleep(0.001)
        threading.Timer(0.2, is_open.set).start()
        return [first, second]

    tasks = world.run(work)
    assert all(one.cancelled() for one in tasks)
    assert [(one["object"], one["outcome"]) for one in world.audit()] == [("acme/maps/shop", "ok")] * 2
    assert len([*(world.state / "history" / SHOP).iterdir()]) == 3


def test_record_of_a_change_waits_for_those_of_its_account_alone(
    world: Scheduling, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_there, is_open = held_records(monkeypatch, "acme/")

    async def work(life: Life) -> None:
        first = edited(life, ACME, SHOP, "first")
        await in_thread(is_there.wait)
        second = edited(life, ACME, SHOP, "second")
        try:
            async with asyncio.timeout(HANG_S):
                await edited(life, GLOBEX, OTHER, "other")
            assert not first.done()
            assert not second.done()
        finally:
            is_open.set()
        await asyncio.gather(first, second)
        assert [one.action for one in life.service.history.versions(SHOP)] == ["map.edit", "map.edit", "file"]

    world.run(work)


def edited(life: Life, account_id: str, map_id: str, text: str) -> asyncio.Task[Any]:
    """The task of a change of a map's description by a token of that name."""
    verb = partial(edit_map, account_id=account_id, map_id=map_id, change=MapChange(description=text))
    return asyncio.create_task(life.service.change(Actor(life.world.token(text), "192.0.2.7"), "map.edit", verb))


def said_by_versions(life: Life) -> list[list[str]]:
    """What the versions of shop say as its description, the newest first."""
    found = [life.service.history.text(SHOP, one.version) for one in life.service.history.versions(SHOP)]
    return [text.partition("description: ")[2].split()[:1] for _, text in filter(None, found)]


def test_versions_stand_in_order_while_a_refused_load_has_each_change_saved(
    world: Scheduling, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The save of the first change takes long: its version is in the history before the second change's."""
    world.config.write_text(f"{SETTINGS}data: accounts\naudit: required\non_error: refuse\n")
    save = Publisher.save

    async def work(life: Life) -> None:
        is_there, is_open = asyncio.Event(), asyncio.Event()

        async def slowly(self: Publisher, *, gently: bool = False) -> None:
            is_first = not is_there.is_set()
            is_there.set()
            if is_first:
                await is_open.wait()
            await save(self, gently=gently)

        world.write("globex/zones/tools.example.yaml", "records: [\n")
        assert not (await life.control.loader.reload()).ok
        monkeypatch.setattr(Publisher, "save", slowly)
        first = edited(life, ACME, SHOP, "first")
        await asyncio.wait_for(is_there.wait(), HANG_S)
        await edited(life, ACME, SHOP, "second")
        assert not first.done()
        is_open.set()
        await first
        assert said_by_versions(life) == [["second"], ["first"], []]

    world.run(work)


# Full disks


MODES = {
    "required": ({*CHANGES}, set[str]()),
    "deletes": ({*DELETED}, {*EDITED}),
    "best_effort": (set[str](), {*CHANGES}),
}


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS])
@pytest.mark.parametrize("what", CHANGES)
@pytest.mark.parametrize("mode", MODES)
def test_change_whose_evidence_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str, what: str, number: int
) -> None:
    world = leased(tmp_path / "world")
    world.config.write_text(f"{SETTINGS}data: accounts\naudit: {mode}\n")
    refused, _ = MODES[mode]
    before = texts(world)
    full(monkeypatch, number=number)

    async def change(life: Life) -> None:
        if what in refused:
            with pytest.raises(RefusedError, match="the change needs an entry in the audit log") as caught:
                await make(life, what)
            assert caught.value.faults[0].reason is Reason.NO_ROOM
        else:
            await make(life, what)
        (problem,) = [one for one in problems_for_operator(life.control) if one.startswith("audit log:")]
        assert "cannot be written" in problem

    world.run(change)
    assert (texts(world) == before) is (what in refused)
    assert not list(world.state.glob("journal*"))
    monkeypatch.undo()
    assert entries(world, what) == []


def test_change_whose_versions_cannot_be_kept_is_refused(world: Scheduling, monkeypatch: pytest.MonkeyPatch) -> None:
    def keep(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    before = texts(world)
    with monkeypatch.context() as patch:
        patch.setattr(History, "keep", keep)
        with pytest.raises(RefusedError, match="nothing has changed"):
            world.run(partial(make, what="a zone"))
    assert texts(world) == before
    found = entries(world, "a zone")
    assert {(one["object"], one["outcome"]) for one in found} == {(one, "refused") for one in OBJECTS["a zone"]}
    assert len(found) == len(OBJECTS["a zone"])
    world.run(partial(make, what="a zone"))
    assert not (world.folder / "accounts" / CAKE_FILE).exists()


def test_outcome_that_cannot_be_written_follows_with_the_next_start(
    world: Scheduling, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        full(patch, after=1)

        async def two(life: Life) -> None:
            await make(life, "a map")
            with pytest.raises(RefusedError):
                await make(life, "a zone")
            await make(life, "a map edited")  # needs no evidence

        world.run(two)
    assert (world.state / "journal.made").exists()
    assert entries(world, "a map") == []  # not yet
    world.run(nothing)
    [entry] = entries(world, "a map")
    assert (entry["outcome"], entry["object"]) == ("ok", "acme/maps/sale")
    assert not list(world.state.glob("journal*"))
    world.run(nothing)
    assert len(entries(world, "a map")) == 1


def test_change_that_cannot_be_made_after_its_entry_is_refused_once(
    world: Scheduling, monkeypatch: pytest.MonkeyPatch
) -> None:
    def rename(step: Any) -> None:
        raise OSError(errno.EIO, "Input/output error", step.path)

    before = texts(world)
    with monkeypatch.context() as patch:
        patch.setattr(write, "_rename", rename)
        with pytest.raises(RefusedError):
            world.run(partial(make, what="a map"))
    assert texts(world) == before
    [entry] = entries(world, "a map")
    assert entry["outcome"] == "refused"
    assert entry["message"].startswith("undone:")


def test_entry_has_the_revision_and_comes_once(world: Scheduling) -> None:
    world.run(partial(make, what="a map"))
    [entry] = entries(world, "a map")
    assert (entry["outcome"], entry["revision"], entry["actor"]["name"]) == ("ok", 2, "alice")
    lines = (world.state / "audit" / f"{ACME}.log").read_text().splitlines()
    raw = [json.loads(line)["outcome"] for line in lines if '"map.delete"' in line]
    assert raw == ["pending", "ok"]


GOOD = {
    "owner": ACME,
    "entry": {
        "at": "2026-11-29T12:00:00Z",
        "actor": {"id": "1" * 32, "name": "alice"},
        "id": "2" * 32,
        "client": "192.0.2.7",
        "action": "map.delete",
        "object": "acme/maps/sale",
        "account_id": ACME,
        "zone_id": "",
        "outcome": "pending",
        "message": "",
    },
}


def with_entries(*entries: Any) -> str:
    return json.dumps({"steps": [], "entries": entries})


def but(**fields: Any) -> dict[str, Any]:
    return GOOD | {"entry": cast(dict[str, Any], GOOD["entry"]) | fields}


DAMAGED = {
    "a number": "5",
    "a list": "[1]",
    "a beginning": "{",
    "a nest": "[" * 9999,
    "entries of other kinds": with_entries(1, None, [], "x", {"entry": 2}, {"entry": {}}),
    "a path as owner": with_entries(GOOD | {"owner": "../x"}),
    "a number as owner": with_entries(GOOD | {"owner": 5}),
    "a number as id": with_entries(but(id=5)),
    "an id of another form": with_entries(but(id="y")),
    "a list as action": with_entries(but(action=[])),
    "a number as time": with_entries(but(at=5)),
    "no time": with_entries(but(at="tomorrow")),
    "a text as actor": with_entries(but(actor="alice")),
    "an actor without a name": with_entries(but(actor={"id": "x"})),
    "another outcome": with_entries(but(outcome="ok")),
    "another account's number": with_entries(but(account_id=7)),
}


@pytest.mark.parametrize("name", ["journal", "journal.made"])
@pytest.mark.parametrize("what", DAMAGED)
def test_damaged_journal_does_not_keep_the_server_from_starting(world: Scheduling, name: str, what: str) -> None:
    (world.state / name).write_text(DAMAGED[what])
    world.run(nothing)
    [line] = [line for line in world.lines if "journal" in line]
    assert f"{world.state / name} is corrupt: moved aside as {name}.damaged" in line
    assert [path.name for path in world.state.glob("journal*")] == [f"{name}.damaged"]
    assert world.audit() == []


def test_sound_entries_of_a_damaged_journal_get_their_outcome(world: Scheduling) -> None:
    (world.state / "journal.made").write_text(with_entries(5, GOOD, GOOD | {"owner": "../x"}))
    world.run(nothing)
    [entry] = world.audit()
    assert (entry["outcome"], entry["object"]) == ("ok", "acme/maps/sale")
    assert (world.state / "journal.made.damaged").exists()


@pytest.mark.slow
def test_start_goes_on_without_the_folders_of_an_unfinished_change(tmp_path: Path) -> None:
    """The account's folder was removed by hand after the kill."""
    first = Scheduling(tmp_path / "first")
    for call in range(1000):
        world = first.copy(tmp_path / str(call))
        assert killed_in(call, partial(world.run, partial(make, what="a map")))
        if '"pending"' in (log.read_text() if (log := world.state / "audit" / f"{ACME}.log").exists() else ""):
            break
    shutil.rmtree(world.folder / "accounts" / "acme")
    world.run(nothing)
    assert [line for line in world.lines if f"{world.folder}/accounts/acme/maps: gone" in line]
    assert [one["outcome"] for one in entries(world, "a map")] == ["refused"]
    world.lines.clear()
    world.run(nothing)
    assert [line for line in world.lines if "gone" in line or "journal" in line] == []


def test_versions_of_changes_at_once_stand_in_their_order(world: Scheduling) -> None:
    """A change's evidence is kept after the versions of the changes before it, and each version once."""
    world.config.write_text(f"{SETTINGS}data: accounts\naudit: required\n")
    edits = [MapChange(description=f"edit {number}") for number in range(12)]

    async def all_at_once(life: Life) -> None:
        actor = Actor(world.alice, "192.0.2.7")
        changes = [
            life.service.change(actor, "map.edit", lambda draft, one=one: edit_map(draft, ACME, SHOP, one))
            for one in edits
        ]
        await asyncio.gather(*changes)

    world.run(all_at_once)
    history = History(world.state)
    versions = history.versions(SHOP)[::-1]
    assert [one.action for one in versions] == [BY_HAND, *["map.edit"] * len(edits)]
    said = [found[1] for one in versions[1:] if (found := history.text(SHOP, one.version))]
    assert [f"edit {number}" in text for number, text in enumerate(said)] == [True] * len(edits)
