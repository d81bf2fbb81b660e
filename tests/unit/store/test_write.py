"""Changes of files: all or nothing at any call where the process dies or fails; and a file's kept attributes."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from dnsd.store import write
from dnsd.store.journal import undo_unfinished
from dnsd.store.write import BegunFile, FileChange, begin_files, discard_begun, write_files
from tests.limits import IS_LONG

BEFORE = {
    "acme/account.yaml": "name: Acme\n",
    "acme/maps/shop.yaml": "enabled: false\n",
    "acme/zones/example.com.yaml": "records: []\n",
    "acme/zones/example.net.zone": "@ 60 SOA ns1 host 1 2 3 4 5\n",
    "globex/account.yaml": "name: Globex\n",
    "globex/zones/example.org.yaml": "records: []\n",
}
SHOP, ZONE = "acme/maps/shop.yaml", "acme/zones/example.com.yaml"
LONG = "x" * 100_000

# The text to write by path; None removes the file or folder.
CASES: dict[str, dict[str, str | None]] = {
    "one file": {SHOP: "enabled: true\n"},
    "a new file": {"acme/maps/new.yaml": LONG},
    "a removed file": {SHOP: None},
    "a file in a new folder": {"globex/maps/new.yaml": "{}\n"},
    "a new account with a zone": {"new/account.yaml": "name: New\n", "new/zones/example.edu.yaml": "{}\n"},
    "a removed account": {"globex": None},
    "a zone with its membership": {ZONE: None, SHOP: "enabled: true\n"},
    "a zone in another form": {
        "acme/zones/example.net.zone": None,
        "acme/zones/example.net.yaml": "paused: true\n",
    },
    "all of these": {
        SHOP: "enabled: true\n",
        ZONE: LONG,
        "acme/maps/a.yaml": "{}\n",
        "acme/zones/example.net.zone": None,
        "acme/zones/example.net.yaml": "paused: true\n",
        "globex": None,
        "new/account.yaml": "name: New\n",
        "new/zones/example.edu.yaml": "{}\n",
    },
}


@dataclass
class Disk:
    """A folder of accounts, and a state folder."""

    folder: Path
    root: Path = field(init=False)
    journal: Path = field(init=False)

    def __post_init__(self) -> None:
        self.root, self.journal = self.folder / "accounts", self.folder / "state/journal"
        self.journal.parent.mkdir(parents=True)
        for name, text in BEFORE.items():
            file = self.root / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)

    def changes(self, case: str) -> list[FileChange]:
        return [FileChange(str(self.root / name), text, 1_700_000_000) for name, text in CASES[case].items()]

    def write(self, case: str, **options: Any) -> None:
        write_files(self.changes(case), self.journal, **options)

    def visible(self) -> dict[str, str]:
        """The files and folders that readers see: all without a leading dot."""
        return {name: text for name, text in self.everything().items() if "/." not in f"/{name}"}

    def everything(self) -> dict[str, str]:
        """The texts of all files, journal included, and a mark for folders."""
        paths = [*self.root.rglob("*"), *self.journal.parent.iterdir()]
        return {os.path.relpath(path, self.root): path.read_text() if path.is_file() else "/" for path in paths}


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    return Disk(tmp_path)


def wanted(case: str, folder: Path) -> dict[str, str]:
    """The files that readers see after a change."""
    disk = Disk(folder)
    for name, text in CASES[case].items():
        path = disk.root / name
        if text is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        elif path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
    return disk.visible()


# Calls that can fail, or during which the process can die

CALLS = ("open", "fsync", "replace", "rename", "link", "unlink", "mkdir", "rmdir", "utime", "chown")
NEED_ROOM = {"create", "fsync", "replace", "rename", "link", "mkdir", "write"}
KILLED = 9

Trip = Callable[[str], None]


class Half:
    """A file that is half written if the call trips."""

    def __init__(self, file: Any, trip: Trip) -> None:
        self._file, self._trip = file, trip

    def __enter__(self) -> Half:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def write(self, octets: bytes) -> None:
        self._file.write(octets[: len(octets) // 2])
        self._file.flush()
        self._trip("write")
        self._file.write(octets[len(octets) // 2 :])


def tripping(patch: pytest.MonkeyPatch, trip: Trip, *halved: ModuleType) -> None:
    """Call `trip` with the name of each call, before the call; also amid each writing of the modules `halved`."""

    def wrapped(name: str) -> Callable[..., Any]:
        call = getattr(os, name)

        def tripped(*arguments: Any, **options: Any) -> Any:
            trip("create" if name == "open" and arguments[1] & os.O_CREAT else name)
            return call(*arguments, **options)

        return tripped

    for name in CALLS:
        patch.setattr(os, name, wrapped(name))
    for module in halved:
        patch.setattr(module, "open", lambda fd, mode: Half(os.fdopen(fd, mode), trip), raising=False)


def killed_in(call: int, work: Callable[[], object], *halved: ModuleType) -> bool:
    """Do the work in a process that dies before its `call`-th call, from 0; False if it ended earlier.

    `halved` are as for `tripping`.
    """
    if pid := os.fork():
        _, status = os.waitpid(pid, 0)
        assert os.waitstatus_to_exitcode(status) in (0, KILLED)
        return os.waitstatus_to_exitcode(status) == KILLED
    left = iter(range(call))

    def trip(name: str) -> None:
        if next(left, None) is None:
            os._exit(KILLED)

    try:
        tripping(pytest.MonkeyPatch(), trip, write, *halved)
        work()
        os._exit(0)
    finally:
        os._exit(1)


def test_file_that_was_begun_is_not_written_again(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    changes = [FileChange(str(disk.root / ZONE), LONG, 1_700_000_000)]
    (begun,) = begin_files(changes)
    assert disk.visible()[ZONE] == BEFORE[ZONE]
    monkeypatch.setattr(write, "_write_text", lambda *_: pytest.fail("written again"))
    before = Path(begun.file).stat().st_ino
    write_files(changes, disk.journal, begun=[begun])
    assert disk.visible()[ZONE] == LONG
    assert (disk.root / ZONE).stat().st_ino == before
    assert (disk.root / ZONE).stat().st_mtime == 1_700_000_000
    assert not begun.is_there
    discard_begun([begun])
    assert disk.visible()[ZONE] == LONG


@pytest.mark.parametrize("what", ["another change", "replaced", "gone"])
def test_file_that_was_begun_is_used_for_its_change_alone(disk: Disk, what: str) -> None:
    change, other = (FileChange(str(disk.root / ZONE), text, 1_700_000_000) for text in ("a: 1\n", "a: 2\n"))
    (begun,) = begin_files([change])
    if what == "replaced":  # by the change of somebody else, which failed
        Path(begun.file).unlink()
        Path(begun.file).write_text("a: 3\n")
        os.utime(begun.file, (1_700_000_000, 1_700_000_000))
    elif what == "gone":
        Path(begun.file).unlink()
    wanted = other if what == "another change" else change
    write_files([wanted], disk.journal, begun=[begun])
    assert disk.visible()[ZONE] == wanted.text
    assert not Path(begun.file).with_name(f".{Path(ZONE).name}.new").exists()


@pytest.mark.parametrize("is_begun", [True, False])
def test_change_that_is_begun_while_another_of_its_file_is_written_leaves_it(disk: Disk, *, is_begun: bool) -> None:
    """Whatever is begun or forgotten meanwhile; the change that was begun is made after the other."""
    one, other = (FileChange(str(disk.root / ZONE), text, 1_700_000_000) for text in ("a: 1\n", "a: 2\n"))
    before = disk.everything()
    own = begin_files([one]) if is_begun else []
    begun: list[BegunFile] = []

    def meanwhile() -> None:  # called twice: once the text is written, and before it is renamed
        discard_begun([*own, *begun])  # as if their requesters had gone
        begun[:] = begin_files([other])

    write_files([one], disk.journal, meanwhile, begun=own)
    assert disk.visible()[ZONE] == one.text
    assert begun[0].is_there
    write_files([other], disk.journal, begun=begun)
    assert disk.everything() == {**before, ZONE: other.text}


def test_file_that_was_begun_gets_the_attributes_of_the_file_that_it_replaces(disk: Disk) -> None:
    """Those of the moment when it is replaced: the operator may change them meanwhile."""
    (disk.root / ZONE).chmod(0o644)
    change = FileChange(str(disk.root / ZONE), LONG, 1_700_000_000)
    begun = begin_files([change])
    assert stat.S_IMODE(Path(begun[0].file).stat().st_mode) == 0o600
    (disk.root / ZONE).chmod(0o640)
    if os.geteuid() == 0:
        os.chown(disk.root / ZONE, 1234, 2345)
    before = (disk.root / ZONE).stat()
    write_files([change], disk.journal, begun=begun)
    after = (disk.root / ZONE).stat()
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)
    assert (after.st_mtime, after.st_size) == (1_700_000_000, len(LONG))


def test_nothing_is_begun_in_a_folder_that_has_gone(disk: Disk) -> None:
    changes = [FileChange(str(disk.root / name), LONG, 1_700_000_000) for name in (ZONE, "globex/account.yaml")]
    shutil.rmtree(disk.root / "acme")
    before = disk.everything()
    begun = begin_files(changes)
    assert [one.change.path for one in begun] == [changes[1].path]
    discard_begun(begun)
    assert disk.everything() == before


def test_nothing_is_begun_for_a_read_only_file(disk: Disk) -> None:
    (disk.root / ZONE).chmod(0o444)
    assert begin_files([FileChange(str(disk.root / ZONE), LONG, 1_700_000_000)]) == []


def test_file_that_was_begun_for_nothing_is_removed(disk: Disk) -> None:
    before = disk.everything()
    discard_begun(begin_files([FileChange(str(disk.root / ZONE), LONG, 1_700_000_000)]))
    assert disk.everything() == before


def test_file_that_cannot_be_begun_leaves_nothing(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    before = disk.everything()

    def full(_: object) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(write, "sync_all", full)
    with pytest.raises(OSError, match="full"):
        begin_files([FileChange(str(disk.root / ZONE), LONG, 1_700_000_000)])
    assert disk.everything() == before


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_killed_process_leaves_all_or_nothing(tmp_path: Path, case: str) -> None:
    after = wanted(case, tmp_path / "after")
    outcomes = []
    for call in range(0, 1000, 1 if IS_LONG else 3):
        disk = Disk(tmp_path / str(call))
        before = disk.visible()
        is_killed = killed_in(call, partial(disk.write, case))
        undo_unfinished(disk.journal)
        assert not disk.journal.exists()
        assert disk.visible() in (before, after), f"killed in call {call}"
        outcomes.append(disk.visible() == after)
        if not is_killed:
            break
        if disk.visible() == before:
            disk.write(case)
            assert disk.everything() == after, f"leftovers of call {call}"
    assert disk.everything() == after
    assert outcomes == sorted(outcomes)  # nothing up to some call, all from there on
    assert len(outcomes) > 3


@pytest.mark.slow
def test_process_killed_during_an_undo_can_have_successors(tmp_path: Path) -> None:
    undone = 0
    for call in range(0, 1000, 1 if IS_LONG else 5):
        for second in range(0, 1000, 1 if IS_LONG else 5):
            disk = Disk(tmp_path / f"{call}-{second}")
            before = disk.visible()
            is_killed = killed_in(call, partial(disk.write, "all of these"))
            if not disk.journal.exists():
                break
            is_killed = killed_in(second, partial(undo_unfinished, disk.journal))
            undo_unfinished(disk.journal)
            assert disk.visible() == before, f"killed in call {call}, then in {second}"
            if not is_killed:
                break
            undone += 1
        if not is_killed and not second:
            break
    assert undone > 20


def failing(patch: pytest.MonkeyPatch, call: int, *, for_ever: bool) -> list[str]:
    """Make the `call`-th call fail, or from then on all that need space; return the names of failed calls."""
    count, failed = iter(range(1000)), list[str]()

    def trip(name: str) -> None:
        number = next(count)
        if name in NEED_ROOM and (
            number == call or (for_ever and number > call and name in ("create", "link", "write"))
        ):
            failed.append(name)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    tripping(patch, trip, write)
    return failed


@pytest.mark.parametrize("for_ever", [False, True], ids=["once", "for ever"])
@pytest.mark.parametrize("case", CASES)
def test_failed_call_leaves_no_trace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str, for_ever: bool
) -> None:
    refused, calls = 0, list[str]()
    after = wanted(case, tmp_path / "after")
    with monkeypatch.context() as patch:
        tripping(patch, calls.append, write)
        Disk(tmp_path / "whole").write(case)
    for call in range(len(calls)):
        disk = Disk(tmp_path / str(call))
        before = disk.everything()
        with monkeypatch.context() as patch:
            failed = failing(patch, call, for_ever=for_ever)
            with contextlib.suppress(OSError):
                disk.write(case)
        if disk.visible() == after:
            assert failed in ([], ["link"], ["mkdir"])  # a copy replaces a link; the folder exists
            assert disk.everything() == after
        else:
            assert failed
            assert disk.everything() == before, f"{failed} failed in call {call}"
            refused += 1
    assert refused >= 3


def test_failed_undo_is_completed_by_the_next_write(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    before, renames = disk.visible(), iter(range(100))
    replace = os.replace

    def tripped(*arguments: Any) -> None:
        if next(renames) >= 1:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        replace(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", tripped)
        for _ in range(2):
            with pytest.raises(OSError, match="Read-only"):
                disk.write("all of these")
    assert disk.journal.exists()
    assert disk.visible() != before
    changes = [FileChange(str(disk.root / "globex/account.yaml"), "name: Globe\n", 1)]
    write_files(changes, disk.journal)
    assert disk.visible() == before | {"globex/account.yaml": "name: Globe\n"}
    assert not disk.journal.exists()


def test_incomplete_journal_means_that_no_step_was_taken(disk: Disk) -> None:
    before = disk.visible()
    disk.journal.write_text('[["/acc')
    assert f"{disk.journal} is corrupt: moved aside as journal.damaged" in undo_unfinished(disk.journal)
    assert not disk.journal.exists()
    assert disk.visible() == before


def test_nothing_to_undo_without_a_journal(disk: Disk) -> None:
    assert undo_unfinished(disk.journal) == ""


@pytest.mark.slow
def test_edit_after_the_kill_is_not_undone(disk: Disk) -> None:
    call = 0 if IS_LONG else 12  # earlier kills change nothing
    while disk.visible()[SHOP] == "enabled: false\n":
        undo_unfinished(disk.journal)
        assert killed_in(call, partial(disk.write, "all of these"))
        call += 1
    assert disk.journal.exists()
    (disk.root / SHOP).write_text("enabled: true  # by hand\n")
    undo_unfinished(disk.journal)
    assert disk.visible()[SHOP] == "enabled: true  # by hand\n"


# The final check


def test_final_check_can_refuse(disk: Disk) -> None:
    before = disk.everything()

    def verify() -> None:
        assert disk.visible() == {name: text for name, text in before.items() if not name.startswith("../")}
        raise KeyError

    for case in CASES:
        with pytest.raises(KeyError):
            disk.write(case, verify=verify)
        assert disk.everything() == before


# Kept attributes


def test_mode_and_owner_stay(disk: Disk) -> None:
    file = disk.root / SHOP
    file.chmod(0o640)
    if os.geteuid() == 0:
        os.chown(file, 1234, 2345)
    before = file.stat()
    disk.write("all of these")
    after = file.stat()
    assert file.read_text() == "enabled: true\n"
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)
    assert after.st_mtime == 1_700_000_000


def test_attributes_stay(disk: Disk) -> None:
    file = disk.root / SHOP
    try:
        os.setxattr(file, "user.note", b"mine")
    except OSError as error:
        pytest.skip(f"no extended attributes here: {error.strerror}")
    disk.write("one file")
    assert os.getxattr(file, "user.note") == b"mine"


def test_new_file_has_the_mode_of_the_others(disk: Disk) -> None:
    before = os.umask(0o027)
    try:
        disk.write("a new account with a zone")
    finally:
        os.umask(before)
    assert stat.S_IMODE((disk.root / "new/account.yaml").stat().st_mode) == 0o640
    assert stat.S_IMODE((disk.root / "new").stat().st_mode) == 0o750


def test_secret_file_is_private_while_it_is_written(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    (disk.root / SHOP).chmod(0o600)
    modes = set()

    def trip(name: str) -> None:
        modes.update(stat.S_IMODE(file.stat().st_mode) for file in disk.root.glob("acme/maps/.shop.yaml.*"))

    tripping(monkeypatch, trip)
    disk.write("one file")
    assert modes == {0o600}


@pytest.fixture
def elsewhere(disk: Disk) -> Path:
    """The target of the link in place of the map's file."""
    target = disk.folder / "elsewhere/shop-1.yaml"
    target.parent.mkdir()
    (disk.root / SHOP).rename(target)
    (disk.root / SHOP).symlink_to("../../../elsewhere/shop-1.yaml")
    return target


