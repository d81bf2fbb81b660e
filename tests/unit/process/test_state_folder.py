"""The state folder: root follows no link in it and hands over only its own files; each server has its own address."""

from __future__ import annotations

import os
import pathlib

import pytest

from dnsd.log import Log
from dnsd.process.privileges import ServerUser
from dnsd.process.state import LOCK_FILE, make_folder, read_address, take_state
from dnsd.serve.start import STATE_FILES


def test_root_follows_no_link_in_a_folder_of_a_user(tmp_path: pathlib.Path) -> None:
    folder, secret = tmp_path / "state", tmp_path / "secret"
    folder.mkdir()
    secret.write_text("secret")
    for name in (LOCK_FILE, "snapshot"):
        (folder / name).symlink_to(secret)
    before = secret.stat()
    make_folder(folder, ServerUser("nobody", os.getuid(), os.getgid()), STATE_FILES)
    state = take_state(folder, Log())
    try:
        assert state.is_temporary
        assert secret.read_text() == "secret"
        assert (secret.stat().st_uid, secret.stat().st_mode) == (before.st_uid, before.st_mode)
    finally:
        os.close(state.lock)


@pytest.mark.skipif(os.getuid() != 0, reason="root alone gives files away")
def test_files_made_by_root_are_handed_over_and_no_others(tmp_path: pathlib.Path) -> None:
    folder, secret = tmp_path / "state", tmp_path / "secret"
    version = folder / "history" / ("a" * 32) / "20261127T100000.000000Z"
    version.parent.mkdir(parents=True)
    secret.write_text("secret")
    names = ("tokens.json", "audit.log", "audit.log.1", "brake.json", "brake.json.new")
    own = [*(folder / name for name in names), version]
    for file in own:
        file.write_text("x")
    (folder / "mine.yaml").write_text("x")
    (folder / "audit.log.2").hardlink_to(secret)
    make_folder(folder, ServerUser("nobody", 65534, os.getgid()), STATE_FILES)
    for path in (folder, folder / "history", version.parent, *own):
        assert path.stat().st_uid == 65534, path
    assert (folder / "mine.yaml").stat().st_uid == secret.stat().st_uid == 0


def test_two_servers_of_one_folder_have_different_addresses(tmp_path: pathlib.Path) -> None:
    first = take_state(tmp_path, Log())
    second = take_state(tmp_path, Log())
    try:
        assert (first.is_temporary, second.is_temporary) == (False, True)
        assert read_address(tmp_path) == first.address != second.address
    finally:
        os.close(first.lock)
        os.close(second.lock)
