"""The writes of an import: what they leave, wherever a chain of batches was cut."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest

from dnsd.fleet.batches import fitting
from dnsd.fleet.fetch import FetchedState
from dnsd.fleet.files import read_fleet_files
from dnsd.fleet.import_files import ImportRefusedError, _writes, difference_of, together
from dnsd.fleet.subjects import BLOCKS, META, account_of_subject
from dnsd.fleet.writer import MAX_OCTETS, ObjectWrite
from dnsd.store.directory import FileKind, Files, SourceFile, account_of
from dnsd.store.replica import Replica, open_replica
from dnsd.store.replica_reader import ReplicaReader
from dnsd.store.replica_rows import KeptObject, Removal, ReplicaPlace
from dnsd.store.text_file import content_of

KEY = "west/zones/a.example"
LARGE = "@ SOA ns1 h 7 2 3 4 5\n@ NS ns1.e.\n" + "".join(f"n{n * 7919 % 60013} A 192.0.2.1\n" for n in range(9000))
YAML, MASTER = FileKind.ZONE_YAML, FileKind.ZONE_MASTER
KIND_CHANGES = [(YAML, "records: []\n"), (MASTER, "@ SOA ns1 h 7 2 3 4 5\n@ NS ns1.e.\n"), (MASTER, LARGE)]


def file_of(key: str, kind: FileKind, text: str) -> SourceFile:
    return SourceFile(key, kind, f"/folder/{key}", content_of(text), modified=5)


def files_of(*files: SourceFile) -> Files:
    accounts = sorted({account_of(file.key) for file in files})
    return Files("/folder", tuple(accounts), tuple(sorted(files, key=lambda file: file.path)))


WEST = file_of("west", FileKind.ACCOUNT, "name: West\n")


class Copy:
    """A fleet's state, to which writes are made."""

    def __init__(self, replica: Replica, path: Path) -> None:
        self._replica, self._numbers = replica, count(1)
        self.reader = ReplicaReader(path)

    def state(self, meta: bytes = b"{}") -> FetchedState:
        with closing(self.reader.state()) as state:
            return FetchedState(read_fleet_files(state, self.reader.value), {}, self.reader, meta)

    def writes(self, files: Files) -> list[ObjectWrite]:
        return together(_writes(difference_of(self.state().files, files), files, self.state()))

    def take(self, writes: Iterable[ObjectWrite]) -> None:
        for write in writes:
            account, number = account_of_subject(write.subject), next(self._numbers)
            assert self.reader.value(account, write.subject) == write.old
            new = write.new
            change = Removal(account, write.subject) if new is None else KeptObject(account, write.subject, number, new)
            self._replica.flush([change], ReplicaPlace("e", number, 1))

    def blocks(self) -> set[str]:
        with closing(self.reader.state()) as state:
            return {kept.subject for kept in state.objects(BLOCKS)}

    def is_like(self, files: Files) -> bool:
        """Whether it has these files alone, without a problem."""
        now = self.state().files
        found = {file.key: (file.kind, file.content.digest, file.problem) for file in now.files}
        return found == {file.key: (file.kind, file.content.digest, None) for file in files.files}


@pytest.fixture
def copy(tmp_path: Path) -> Iterator[Copy]:
    replica, _ = open_replica(tmp_path / "replica.db")
    with closing(replica):
        copy = Copy(replica, tmp_path / "replica.db")
        with closing(copy.reader):
            yield copy


@pytest.mark.parametrize("new", KIND_CHANGES)
@pytest.mark.parametrize("old", KIND_CHANGES)
def test_an_import_that_was_cut_is_mended_by_the_next(
    copy: Copy, old: tuple[FileKind, str], new: tuple[FileKind, str]
) -> None:
    before, after = files_of(WEST, file_of(KEY, *old)), files_of(WEST, file_of(KEY, *new))
    for done in count():
        copy.take(copy.writes(before))
        writes = copy.writes(after)
        copy.take(writes[:done])
        copy.take(copy.writes(after))
        assert copy.is_like(after), done
        assert not copy.writes(after)
        assert len(copy.blocks()) == (len(after.files[1].content.blocks) if new[1] == LARGE else 0), done
        if done >= len(writes):
            break


def test_a_file_that_goes_takes_all_objects_of_its_key_with_it(copy: Copy) -> None:
    kinds = [file_of(KEY, *one) for one in KIND_CHANGES[:2]]
    copy.take(copy.writes(files_of(WEST, kinds[0])))
    copy.take([write for write in copy.writes(files_of(WEST, kinds[1])) if write.new is not None])
    assert any(file.problem for file in copy.state().files.files)
    copy.take(copy.writes(files_of(WEST)))
    assert copy.is_like(files_of(WEST))


def test_both_writes_of_another_kind_are_in_one_batch(copy: Copy) -> None:
    zones = [f"west/zones/z{number}.example" for number in range(9)]
    copy.take(copy.writes(files_of(WEST, *(file_of(zone, *KIND_CHANGES[0]) for zone in zones))))
    writes = copy.writes(files_of(WEST, *(file_of(zone, *KIND_CHANGES[1]) for zone in zones)))
    for room in range(3, 20):
        for begin in range(0, len(writes), 2):
            assert len(fitting(writes[begin:], room, MAX_OCTETS)) % 2 == 0


def test_blocks_that_a_cut_import_left_go_with_the_next(copy: Copy) -> None:
    cut = copy.writes(files_of(WEST, file_of(KEY, MASTER, LARGE)))[:-1]  # the list did not come
    copy.take(cut)
    assert copy.blocks()
    later = BLOCKS + "west.laterkind.x." + "0" * 32
    copy.take([ObjectWrite(later, None, b"of a later version")])
    other = files_of(WEST, file_of(KEY, MASTER, LARGE.replace("192.0.2", "198.51.100")))
    copy.take(copy.writes(other))
    assert len(copy.blocks() - {later}) == len(other.files[1].content.blocks)
    copy.take(copy.writes(files_of(WEST)))
    assert copy.blocks() == {later}


def test_a_file_that_is_edited_meanwhile_is_named(copy: Copy, tmp_path: Path) -> None:
    path = tmp_path / "large"
    path.write_text(LARGE.replace("192.0.2.1", "192.0.2.2"))
    content = replace(content_of(LARGE), octets=None)
    with pytest.raises(ImportRefusedError, match=r"large was edited meanwhile: nothing was changed; run it again"):
        copy.writes(files_of(WEST, SourceFile(KEY, MASTER, str(path), content, modified=5)))


def test_a_first_import_ends_with_the_word_that_it_is_whole(copy: Copy) -> None:
    meta = b'{"epoch": "e", "is_filling": true, "later": 1}'
    for files in (files_of(WEST, file_of(KEY, MASTER, LARGE)), files_of()):
        state = copy.state(meta)
        writes = together(_writes(difference_of(state.files, files), files, state))
        assert writes[-1] == ObjectWrite(META, meta, b'{"epoch": "e", "later": 1}')
    assert copy.writes(files_of()) == []


def test_the_writes_of_an_account_stand_together(copy: Copy) -> None:
    accounts = [file_of(name, FileKind.ACCOUNT, f"name: {name}\n") for name in ("a", "b")]
    zones = [file_of(f"{name}/zones/{name}.example", *KIND_CHANGES[0]) for name in ("a", "b", "c")]
    writes = copy.writes(files_of(*accounts, *zones))
    assert [account_of_subject(write.subject) for write in writes] == ["a", "a", "b", "b", "c"]
