"""The state folder: opened once and safely, its files given to no stranger; each server has its own address."""

from __future__ import annotations

import os
import pathlib
import socket
import stat
import subprocess
import sys
from collections.abc import Callable

import pytest

from dnsd.errors import shown
from dnsd.log import Log
from dnsd.manage.token_file import TokenFile
from dnsd.model.times import parse_time
from dnsd.process.privileges import ServerUser
from dnsd.process.state import State, listen_local, read_address, take_state
from dnsd.process.state_folder import UnsafeFolderError, folder_of_command, give_folder, open_folder
from dnsd.serve.state_content import STATE_FILES, STATE_FOLDERS
from dnsd.whole_file import replacing

NOBODY = ServerUser("nobody", 65534, 65534)
NOW = parse_time("2026-11-29T12:00:00Z")
FOREIGN_GROUP = 54321
OWN = (*STATE_FILES, *STATE_FOLDERS)

needs_root = pytest.mark.skipif(os.getuid() != 0, reason="root alone gives files away")


def close(state: State) -> None:
    os.close(state.lock)
    os.close(int(state.folder.name))


def owner(path: pathlib.Path) -> int:
    return path.lstat().st_uid


# Links


def test_server_follows_no_link_in_place_of_the_lock(tmp_path: pathlib.Path) -> None:
    folder, secret = tmp_path / "state", tmp_path / "secret"
    folder.mkdir()
    secret.write_text("secret")
    (folder / "lock").symlink_to(secret)
    state = take_state(folder, Log())
    try:
        assert not state.is_temporary
        assert secret.read_text() == "secret"
        assert (folder / "lock.damaged").is_symlink()
    finally:
        close(state)


@needs_root
def test_root_gives_nothing_away_through_a_link_of_the_user(tmp_path: pathlib.Path) -> None:
    """The user owns the folder of the settings, and puts a link to a folder of root's at the place of `state`."""
    private, parent = tmp_path / "audit", tmp_path / "parent"
    (private / "history").mkdir(parents=True)
    for name in ("audit.log", "lock", "journal", "tokens.json", "snapshot", "history/one"):
        (private / name).write_text("root's")
    parent.mkdir()
    (parent / "state").symlink_to(private)
    for path in (parent, parent / "state"):
        os.chown(path, NOBODY.uid, NOBODY.gid, follow_symlinks=False)
    with pytest.raises(UnsafeFolderError, match=r"the link 'state' belongs to the user with id 65534.*set `state` to"):
        give_folder(parent / "state", NOBODY, OWN)
    with pytest.raises(UnsafeFolderError):
        take_state(parent / "state", Log())
    assert {owner(path) for path in (private, *private.rglob("*"))} == {0}


@needs_root
@pytest.mark.parametrize("uid", [0, NOBODY.uid])
def test_links_on_the_way_count_as_the_last_one(tmp_path: pathlib.Path, uid: int) -> None:
    (tmp_path / "there" / "state").mkdir(parents=True)
    (tmp_path / "here").symlink_to("./there/../there")
    os.chown(tmp_path / "here", uid, uid, follow_symlinks=False)
    if uid:
        with pytest.raises(UnsafeFolderError, match="the link 'here'"):
            open_folder(tmp_path / "here" / "state")
    else:
        folder = open_folder(tmp_path / "here" / "state")
        assert os.path.samefile(folder.at, tmp_path / "there" / "state")
        folder.close()


def test_links_in_a_circle_are_an_error(tmp_path: pathlib.Path) -> None:
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    with pytest.raises(OSError, match="Too many levels"):
        open_folder(tmp_path / "a")


def test_another_folder_at_its_path_changes_nothing(tmp_path: pathlib.Path) -> None:
    """The server goes on with the folder that it opened, for reading and for writing, and names its new place."""
    state = take_state(tmp_path / "state", Log())
    try:
        TokenFile(state.folder).create(name="ours", now=NOW)
        (tmp_path / "state").rename(tmp_path / "moved")
        TokenFile(tmp_path / "state").create(name="theirs", now=NOW)
        assert [one.name for one in TokenFile(state.folder).tokens()] == ["ours"]
        with replacing(state.folder / "drains.json") as out:
            out.write(b"x")
        assert not (tmp_path / "state" / "drains.json").exists()
        assert state.path == str(tmp_path / "moved")
        assert shown(state.folder / "drains.json") == str(tmp_path / "moved" / "drains.json")
    finally:
        close(state)


# Owners


