"""A master file read again, but for the blocks it had before, is read as from nothing: after each of many edits."""

from __future__ import annotations

import base64
import random
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dnsd.formats import zone_reader
from dnsd.formats.odd_octets import octets_of
from dnsd.formats.zone_blocks import MAX_REPEATS, BlockText, ReadBefore
from dnsd.formats.zone_text import ZoneText, parse_zone_text
from dnsd.model.columns import Records
from dnsd.store.blocks import LEAST, MOST, TextBlock, cut, text_block
from dnsd.store.text_file import BlockReader, Content, digest_of
from dnsd.wire.names import parse_name_text
from tests.limits import examples
from tests.property.test_plain_lines import contents
from tests.property.test_plain_lines import texts as any_texts

EXAMPLE = parse_name_text("example.com")
SIZES = [(64, 256), (LEAST, MOST)]  # of blocks: the least and the most octets
SOA = "@ 3600 IN SOA ns1.example.net. host.example.net. {serial} 2 3 4 300\n"


class Reading:
    """A text that is read again after each edit of it."""

    def __init__(self, least: int, most: int) -> None:
        self._least, self._most = least, most
        self._before: ReadBefore | None = None
        self._known: tuple[TextBlock, ...] = ()
        self.read: list[int] = []  # the blocks read of the last text
        self.blocks = 0

    def text(self, text: str, made: Records | None = None) -> ZoneText:
        """Read a text; the zone that is served has also the records `made` for it."""
        octets = octets_of(text)
        self._known = blocks = cut(octets, self._known, least=self._least, most=self._most)
        reader = BlockReader("", Content(digest_of(blocks), text, blocks), any_octets=True)
        self.read, self.blocks = [], len(blocks)

        def text_of(start: int, stop: int) -> tuple[str, int]:
            found, end = reader.text_of(start, stop)
            self.read += range(start, end)
            return found, end

        found = parse_zone_text(BlockText(blocks, text_of), EXAMPLE, before=self._before)
        if not found.problems:
            self._before = ReadBefore(found.parts, found.records.followed_by(made or ()))
        return found


def assert_read_as_from_nothing(found: ZoneText, text: str) -> None:
    expected = parse_zone_text(text, EXAMPLE)
    assert contents(found) == contents(expected)
    assert found.records == expected.records
    assert sorted(found.records.grouped) == sorted(expected.records.grouped)
    assert found.records.most_of_a_name == expected.records.most_of_a_name
    assert dict(found.records.repeats()) == {}


@settings(max_examples=examples(60, 1_500))
@given(any_texts(), any_texts(), any_texts(), st.randoms(use_true_random=False))
def test_any_text_is_read_again_as_from_nothing(one: str, other: str, third: str, random: random.Random) -> None:
    reading = Reading(16, 64)
    made = parse_zone_text("@ 60 NS made\n", EXAMPLE).records
    text = one
    for _ in range(6):
        assert_read_as_from_nothing(reading.text(text, made), text)
        lines, more = text.splitlines(keepends=True), random.choice((other, third)).splitlines(keepends=True)
        start, stop = sorted(random.choices(range(len(lines) + 1), k=2))
        if len(lines) > 3:
            stop = min(stop, start + random.randrange(3))
        of_more = random.randrange(len(more) + 1)
        text = "".join((*lines[:start], *more[of_more : of_more + 2], *lines[stop:]))


@settings(max_examples=examples(150, 5_000))
@given(
    st.lists(st.integers(0, 9_999), min_size=1, max_size=3, unique=True),
    st.sampled_from(((4, 8), (8, 16), (10, 40), (20, 50))),
    st.randoms(use_true_random=False),
)
def test_text_of_repeated_lines_has_the_same_blocks_whatever_was_known(
    numbers: list[int], sizes: tuple[int, int], random: random.Random
) -> None:
    least, most = sizes
    lines = [b"%d\n" % number for number in numbers]
    text = b"".join(random.choices(lines, k=random.randrange(1, 200)))
    known = cut(text, least=least, most=most)
    for _ in range(4):
        blocks = cut(text, known, least=least, most=most)
        assert blocks == cut(text, least=least, most=most)
        at = 0
        for block in blocks:
            assert block == text_block(text[at : at + block.size])
            at += block.size
        assert at == len(text)
        start = random.randrange(len(text) + 1)
        new = b"".join(random.choices(lines, k=random.randrange(8)))
        text, known = text[:start] + new + text[start + random.randrange(60) :], blocks


RNG = random.Random(17)


def ip() -> str:
    return ".".join(map(str, RNG.randbytes(4)))


def word(size: int = 8) -> str:
    return RNG.randbytes(size).hex()[:size]


