"""The last good texts: each account whole, whenever the process is killed or the disk is full; old copies are read."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest

from dnsd import whole_file
from dnsd.store.directory import Files
from dnsd.store.folder import read_files
from dnsd.store.good import GoodTexts
from dnsd.store.kept_file import DamagedFileError
from tests.kept_texts import good_texts, make_old
from tests.limits import IS_LONG
from tests.unit.store.test_write import failing, killed_in

LARGE = "".join(f"h{number} 60 A 192.0.2.{number % 250}\n" for number in range(20_000))
BEFORE = {
    "acme/account.yaml": "name: Acme\n",
    "acme/maps/shop.yaml": "enabled: false\n",
    "acme/zones/cake.example.yaml": "records: []\n",
    "acme/zones/large.example.zone": f"@ 60 SOA ns1 host 1 2 3 4 5\n{LARGE}",
    "globex/account.yaml": "name: Globex\n",
    "globex/zones/tools.example.yaml": "records: []\n",
    "gone/maps/old.yaml": "enabled: false\n",
}
AFTER: dict[str, dict[str, str | None]] = {  # edits; None: removed
    "one file": {"acme/maps/shop.yaml": "enabled: true\n"},
    "a line of a large file": {"acme/zones/large.example.zone": f"@ 60 SOA ns1 host 2 2 3 4 5\n{LARGE}"},
    "a zone in another form": {
        "acme/zones/cake.example.yaml": None,
        "acme/zones/cake.example.zone": "@ 60 SOA ns1 host 1 2 3 4 5\n",
    },
    "a zone moved to another account, one account gone, one new": {
        "acme/zones/cake.example.yaml": None,
        "globex/zones/cake.example.yaml": "records: []\n",
        "gone/maps/old.yaml": None,
        "new/account.yaml": "name: New\n",
        "new/zones/new.example.yaml": "records: []\n",
    },
}


class Texts:
    """Files of accounts, and a state folder."""

    def __init__(self, folder: Path, files: Mapping[str, str] = BEFORE) -> None:
        self.root, self.state = folder / "accounts", folder / "state"
        self.write(files)

    def write(self, files: Mapping[str, str | None]) -> Files:
        for name, text in files.items():
            file = self.root / name
            file.parent.mkdir(parents=True, exist_ok=True)
            if text is None:
                file.unlink()
                for folder in list(file.parents)[:2]:
                    if not any(folder.iterdir()):
                        folder.rmdir()
            else:
                file.write_text(text)
        return read_files(self.root)

    def keep(self, good: GoodTexts | None = None) -> None:
        """As the first or a later keeping of a process."""
        good = good or GoodTexts(self.state)
        good.keep(read_files(self.root))
        assert good.problem is None

    def kept(self) -> dict[str, str] | None:
        """The texts that a new process finds; no account is damaged."""
        good = GoodTexts(self.state)
        files = good.read()
        assert good.damaged == []
        if files is None:
            return None
        assert files.problems == ()
        assert {file.key.partition("/")[0] for file in files.files} <= set(files.accounts)
        return {file.path.removeprefix(f"{self.state}/good/"): file.text() for file in files.files}

    def leftovers(self) -> list[str]:
        return [path.name for path in self.state.rglob("*") if ".new" in path.name or path.name == ".batch"]


def edited(case: str) -> dict[str, str]:
    return {name: text for name, text in {**BEFORE, **AFTER[case]}.items() if text is not None}


@pytest.mark.slow
def test_first_texts_are_kept_all_or_none(tmp_path: Path) -> None:
    found = []
    for call in range(0, 1000, 1 if IS_LONG else 9):
        texts = Texts(tmp_path / str(call))
        is_killed = killed_in(call, texts.keep, whole_file)
        found.append(texts.kept())
        texts.keep()
        assert texts.kept() == BEFORE
        assert texts.leftovers() == []
        if not is_killed:
            break
    assert len(found) > 9
    first = found.index(BEFORE)
    assert found == [None] * first + [BEFORE] * (len(found) - first)


@pytest.mark.slow
@pytest.mark.parametrize("is_old", [False, True], ids=["", "after an upgrade"])
@pytest.mark.parametrize("case", AFTER)
def test_change_is_kept_as_a_whole_or_not_at_all(tmp_path: Path, case: str, *, is_old: bool) -> None:
    first = Texts(tmp_path / "first")
    first.keep()
    if is_old:
        make_old(first.state)
    after, found = edited(case), []
    for call in range(0, 1000, 1 if IS_LONG else 11):
        shutil.copytree(tmp_path / "first", tmp_path / str(call))
        texts = Texts(tmp_path / str(call), {})
        assert texts.kept() == BEFORE
        texts.write(AFTER[case])
        is_killed = killed_in(call, texts.keep, whole_file)
        if call % 2:  # and again, while the next process finishes
            killed_in(call % 7, texts.kept)
        found.append(texts.kept())
        texts.keep()
        assert texts.kept() == after
        assert texts.leftovers() == []
        if not is_killed:
            break
    assert [one for one in found if one not in (BEFORE, after)] == []
    assert found[0] == BEFORE
    assert found[-1] == after
    assert [one == after for one in found] == sorted(one == after for one in found)


@pytest.mark.slow
@pytest.mark.parametrize("for_ever", [False, True], ids=["once", "for ever"])
def test_full_disk_leaves_each_account_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, for_ever: bool
) -> None:
    case = "a zone moved to another account, one account gone, one new"
    refused = 0
    for call in range(0, 100, 1 if IS_LONG else 7):
        texts = Texts(tmp_path / str(call))
        good = GoodTexts(texts.state)
        texts.keep(good)
        files = texts.write(AFTER[case])
        with monkeypatch.context() as patch:
            failed = failing(patch, call, for_ever=for_ever)
            good.keep(files)
        assert (good.problem is None) is not bool(failed) or failed == ["mkdir"]
        refused += good.problem is not None
        kept = texts.kept()
        assert kept is not None
        for account in ("acme", "globex", "gone", "new"):
            assert [
                {name: text for name, text in files.items() if name.startswith(account)}
                for files in (kept, BEFORE, edited(case))
            ].count({name: text for name, text in kept.items() if name.startswith(account)}) > 1
        texts.keep(good)
        assert texts.kept() == edited(case)
    assert refused > 2


def test_account_whose_file_changes_meanwhile_stays_as_it_was(tmp_path: Path) -> None:
    texts = Texts(tmp_path)
    good = GoodTexts(texts.state)
    texts.keep(good)
    files = texts.write(AFTER["a line of a large file"] | {"acme/maps/shop.yaml": "enabled: true\n"})
    texts.write({"acme/zones/large.example.zone": f"@ 60 SOA ns1 host 3 2 3 4 5\n{LARGE}", "globex/account.yaml": ""})
    good.keep(files)
    assert texts.kept() == BEFORE
    texts.keep(good)
    assert (texts.kept() or {})["acme/maps/shop.yaml"] == "enabled: true\n"


def test_change_writes_the_blocks_that_differ_and_one_manifest(tmp_path: Path) -> None:
    texts = Texts(tmp_path)
    good = GoodTexts(texts.state)
    texts.keep(good)
    before = {path: path.stat().st_ino for path in texts.state.rglob("*") if path.is_file()}
    texts.write(AFTER["a line of a large file"])
    texts.keep(good)
    after = {path: path.stat().st_ino for path in texts.state.rglob("*") if path.is_file()}
    changed = [path for path, inode in after.items() if before.get(path) != inode]
    assert sorted(path.parent.name for path in changed) == ["acme", "good"]


def test_copies_of_the_release_before_stay_until_their_account_changes(tmp_path: Path) -> None:
    texts = Texts(tmp_path)
    texts.keep()
    make_old(texts.state)
    old = {path: path.stat().st_ino for path in texts.state.rglob("*") if path.is_file()}
    assert good_texts(texts.state) == BEFORE
    texts.keep()
    assert {path: path.stat().st_ino for path in texts.state.rglob("*") if path.is_file()} == old
    texts.write(AFTER["one file"])
    texts.keep()
    assert {one.name: one.is_dir() for one in (texts.state / "good").iterdir()} == {
        "acme": False,
        "globex": True,
        "gone": True,
    }
    assert texts.kept() == edited("one file")


def test_texts_of_a_million_files_need_no_copies_in_memory(tmp_path: Path) -> None:
    """After they are kept, one line each; texts that a process keeps share the blocks of served files."""
    texts = Texts(tmp_path)
    good = GoodTexts(texts.state)
    texts.keep(good)
    served = read_files(texts.root)
    good.keep(served)
    for copy, file in zip(good.copies_of(served).files, served.files, strict=True):
        assert copy.path.startswith(str(texts.state))
        assert copy == file or copy.content.text is file.content.text


def test_first_texts_of_which_a_file_changes_meanwhile_are_kept_later(tmp_path: Path) -> None:
    """Or its account would count as one that was never served."""
    texts = Texts(tmp_path)
    files = read_files(texts.root)
    texts.write({"acme/zones/large.example.zone": LARGE})
    good = GoodTexts(texts.state)
    good.keep(files)
    assert texts.kept() is None
    texts.keep(good)
    assert texts.kept() == BEFORE | {"acme/zones/large.example.zone": LARGE}


def test_unwritable_folder_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing_open(path: object, flags: int, *arguments: int, **options: int) -> int:
        if flags & os.O_CREAT:
            raise OSError(errno.EROFS, "Read-only file system", str(path))
        return real(path, flags, *arguments, **options)  # type: ignore[call-overload, no-any-return]

    texts, real = Texts(tmp_path), os.open
    good = GoodTexts(texts.state)
    with monkeypatch.context() as patch:
        patch.setattr(os, "open", failing_open)
        good.keep(read_files(texts.root))
    assert good.problem
    assert "Read-only file system" in good.problem
    assert texts.kept() is None
    texts.keep(good)
    assert texts.kept() == BEFORE


def test_blocks_of_an_account_that_was_set_aside_are_unknown(tmp_path: Path) -> None:
    """Else the next sweep would delete the blocks that its manifest, kept aside, still names."""
    texts = Texts(tmp_path)
    texts.keep()
    (tmp_path / "state/good/acme").write_text("damaged")
    good = GoodTexts(texts.state)
    for _ in range(2):
        with pytest.raises(DamagedFileError):
            list(good.named("acme"))
    assert list(good.named("globex"))
    assert list(good.named("never")) == []


def test_manifest_found_damaged_is_written_again(tmp_path: Path) -> None:
    """The process that wrote it knows it as sound, and would write it only with the account's next change."""
    texts = Texts(tmp_path)
    good, served = GoodTexts(texts.state), read_files(texts.root)
    good.keep(served)
    (tmp_path / "state/good/acme").write_text("damaged")
    with pytest.raises(DamagedFileError):
        list(good.named("acme"))
    assert good.is_lost
    assert len(good.damaged) == 1
    good.keep(served)
    assert not good.is_lost
    assert texts.kept() == BEFORE


def test_manifest_moved_aside_by_another_reader_is_written_again(tmp_path: Path) -> None:
    texts = Texts(tmp_path)
    good, served = GoodTexts(texts.state), read_files(texts.root)
    good.keep(served)
    (tmp_path / "state/good/acme").write_text("damaged")
    GoodTexts(texts.state).read()
    with pytest.raises(DamagedFileError, match="moved aside"):
        list(good.named("acme"))
    good.keep(served)
    assert texts.kept() == BEFORE
