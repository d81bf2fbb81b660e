"""Attacks _items.c: items of every form, cut and changed anywhere, and a Python side with arbitrary behaviour.

    python -m tests.native.attack_items FIRST_SEED SEEDS

No read or write may be out of bounds; with an honest Python side, the records are those of plain_items.PlainItems.
"""

from __future__ import annotations

import contextlib
import gc
import random
from collections.abc import Iterator
from typing import Any

import tests.native.compiled  # noqa: F401  first, as the package then imports the extensions loaded by it
from dnsd.formats import _items
from dnsd.model.records import UNWRITTEN
from tests.native.attacker import attack
from tests.property.test_yaml_items import CONTENTS, ID, NAMES, ODD_CONTENTS, ODD_NAMES, read_in_both_ways

ZONES = [b"\0", b"\7example\3com\0", b"\x3f" + b"o" * 63 + b"\0", (b"\x3d" + b"o" * 61) * 4 + b"\5ooooo\0"]
ODD = [*' \t"{},:\\@.-0nN\0\x7f\x80ÿ', "\u0100", "\udcff", "\U0001f600", "\n", "", "x" * 300, "a." * 130, ", content: "]
MORE = [
    "",
    ", ttl: 300",
    ", ttl: 300",
    ", proxied: true",
    ", comment: x",
    f", id: {ID}",
    ", tags: [a]",
    ", x: " + "y" * 200,
]


class BoomError(Exception):
    """An exception raised by the Python side."""


def item(rng: random.Random) -> str:
    contents = rng.choice((CONTENTS, CONTENTS, ODD_CONTENTS))
    rtype = rng.choice([*contents])
    name, content = rng.choice((*NAMES, *ODD_NAMES)), rng.choice(contents[rtype])
    before, after = rng.choice(("", "", MORE[1])), rng.choice(MORE)
    return f"{rng.choice(('', '', '  '))}- {{name: {name}, type: {rtype}{before}, content: {content}{after}}}\n"


def texts(rng: random.Random) -> Iterator[str]:
    """Texts of some items, a part of them changed in a few places, in all widths of characters."""
    while True:
        some = [item(rng) for _ in range(rng.randrange(1, 12))]
        text = "".join(rng.choice(some) for _ in range(rng.choice((1, 5, 40))))
        for _ in range(rng.choice((0, 0, 1, 3))):
            at = rng.randrange(len(text) + 1)
            text = text[:at] + rng.choice(ODD) + text[at + rng.randrange(3) :]
        yield text + rng.choice(("", "", "# \u0100\n", "# \U0001f600\n"))


def attack_honestly(rng: random.Random, text: str) -> None:
    """Assert that the records are the same as in Python."""
    read_in_both_ways(rng.choice(ZONES), text, rng.choice((0, 0, 2)))


class Hostile:
    """Returns arbitrary values, and changes the lists while they are filled."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.lists: tuple[list[bytes], list[bytes], dict[int, Any]] = [], [], {}

    def meddle(self) -> None:
        if self.rng.random() < 0.05:
            self.rng.choice((gc.collect, self.boom, *(one.clear for one in self.lists)))()

    def boom(self) -> None:
        raise BoomError

    def alike(self, line: str, before: str, after: str) -> Any:
        self.meddle()
        assert before + after in line or line.endswith(after)
        if self.rng.random() < 0.1:
            return self.rng.choice((None, (), (1, 2), ("a", "b", "c"), [1] * 3, 7, (1, 2**40, None), (1, 1, 1, 1)))
        rtype = self.rng.choice((1, 2, 5, 12, 16, 28, 39, 99, -1, 2**40, 2**70))
        return rtype, self.rng.randrange(2**32), self.rng.choice((self.parse, self.parse, None))

    def parse(self, text: str) -> Any:
        self.meddle()
        return self.rng.choice((None, (), (b"x", None), (b"", UNWRITTEN), ("x", None), (b"x", text), b"x"))


def attack_hostilely(rng: random.Random, source: Iterator[str]) -> None:
    """Read with a hostile Python side; no crash may follow."""
    hostile: Any = Hostile(rng)
    for _ in range(30):
        text = next(source)
        start = rng.choice((0, 0, rng.randrange(len(text) + 1), -1, len(text), len(text) + 7, 2**62))
        end = rng.choice((len(text), len(text), rng.randrange(len(text) + 1), 2**62))
        place: Any = text, start, end, rng.choice((0, 2, -1, 2**40))
        zone = rng.choice((*ZONES, b"", b"x" * 255, b"x" * 256)), rng.choice(("", ".", "x" * 999))
        with contextlib.suppress(BoomError, ValueError, TypeError, OverflowError):
            stop, traits = _items.read(hostile, *hostile.lists, *place, *zone)
            assert start <= stop <= max(start, len(text))
            assert len(traits) % 4 == 0


def attack_items(rng: random.Random) -> None:
    """All attacks with one seed."""
    source = texts(rng)
    for _ in range(150):
        attack_honestly(rng, next(source))
    for _ in range(10):
        attack_hostilely(rng, source)


if __name__ == "__main__":
    attack(attack_items)
