"""Loads while the guard has refused or held files: at starts, of edits that wait, and for changes on request."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from dnsd.app import Loaded
from dnsd.control import folder_store
from dnsd.control.attempt import Attempt
from dnsd.control.commands import reply
from dnsd.control.guarded import Force, UnsettledError
from dnsd.manage.change import Make
from dnsd.manage.draft import Draft
from dnsd.manage.maps import delete_map, edit_map
from dnsd.manage.refusal import Reason, RefusedError
from dnsd.manage.zones import delete_zone
from dnsd.process.link import MessageKind
from dnsd.store import text_file
from dnsd.store.directory import FileKind
from tests.unit.control.scheduling import ACME, WWW, Life, Scheduling

NUMBERS = {"acme": 113, "globex": 114, "hooli": 115}
FILES = {
    name: text
    for account, number in NUMBERS.items()
    for name, text in {
        f"{account}/account.yaml": f"prefixes: [{{cidr: 203.0.{number}.0/24, approved: V}}]\n",
        f"{account}/maps/all.yaml": f"enabled: true\nips: [203.0.{number}.1]\n"
        f"memberships: [{{kind: account, identifier: {account}}}]\n",
        f"{account}/zones/{account}.example.yaml": WWW,
    }.items()
}


@pytest.fixture
def world(tmp_path: Path) -> Scheduling:
    return Scheduling(tmp_path, FILES)


def test_digests_of_a_changed_file_are_computed_once(world: Scheduling, monkeypatch: pytest.MonkeyPatch) -> None:
    """A change over the API needs none: the status of the file says that nobody edited it, and then the server did."""
    zone, address_map, read = "acme/zones/acme.example.yaml", "hooli/maps/all.yaml", list[str]()
    for name in (zone, address_map):
        os.utime(world.folder / "accounts" / name, (1_700_000_000, 1_700_000_000))

    def note(path: str, name: str) -> None:
        if path.endswith((zone, address_map)):
            read.append(name)

    def counted(name: str) -> None:
        work = getattr(text_file, name)
        monkeypatch.setattr(text_file, name, lambda path, *rest: note(str(path), name) or work(path, *rest))

    def is_trusted(life: Life) -> bool:
        seen = life.control.current.seen
        return bool(seen and seen.files and all(file.stamp for file in seen.files.files))

    async def until_trusted(life: Life) -> None:
        while not is_trusted(life):  # a file that was just made is read again: another edit may leave its status as is
            assert not await life.control.loader.load_change()

    async def changed(life: Life) -> None:
        await until_trusted(life)
        for name in ("_pieces", "_blocks_again"):
            counted(name)
        world.write(zone, f"{WWW}- {{name: new, type: A, content: 192.0.2.9}}\n")
        await asyncio.sleep(0.05)  # until watching reports it
        assert await life.control.loader.load_change()
        assert sorted(read) in (["_blocks_again", "_pieces"], ["_blocks_again", "_blocks_again", "_pieces"])
        await until_trusted(life)
        read.clear()
        assert not await life.control.loader.load_change()
        await life.control.changes.change(with_description)
        await asyncio.sleep(0.05)
        for _ in range(2):
            assert not await life.control.loader.load_change()
            assert read == ["_blocks_again"]  # the text to edit

    monkeypatch.setattr(text_file, "MAX_KEPT", 10)
    world.run(changed)


def disable(world: Scheduling, *accounts: str) -> None:
    for account in accounts:
        name = f"{account}/maps/all.yaml"
        world.write(name, world.read(name).replace("enabled: true", "enabled: false"))


def with_description(loaded: Loaded) -> tuple[None, Draft]:
    draft = Draft(loaded, datetime.now(UTC), by_operator=True)
    draft.write("hooli/maps/all", FileKind.MAP, {**draft.document("hooli/maps/all"), "description": "x"})
    return None, draft


def without_zone(loaded: Loaded) -> tuple[None, Draft]:
    draft = Draft(loaded, datetime.now(UTC), by_operator=True)
    delete_zone(draft, next(zone.id for zone in loaded.dataset.zones.values() if zone.key == "acme/zones/acme.example"))
    return None, draft


def without_map(loaded: Loaded) -> tuple[None, Draft]:
    draft = Draft(loaded, datetime.now(UTC), by_operator=True)
    delete_map(draft, ACME, map_id(loaded))
    return None, draft


def with_sni(loaded: Loaded) -> tuple[None, Draft]:
    draft = Draft(loaded, datetime.now(UTC), by_operator=True)
    edit_map(draft, ACME, map_id(loaded), {"default_sni": "www.acme.example"})
    return None, draft


def map_id(loaded: Loaded) -> str:
    return next((one.id for one in loaded.dataset.maps.values() if one.account_id == ACME), "")


def test_a_start_with_files_in_error_serves_the_version_that_they_are_judged_against(world: Scheduling) -> None:
    async def refuse(life: Life) -> None:
        await life.control.current.keep_first_good()
        disable(world, *NUMBERS)
        assert (await life.control.loader.reload()).by_guard

    async def served(life: Life) -> bool:
        assert not life.control.loader.last.ok
        assert life.control.current.loaded
        return any(life.control.current.loaded.snapshot.by_account.values())

    world.run(refuse)
    world.config.write_text(world.config.read_text() + "on_error: refuse\n")
    world.write("acme/maps/all.yaml", "enabled: maybe\n")
    assert world.run(served)
    assert "the last good version is served until the files are fixed" in world.lines


def test_a_start_judges_accounts_that_wait_while_another_was_forced(world: Scheduling) -> None:
    async def force_one(life: Life) -> None:
        await life.control.current.keep_first_good()
        disable(world, *NUMBERS)
        assert (await life.control.loader.reload()).by_guard
        assert (await life.control.loader.reload(force=Force("acme"))).held == ("globex", "hooli")

    async def is_refused(life: Life) -> bool:
        return life.control.loader.last.by_guard

    world.run(force_one)
    assert world.run(is_refused)


@pytest.mark.slow
def test_an_account_still_waits_once_refused_edits_are_undone(world: Scheduling) -> None:
    async def is_waiting(life: Life) -> bool:
        name = "acme/maps/all.yaml"
        world.write(name, world.read(name).replace("203.0.113.1", ""))
        assert await life.control.loader.load_change()
        assert life.control.loader.last.held == ("acme",)
        disable(world, "globex", "hooli")
        assert not await life.control.loader.load_change()
        for account in ("globex", "hooli"):
            world.write(f"{account}/maps/all.yaml", FILES[f"{account}/maps/all.yaml"])
        await life.control.loader.load_change()
        assert life.control.loader.last.held == ("acme",)
        return life.control.brake.book.is_refused

    assert world.run(is_waiting)


def test_a_release_by_files_that_were_not_still_is_not_lost(world: Scheduling, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder_store, "STILL_S", 0.1)

    async def release(life: Life) -> tuple[str, ...]:
        world.write("globex/zones/acme.example.yaml", WWW)  # acme has it
        disable(world, "globex")
        assert await life.control.loader.load_change()
        assert life.control.loader.last.held == ("globex",)
        await life.control.changes.change(without_zone)
        assert await life.control.loader.load_change()
        return life.control.loader.last.held

    assert world.run(release) == ()


def test_a_change_on_request_meets_files_that_the_guard_refuses(world: Scheduling) -> None:
    async def change(life: Life) -> None:
        disable(world, *NUMBERS)
        await life.control.changes.change(with_description)

    assert refusal(world, change) == "a file was edited, and waits for the server's operator"


def test_a_change_on_request_meets_files_that_are_not_still(world: Scheduling, monkeypatch: pytest.MonkeyPatch) -> None:
    async def catch_up() -> None:
        raise UnsettledError

    async def change(life: Life) -> None:
        disable(world, "hooli")
        monkeypatch.setattr(life.control.loader, "catch_up", catch_up)
        await life.control.changes.change(with_description)

    assert "nothing was written: try again" in refusal(world, change)


@pytest.mark.parametrize("make", [with_sni, without_map])
def test_a_change_on_request_meets_a_folder_that_was_moved_away(
    world: Scheduling, make: Make[None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folder_store, "STILL_S", 0.1)

    async def change(life: Life) -> None:
        (world.folder / "accounts/acme/maps").rename(world.folder / "away")
        with pytest.raises(RefusedError, match="not_found"):
            await life.control.changes.change(make)
        loaded = life.control.current.loaded
        assert loaded
        assert "acme/maps/all" not in loaded.stored.maps

    disable(world, "acme")
    world.run(change)
    assert not world.read("acme/maps/all.yaml")


def test_a_reload_reports_its_own_revision(world: Scheduling) -> None:
    """The watch may publish a newer one, which some workers do not serve yet."""

    async def reload(life: Life) -> dict[str, Any]:
        loader, publisher = life.control.loader, life.control.publisher
        usual = loader.reload

        async def and_more(*, force: Force | None = None) -> Attempt:
            attempt = await usual(force=force)
            disable(world, "globex")
            assert (await usual()).revision == attempt.revision + 1
            publisher.late = lambda revision: ["worker-0"] if revision > attempt.revision else []  # type: ignore[method-assign]
            return attempt

        disable(world, "acme")
        loader.reload = and_more  # type: ignore[method-assign]
        return await reply(life.control, MessageKind.RELOAD, b'{"force": false}')

    found = world.run(reload)
    assert (found["ok"], found["revision"], found["served"], found["late"]) == (True, 2, 2, [])


def refusal(world: Scheduling, work: Callable[[Life], Awaitable[None]]) -> str:
    with pytest.raises(RefusedError) as caught:
        world.run(work)
    assert [one.reason for one in caught.value.faults] == [Reason.NOT_WRITABLE]
    return str(caught.value)
