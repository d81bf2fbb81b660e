"""Plain edits of README's files and of config/: taken, held or refused, for one account, for many, and alone.

What one person says plainly about one account is done; what looks like an accident, or concerns many, needs a word.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import yaml

from dnsd.app import Loaded, load
from dnsd.control.current import Current
from dnsd.control.guarded import Force, GuardedLoad, GuardRefusedError
from dnsd.manage.brake import Book
from dnsd.model.sightings import NEVER_SEEN
from dnsd.source import read_source
from tests.worlds import as_yaml

ROOT = Path(__file__).parents[3]
README = re.findall(r"^```yaml\n# (\S+)\n(.*?)^```$", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
FOUR = ("quarry", "ranch", "sawmill", "tannery")
MORE = 12  # further proxied names, where an edit of few looks different


class Server:
    """A configuration folder, and the outcome of a reload of it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.before: Loaded

    def start(self) -> Server:
        self.before = load(self.root / "dnsd.yaml", {})
        return self

    def path(self, name: str) -> Path:
        return self.root / "accounts" / name

    def edit(self, name: str, old: str, new: str) -> None:
        """Edit a text, as a person does."""
        text = self.path(name).read_text()
        assert old in text, (name, old)
        self.path(name).write_text(text.replace(old, new))

    def write(self, name: str, text: str) -> None:
        self.path(name).parent.mkdir(parents=True, exist_ok=True)
        self.path(name).write_text(text)

    def remove(self, name: str) -> None:
        path = self.path(name)
        shutil.rmtree(path) if path.is_dir() else path.unlink()

    def outcome(self, *, force: bool = False) -> str:
        """`taken`, `held: ACCOUNTS` or `refused`."""
        found = SimpleNamespace(
            good_files=lambda: self.before.files,
            good_policies=lambda: None,
            other_processes=list,
            times=SimpleNamespace(load=lambda: NEVER_SEEN),
        )
        guarded = GuardedLoad(self.root / "dnsd.yaml", cast(Current, found))
        source = read_source(self.root / "dnsd.yaml", {}, previous=self.before.source)
        try:
            loaded = guarded.next(source, self.before, Book(), force=Force() if force else None).loaded
        except GuardRefusedError as error:
            return "refused" if "dnsd reload --force" in str(error) else "refused without a remedy"
        return f"held: {', '.join(loaded.held)}" if loaded.held else "taken"


# config/, whose comments suggest some of these edits

