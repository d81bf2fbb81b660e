"""Attacks _lines.c: lines of every form, cut and changed anywhere, and a Python side with arbitrary behaviour.

    python -m tests.native.attack_lines FIRST_SEED SEEDS

No read or write may be out of bounds; with an honest Python side, the records are those of plain_lines.Lines.
"""

from __future__ import annotations

import contextlib
import gc
import random
from collections.abc import Iterator
from typing import Any

import tests.native.compiled  # noqa: F401  first, as the package then imports the extensions loaded by it
from dnsd.formats import plain_lines
from dnsd.formats._lines import Lines
from dnsd.formats.plain_lines import Form, KnownParts, LineMeaning
from dnsd.model.records import UNWRITTEN, Identity
from tests.native.attacker import attack
from tests.property.test_plain_data import SAMPLES
from tests.property.test_plain_lines import CLASSES, COMMENTS, OTHERS, OWNERS, TTLS

ORIGINS = [b"\0", b"\7Example\3com\0", b"\x3f" + b"o" * 63 + b"\0", (b"\x3d" + b"o" * 61) * 4 + b"\5ooooo\0"]
ODD = [*' \t"();\\@.-0aAIN:\0\x7f\x80ÿ', "\u0100", "\udcff", "\U0001f600", "\n", "", "x" * 300, "a." * 130, "\t" * 9]
LONG = [
    "a" * 70_000,
    "\u0100" * 70_000,
    "a 60 TXT " + "x " * 40_000,
    "a 60 A " + "1" * 20_000,
    "a 60 TLSA 3 1 1 " + "ab" * 5_001,
]
DIRECTIVES = [f"{one}\n" for one in OTHERS if one.startswith("$")]
DIRECTIVES += [
    "$TTL 4294967296\n",
    "$TTL 0\n",
    f"$ORIGIN {'o' * 64}\n",
    f"$ORIGIN {'o.' * 130}\n",
    f"$TTL 1 ;{' x' * 33_000}\n",
]
NUMBERS = (None, 0, 1, 300, 2**31 - 1)


class BoomError(Exception):
    """An exception raised by the Python side."""


def line(rng: random.Random) -> str:
    rtype, data = rng.choice(SAMPLES)
    gap = rng.choice((" ", "\t", "  "))
    return f"{rng.choice(OWNERS)}{gap}{rng.choice(TTLS)}{rng.choice(CLASSES)}{rtype}{gap}{data}{rng.choice(COMMENTS)}\n"


def texts(rng: random.Random) -> Iterator[str]:
    """Texts of some lines, a part of them changed in a few places, in all widths of characters."""
    while True:
        some = [line(rng) for _ in range(rng.randrange(1, 12))]
        text = "".join(rng.choice(DIRECTIVES) for _ in range(rng.choice((0, 0, 1, 3))))
        text += "".join(rng.choice(some) for _ in range(rng.choice((1, 5, 40))))
        for _ in range(rng.choice((0, 0, 1, 3))):
            at = rng.randrange(len(text) + 1)
            text = text[:at] + rng.choice(ODD) + text[at + rng.randrange(3) :]
        if rng.random() < 0.05:
            text += rng.choice(LONG) + rng.choice(("", "\n"))
        yield text + rng.choice(("", "", "; \u0100\n", "; \U0001f600\n"))


def honest(rng: random.Random, origin: bytes) -> KnownParts:
    traits: dict[object, int] = {}
    odd = Identity("0" * 32)

    def interpret(rtype: int, ttl: int, comment: str) -> LineMeaning:
        if comment.endswith("("):
            raise ValueError
        index = traits.setdefault((rtype, ttl, comment), len(traits))
        return LineMeaning(index, odd if comment.endswith("x") else UNWRITTEN, "odd" if comment.endswith("!") else "")

    return KnownParts(origin, interpret)


