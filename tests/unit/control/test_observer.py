"""Observed routes under the brake: each author's new withdrawals are judged by themselves, also over restarts."""

from __future__ import annotations

import json
from ipaddress import ip_network
from pathlib import Path

import pytest

from dnsd.manage.refusal import RefusedError
from dnsd.model.fields import IPNetwork
from dnsd.model.observed import FeedFields
from tests.unit.control.scheduling import WWW, Life, Scheduling

TREES = ("ash", "birch", "cedar", "dogwood", "elm")
FILES = {
    name: text
    for number, tree in enumerate(TREES)
    for name, text in {
        f"{tree}/account.yaml": f"withdrawn: skip\nprefixes: [{{cidr: 10.{number}.0.0/16, approved: V}}]\n",
        f"{tree}/maps/m.yaml": f"enabled: true\nips: [10.{number}.1.1, 10.{number}.2.1]\n"
        f"memberships: [{{kind: account, identifier: {tree}}}]\n",
        f"{tree}/zones/{tree}.example.yaml": WWW,
    }.items()
}
BRAKE = "reload: {brake: {accounts: 2, accounts_percent: 0}}\nadvertisement: {file: routes.json}\n"


@pytest.fixture
def world(tmp_path: Path) -> Scheduling:
    made = Scheduling(tmp_path, FILES)
    made.config.write_text(made.config.read_text() + BRAKE)
    return made


def fields(*trees: str, advertised: bool = False) -> FeedFields:
    routes = [{"cidr": f"10.{TREES.index(tree)}.1.0/24", "advertised": advertised} for tree in trees]
    return FeedFields.model_validate_json(json.dumps({"routes": routes}))


def write(world: Scheduling, *trees: str, advertised: bool = False) -> None:
    """Write the watched file."""
    (world.folder / "routes.json").write_text(fields(*trees, advertised=advertised).model_dump_json())


async def look(life: Life) -> None:
    """One look of the clock."""
    life.control.current.routes.read_file(life.world.folder / "routes.json")
    await life.control.observer._apply(life.control.observer.observed, None)


def skipping(life: Life) -> list[str]:
    """The accounts that leave an address out of their answers."""
    assert life.control.current.loaded
    snapshot = life.control.current.loaded.snapshot
    zones = {built.zone.name_text: built.zone for built in snapshot.zones.values()}
    found = {tree: zones[f"{tree}.example"] for tree in TREES}
    return [tree for tree, zone in found.items() if len(snapshot.addresses(zone.id, zone.account_id).ips) == 1]


def withdrawn(life: Life) -> set[IPNetwork]:
    assert life.control.current.loaded
    return {network for network, state in life.control.current.loaded.observed.states.items() if not state}


async def wait_with_three(life: Life) -> None:
    """The file withdraws one account's route, then those of three more, which wait."""
    write(life.world, "ash")
    await look(life)
    write(life.world, "ash", "birch", "cedar", "dogwood")
    await look(life)
    assert skipping(life) == ["ash"]
    assert "4 accounts" in life.control.observer.waiting


def test_a_tokens_feed_leaves_withdrawals_of_the_file_waiting(world: Scheduling) -> None:
    async def feed(life: Life) -> None:
        await wait_with_three(life)
        robot = world.token("robot")
        await life.control.observer.feed(robot, fields("elm"))  # counts one account, not five
        assert skipping(life) == ["ash", "elm"]
        assert "4 accounts" in life.control.observer.waiting
        await life.control.observer.feed(robot, fields("birch"))  # its own word, about a route of the file, too
        assert skipping(life) == ["ash", "birch", "elm"]
        with pytest.raises(RefusedError, match="3 accounts"):
            await life.control.observer.feed(robot, fields("cedar"))
        await look(life)
        assert skipping(life) == ["ash", "birch", "elm"]

    world.run(feed)


def test_a_tokens_feed_is_judged_for_the_token_only(world: Scheduling) -> None:
    """A small feed while the file waits moves nothing on the file's account, and the file's stay refused."""

    async def feed(life: Life) -> None:
        write(life.world, "birch", "cedar", "dogwood")
        await look(life)
        await life.control.observer.feed(world.token("robot"), fields("ash", advertised=True))
        assert skipping(life) == []
        book = life.control.brake.book
        assert not [window for window in book.windows.values() if window.accounts]

    world.run(feed)


@pytest.mark.parametrize("between", ["nothing", "a feed"])
def test_a_restart_leaves_withdrawals_of_the_file_waiting(world: Scheduling, between: str) -> None:
    async def feed(life: Life) -> None:
        await wait_with_three(life)
        if between == "a feed":
            await life.control.observer.feed(world.token("robot"), fields("elm"))

    async def again(life: Life) -> list[str]:
        found = skipping(life)
        await look(life)
        assert skipping(life) == found
        assert "4 accounts" in life.control.observer.waiting
        return found

    world.run(feed)
    assert world.run(again) == (["ash", "elm"] if between == "a feed" else ["ash"])


def test_a_first_start_takes_the_file_as_it_is_and_a_restart_keeps_it(world: Scheduling) -> None:
    async def served(life: Life) -> list[str]:
        await look(life)
        return skipping(life)

    write(world, *TREES[:4])
    assert world.run(served) == [*TREES[:4]]
    assert world.run(served) == [*TREES[:4]]


def test_a_file_that_was_not_served_waits_for_judgement_after_the_first_start(world: Scheduling) -> None:
    async def served(life: Life) -> list[str]:
        await look(life)
        return skipping(life)

    assert world.run(served) == []
    write(world, *TREES)
    assert world.run(served) == []


def test_a_feed_before_the_files_can_be_used_counts_once_they_can(world: Scheduling) -> None:
    async def feed(life: Life) -> None:
        life.control.current.loaded = None
        await life.control.observer.feed(world.token("robot"), fields("ash"))
        write(world, "birch", "cedar", "dogwood")
        await look(life)
        routes = life.control.current.routes.routes(life.control.observer.max_age)
        assert [*routes.states] == [ip_network("10.0.1.0/24")]

    world.run(feed)
