"""Texts in blocks: cut by content, each stored once, and deleted an hour after the last manifest named it."""

from __future__ import annotations

import base64
import os
import random
import time
from collections.abc import Callable
from pathlib import Path
from zlib import crc32

import pytest

from dnsd.store import blocks as module
from dnsd.store.block_store import SPARED_S, BlockStore
from dnsd.store.blocks import LEAST, MOST, Cutter, TextBlock, cut, digest_of
from dnsd.store.kept_file import DamagedFileError

RNG = random.Random(17)
end = module._end


def ip() -> str:
    return ".".join(map(str, RNG.randbytes(4)))


def word(size: int = 8) -> str:
    return RNG.randbytes(size).hex()[:size]


def delegation(number: int) -> str:
    owner = word(11)
    return "".join(f"{owner}.tld. 86400 IN NS ns{one}.{word(6)}.example.\n" for one in (1, 2))


def key() -> str:
    return base64.b64encode(RNG.randbytes(100)).decode()


LINES: dict[str, tuple[int, Callable[[int], str]]] = {  # octets of the text, and a line by its number
    "A records": (5_500_000, lambda number: f"h{number:07} 300 IN A {ip()}\n"),
    "an export of Cloudflare": (
        7_500_000,
        lambda number: f"{word()}.example.com.\t1\tIN\tA\t{ip()} ; cf_tags=cf-proxied:true\n",
    ),
    "a TLD": (6_500_000, delegation),
    "TXT records": (7_500_000, lambda number: f'{word()}._domainkey 3600 TXT "v=DKIM1; k=rsa; p={key()}"\n'),
    "YAML items": (
        6_500_000,
        lambda number: f'- {{name: h{number}, type: A, content: {ip()}, ttl: 300, comment: "{word(5)}"}}\n',
    ),
    "CRLF": (5_500_000, lambda number: f"h{number:07} 300 IN A {ip()}\r\n"),
}