CONFIG: dict[str, tuple[Callable[[Server], Any], str, str]] = {  # edit, outcome, and with --force
    "a comment": (lambda s: s.edit("acme/account.yaml", "name: Acme", "name: Acme  # Ltd"), "taken", "taken"),
    "a new name of the account": (lambda s: s.edit("acme/account.yaml", "name: Acme", "name: A"), "taken", "taken"),
    "the prepared move": (
        lambda s: s.edit("acme/maps/blue-green.yaml", "enabled: false", "enabled: true"),
        "taken",
        "taken",
    ),
    "one of two maps disabled": (lambda s: disable(s, "acme/maps/shop"), "taken", "taken"),
    "all maps of an account disabled": (
        lambda s: [disable(s, f"acme/maps/{name}") for name in ("shop", "company")],
        "taken",
        "taken",
    ),
    "all maps of an account removed": (lambda s: s.remove("acme/maps"), "taken", "taken"),
    "a map emptied": (lambda s: empty(s, "acme/maps/shop"), "held: acme", "taken"),
    "a map of one family gets the other": (
        lambda s: s.edit("globex/maps/downloads.yaml", "[192.0.2.211]", '[192.0.2.211, "2001:db8:100:1::71"]'),
        "taken",
        "taken",
    ),
    "an address of a pending prefix": (
        lambda s: s.edit("acme/maps/shop.yaml", "2001:db8:100::10", "2001:db8:200::10"),
        "held: acme",
        "held: acme",
    ),
    "a part of a prefix taken back in use": (
        lambda s: s.edit("acme/account.yaml", "203.0.113.64/26", "203.0.113.128/26"),
        "held: acme",
        "held: acme",
    ),
    "a static IP taken back in use": (
        lambda s: s.edit("acme/account.yaml", "static_ips: [192.0.2.200]", "static_ips: []"),
        "held: acme",
        "held: acme",
    ),
    "a record's typing error": (
        lambda s: s.edit("acme/zones/example.com.yaml", "proxied: true", "proxyed: true"),
        "held: acme",
        "held: acme",
    ),
    "a new zone": (lambda s: s.write("acme/zones/new.example.yaml", "records: []\n"), "taken", "taken"),
    "a new account": (lambda s: s.write("umbrella/account.yaml", "name: Umbrella\n"), "taken", "taken"),
    "a zone removed": (lambda s: s.remove("acme/zones/example.net.yaml"), "taken", "taken"),
    "a zone paused": (
        lambda s: s.path("globex/zones/example.org.yaml").write_text(
            "paused: true\n" + s.path("globex/zones/example.org.yaml").read_text()
        ),
        "taken",
        "taken",
    ),
    "an account answered as stored": (
        lambda s: s.edit("acme/account.yaml", "name: Acme", "name: Acme\nsettings: {enforce_dns_only: true}"),
        "taken",
        "taken",
    ),
    "other addresses of the pool": (lambda s: settings(s, default_addresses=["198.51.100.99"]), "taken", "taken"),
    "another answer to a missing family": (lambda s: settings(s, missing_family="fallback"), "taken", "taken"),
    "the immutable map disabled": (lambda s: disable(s, "initech/maps/fallback"), "held: initech", "held: initech"),
    "the immutable map removed": (lambda s: s.remove("initech/maps"), "held: initech", "held: initech"),
    "the immutable map emptied": (lambda s: empty(s, "initech/maps/fallback"), "held: initech", "held: initech"),
    "the immutable map renamed": (
        lambda s: s.path("initech/maps/fallback.yaml").rename(s.path("initech/maps/base.yaml")),
        "taken",
        "taken",
    ),
    "the immutable map's addresses": (
        lambda s: s.edit("initech/maps/fallback.yaml", "[192.0.2.220, ", "["),
        "taken",
        "taken",
    ),
    "the key of the pool removed": (lambda s: s.edit("initech/account.yaml", "pool: never\n", ""), "taken", "taken"),
    "the pool allowed, the immutable map removed": (
        lambda s: [s.edit("initech/account.yaml", "pool: never", "pool: allowed"), s.remove("initech/maps")],
        "taken",
        "taken",
    ),
    "the barred account's folder removed": (lambda s: s.remove("initech"), "held: initech", "taken"),
    "the maps of all accounts removed": (
        lambda s: [s.remove(f"{account}/maps") for account in ("acme", "globex", "initech")],
        "refused",
        "held: initech",
    ),
    "the maps of all accounts disabled": (
        lambda s: [disable(s, str(p.relative_to(s.path("")))[:-5]) for p in s.path("").glob("*/maps/*.yaml")],
        "refused",
        "held: initech",
    ),
    "a map that exports no longer mention": (lambda s: s.remove("globex/maps/edge.yaml"), "taken", "taken"),
}


def disable(server: Server, key: str) -> None:
    text = server.path(f"{key}.yaml").read_text()
    server.write(f"{key}.yaml", text.replace("enabled: true", "enabled: false"))


def empty(server: Server, key: str) -> None:
    server.write(f"{key}.yaml", re.sub(r"ips: \[.*?\]", "ips: []", server.path(f"{key}.yaml").read_text()))


def settings(server: Server, **fields: Any) -> None:
    file = server.root / "dnsd.yaml"
    file.write_text(as_yaml({**yaml.safe_load(file.read_text()), **fields}))


@pytest.fixture
def config(tmp_path: Path) -> Server:
    shutil.copytree(ROOT / "config", tmp_path / "config", ignore=shutil.ignore_patterns("state"))
    return Server(tmp_path / "config").start()


@pytest.mark.parametrize(("edit", "plain", "forced"), CONFIG.values(), ids=CONFIG.keys())
def test_edit_of_the_sample_configuration(
    config: Server, edit: Callable[[Server], Any], plain: str, forced: str
) -> None:
    edit(config)
    assert config.outcome() == plain
    assert config.outcome(force=True) == forced


# README's files: of one account alone, and of four


