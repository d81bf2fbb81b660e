"""The brake of a fleet: what an author moves at any control counts at all of them."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from dnsd.fleet import shared_brake
from dnsd.fleet.root import RootFolder
from dnsd.fleet.shared_brake import SharedBrake
from dnsd.fleet.subjects import BRAKE
from dnsd.manage.brake import UNBOUNDED, AccountBase, Book, Window, ZoneBase
from tests.api.server import WWW
from tests.fleet.edges import FleetSource
from tests.fleet.nats_servers import needs_nats_server
from tests.fleet.servers import NatsServer, connected, control_folder, new_root
from tests.fleet.sharing import SharingControl, begin_state, wait_for
from tests.fleet.test_control import ControlApi

pytestmark = needs_nats_server
NOW, WINDOW_S = 1_000_000.0, 600.0
ACCOUNTS = [f"{number:02x}" * 16 for number in range(1, 6)]
FILES = {
    name: text
    for number, account in enumerate(ACCOUNTS)
    for name, text in {
        f"a{number}/account.yaml": f'id: "{account}"\nstatic_ips: [192.0.2.{number + 10}, 192.0.2.{number + 20}]\n',
        f"a{number}/zones/z{number}.example.yaml": WWW,
        f"a{number}/maps/m.yaml": f'id: "{account[::-1]}"\nenabled: true\nips: [192.0.2.{number + 10}]\n'
        f"memberships: [{{kind: zone, identifier: z{number}.example}}]\n",
    }.items()
}


@pytest.fixture
def root(tmp_path: Path) -> RootFolder:
    return new_root(tmp_path, controls=("c1", "c2"))


@pytest.fixture
def server(root: RootFolder) -> Iterator[NatsServer]:
    with NatsServer(root, root.servers[0]) as server:
        yield server


@pytest.fixture
def two(root: RootFolder, server: NatsServer, tmp_path: Path) -> Iterator[tuple[SharingControl, SharingControl]]:
    begin_state(root)
    with ExitStack() as stack:
        found = [stack.enter_context(SharingControl(root, tmp_path / name, name)).joined() for name in ("c1", "c2")]
        yield found[0], found[1]


def window(**accounts: AccountBase) -> Window:
    return Window(NOW, "job", accounts)


def sent(control: SharingControl, book: Book, now: float = NOW + 1) -> bool:
    work = control.state.brake.send(book, WINDOW_S, now)
    return asyncio.run_coroutine_threadsafe(work, control._loop).result()


def of_others(brake: SharedBrake, now: float = NOW + 1) -> Book:
    return brake.with_others(Book(), WINDOW_S, now)


def test_windows_and_releases_are_those_of_all(two: tuple[SharingControl, SharingControl]) -> None:
    first, second = two
    mine, theirs = Book({"job x.y": window(a=UNBOUNDED)}), Book({"job x.y": window(b=UNBOUNDED)}, {"jub": NOW + 60})
    assert sent(first, mine)
    wait_for(lambda: of_others(second.state.brake) == mine)
    whole = second.state.brake.with_others(theirs, WINDOW_S, NOW + 1)
    assert sent(second, whole)
    assert whole == Book({"job x.y": window(a=UNBOUNDED, b=UNBOUNDED)}, {"jub": NOW + 60})
    wait_for(lambda: of_others(first.state.brake) == whole)
    last = first.state._copy.last
    assert sent(first, whole)
    assert first.state._copy.last == last  # nothing was written
    assert of_others(first.state.brake, NOW + WINDOW_S) == Book({}, {})


def test_a_control_that_was_overtaken_takes_what_others_wrote_first(
    two: tuple[SharingControl, SharingControl], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = two
    assert sent(first, Book({"job": window(a=UNBOUNDED)}))
    wait_for(lambda: bool(second.state.brake.all()))
    monkeypatch.setattr(second.state._copy, "seq", lambda subject: 0)
    assert not sent(second, Book({"job": window(a=UNBOUNDED, b=UNBOUNDED)}))
    monkeypatch.undo()
    assert sent(second, Book({"job": window(a=UNBOUNDED, b=UNBOUNDED)}))


def test_a_window_too_large_counts_its_accounts_until_it_ends(
    two: tuple[SharingControl, SharingControl], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_brake, "MAX_VALUE", 100)
    zones = {f"{number:032x}": ZoneBase(f"{number:032x}", (frozenset(), frozenset())) for number in range(100)}
    assert sent(two[0], Book({"job": window(a=AccountBase(zones), b=AccountBase(zones))}))
    wait_for(lambda: of_others(two[1].state.brake) == Book({"job": window(a=UNBOUNDED, b=UNBOUNDED)}))


def test_a_window_of_very_many_accounts_has_those_that_have_room(
    two: tuple[SharingControl, SharingControl], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_brake, "MAX_VALUE", 2000)
    book = Book({"job": window(**{os.urandom(16).hex(): UNBOUNDED for _ in range(1000)})})
    assert sent(two[0], book)
    wait_for(lambda: bool(of_others(two[1].state.brake).windows))
    assert 10 < len(of_others(two[1].state.brake).windows["job"].accounts) < 1000
    last = two[0].state._copy.last
    assert sent(two[0], book)
    assert two[0].state._copy.last == last  # nothing was written


def test_an_author_counts_again_after_the_time_of_what_was_shared(
    two: tuple[SharingControl, SharingControl], root: RootFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_brake, "LIVES", "1s")
    assert sent(two[0], Book({"job": window(a=UNBOUNDED)}))

    async def is_over() -> bool:
        async with connected(root, control_folder(root)) as client:
            found = await client.ask("$JS.API.STREAM.MSG.GET.DNSD", {"last_by_subj": f"{BRAKE}job"})
            return "error" in found

    wait_for(lambda: asyncio.run(is_over()))
    monkeypatch.undo()
    later = Book({"job": window(a=UNBOUNDED, b=UNBOUNDED)})
    assert any(sent(two[0], later) for _ in range(3))
    wait_for(lambda: of_others(two[1].state.brake) == later)


def test_an_author_at_the_limit_is_refused_at_all_controls(
    root: RootFolder, server: NatsServer, tmp_path: Path
) -> None:
    FleetSource(root, tmp_path).send(dict(FILES))
    brake = "reload: {brake: {accounts: 2, accounts_percent: 0}}\n"
    with ExitStack() as stack:
        found = []
        for name in ("c1", "c2"):
            one = ControlApi(root, tmp_path / name, name)
            one.config.write_text(one.config.read_text() + brake)
            stack.enter_context(one.running())
            found.append(one)
        first, second = found
        job = first.token("--name", "job", *(word for account in ACCOUNTS for word in ("--account", account)))

        def move(api: ControlApi, number: int) -> int:
            path = f"/accounts/{ACCOUNTS[number]}/addressing/address_maps/{ACCOUNTS[number][::-1]}"
            body = {"ips": [f"192.0.2.{number + 20}"]}
            return api.call("PATCH", path, body, token=job).status_code

        assert (move(first, 0), move(second, 1)) == (200, 200)
        for api in found:
            wait_for(lambda api=api: author(api)["accounts"] == 2)  # type: ignore[misc]
        assert (move(first, 2), move(second, 3)) == (400, 400)
        first.result("POST", "/dnsd/brake/release", {"author": "job", "seconds": 600})
        wait_for(lambda: author(second).get("released_until") is not None)
        assert move(second, 4) == 200


def author(api: ControlApi) -> dict[str, object]:
    found: list[dict[str, object]] = api.result("GET", "/dnsd/brake")["authors"]
    return next((one for one in found if one["name"] == "job" or one["released_until"]), {"accounts": 0})