def test_link_stays_a_link(disk: Disk, elsewhere: Path) -> None:
    for case in ("one file", "all of these"):
        disk.write(case)
        assert (disk.root / SHOP).is_symlink()
        assert elsewhere.read_text() == "enabled: true\n"
        assert sorted(elsewhere.parent.iterdir()) == [elsewhere]


def test_removed_link_leaves_its_target(disk: Disk, elsewhere: Path) -> None:
    disk.write("a removed file")
    assert not os.path.lexists(disk.root / SHOP)
    assert elsewhere.read_text() == "enabled: false\n"


def test_removed_link_of_an_account_leaves_its_target(disk: Disk) -> None:
    (disk.root / "globex").rename(disk.folder / "elsewhere")
    (disk.root / "globex").symlink_to("../elsewhere")
    disk.write("a removed account")
    assert not os.path.lexists(disk.root / "globex")
    assert (disk.folder / "elsewhere/account.yaml").exists()
    assert not any(name.startswith(".globex") for name in disk.everything())


def test_two_names_of_one_file_are_refused(disk: Disk) -> None:
    (disk.root / "acme/maps/copy.yaml").symlink_to("shop.yaml")
    before = disk.everything()
    changes = [FileChange(str(disk.root / f"acme/maps/{name}.yaml"), f"{name}\n", 1) for name in ("shop", "copy")]
    with pytest.raises(FileExistsError):
        write_files(changes, disk.journal)
    assert disk.everything() == before


