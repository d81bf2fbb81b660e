"""Loads under the guard: which edits of files are taken, held and refused, for one account and for many."""

from __future__ import annotations

import gc
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from dnsd import source
from dnsd.app import Loaded, load
from dnsd.control.current import Current
from dnsd.control.guarded import Admitted, Force, GuardedLoad, GuardRefusedError, UnsettledError
from dnsd.manage.brake import FILES, Book
from dnsd.model.advertisement import NO_ROUTES
from dnsd.model.sightings import NEVER_SEEN
from dnsd.source import read_source
from dnsd.store.directory import Files
from tests.worlds import as_yaml

ACCOUNTS = ("birch", "cedar", "maple", "oak")
SETTINGS: dict[str, Any] = {"default_addresses": ["198.51.100.10", "2001:db8:f::10"], "reload": {"watch": False}}
NAMES = 12  # proxied names of an account


def records(account: str, *, proxied: int = NAMES) -> str:
    number = ACCOUNTS.index(account)
    return as_yaml(
        {
            "records": [
                {"name": f"n{name}", "type": "A", "content": f"192.0.2.{number}", "proxied": name < proxied}
                for name in range(NAMES)
            ]
            + [{"name": f"d{name}", "type": "A", "content": "192.0.2.9"} for name in range(NAMES)]
        }
    )


def map_of(account: str, *ips: str, **fields: Any) -> str:
    number = ACCOUNTS.index(account)
    member = {"kind": "account", "identifier": account}
    return as_yaml({"enabled": True, "ips": [*ips] or [f"203.0.{number}.10"], "memberships": [member], **fields})


