"""The lines outside of a zone's records are the same in a small text and in blocks, of which each is read once."""

from __future__ import annotations

import random
from dataclasses import replace
from functools import partial

import pytest

from dnsd.fleet.around_records import AroundRecords, _lines_in
from dnsd.fleet.guards import Guards, guards_of
from dnsd.fleet.subjects import NAMES_GUARD
from dnsd.store.blocks import TextBlock
from dnsd.store.directory import FileKind, Files, SourceFile
from dnsd.store.files_edit import FilesEdit
from dnsd.store.text_file import content_of

HEAD, TAIL = "id: 1\nverified: true\n", "paused: true\n"
RECORDS = [f"- {{name: n{n * 7919 % 60013}, type: A, content: 192.0.2.{n % 250}}}\n" for n in range(20_000)]
KEY = "acme/zones/x.example"


class Zone:
    """A large zone, whose blocks are read from a place that counts."""

    def __init__(self, text: str) -> None:
        self.reads = 0
        whole = content_of(text)
        assert whole.octets is not None
        places, start = {}, 0
        for block in whole.blocks:
            places[block] = whole.octets[start : start + block.size]
            start += block.size

        def read(block: TextBlock) -> bytes:
            self.reads += 1
            return places[block]

        self.file = SourceFile(KEY, FileKind.ZONE_YAML, "fleet/x", replace(whole, octets=None, read=read), modified=1)


def edit_of(before: SourceFile, after: SourceFile) -> FilesEdit:
    files = partial(Files, "fleet", ("acme",))
    return FilesEdit(files((before,)), files((after,)))


def text_of(records: list[str], *, head: str = HEAD, tail: str = TAIL) -> str:
    return f"{head}records:\n{''.join(records)}{tail}"


def test_edits_of_a_large_zone_need_no_guard_and_read_what_they_changed() -> None:
    around, zone = AroundRecords(), Zone(text_of(RECORDS))
    blocks = len(zone.file.content.blocks)
    assert blocks > 5
    assert around.lines(zone.file) == ("id: 1", "verified: true", "paused: true")
    assert zone.reads == blocks
    reads = 0
    for number in range(20):
        place = random.Random(number).randrange(len(RECORDS))
        after = Zone(text_of([*RECORDS[:place], "- {name: new, type: A, content: 192.0.2.1}\n", *RECORDS[place:]]))
        assert guards_of(edit_of(zone.file, after.file), around) == Guards((), ())
        reads += after.reads
        assert after.reads <= 3
        zone = after
    assert reads < 3 * 20


CHANGED = [
    ({"head": HEAD.replace("1", "2")}, True),
    ({"tail": "paused: false\n"}, True),
    ({"tail": TAIL + "verified: false\n"}, True),
    ({"head": "# " + "x" * 100_000 + "\n" + HEAD}, True),
    ({"tail": TAIL + "".join(f"# {n}\n" for n in range(40_000))}, True),
    ({}, False),
]


@pytest.mark.parametrize(("change", "is_guarded"), CHANGED)
def test_a_change_outside_of_the_records_of_a_large_zone_needs_the_guard(
    change: dict[str, str], *, is_guarded: bool
) -> None:
    around, before, after = AroundRecords(), Zone(text_of(RECORDS)), Zone(text_of(RECORDS[1:], **change))
    wanted = Guards((NAMES_GUARD,) if is_guarded else (), ())
    for _ in range(2):  # also once the blocks are known
        assert guards_of(edit_of(before.file, after.file), around) == wanted


HIDDEN = [
    ("verified: *claim\nrecords:\n- {name: a, type: A, content: 192.0.2.1, proxied: &claim true}\n", "true", "false"),
    ("records:\n- {name: a, type: A, content: 192.0.2.1, proxied: &claim true}\nverified: *claim\n", "true", "false"),
    ("records:\n- &one {id: 3, name: a}\n<<: *one\n", "3", "4"),
    ("{paused: true,\nrecords: [],\n verified: true}\n", "verified: true", "verified: false"),
    ("--- {paused: true,\nrecords: [],\n verified: true}\n", "verified: true", "verified: false"),
    (' comment: "\nrecords:\n "\n verified: true\n', "verified: true", "verified: false"),
]


@pytest.mark.parametrize(("text", "old", "new"), HIDDEN)
def test_a_claim_that_stands_among_the_records_needs_the_guard(text: str, old: str, new: str) -> None:
    small = SourceFile(KEY, FileKind.ZONE_YAML, "fleet/x", content_of(text), modified=1)
    edited = replace(small, content=content_of(text.replace(old, new)))
    assert guards_of(edit_of(small, edited), AroundRecords()) == Guards((NAMES_GUARD,), ())


@pytest.mark.parametrize("head", ["comment: this & that, 2 * 3\n", "# a comment\n\nid: 1\n", "---\nid: 1\n", ""])
def test_common_files_need_no_guard_for_their_records(head: str) -> None:
    small = SourceFile(KEY, FileKind.ZONE_YAML, "fleet/x", content_of(text_of(RECORDS[:3], head=head)), modified=1)
    edited = replace(small, content=content_of(text_of(RECORDS[1:4], head=head)))
    assert guards_of(edit_of(small, edited), AroundRecords()) == Guards((), ())


PIECES = [
    *("records:\n", "verified: false\n", "id: x\r\n", "\n", "# one\n", "  deep: 1\n", "- {name: a}\r\n"),
    *("records: []\n", "\u2028verified: true\n", "- a\x85verified: false\n", "- \rid: 3\n", "\ttab: 1\n", "é: 1\n"),
]


def records(random_: random.Random) -> str:
    return "records:\n" + "".join(random_.choices(RECORDS, k=200)) if random_.random() < 0.8 else ""


def test_blocks_say_what_the_whole_text_says() -> None:
    random_ = random.Random(5)
    for _ in range(30):
        parts = [piece + records(random_) for piece in random_.choices(PIECES, k=60)]
        text = "".join(["records:\n", *parts])
        zone = Zone(text)
        assert len(zone.file.content.blocks) > 1
        assert AroundRecords().lines(zone.file) == _lines_in(text, is_within=False)[0]


def test_a_line_over_two_blocks_is_not_taken_apart() -> None:
    assert AroundRecords().lines(Zone(text_of(["- " + "ä" * 400_000 + "\n"])).file) is None
