"""Files come back from their objects octet for octet; a small edit of a large file writes few blocks."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnsd.fleet.objects import removal, replacement, source_file
from dnsd.fleet.subjects import ObjectName, object_of
from dnsd.fleet.values import FleetFile, ValueFormatError, pack_value
from dnsd.store.directory import FileKind, SourceFile
from dnsd.store.kept_file import DamagedFileError
from dnsd.store.text_file import MAX_KEPT, FileChangedError, content_of

NAME = ObjectName("west/zones/large.example", FileKind.ZONE_MASTER)
FILE, BLOCK = "dnsd.s.o.west.zonefile.large=2Eexample", "dnsd.s.b.west.zonefile.large=2Eexample."
LINES = [f"n{number * 7919 % 60013} A 192.0.2.{number % 256}\n" for number in range(20_000)]


class Objects:
    """The values of a copy, and the writes to them."""

    def __init__(self) -> None:
        self.values: dict[str, bytes] = {}
        self.last: list[tuple[str, bool]] = []  # the subjects of the last writes, and whether they have a value

    def value(self, account: str, subject: str) -> bytes | None:
        assert account == "west"
        return self.values.get(subject)

    def put(self, file: SourceFile | None) -> SourceFile | None:
        """Put a file in the place of the one before; the file as it is read then."""
        before = self.file()
        writes = replacement(file, before, self.value) if file else removal(before, self.value) if before else ()
        self.last = []
        for write in writes:
            assert write.old == self.values.get(write.subject)
            self.last.append((write.subject, write.new is not None))
            self.values.pop(write.subject, None)
            self.values |= {} if write.new is None else {write.subject: write.new}
        return self.file()

    def file(self) -> SourceFile | None:
        value = self.values.get(FILE)
        return source_file(NAME, value, self.value) if value else None


def file_of(octets: bytes, modified: int = 5) -> SourceFile:
    return SourceFile(*NAME, "/nowhere", content_of(octets), modified=modified)


def octets_of(file: SourceFile | None) -> bytes:
    assert file
    assert file.problem is None
    return b"".join(map(file.block_reader(), range(len(file.content.blocks))))


@given(st.lists(st.text(alphabet="ab\r\n\té€", max_size=9).map(str.encode), max_size=9).map(b"".join))
def test_a_small_file_is_one_object(octets: bytes) -> None:
    objects = Objects()
    assert octets_of(objects.put(file_of(octets))) == octets
    assert [*objects.values] == [FILE]


@pytest.mark.parametrize("size", [MAX_KEPT - 1, MAX_KEPT, MAX_KEPT + 1, 300_000, 1_000_000])
def test_a_large_file_comes_back(size: int) -> None:
    objects, octets = Objects(), "".join(LINES * 4)[:size].encode()
    file = objects.put(file_of(octets, modified=77))
    assert octets_of(file) == octets
    assert file
    assert (file.modified, file.content) == (77, content_of(octets))
    assert {subject for subject in objects.values if subject.startswith(BLOCK)} == (
        {BLOCK + block.digest.hex() for block in file.content.blocks} if size > MAX_KEPT else set()
    )
    assert objects.put(None) is None
    assert objects.values == {}


def test_one_line_of_a_large_file_writes_few_blocks_before_the_list_and_removes_after_it() -> None:
    objects = Objects()
    objects.put(file_of("".join(LINES).encode()))
    before = {*objects.values}
    octets = "".join([*LINES[:9000], "new A 192.0.2.1\n", *LINES[9000:]]).encode()
    assert octets_of(objects.put(file_of(octets))) == octets
    at = objects.last.index((FILE, True))
    assert all(is_there and subject not in before for subject, is_there in objects.last[:at])
    assert all(not is_there and subject in before for subject, is_there in objects.last[at + 1 :])
    assert 1 <= at <= 3
    assert 1 <= len(objects.last) - at - 1 <= 3


def test_a_block_that_occurs_twice_is_kept_while_it_occurs_once() -> None:
    objects, text = Objects(), "".join(LINES).encode()
    block = text[: content_of(text).blocks[0].size]
    octets = block + block + block
    assert octets_of(objects.put(file_of(octets))) == octets
    assert octets_of(objects.put(file_of(block + block))) == block + block
    assert octets_of(objects.put(file_of(block + text))) == block + text


def test_a_missing_or_other_block_is_not_taken_for_the_text() -> None:
    objects = Objects()
    file = objects.put(file_of("".join(LINES).encode()))
    assert file
    subject = BLOCK + file.content.blocks[0].digest.hex()
    for value in (None, b"x", pack_value(FleetFile(b"other", 0))):
        objects.values.pop(subject, None)
        objects.values |= {subject: value} if value else {}
        with pytest.raises(FileChangedError):
            file.text()
        read, block = file.content.read, file.content.blocks[0]
        assert read
        with pytest.raises(DamagedFileError):
            read(block)


WRONG = {
    "a later version": (b'{"v":2,"modified":5}\n', "the value has version 2.*upgrade this node"),
    "no value": (b"?", "neither as a line"),
    "a list that is none": (pack_value(FleetFile(b"x y\n", 5, is_list=True)), "list of blocks is damaged"),
    "an empty block": (pack_value(FleetFile(b"0" * 32 + b" 0\n", 5, is_list=True)), "list of blocks is damaged"),
    "a large file without blocks": (pack_value(FleetFile(bytes(MAX_KEPT + 1), 5)), "65,537 octets is not in blocks"),
    "a word in the place of `blocks`": (b'{"v":1,"modified":5,"blocks":"x"}\n', "whether it has blocks"),
    "UTF-16": (pack_value(FleetFile("a A 192.0.2.1\n".encode("utf-16"), 5)), "the text is in UTF-16"),
}


@pytest.mark.parametrize("case", WRONG)
def test_an_unusable_value_is_a_problem_of_its_file(case: str) -> None:
    value, words = WRONG[case]
    file = source_file(NAME, value, Objects().value)
    assert file.problem
    assert file.problem.source == NAME.key
    assert file.problem.place
    assert file.problem.place.file == "fleet/west/zones/large.example.zone"
    assert re.search(words, file.problem.message), file.problem.message
    assert file.content.blocks == ()


def test_a_file_too_large_for_a_fleet_is_refused() -> None:
    file = file_of("".join(LINES).encode())
    many = SourceFile(*NAME, "/nowhere", content_of("".join(LINES).encode()))
    object.__setattr__(many.content, "blocks", many.content.blocks * 3000)
    with pytest.raises(ValueFormatError, match="too many for a fleet: divide the zone"):
        [*replacement(many, file, Objects().value)]


def test_only_subjects_of_files_are_files() -> None:
    assert object_of(FILE) == NAME
    assert object_of(BLOCK + "0" * 32) is None