@needs_root
def test_files_made_by_root_are_handed_over_and_no_others(tmp_path: pathlib.Path) -> None:
    folder, secret = tmp_path / "state", tmp_path / "secret"
    version = folder / "history" / ("a" * 32) / "20261127T100000.000000Z"
    version.parent.mkdir(parents=True)
    secret.write_text("secret")
    names = ("tokens.json", "audit.log", "audit.log.1", "brake.json", "brake.json.new", "lock")
    own = [*(folder / name for name in names), version]
    for file in own:
        file.write_text("x")
    (folder / "mine.yaml").write_text("x")
    (folder / "audit.log.2").hardlink_to(secret)
    (folder / "snapshot").symlink_to(secret)
    assert give_folder(folder, NOBODY, OWN) is None
    for path in (folder, folder / "history", version.parent, *own):
        assert owner(path) == NOBODY.uid, path
    assert owner(folder / "mine.yaml") == owner(secret) == owner(folder / "snapshot") == 0


@needs_root
def test_folder_made_for_a_user_is_the_users(tmp_path: pathlib.Path) -> None:
    for parent_mode in (0o755, 0o777):  # also where others might have put something else
        parent = tmp_path / oct(parent_mode)
        parent.mkdir()
        parent.chmod(parent_mode)
        assert give_folder(parent / "new" / "state", NOBODY, OWN) is None
        status = (parent / "new" / "state").stat()
        assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (NOBODY.uid, NOBODY.gid, 0o700)


@needs_root
@pytest.mark.parametrize(("owner_of_parent", "mode"), [(NOBODY.uid, 0o755), (0, 0o775), (0, 0o777)])
def test_files_below_a_folder_of_others_stay_roots(tmp_path: pathlib.Path, owner_of_parent: int, mode: int) -> None:
    """Its owner may have renamed any folder of root's there to `state`."""
    parent = tmp_path / "parent"
    (parent / "state").mkdir(parents=True)
    (parent / "state" / "audit.log").write_text("root's")
    parent.chmod(mode)
    os.chown(parent, owner_of_parent, owner_of_parent)
    warning = give_folder(parent / "state", NOBODY, OWN)
    assert warning
    assert f"`chown -R nobody {parent / 'state'}`" in warning
    assert owner(parent / "state") == owner(parent / "state" / "audit.log") == 0


@needs_root
def test_files_of_root_in_a_folder_of_the_user_stay_roots(tmp_path: pathlib.Path) -> None:
    """The user may have renamed them there, from any folder of its own."""
    folder = tmp_path / "state"
    folder.mkdir()
    (folder / "tokens.json").write_text("root's")
    os.chown(folder, NOBODY.uid, NOBODY.gid)
    give_folder(folder, NOBODY, OWN)
    assert owner(folder / "tokens.json") == 0


# Modes


@needs_root
@pytest.mark.parametrize(
    ("mode", "group", "remedy"),
    [
        (0o777, os.getgid(), "chmod o-w"),
        (0o757, os.getgid(), "chmod o-w"),
        (0o1777, os.getgid(), "chmod o-w"),
        (0o2777, os.getgid(), "chmod o-w"),
        (0o775, FOREIGN_GROUP, "chmod g-w"),
        (0o777, FOREIGN_GROUP, "chmod go-w"),
        (0o700, FOREIGN_GROUP, ""),
        (0o755, FOREIGN_GROUP, ""),
        (0o770, os.getgid(), ""),
        (0o2775, os.getgid(), ""),  # Kubernetes' fsGroup
    ],
)
def test_folder_that_others_may_write_is_refused(tmp_path: pathlib.Path, mode: int, group: int, remedy: str) -> None:
    folder = tmp_path / "state"
    folder.mkdir()
    os.chown(folder, 0, group)
    folder.chmod(mode)
    if remedy:
        with pytest.raises(UnsafeFolderError, match=f"`{remedy} {folder}`"):
            take_state(folder, Log())
        return
    state = take_state(folder, Log())
    assert not state.is_temporary
    close(state)


@needs_root
@pytest.mark.parametrize(("uid", "is_told"), [(0, False), (NOBODY.uid, True)])
def test_folder_of_another_user_is_told(
    tmp_path: pathlib.Path, capfd: pytest.CaptureFixture[str], uid: int, is_told: bool
) -> None:
    (tmp_path / "state").mkdir(mode=0o700)
    os.chown(tmp_path / "state", uid, 0)
    close(take_state(tmp_path / "state", Log()))
    assert ("belongs to the user with id" in capfd.readouterr().err) is is_told