class Folder:
    """A configuration: four accounts, each with a zone of its own and one on its account-wide map."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.config = root / "dnsd.yaml"
        self.settings()
        for account in ACCOUNTS:
            number = ACCOUNTS.index(account)
            self.write(
                account, "account.yaml", as_yaml({"prefixes": [{"cidr": f"203.0.{number}.0/24", "approved": "V"}]})
            )
            self.write(account, "maps/all.yaml", map_of(account))
            self.write(account, f"zones/{account}.example.yaml", records(account))
        self.before = load(self.config, {})

    def settings(self, **fields: Any) -> None:
        self.config.write_text(as_yaml({**SETTINGS, "data": "accounts", **fields}))

    def write(self, account: str, name: str, text: str) -> None:
        file = self.root / "accounts" / account / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def remove(self, account: str, name: str) -> None:
        path = self.root / "accounts" / account / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()

    def next(
        self,
        book: Book | None = None,
        *,
        before: Loaded | None = None,
        force: Force | None = None,
        settled: bool = True,
    ) -> Admitted:
        """The outcome of a reload. Raises GuardRefusedError."""
        before = before or self.before
        source = read_source(self.config, {}, previous=before.source)
        return self.guarded(before).next(source, before, book or Book(), force=force, is_settled=settled)

    def guarded(self, before: Loaded) -> GuardedLoad:
        routes = SimpleNamespace(load=lambda file: None, routes=lambda age: NO_ROUTES)
        times = SimpleNamespace(load=lambda: NEVER_SEEN)
        found = SimpleNamespace(
            good_files=lambda: before.files,
            good_policies=lambda: None,
            other_processes=list,
            times=times,
            routes=routes,
        )
        return GuardedLoad(self.config, cast(Current, found))


@pytest.fixture(name="folder")
def _folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


Edit = Callable[[Folder, str], None]


def without_maps(folder: Folder, account: str) -> None:
    folder.remove(account, "maps")


def disabled(folder: Folder, account: str) -> None:
    folder.write(account, "maps/all.yaml", map_of(account, enabled=False))


def emptied(folder: Folder, account: str) -> None:
    folder.write(account, "maps/all.yaml", map_of(account, ips=[]))


def without_members(folder: Folder, account: str) -> None:
    folder.write(account, "maps/all.yaml", map_of(account, memberships=[]))


def readdressed(folder: Folder, account: str) -> None:
    folder.write(account, "maps/all.yaml", map_of(account, f"203.0.{ACCOUNTS.index(account)}.99"))


def without_tags(folder: Folder, account: str) -> None:
    folder.write(account, f"zones/{account}.example.yaml", records(account, proxied=0))


def one_opened(folder: Folder, account: str) -> None:
    folder.write(account, f"zones/{account}.example.yaml", records(account, proxied=NAMES - 1))


def paused(folder: Folder, account: str) -> None:
    folder.write(account, f"zones/{account}.example.yaml", "paused: true\n" + records(account))


def without_zone(folder: Folder, account: str) -> None:
    folder.remove(account, f"zones/{account}.example.yaml")


def without_account(folder: Folder, account: str) -> None:
    folder.remove(account, ".")


def unreadable(folder: Folder, account: str) -> None:
    folder.write(account, "maps/all.yaml", map_of(account, "203.0.113.999"))


def commented(folder: Folder, account: str) -> None:
    folder.write(account, "maps/all.yaml", "# looked at\n" + map_of(account))


# Edit, the result for one account, and for three of four: "taken", "held" or "refused", and a part of what is said.
EDITS: dict[str, tuple[Edit, tuple[str, str], tuple[str, str]]] = {
    "maps' folder removed": (
        without_maps,
        ("taken", "12 names fall from their maps onto the default pool: birch (12 names)"),
        ("refused", "36 names of 3 accounts would fall from their maps onto the default pool: birch (12 names), cedar"),
    ),
    "map disabled": (
        disabled,
        ("taken", "12 names fall from their maps onto the default pool: birch (12 names)"),
        ("refused", "36 names of 3 accounts would fall from their maps onto the default pool"),
    ),
    "map without members": (
        without_members,
        ("taken", "12 names fall from their maps onto the default pool"),
        ("refused", "36 names of 3 accounts would fall from their maps onto the default pool"),
    ),
    "map emptied": (
        emptied,
        ("held", "would lose its address: disable the map, or remove its file, to switch it off"),
        ("refused", "36 names of 3 accounts would fall from their maps onto the default pool"),
    ),
    "other addresses": (
        readdressed,
        ("taken", ""),
        ("refused", "36 of 48 proxied names would change their addresses; the limit is 30 percent: birch (12 names), "),
    ),
    "export without tags": (
        without_tags,
        ("held", "12 of 12 proxied names of the account would lose `proxied` and go into the open"),
        ("refused", "36 names of 3 accounts would go into the open: "),
    ),
    "one record no longer proxied": (
        one_opened,
        ("taken", "1 name goes into the open: birch (1 name)"),
        ("refused", "3 names of 3 accounts would go into the open: "),
    ),
    "zone paused": (
        paused,
        ("taken", "12 names go into the open: birch (12 names)"),
        ("refused", "36 names of 3 accounts would go into the open: "),
    ),
    "zone removed": (
        without_zone,
        ("taken", ""),
        ("refused", "3 of 4 zones would be removed: "),
    ),
    "account removed": (
        without_account,
        ("taken", ""),
        ("refused", "3 of 4 zones would be removed: "),
    ),
    "file in error": (unreadable, ("held", "is not an IP address"), ("held", "is not an IP address")),
    "comment": (commented, ("taken", ""), ("taken", "")),
}


@pytest.mark.parametrize(("edit", "one", "many"), EDITS.values(), ids=EDITS.keys())
def test_edits(folder: Folder, edit: Edit, one: tuple[str, str], many: tuple[str, str]) -> None:
    edit(folder, "birch")
    check(folder, *one, accounts=["birch"])
    for account in ACCOUNTS[1:3]:
        edit(folder, account)
    check(folder, *many, accounts=[*ACCOUNTS[:3]])


def check(folder: Folder, outcome: str, said: str, *, accounts: list[str]) -> None:
    if outcome == "refused":
        with pytest.raises(GuardRefusedError) as caught:
            folder.next()
        assert said in str(caught.value)
        assert "dnsd reload --force" in str(caught.value)
        return
    admitted = folder.next()
    assert [*admitted.loaded.held] == (accounts if outcome == "held" else [])
    problems = [*admitted.loaded.errors, *admitted.notes]
    assert said in "\n".join(map(str, problems))
    if not said:
        assert problems == []
    if outcome == "held":
        assert answers(admitted.loaded) == answers(folder.before)


def answers(loaded: Loaded) -> Mapping[str, Any]:
    snapshot = loaded.snapshot
    return {
        zone.name_text: snapshot.addresses(zone.id, zone.account_id).ips if loaded.dataset.applies_maps(zone) else None
        for zone in loaded.dataset.zones.values()
    }


def test_only_the_account_with_the_finding_is_held(folder: Folder) -> None:
    emptied(folder, "birch")
    readdressed(folder, "cedar")
    loaded = folder.next().loaded
    assert [*loaded.held] == ["birch"]
    assert [str(ip) for ip in answers(loaded)["cedar.example"]] == ["203.0.1.99"]
    assert answers(loaded)["birch.example"] == answers(folder.before)["birch.example"]


def test_a_share_is_judged_again_without_held_accounts(folder: Folder) -> None:
    """Birch's export would be over the share together with a plain change of another account."""
    for account in ACCOUNTS[1:]:
        folder.write(account, "zones/more.example.yaml".replace("more", f"more-{account}"), records(account))
    before = folder.next().loaded
    without_tags(folder, "birch")
    folder.write("birch", "zones/birch.example.yaml", "records: []\n")
    one_opened(folder, "cedar")
    folder.settings(reload={"watch": False, "max_drop_percent": 5})
    loaded = folder.next(before=before).loaded
    assert [*loaded.held] == ["birch"]


