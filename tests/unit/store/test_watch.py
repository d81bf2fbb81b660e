"""Events that wake the watcher: real files, renames and links."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from dnsd.store import watch as watching
from dnsd.store.watch import Watch, watched_folders
from tests.limits import HANG_S

QUIET_S = 0.3

Change = Callable[[Path], object]


@pytest.fixture(name="config")
def _config(tmp_path: Path) -> Path:
    folder = tmp_path / "etc"
    make_account(folder / "accounts/acme")
    (folder / "dnsd.yaml").write_text("default_addresses: [198.51.100.10]\n")
    return folder / "dnsd.yaml"


def make_account(folder: Path) -> None:
    (folder / "maps").mkdir(parents=True)
    (folder / "zones").mkdir()
    (folder / "account.yaml").write_text("name: Acme\n")
    (folder / "maps/shop.yaml").write_text("ips: []\n")
    (folder / "zones/example.com.yaml").write_text("records: []\n")


@pytest.fixture(name="watch")
def _watch(config: Path) -> Watch:
    return Watch(lambda: watched_folders(config, config.parent / "accounts"))


def save_in_place(folder: Path) -> None:
    (folder / "accounts/acme/maps/shop.yaml").write_text("ips: [203.0.113.10]\n")


def save_by_rename(folder: Path) -> None:
    file = folder / "accounts/acme/maps/shop.yaml"
    (file.parent / ".shop.yaml.swp").write_text("ips: [203.0.113.10]\n")
    file.rename(file.parent / "shop.yaml~")
    (file.parent / ".shop.yaml.swp").rename(file)


def rename_account(folder: Path) -> None:
    (folder / "accounts/acme").rename(folder / "acme.away")


def add_account(folder: Path) -> None:
    make_account(folder / "accounts/globex")


def add_zones_folder(folder: Path) -> None:
    (folder / "accounts/acme/zones").rename(folder / "zones.away")


def edit_settings(folder: Path) -> None:
    (folder / "dnsd.yaml").write_text("default_addresses: [198.51.100.11]\n")


def remove_zone(folder: Path) -> None:
    (folder / "accounts/acme/zones/example.com.yaml").unlink()


CHANGES: list[Change] = [
    save_in_place,
    save_by_rename,
    rename_account,
    add_account,
    add_zones_folder,
    edit_settings,
    remove_zone,
]


@pytest.mark.parametrize("change", CHANGES)
def test_change_is_seen(change: Change, config: Path, watch: Watch) -> None:
    assert watch.problem is None
    change(config.parent)
    assert watch.wait(HANG_S)


def test_reading_is_no_change(config: Path, watch: Watch) -> None:
    for file in config.parent.rglob("*"):
        if file.is_file():
            file.read_text()
    watched_folders(config, config.parent / "accounts")
    assert not watch.wait(QUIET_S)


def test_restored_account_is_watched(config: Path, watch: Watch) -> None:
    account = config.parent / "accounts/acme"
    account.rename(config.parent / "away")
    assert watch.wait(HANG_S)
    (config.parent / "away").rename(account)
    assert watch.wait(HANG_S)
    assert not watch.wait(QUIET_S)
    save_in_place(config.parent)
    assert watch.wait(HANG_S)


def test_folder_of_another_account_by_the_same_name_is_watched(config: Path, watch: Watch) -> None:
    make_account(config.parent / "accounts/.new")
    assert watch.wait(HANG_S)
    (config.parent / "accounts/acme").rename(config.parent / "old")
    (config.parent / "accounts/.new").rename(config.parent / "accounts/acme")
    assert watch.wait(HANG_S)
    assert not watch.wait(QUIET_S)
    save_in_place(config.parent)
    assert watch.wait(HANG_S)


def test_folder_with_a_reused_inode_is_watched(config: Path, watch: Watch) -> None:
    zones = config.parent / "accounts/acme/zones"
    (zones / "example.com.yaml").unlink()
    zones.rmdir()
    zones.mkdir()
    assert watch.wait(HANG_S)
    (zones / "example.com.yaml").write_text("records: []\n")
    assert watch.wait(HANG_S)


def test_new_account_is_watched_before_wait_returns(config: Path, watch: Watch) -> None:
    add_account(config.parent)
    assert watch.wait(HANG_S)
    (config.parent / "accounts/globex/zones/example.org.yaml").write_text("records: []\n")
    assert watch.wait(HANG_S)


# Links


def test_kubernetes_swaps_a_link(tmp_path: Path) -> None:
    """A mounted ConfigMap: file -> ..data/file, ..data -> ..2026; an update renames another link over ..data."""
    config, maps = tmp_path / "dnsd.yaml", tmp_path / "accounts/acme/maps"
    maps.mkdir(parents=True)
    config.write_text("{}")
    for version in ("..1", "..2"):
        (maps / version).mkdir()
        (maps / version / "shop.yaml").write_text(f"description: {version}\n")
    (maps / "..data").symlink_to("..1")
    (maps / "shop.yaml").symlink_to("..data/shop.yaml")
    watch = Watch(lambda: watched_folders(config, tmp_path / "accounts"))
    (maps / "..data_tmp").symlink_to("..2")
    (maps / "..data_tmp").rename(maps / "..data")
    assert watch.wait(HANG_S)
    assert str(maps / "..2") in watched_folders(config, tmp_path / "accounts")
    (maps / "..2/shop.yaml").write_text("description: in place\n")
    assert watch.wait(HANG_S)


def test_linked_files_and_folders(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    make_account(elsewhere / "account")
    (elsewhere / "file").mkdir()
    (elsewhere / "file/real.yaml").write_text("records: []\n")
    (elsewhere / "dnsd.yaml").write_text("{}")
    etc = tmp_path / "etc"
    (etc / "accounts").mkdir(parents=True)
    (etc / "accounts/acme").symlink_to(elsewhere / "account")
    (elsewhere / "account/zones/example.org.yaml").symlink_to(elsewhere / "file/real.yaml")
    (etc / "dnsd.yaml").symlink_to("../elsewhere/dnsd.yaml")
    watch = Watch(lambda: watched_folders(etc / "dnsd.yaml", etc / "accounts"))
    for file in ("dnsd.yaml", "file/real.yaml", "account/account.yaml", "account/maps/shop.yaml"):
        (elsewhere / file).write_text("# changed\n")
        assert watch.wait(HANG_S), file
    (etc / "other").symlink_to(elsewhere / "account")
    (etc / "other").rename(etc / "accounts/acme")
    assert watch.wait(HANG_S)


def test_folder_behind_a_link_to_a_link(tmp_path: Path) -> None:
    for version in ("v1", "v2"):
        make_account(tmp_path / "opt" / version / "accounts/acme")
    (tmp_path / "run").mkdir()
    (tmp_path / "run/current").symlink_to("../opt/v1")
    (tmp_path / "etc").symlink_to(tmp_path / "run/current")
    watch = Watch(lambda: watched_folders(tmp_path / "etc/dnsd.yaml", tmp_path / "etc/accounts"))
    (tmp_path / "run/next").symlink_to("../opt/v2")
    (tmp_path / "run/next").rename(tmp_path / "run/current")
    assert watch.wait(HANG_S)
    save_in_place(tmp_path / "opt/v2")
    assert watch.wait(HANG_S)


def test_links_in_a_circle_end(tmp_path: Path) -> None:
    (tmp_path / "accounts").symlink_to("accounts")
    (tmp_path / "dnsd.yaml").symlink_to("b")
    (tmp_path / "b").symlink_to("dnsd.yaml")
    assert str(tmp_path) in watched_folders(tmp_path / "dnsd.yaml", tmp_path / "accounts")


# Folders that cannot be watched


def wait_until_retried(watch: Watch) -> None:
    """Wait until the folders are watched again; changes before that went unreported."""
    assert any(watch.wait(0.01) for _ in range(watching.RETRY_AFTER))


def test_missing_folder_is_no_error_and_watched_once_it_is_there(tmp_path: Path) -> None:
    config = tmp_path / "dnsd.yaml"
    data = tmp_path / "a/b/accounts"
    watch = Watch(lambda: watched_folders(config, data))
    assert "cannot watch" in (watch.problem or "")
    make_account(data / "acme")
    wait_until_retried(watch)
    assert watch.problem is None
    assert not watch.wait(QUIET_S)
    save_in_place(tmp_path / "a/b")
    assert watch.wait(HANG_S)


def test_folder_with_a_name_that_is_not_text_does_not_affect_others(config: Path) -> None:
    (config.parent / "accounts" / "w\udcffd").mkdir(parents=True)
    watch = Watch(lambda: watched_folders(config, config.parent / "accounts"))
    assert "w\\udcffd: its name is not UTF-8" in (watch.problem or "")
    save_in_place(config.parent)
    assert watch.wait(HANG_S)


def test_nothing_to_watch(tmp_path: Path) -> None:
    watch = Watch(lambda: [str(tmp_path / "none")])
    start = time.monotonic()
    assert not watch.wait(0.05)
    assert time.monotonic() - start >= 0.05
    assert watch.problem


def test_too_few_watches_mean_scans(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, "OS file watch limit reached")

    real = watching.RustNotify
    monkeypatch.setattr(watching, "RustNotify", refuse)
    watch = Watch(lambda: watched_folders(config, config.parent / "accounts"))
    assert "OS file watch limit reached" in (watch.problem or "")
    assert not watch.wait(0.05)
    monkeypatch.setattr(watching, "RustNotify", real)
    wait_until_retried(watch)
    assert watch.problem is None
    save_in_place(config.parent)
    assert watch.wait(HANG_S)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_unreadable_folder_is_no_error(config: Path) -> None:
    folder = config.parent / "accounts/acme/zones"
    folder.chmod(0)
    assert Watch(lambda: watched_folders(config, config.parent / "accounts")).problem is None
    folder.chmod(0o700)