@needs_root
def test_group_of_the_server_may_be_any_of_its_groups(tmp_path: pathlib.Path) -> None:
    folder = tmp_path / "state"
    folder.mkdir()
    os.chown(folder, 0, FOREIGN_GROUP)
    folder.chmod(0o2775)
    opened = open_folder(folder)
    opened.check({1, FOREIGN_GROUP})
    opened.close()


def test_server_does_not_start_in_a_folder_of_everybody(tmp_path: pathlib.Path) -> None:
    (tmp_path / "dnsd.yaml").write_text("listen: ['127.0.0.1:0']\ndefault_addresses: [192.0.2.1]\n")
    (tmp_path / "accounts").mkdir()
    (tmp_path / "state").mkdir()
    (tmp_path / "state").chmod(0o777)
    command = [sys.executable, "-m", "dnsd", "serve", "-c", str(tmp_path / "dnsd.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 70
    assert f"chmod o-w {tmp_path / 'state'}" in done.stderr
    assert "Traceback" not in done.stderr
    assert [*(tmp_path / "state").iterdir()] == []


def test_command_writes_no_token_into_a_folder_of_everybody(tmp_path: pathlib.Path) -> None:
    assert folder_of_command(tmp_path / "missing") == tmp_path / "missing"
    (tmp_path / "state").mkdir()
    (tmp_path / "state").chmod(0o777)
    with pytest.raises(UnsafeFolderError, match="chmod o-w"):
        folder_of_command(tmp_path / "state")


def test_folder_and_lock_are_for_the_owner_alone(tmp_path: pathlib.Path) -> None:
    umask = os.umask(0)
    try:
        state = take_state(tmp_path / "a" / "state", Log())
    finally:
        os.umask(umask)
    close(state)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "a").rglob("*")}
    assert modes == {"state": 0o700, "lock": 0o600}
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o755


@pytest.mark.parametrize("make", [pathlib.Path.mkdir, os.mkfifo])
def test_lock_of_a_wrong_kind_is_moved_aside(tmp_path: pathlib.Path, make: Callable[[pathlib.Path], None]) -> None:
    make(tmp_path / "lock")
    state = take_state(tmp_path, Log())
    try:
        assert not state.is_temporary
        assert (tmp_path / "lock").is_file()
        assert (tmp_path / "lock.damaged").exists()
    finally:
        close(state)


def test_lock_with_a_second_name_is_not_written(tmp_path: pathlib.Path) -> None:
    """Another user may have linked a file of root's to it."""
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "state").mkdir(mode=0o700)
    (tmp_path / "state" / "lock").hardlink_to(tmp_path / "secret")
    close(take_state(tmp_path / "state", Log()))
    assert (tmp_path / "secret").read_text() == "secret"


# The control socket


def test_two_servers_of_one_folder_have_different_addresses(tmp_path: pathlib.Path) -> None:
    first = take_state(tmp_path, Log())
    second = take_state(tmp_path, Log())
    try:
        assert (first.is_temporary, second.is_temporary) == (False, True)
        assert read_address(tmp_path) == first.address != second.address
    finally:
        close(first)
        close(second)


def test_address_is_taken_for_as_long_as_a_process_of_the_server_lives(tmp_path: pathlib.Path) -> None:
    """While control restarts, nobody else can listen there, and requests wait."""
    state = take_state(tmp_path, Log())
    listening = listen_local(state)
    try:
        listening.dup().close()  # as control, when it ends
        with socket.socket(socket.AF_UNIX) as thief, pytest.raises(OSError, match="in use"):
            thief.bind(state.address)
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(10)
            client.connect(state.address)
            client.sendall(b"waits")
            accepted, _ = listening.accept()
            with accepted:
                accepted.setblocking(True)
                assert accepted.recv(5) == b"waits"
    finally:
        listening.close()
        close(state)


@pytest.mark.parametrize("octets", [b"", b"1\n", b"\xff\xfe", b"1\n\xff"])
def test_damaged_lock_file_is_no_address_or_a_wrong_one(tmp_path: pathlib.Path, octets: bytes) -> None:
    (tmp_path / "lock").write_bytes(octets)
    if octets.count(b"\n") and octets.strip() != b"1":
        assert read_address(tmp_path) == "\0�"
        return
    with pytest.raises(FileNotFoundError):
        read_address(tmp_path)