def test_errors_are_held_before_the_guard_judges(folder: Folder) -> None:
    folder.write("birch", "maps/all.yaml", map_of("birch", "203.0.113.999", enabled=False))
    disabled(folder, "cedar")
    admitted = folder.next()
    assert [*admitted.loaded.held] == ["birch"]
    assert "cedar (12 names)" in str(admitted.notes[0])


def test_with_refuse_a_finding_within_one_account_refuses_all(folder: Folder) -> None:
    folder.settings(on_error="refuse")
    emptied(folder, "birch")
    with pytest.raises(GuardRefusedError, match="would lose its address"):
        folder.next()


def test_a_finding_stays_until_the_operators_word(folder: Folder) -> None:
    emptied(folder, "birch")
    first = folder.next().loaded
    second = folder.next(before=first).loaded
    assert [*second.held] == ["birch"]
    assert folder.next(before=second).waits
    forced = folder.next(before=second, force=Force()).loaded
    assert not forced.held
    assert answers(forced)["birch.example"] == forced.snapshot.default.ips


def test_force_takes_everything(folder: Folder) -> None:
    for account in ACCOUNTS:
        without_maps(folder, account)
    admitted = folder.next(force=Force())
    assert not admitted.loaded.held
    assert {*answers(admitted.loaded).values()} == {admitted.loaded.snapshot.default.ips}
    assert "48 names fall from their maps onto the default pool: birch (12 names), cedar" in str(admitted.notes[0])


def test_force_for_one_account_takes_its_changes_alone(folder: Folder) -> None:
    for account in ACCOUNTS:
        without_maps(folder, account)
    admitted = folder.next(force=Force("maple"))
    forced = admitted.loaded
    assert [*forced.held] == ["birch", "cedar", "oak"]
    assert admitted.waits
    before = answers(folder.before)
    assert answers(forced) == {**before, "maple.example": forced.snapshot.default.ips}
    with pytest.raises(GuardRefusedError, match="36 names of 3 accounts"):
        folder.next(before=forced)


def test_force_for_an_account_without_changes_forces_nothing(folder: Folder) -> None:
    readdressed(folder, "birch")
    admitted = folder.next(force=Force("birsh"))
    assert "birsh: no change of this account waits" in str(admitted.notes[0])
    for account in ACCOUNTS:
        without_maps(folder, account)
    with pytest.raises(GuardRefusedError):
        folder.next(force=Force("birsh"))