def readme_files(account: str, number: int) -> dict[str, str]:
    """README's files for another account: a zone and addresses of its own, and as many names of each kind."""
    texts = {}
    named = partial(re.sub, r"acme|example\.com", lambda found: account if found[0] == "acme" else f"{account}.example")
    for name, text in README:
        if name.startswith("accounts/acme/"):
            own = named(text).replace("203.0.113.", f"203.0.{number}.").replace("192.0.2.200", f"192.0.2.20{number}")
            texts[named(name.removeprefix("accounts/"))] = own.replace("2001:db8:100:", f"2001:db8:10{number}:")
    return texts


def more_names(server: Server, account: str) -> None:
    """Add proxied names to an account, so that most of them look like a whole export."""
    lines = "".join(f"  - {{name: n{n}, type: A, content: 192.0.2.{n}, proxied: true}}\n" for n in range(MORE))
    server.edit(f"{account}/zones/{account}.example.yaml", "records:\n", f"records:\n{lines}")


def made(root: Path, accounts: tuple[str, ...], *, is_long: bool) -> Server:
    server = Server(root)
    (settings_text,) = [text for name, text in README if name == "dnsd.yaml"]
    (root / "dnsd.yaml").write_text(settings_text)
    for number, account in enumerate(accounts, 1):
        for name, text in readme_files(account, number).items():
            server.write(name, text)
        if is_long:
            more_names(server, account)
    return server.start()


def one_off(server: Server, account: str) -> None:
    server.edit(f"{account}/zones/{account}.example.yaml", "192.0.2.1, proxied: true", "192.0.2.1")


def all_off(server: Server, account: str) -> None:
    server.edit(f"{account}/zones/{account}.example.yaml", ", proxied: true", "")


def without_zone(server: Server, account: str) -> None:
    """Remove the zone, and its membership: else the map would be in error."""
    server.edit(f"{account}/maps/shop.yaml", f"zone, identifier: {account}.example", f"account, identifier: {account}")
    server.remove(f"{account}/zones/{account}.example.yaml")


MAP = "{0}/maps/shop"
Edit = Callable[[Server, str], None]
# An edit, whether accounts have many names, and the outcome: on a server alone, for one of four, and for three of four.
EDITS: dict[str, tuple[Edit, bool, tuple[str, str, str]]] = {
    "the only map disabled": (lambda s, a: disable(s, MAP.format(a)), False, ("taken", "taken", "refused")),
    "its file removed": (lambda s, a: s.remove(f"{MAP.format(a)}.yaml"), False, ("taken", "taken", "refused")),
    "its folder removed": (lambda s, a: s.remove(f"{a}/maps"), False, ("taken", "taken", "refused")),
    "its addresses emptied": (lambda s, a: empty(s, MAP.format(a)), False, ("held", "held", "refused")),
    "its addresses changed": (
        lambda s, a: s.edit(f"{MAP.format(a)}.yaml", ".11", ".12"),
        False,
        ("taken", "taken", "refused"),
    ),
    "the only zone removed": (without_zone, False, ("held", "taken", "refused")),
    "one proxied off": (one_off, False, ("taken", "taken", "refused")),
    "all of few proxied off": (all_off, False, ("taken", "taken", "refused")),
    "all of many proxied off": (all_off, True, ("held", "held", "refused")),
    "one of many proxied off": (one_off, True, ("taken", "taken", "refused")),
    "the account removed": (lambda s, a: s.remove(a), False, ("held", "taken", "refused")),
}


@pytest.mark.parametrize(("edit", "is_long", "expected"), EDITS.values(), ids=EDITS.keys())
def test_edit_of_the_readmes_files(tmp_path: Path, edit: Edit, is_long: bool, expected: tuple[str, str, str]) -> None:
    outcomes = []
    for name, accounts, edited in (("alone", FOUR[:1], 1), ("one", FOUR, 1), ("many", FOUR, 3)):
        (tmp_path / name).mkdir()
        server = made(tmp_path / name, accounts, is_long=is_long)
        for account in accounts[:edited]:
            edit(server, account)
        outcome = server.outcome()
        assert server.outcome(force=True) == "taken"
        if outcome.startswith("held"):
            assert outcome == f"held: {', '.join(accounts[:edited])}"
        outcomes.append(outcome.partition(":")[0])
    assert tuple(outcomes) == expected