LINES: dict[str, Callable[[int], str]] = {
    "A records": lambda number: f"h{number:07} 300 IN A {ip()}\n",
    "an export of Cloudflare": lambda number: f"{word()}.example.com.\t1\tIN\tA\t{ip()} ; cf_tags=cf-proxied:true\n",
    "a TLD": lambda number: f"{word(11)} 86400 IN NS ns1.{word(6)}.example.\n\t86400 IN NS ns2.{word(6)}.example.\n",
    "TXT records": lambda number: (
        f'{word()}._domainkey 3600 TXT "v=DKIM1; p={base64.b64encode(RNG.randbytes(60))!r}"\n'
    ),
    "CRLF": lambda number: f"h{number:07} 300 IN A {ip()}\r\n",
    "owners and TTLs of the lines before": lambda number: RNG.choice(
        (
            f"h{number} A {ip()}\n",
            f" {RNG.choice((60, 90, 300))} A {ip()}\n",
            f"h{number} {RNG.choice((60, 90))} MX 10 (\n  mail{number} )\n",
            f"$ORIGIN {RNG.choice(('a', 'b'))}.example.com. ; {number}\n",
            f"$TTL {RNG.choice((100, 200))}\n",
            f'h{number} 60 TXT "a \\\n {number}"\n',
            "; a comment\n\n",
            f"h{number} 60 A {ip()} ; cf_tags=dnsd-id:{RNG.randbytes(16).hex()},{word(3)}\n",
            f"h{number} 60 A 192.0.2.1 ; {'x' * 600}\n",  # a comment that is not kept whole
            f"h{number} 60 A 192.0.2.1\nH{number} 60 A 192.0.2.1\n",
        )
    ),
}
WRONG = ["h 60 A 192.0.2\n", "h 60 TXT ( a\n", "other.example.org. 60 A 192.0.2.1\n", ")\n"]


@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.parametrize("what", LINES)
def test_text_is_read_again_as_from_nothing_after_each_of_many_edits(what: str, sizes: tuple[int, int]) -> None:
    count = 100 if sizes[0] < LEAST else 12_000
    reading = Reading(*sizes)
    line = LINES[what]
    lines = [SOA.format(serial=1), "@ 60 NS ns1.example.net.\n", "www 60 A 192.0.2.1\n", *map(line, range(count))]
    for turn in range(60 if sizes[0] < LEAST else 4):
        text = "".join(lines)
        assert_read_as_from_nothing(reading.text(text), text)
        for _ in range(RNG.choice((1, 1, 2, 5))):
            place = RNG.randrange(3, len(lines))
            new = RNG.choice(([], [line(count + turn)], [lines[place], line(count + turn)], [lines[-1], lines[2]]))
            lines[place : place + 1] = new
        lines[0] = SOA.format(serial=turn + 2)
        if turn % 7 == 6:
            wrong = [*lines]
            wrong.insert(RNG.randrange(len(lines)), RNG.choice(WRONG))
            assert_read_as_from_nothing(reading.text("".join(wrong)), "".join(wrong))
        if turn % 9 == 8:
            lines[3:] = lines[len(lines) // 2 :] + lines[3 : len(lines) // 2]


@pytest.mark.parametrize("what", LINES)
def test_edit_reads_only_the_blocks_that_changed(what: str) -> None:
    reading = Reading(1_000, 4_000)
    lines = [SOA.format(serial=1), *(LINES[what](number) for number in range(1_000))]
    reading.text("".join(lines))
    assert reading.read == [*range(reading.blocks)]
    assert reading.blocks > 10
    lines[500] = LINES[what](1_001)
    lines[0] = SOA.format(serial=2)
    reading.text("".join(lines))
    assert 0 in reading.read
    assert len(reading.read) <= 6
    reading.text("".join(lines))
    assert reading.read in ([], [reading.blocks - 1])


def test_reader_without_a_compiler_takes_the_same_blocks_over(monkeypatch: pytest.MonkeyPatch) -> None:
    from dnsd.formats import plain_lines

    monkeypatch.setattr(zone_reader, "Lines", plain_lines.Lines)
    test_edit_reads_only_the_blocks_that_changed("A records")


def test_parts_with_many_repeats_keep_none_and_are_read_again_as_from_nothing() -> None:
    lines = [SOA.format(serial=1), "@ 60 NS ns1.example.net.\n", *(f"h{number} 60 A {ip()}\n" for number in range(400))]
    lines[200:200] = ["www 60 A 192.0.2.1\n"] * 2_000
    reading = Reading(*SIZES[0])
    for serial in range(2, 6):
        found = reading.text("".join(lines))
        assert_read_as_from_nothing(found, "".join(lines))
        assert sum(len(part.repeated) for part in found.parts) == 1_999
        assert all(len(part.repeats) <= MAX_REPEATS for part in found.parts)
        lines[0] = SOA.format(serial=serial)
        lines.insert(RNG.randrange(2, len(lines)), f"new{serial} 60 A {ip()}\n")
    assert len(reading.read) < reading.blocks