def test_change_is_undone_without_hard_links_too(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    (disk.root / SHOP).chmod(0o640)
    os.utime(disk.root / SHOP, (1_000_000_000, 1_000_000_000))
    before, status = disk.everything(), (disk.root / SHOP).stat()
    rename = os.rename

    def refused(*arguments: Any) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    def tripped(source: str, target: str) -> None:
        if source.endswith("globex"):
            refused()
        rename(source, target)

    monkeypatch.setattr(os, "link", refused)
    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", tripped)
        with pytest.raises(PermissionError):
            disk.write("all of these")
    assert disk.everything() == before
    after = (disk.root / SHOP).stat()
    assert (after.st_mode, after.st_mtime) == (status.st_mode, status.st_mtime)
    disk.write("all of these")
    assert disk.visible()[SHOP] == "enabled: true\n"


def test_file_system_that_cannot_sync_folders_is_accepted(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    fsync = os.fsync

    def tripped(fd: int) -> None:
        if stat.S_ISDIR(os.fstat(fd).st_mode):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        fsync(fd)

    monkeypatch.setattr(os, "fsync", tripped)
    disk.write("all of these")
    assert not disk.journal.exists()


# A full disk


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Disk]:
    (tmp_path / "small").mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "dnsd-test", str(tmp_path / "small")]
    mounted = subprocess.run(mount, capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip(f"needs the right to mount: {mounted.stderr.decode().strip()}")
    try:
        yield Disk(tmp_path / "small/disk")
    finally:
        subprocess.run(["umount", str(tmp_path / "small")], check=True)


def test_full_disk_leaves_nothing(small: Disk) -> None:
    with contextlib.suppress(OSError), open(small.folder / "fill", "wb", buffering=0) as fill:
        while fill.write(bytes(4096)):
            pass
    before = small.everything()
    for case in ("a new file", "all of these"):
        with pytest.raises(OSError) as caught:
            small.write(case)
        assert caught.value.errno == errno.ENOSPC
        assert str(small.root) in str(caught.value.filename)
        assert small.everything() == before
    (small.folder / "fill").unlink()
    small.write("all of these")
    assert small.visible()[ZONE] == LONG