def test_force_for_one_account_is_not_one_for_all_when_only_the_answers_before_are_known(folder: Folder) -> None:
    for account in ACCOUNTS:
        without_maps(folder, account)
    guarded, source = folder.guarded(folder.before), read_source(folder.config, {})
    with pytest.raises(GuardRefusedError, match="48 names of 4 accounts"):
        guarded.after_snapshot(source, folder.before.snapshot, Book(), force=Force("maple"))
    assert guarded.after_snapshot(source, folder.before.snapshot, Book(), force=Force())


def test_no_guard_with_100_percent_but_the_brake(folder: Folder) -> None:
    folder.settings(reload={"watch": False, "max_drop_percent": 100})
    for account in ACCOUNTS:
        without_maps(folder, account)
    assert not folder.next().loaded.held
    folder.settings(reload={"watch": False, "max_drop_percent": 100, "brake": {"accounts": 3}})
    with pytest.raises(GuardRefusedError, match=r"addresses of 4 accounts within the window; the limit is 3 of 4"):
        folder.next()
    folder.settings(reload={"watch": False, "max_drop_percent": 100, "brake": "off"})
    assert not folder.next().loaded.held


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"default_addresses": ["198.51.100.99"]}, "with default_addresses, 12 names of 1 account change"),
        ({"missing_family": "fallback"}, "with missing_family, 0 names of 0 accounts change"),
    ],
)
def test_settings_of_the_server_count_for_nothing(folder: Folder, settings: dict[str, Any], said: str) -> None:
    disabled(folder, "birch")
    before = folder.next().loaded
    folder.settings(reload={"watch": False, "max_drop_percent": 0, "brake": {"accounts": 1}}, **settings)
    admitted = folder.next(before=before)
    assert said in str(admitted.notes[0])
    assert not admitted.book.windows


def test_a_row_of_reloads_is_stopped_at_the_limit(folder: Folder) -> None:
    folder.settings(reload={"watch": False, "max_drop_percent": 99, "brake": {"accounts": 2}})
    admitted = folder.next()
    for account in ACCOUNTS[:2]:
        readdressed(folder, account)
        admitted = folder.next(admitted.book, before=admitted.loaded)
    readdressed(folder, "maple")
    with pytest.raises(GuardRefusedError) as caught:
        folder.next(admitted.book, before=admitted.loaded)
    assert caught.value.is_overrun
    assert "files would have changed the addresses of 3 accounts within the window" in str(caught.value)
    assert "the limit is 2 of 4 accounts, 2 so far; the window ends in 10 min" in str(caught.value)
    assert "dnsd brake release files" in str(caught.value)
    assert [one.account for one in caught.value.waiting] == ["maple"]
    folder.write("birch", "maps/all.yaml", map_of("birch"))  # back towards the beginning of the window
    admitted = folder.next(admitted.book, before=admitted.loaded)
    assert [str(ip) for ip in answers(admitted.loaded)["maple.example"]] == ["203.0.2.99"]
    released = admitted.book.released_for(FILES.key, 60, 2_000_000_000)
    readdressed(folder, "birch")
    folder.next(released, before=admitted.loaded)


def test_names_leave_their_map_only_by_files_that_are_still(folder: Folder) -> None:
    readdressed(folder, "birch")
    admitted = folder.next(settled=False)
    without_zone(folder, "birch")
    with pytest.raises(UnsettledError):
        folder.next(before=admitted.loaded, settled=False)
    folder.next(before=admitted.loaded)


def test_no_garbage_is_looked_for_while_files_are_read(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    is_looked_for: list[bool] = []
    read_files = source.read_files

    def noted(*of: Any, **rest: Any) -> Files:
        is_looked_for.append(gc.isenabled())
        return read_files(*of, **rest)

    monkeypatch.setattr(source, "read_files", noted)
    read_source(folder.config, {})
    assert is_looked_for == [False]
    assert gc.isenabled()