def attack_honestly(rng: random.Random, text: str) -> None:
    """Assert that the records are the same as in Python."""
    origin, start = rng.choice(ORIGINS), rng.choice((0, 0, 0, rng.randrange(len(text) + 1)))
    state: Any = rng.choice((None, b"\1x\0")), rng.choice(NUMBERS), rng.choice(NUMBERS)
    known, others = honest(rng, origin), honest(rng, origin)
    one, other = Lines(known), plain_lines.Lines(others)
    while True:
        found, expected = one.read(text, start, *state), other.read(text, start, *state)
        assert found == expected, (text, start, state, found, expected)
        assert (known.origin, known.origin_given) == (others.origin, others.origin_given), (text, start, state)
        start = text.find("\n", found[0]) + 1  # behind the line that is not plain
        if not start:
            break
        state = found[1:4]


class Hostile:
    """Returns arbitrary values, and calls the reader while it reads."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.lines: Any = None

    @property
    def origin(self) -> Any:
        self.meddle()
        return self.rng.choice((*ORIGINS, *ORIGINS, b"", b"x" * 255, b"x" * 256, b"x" * 70_000, None, "x"))

    @property
    def origin_given(self) -> Any:
        self.meddle()
        return self.rng.choice((True, False, None, "x", [0]))

    def set_origin(self, origin: bytes) -> Any:
        self.meddle()
        return self.rng.choice((None, origin, 7))

    def meddle(self) -> None:
        if self.rng.random() < 0.05:
            with contextlib.suppress(ValueError, TypeError, BoomError):
                self.rng.choice((gc.collect, self.boom, self.again))()

    def again(self) -> None:
        self.lines.read("a 60 A 192.0.2.1\n", 0, None, 60, 60)

    def boom(self) -> None:
        raise BoomError

    def form(self, head: str, comment: str, ttl_else: int | None) -> Any:
        self.meddle()
        if self.rng.random() < 0.02:
            self.boom()
        if self.rng.random() < 0.1:
            return self.rng.choice((None, (), (1, 2), (1, 2, -7, None, {}, None), ("1", 2, 3, 4, 5, 6), [1] * 6, 7))
        rtype = self.rng.choice((1, 2, 5, 6, 12, 15, 16, 28, 33, 39, 43, 52, 99, -1, 2**40))
        ttl = self.rng.choice((*NUMBERS, *NUMBERS, -1, 2**70))
        return Form(rtype, self.rng.randrange(2**32), ttl, self.rng.choice((None, UNWRITTEN)), {}, self.parse)

    def parse(self, text: str) -> Any:
        self.meddle()
        octets = b"", b"x" * 5, b"x" * 65_535, b"x" * 65_536, text.encode(errors="surrogatepass")
        return self.rng.choice((*octets, None, "x", bytearray(b"x")))


def attack_hostilely(rng: random.Random, source: Iterator[str]) -> None:
    """Read with a hostile Python side; no crash may follow."""
    hostile = Hostile(rng)
    lines = hostile.lines = Lines(hostile)  # type: ignore[arg-type]
    for _ in range(30):
        text = next(source)
        start = rng.choice((0, 0, rng.randrange(len(text) + 1), -1, len(text), len(text) + 7, 2**62))
        state: Any = [rng.choice((None, b"\1x\0", b"", b"y" * 999)), rng.choice((*NUMBERS, -5)), rng.choice(NUMBERS)]
        if rng.random() < 0.1:
            state[rng.randrange(3)] = rng.choice(("x", 2**99, bytearray(3), ()))
        with contextlib.suppress(BoomError, ValueError, TypeError, OverflowError, AttributeError):
            end, *_, soa, (owners, owner_ends, rdatas, rdata_ends, traits, _) = lines.read(text, start, *state)
            assert start <= end <= len(text) or end == start
            assert soa is None or 4 * soa < len(traits)
            assert len(traits) % 4 == 0
            assert len(traits) == len(owner_ends) == len(rdata_ends)
            for octets, ends in ((owners, owner_ends), (rdatas, rdata_ends)):
                assert int.from_bytes(ends[-4:], "little") == len(octets)
    hostile.lines = None


def attack_lines(rng: random.Random) -> None:
    """All attacks with one seed."""
    source = texts(rng)
    for _ in range(150):
        attack_honestly(rng, next(source))
    for _ in range(10):
        attack_hostilely(rng, source)
    with contextlib.suppress(TypeError):
        Lines.__new__(Lines)


if __name__ == "__main__":
    attack(attack_lines)