@pytest.mark.parametrize("what", LINES)
def test_text_of_millions_of_octets_has_many_blocks_and_an_edit_changes_one_or_two(what: str) -> None:
    size, line = LINES[what]
    lines: list[str] = []
    while size > 0:
        lines.append(line(len(lines)))
        size -= len(lines[-1])
    text = "".join(lines).encode()
    blocks = cut(text)
    assert len(blocks) >= 45
    assert all(LEAST <= block.size <= MOST for block in blocks[:-1])
    assert sum(block.size for block in blocks) == len(text)
    known = set(blocks)
    for place in (0, len(lines) // 3, len(lines) - 1):
        for new in ([lines[place], "new 60 A 192.0.2.1\n"], []):
            edited = set(cut("".join((*lines[:place], *new, *lines[place + 1 :])).encode()))
            assert len(edited - known) in (1, 2)
            assert len(known - edited) in (1, 2)


@pytest.mark.slow
def test_blocks_of_an_edited_text_are_the_same_whether_or_not_the_blocks_before_are_known() -> None:
    lines = [f"h{number} 60 A 192.0.2.{number % 250}\n".encode() for number in range(3_000)]
    options = {"least": 200, "most": 4_000}  # some blocks end for lack of a line with ten zero bits
    known = cut(b"".join(lines), **options)
    assert cut(b"".join(lines), known, **options) == known
    for _ in range(300):
        edited = [*lines]
        for _ in range(RNG.choice((1, 1, 2, 30))):
            place = RNG.randrange(len(edited))
            edited[place : place + 1] = RNG.choice(([edited[place], b"new\n"], [b"changed\n"], [], edited[:9]))
        text = b"".join(edited)[: RNG.choice((None, -1, -5_000))]
        blocks = cut(text, **options)
        assert cut(text, known, **options) == blocks
        known = RNG.choice((known, blocks))


def test_known_blocks_are_compared_by_their_digests_even_if_no_line_ends_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """CRC-32 is linear: lines that differ in their digits alone may all lack the ten zero bits."""
    lines = [f"h{number} 60 A 192.0.2.{number % 250}\n".encode() for number in range(30_000)]
    lines = [line for line in lines if crc32(line[:-1]) & module.ZERO_BITS]
    known = cut(b"".join(lines), least=2_000, most=9_000)
    ends: list[int] = []
    monkeypatch.setattr(module, "_end", lambda *place: ends.append(place[1]) or end(*place))
    for change in ([b"first\n"], [*lines[:9]]):
        ends.clear()
        blocks = cut(b"".join((*change, *lines)), known, least=2_000, most=9_000)
        assert set(known[1:]) <= set(blocks)
        assert 1 <= len(ends) < 10 < len(known)


def end_by_rule(octets: bytes, start: int, least: int, most: int) -> int:
    """The end of a block, line by line."""
    limit = min(start + most, len(octets))
    if limit <= start + least:
        return limit
    ends = [at + 1 for at in range(start, limit) if octets[at : at + 1] == b"\n"]
    begins = [start, *ends]
    lines = [(begin, end) for begin, end in zip(begins, ends, strict=False) if end > start + least]
    zeros = {
        end: (crc32(octets[begin : end - 1]) | 1 << 10) & -(crc32(octets[begin : end - 1]) | 1 << 10)
        for begin, end in lines
    }
    for end, low in zeros.items():
        if low >= 1 << 10:
            return end
    if not zeros or (limit == len(octets) and limit < start + most):
        return limit
    return max(zeros, key=zeros.__getitem__)


def test_blocks_end_as_the_rule_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PIECE", 50)
    last_zeros = [word(9).encode() for _ in range(4_000)]
    ending = [one for one in last_zeros if not crc32(one) & module.ZERO_BITS]
    assert ending
    for _ in range(2_000):
        choices = (b"", b"a", b"ab" * 30, word(5).encode(), word(20).encode(), RNG.choice(ending), b"\r")
        text = b"\n".join(RNG.choices(choices, weights=(2, 2, 1, 6, 4, RNG.choice((0, 0, 1)), 1), k=RNG.randrange(40)))
        start, least, most = RNG.randrange(len(text) + 1), RNG.randrange(1, 200), RNG.randrange(200, 600)
        assert end(text, start, least, most) == end_by_rule(text, start, least, most)


def test_known_blocks_spare_the_look_at_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    text = b"".join(f"h{number} 60 A 192.0.2.{number % 250}\n".encode() for number in range(50_000))
    known, looked = cut(text), list[int]()
    monkeypatch.setattr(module, "_end", lambda *where: looked.append(where[1]) or end(*where))
    cut(text, known)
    assert len(looked) <= 2 < len(known)  # the last block, and one without a line with ten zero bits, perhaps
    looked.clear()
    cut(text.replace(b"h25000 60 A", b"x\nh25000 60 A"), known)
    assert len(looked) <= 3


ODD = {
    "empty": b"",
    "one octet": b"x",
    "no line": b"x" * 2_000,
    "no line, and one at the end": b"x" * 2_000 + b"\n",
    "empty lines": b"\n" * 1_000,
    "the same line": b"a 60 A 192.0.2.1\n" * 500,
    "carriage returns": b"a\r\n" * 700,
    "a long line among short ones": b"ab\n" * 99 + b"x" * 900 + b"\n" + b"cd\n" * 99,
    "any octets": bytes(range(256)) * 20,
}


@pytest.mark.parametrize("what", ODD)
@pytest.mark.parametrize("piece", [1, 7, 100, 10_000])
def test_blocks_do_not_depend_on_the_pieces_read(what: str, piece: int) -> None:
    text = ODD[what]
    cutter = Cutter(least=80, most=256)
    for start in range(0, len(text), piece):
        cutter.add(text[start : start + piece])
    blocks = cutter.finished()
    assert blocks == cut(text, least=80, most=256)
    assert sum(block.size for block in blocks) == len(text)
    assert all(80 <= block.size <= 256 for block in blocks[:-1])
    at, digest = 0, []
    for block in blocks:
        digest += cut(text[at : at + block.size])
        at += block.size
        assert block.size == 256 or at == len(text) or text[at - 1 : at] == b"\n"
    assert tuple(digest) == blocks
    assert (digest_of(blocks) == digest_of(())) is (not text)


# The store

TEXT = b"".join(f"h{number} 60 A 192.0.2.{number % 250}\n".encode() for number in range(300))
BLOCKS = cut(TEXT, least=500, most=1_500)
LARGE = cut(TEXT * 20)[0]


def octets_of(blocks: tuple[TextBlock, ...], text: bytes = TEXT) -> Callable[[int], bytes]:
    def octets(number: int) -> bytes:
        start = sum(block.size for block in blocks[:number])
        return text[start : start + blocks[number].size]

    return octets


said: list[str] = []


@pytest.fixture
def store(tmp_path: Path) -> BlockStore:
    said.clear()
    store = BlockStore(tmp_path, said.append)
    store.keep("acme", BLOCKS, octets_of(BLOCKS))
    return store


def files(folder: Path) -> dict[str, os.stat_result]:
    return {str(file.relative_to(folder / "blocks")): file.stat() for file in folder.glob("blocks/*/*")}


def never(number: int) -> bytes:
    raise AssertionError(f"block {number} is there")


def test_block_is_written_once(store: BlockStore, tmp_path: Path) -> None:
    before = files(tmp_path)
    assert len(before) == len(BLOCKS) > 5
    store.keep("acme", BLOCKS, never)
    after = files(tmp_path)
    assert {name: one.st_ino for name, one in after.items()} == {name: one.st_ino for name, one in before.items()}
    assert b"".join(store.octets("acme", block) for block in BLOCKS) == TEXT
    store.keep("other", BLOCKS[:1], octets_of(BLOCKS))  # accounts share nothing
    assert len(files(tmp_path)) == len(before) + 1


def test_large_block_is_compressed(store: BlockStore, tmp_path: Path) -> None:
    store.keep("acme", [LARGE], octets_of((LARGE,), TEXT * 20), is_synced=False)
    assert store.size("acme", [LARGE]) < LARGE.size / 3
    assert store.octets("acme", LARGE) == (TEXT * 20)[: LARGE.size]
    noise = random.Random(1).randbytes(100_000)
    blocks = cut(noise)
    store.keep("acme", blocks, octets_of(blocks, noise), is_synced=False)
    assert store.size("acme", blocks) == len(noise)
    assert b"".join(store.octets("acme", block) for block in blocks) == noise


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda octets: b"",
    "cut": lambda octets: octets[: len(octets) // 2],
    "an octet flipped": lambda octets: octets[:99] + bytes([octets[99] ^ 1]) + octets[100:],
    "another block": lambda octets: TEXT[:600],
    "noise": lambda octets: random.Random(2).randbytes(len(octets)),
}


@pytest.mark.parametrize("is_large", [False, True])
@pytest.mark.parametrize("what", DAMAGES)
def test_damaged_block_is_moved_aside_and_written_again(
    store: BlockStore, tmp_path: Path, what: str, *, is_large: bool
) -> None:
    block, text = (LARGE, TEXT * 20) if is_large else (BLOCKS[1], TEXT)
    blocks = (LARGE,) if is_large else BLOCKS
    store.keep("acme", blocks, octets_of(blocks, text), is_synced=False)
    file = tmp_path / "blocks" / "acme" / block.digest.hex()
    file.write_bytes(DAMAGES[what](file.read_bytes()))
    store.keep("acme", blocks, never, trusted=blocks)
    with pytest.raises(DamagedFileError, match=rf"{file.name} is corrupt: moved aside as {file.name}.damaged"):
        store.octets("acme", block)
    with pytest.raises(FileNotFoundError):
        store.octets("acme", block)
    store.keep("acme", blocks, octets_of(blocks, text), trusted=blocks)
    assert text.find(store.octets("acme", block)) >= 0
    file.write_bytes(DAMAGES[what](file.read_bytes()))
    store.keep("acme", blocks, octets_of(blocks, text))
    assert text.find(store.octets("acme", block)) >= 0
    assert said == [f"{file} is corrupt: moved aside as {file.name}.damaged; it is written again"]


def test_block_is_deleted_an_hour_after_the_last_manifest_named_it(store: BlockStore, tmp_path: Path) -> None:
    now, old = time.time(), time.time() - 10 * SPARED_S
    for file in (tmp_path / "blocks" / "acme").iterdir():
        os.utime(file, (old, old))
    store.release("acme", BLOCKS[:2])
    assert store.unswept() == ["acme"]
    assert store.sweep("acme", iter([BLOCKS[3:5], BLOCKS[6:]]), now + 1) == 2
    left = {TextBlock(bytes.fromhex(Path(name).name), 0).digest for name in files(tmp_path)}
    assert left == {block.digest for block in (*BLOCKS[:2], *BLOCKS[3:5], *BLOCKS[6:])}
    assert store.unswept() == ["acme"]  # two are spared
    assert store.sweep("acme", iter([BLOCKS[3:]]), now + SPARED_S + 60) == 2
    assert store.unswept() == []


def test_block_named_again_meanwhile_stays(store: BlockStore, tmp_path: Path) -> None:
    old = time.time() - 2 * SPARED_S
    for file in (tmp_path / "blocks" / "acme").iterdir():
        os.utime(file, (old, old))

    def named() -> tuple[TextBlock, ...]:
        store.keep("acme", BLOCKS[:4], never)  # for a manifest that is not yet written
        return ()

    assert store.sweep("acme", (named() for _ in range(1))) == len(BLOCKS) - 4
    assert b"".join(store.octets("acme", block) for block in BLOCKS[:4])


def test_sweep_reads_no_more_manifests_than_needed(store: BlockStore, tmp_path: Path) -> None:
    def named() -> tuple[TextBlock, ...]:
        raise AssertionError("all blocks are named")

    assert store.sweep("acme", (named() for _ in range(1))) == 0  # all blocks are young
    assert store.sweep("acme", (BLOCKS if number == 0 else named() for number in range(2)), time.time() + 9e9) == 0


def test_folder_of_an_account_without_blocks_goes(store: BlockStore, tmp_path: Path) -> None:
    store.note_all()
    assert store.unswept() == ["acme"]
    store.sweep("acme", [], time.time() + 2 * SPARED_S)
    assert not (tmp_path / "blocks" / "acme").exists()
    BlockStore(tmp_path / "nowhere").note_all()
