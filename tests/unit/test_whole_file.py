"""Whole files: old or new content at every step, nothing left over, on disk in the right order."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from dnsd.whole_file import create_file, hand_over, make_folder, replacing, sync

OLD, NEW = b"old\n", b"new\n"
NOBODY = 65534


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "state" / "file"
    path.parent.mkdir()
    path.write_bytes(OLD)
    return path


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The calls that matter for durability, in order; an fsync with the name of its file."""
    made: list[str] = []
    replace, fsync = os.replace, os.fsync

    def traced_replace(old: Path, new: Path) -> None:
        made.append("replace")
        replace(old, new)

    def traced_fsync(fd: int) -> None:
        made.append(f"fsync {Path(os.readlink(f'/proc/self/fd/{fd}')).name}")
        fsync(fd)

    monkeypatch.setattr(os, "replace", traced_replace)
    monkeypatch.setattr(os, "fsync", traced_fsync)
    return made


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def write(file: Path, octets: bytes = NEW) -> None:
    with replacing(file) as out:
        out.write(octets)


@pytest.mark.parametrize("is_there", [True, False])
def test_file_has_the_new_content_and_nothing_is_left_over(file: Path, *, is_there: bool) -> None:
    if not is_there:
        file.unlink()
    write(file)
    assert file.read_bytes() == NEW
    assert names(file.parent) == ["file"]
    assert file.stat().st_mode & 0o777 == 0o600


def test_mode_and_other_name_can_be_chosen(file: Path) -> None:
    umask = os.umask(0o027)
    try:
        with replacing(file, other_name=".new", mode=0o666) as out:
            assert names(file.parent) == [".new", "file"]
            out.write(NEW)
    finally:
        os.umask(umask)
    assert file.stat().st_mode & 0o777 == 0o640


def test_longest_file_name_is_replaced(file: Path) -> None:
    longest = file.with_name("x" * 255)
    with replacing(longest, other_name=".new") as out:
        out.write(NEW)
    assert longest.read_bytes() == NEW


def test_old_content_stays_until_the_block_ends(file: Path) -> None:
    with replacing(file) as out:
        out.write(NEW)
        out.flush()
        assert file.read_bytes() == OLD


def test_content_is_on_disk_before_the_name_and_the_name_before_the_return(file: Path, calls: list[str]) -> None:
    write(file)
    assert calls == ["fsync file.new", "replace", "fsync state"]


def test_unsynced_file_is_left_to_the_system(file: Path, calls: list[str]) -> None:
    with replacing(file, is_synced=False) as out:
        out.write(NEW)
    assert calls == ["replace"]
    assert file.read_bytes() == NEW


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "full"), ValueError(), KeyboardInterrupt()], ids=repr)
def test_failed_block_leaves_the_old_content_alone(file: Path, error: BaseException) -> None:
    def write_and_fail() -> None:
        with replacing(file) as out:
            out.write(NEW)
            raise error

    with pytest.raises(type(error)):
        write_and_fail()
    assert file.read_bytes() == OLD
    assert names(file.parent) == ["file"]


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_failed_step_leaves_the_old_content_alone(file: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    def fail(*args: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(OSError, match="No space left"):
        write(file)
    assert file.read_bytes() == OLD
    assert names(file.parent) == ["file"]


def leave_file(path: Path) -> None:
    path.write_bytes(b"from a killed writer")


def leave_link(path: Path) -> None:
    path.symlink_to("elsewhere")


@pytest.mark.parametrize("leave", [leave_file, leave_link])
def test_left_over_of_a_killed_writer_is_removed(file: Path, leave: Callable[[Path], None]) -> None:
    (file.parent / "elsewhere").write_bytes(OLD)
    leave(file.with_name("file.new"))
    write(file)
    assert file.read_bytes() == NEW
    assert (file.parent / "elsewhere").read_bytes() == OLD
    assert names(file.parent) == ["elsewhere", "file"]


def test_folder_in_place_of_the_new_file_is_an_error(file: Path) -> None:
    file.with_name("file.new").mkdir()
    with pytest.raises(OSError, match=r"file\.new"):
        write(file)
    assert file.read_bytes() == OLD


@pytest.mark.parametrize("leave", [leave_file, leave_link])
def test_created_file_must_be_new(file: Path, leave: Callable[[Path], None]) -> None:
    leave(file.with_name("other"))
    with pytest.raises(FileExistsError):
        create_file(file.with_name("other"), mode=0o600)


def test_file_system_that_cannot_sync_folders_is_accepted(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(fd: int) -> None:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))

    monkeypatch.setattr(os, "fsync", refuse)
    sync(file.parent)


def test_error_of_a_sync_names_the_path(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(fd: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="Input/output error") as caught:
        sync(file.parent)
    assert caught.value.filename == str(file.parent)


def test_folders_are_made_for_their_owner_alone(tmp_path: Path) -> None:
    umask = os.umask(0)
    try:
        for _ in range(2):  # again without effect
            make_folder(tmp_path / "a" / "b" / "c")
    finally:
        os.umask(umask)
    assert {path.stat().st_mode & 0o777 for path in tmp_path.rglob("*")} == {0o700}
    (tmp_path / "file").write_text("x")
    with pytest.raises(FileExistsError):
        make_folder(tmp_path / "file")


def owner_after_hand_over(path: Path) -> int:
    fd = os.open(path, os.O_RDONLY)
    try:
        hand_over(fd, NOBODY, NOBODY)
    finally:
        os.close(fd)
    return path.stat().st_uid


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give files away")
def test_only_files_that_root_made_are_handed_over(file: Path) -> None:
    assert owner_after_hand_over(file) == NOBODY
    assert owner_after_hand_over(file.parent) == NOBODY
    os.chown(file, NOBODY - 1, NOBODY)
    assert owner_after_hand_over(file) == NOBODY - 1


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give files away")
def test_file_with_a_second_link_is_not_handed_over(file: Path) -> None:
    os.link(file, file.with_name("link"))
    assert owner_after_hand_over(file) == 0
