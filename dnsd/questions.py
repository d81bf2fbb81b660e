"""A sample of recent questions: at most 10,000 of ten minutes, at most a tenth of them from one zone.

Time is cut into slots, which end together in all processes, as the monotonic clock is the system's. Each question kept
stands for a number of questions asked: its weight. Thinning keeps sums of weights right on average, also if the result
is merged with other samples and thinned again. The sample knows nothing about clients: a name and a type are enough for
an answer, which depends neither on the DO bit nor on a subnet. A question counts as one of class IN.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import NamedTuple

SLOT_S = 10.0
SLOTS = 60
MAX_SLOT = 10_000 // SLOTS  # questions of a slot
MAX_OF_ZONE = MAX_SLOT // 10  # questions of a slot from one zone
MANY = 4 * MAX_SLOT  # questions of the open slot before it is thinned: thinning takes a millisecond


class Question(NamedTuple):
    """A question that stands for `weight` questions."""

    qname: bytes  # canonical
    qtype: int
    zone: bytes  # the apex; b"" outside of our zones
    owner: bytes  # of the answer: the name itself, a wildcard, or b"" if the name does not exist
    weight: float


class QuestionSample:
    """The questions of the last SLOTS slots, by the numbers of the slots."""

    def __init__(self) -> None:
        self._slots: dict[int, list[Question]] = {}
        self._open = 0  # the newest slot

    def begin(self, slot: int) -> None:
        """Begin a slot unless it has begun: thin the last one, and forget those that are too old."""
        if slot <= self._open:
            return
        if self._open in self._slots:
            self._slots[self._open] = thinned(self._slots[self._open])
        self._open = slot
        for old in [number for number in self._slots if number <= slot - SLOTS]:
            del self._slots[old]

    def add(self, questions: Iterable[Question], slot: int) -> None:
        """Add questions to a slot that has begun and is not too old."""
        if self._open - SLOTS < slot <= self._open:
            kept = self._slots.setdefault(slot, [])
            kept.extend(questions)
            if slot < self._open or len(kept) > MANY:
                self._slots[slot] = thinned(kept)

    def after(self, slot: int) -> Iterator[tuple[int, list[Question]]]:
        """The slots after `slot` that have ended, each with its number."""
        for number, questions in sorted(self._slots.items()):
            if slot < number < self._open and questions:
                yield number, questions

    def __iter__(self) -> Iterator[Question]:
        """All questions of the sample; it may change meanwhile, in another thread."""
        return chain.from_iterable(tuple(self._slots.values()))


def slot_at(now_s: float) -> int:
    """The slot at a time of the monotonic clock."""
    return int(now_s // SLOT_S)


def thinned(questions: Iterable[Question]) -> list[Question]:
    """At most MAX_SLOT questions, MAX_OF_ZONE of one zone; they take over the weights of the dropped ones."""
    by_zone: defaultdict[bytes, list[Question]] = defaultdict(list)
    for question in questions:
        by_zone[question.zone].append(question)
    return _drawn([one for kept in by_zone.values() for one in _drawn(kept, MAX_OF_ZONE)], MAX_SLOT)


def _drawn(questions: list[Question], limit: int) -> list[Question]:
    """At most `limit` questions, drawn at random, heavy ones first.

    Priority sampling (Duffield, Lund, Thorup, 2007): kept questions get the weight of the dropped ones, so that sums
    of weights stay right on average, with close to the least variance.
    """
    if len(questions) <= limit:
        return questions
    ranked = sorted(((one.weight / (1 - random.random()), one) for one in questions), reverse=True)
    least = ranked[limit][0]
    return [one if one.weight >= least else one._replace(weight=least) for _, one in ranked[:limit]]


def packed_slot(slot: int, questions: Iterable[Question]) -> dict[str, object]:
    """A slot as plain data; its size is bounded, as a slot's is."""
    return {
        "slot": slot,
        "questions": [
            (
                one.qname.hex(),
                one.qtype,
                one.zone.hex(),
                None if one.owner == one.qname else one.owner.hex(),
                round(one.weight, 3),
            )
            for one in questions
        ],
    }


def unpacked_slot(packed: dict[str, object]) -> tuple[int, list[Question]]:
    """A slot from the data of `packed_slot`. Raises KeyError, TypeError or ValueError for other data."""
    questions: list[Question] = []
    for name, qtype, zone, owner, weight in packed["questions"]:  # type: ignore[attr-defined]
        qname = bytes.fromhex(name)
        questions.append(
            Question(qname, qtype, bytes.fromhex(zone), qname if owner is None else bytes.fromhex(owner), weight)
        )
    return int(packed["slot"]), questions  # type: ignore[call-overload]
