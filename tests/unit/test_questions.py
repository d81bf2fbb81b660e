"""The sample of questions: bounded in size, in time and for each zone, with right shares."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterable

import pytest

from dnsd.questions import (
    MANY,
    MAX_OF_ZONE,
    MAX_SLOT,
    SLOT_S,
    SLOTS,
    Question,
    QuestionSample,
    packed_slot,
    slot_at,
    thinned,
    unpacked_slot,
)


@pytest.fixture(autouse=True)
def _seeded() -> None:
    random.seed(7)


def question(zone: str, number: int = 0, weight: float = 1.0) -> Question:
    apex = bytes([len(zone)]) + zone.encode() + b"\0"
    qname = b"\4" + f"{number % 10_000:04}".encode() + apex
    return Question(qname, 1, apex, qname, weight)


def zones_of(questions: Iterable[Question]) -> Counter[bytes]:
    return Counter(one.zone for one in questions)


def weight_of(questions: Iterable[Question]) -> float:
    return sum(one.weight for one in questions)


def test_sample_has_ten_thousand_questions_of_ten_minutes_at_most() -> None:
    sample = QuestionSample()
    for slot in range(2 * SLOTS):
        sample.begin(slot)
        for _ in range(10):
            sample.add([question(f"z{number}", slot) for number in range(300)], slot)
    sample.begin(2 * SLOTS)
    assert SLOTS * SLOT_S == 600
    assert 9_000 < len(list(sample)) <= 10_000


def test_zone_that_floods_has_a_tenth_at_most_and_hides_no_other() -> None:
    sample = QuestionSample()
    for slot in range(SLOTS):
        sample.begin(slot)
        for _ in range(10):
            flood = [question("flood", number, 1_000.0) for number in range(250)]
            sample.add([*flood, *(question(f"z{number}") for number in range(4))], slot)
    sample.begin(SLOTS)
    kept = zones_of(sample)
    assert kept[question("flood").zone] <= 1_000
    assert all(kept[question(f"z{number}").zone] > 300 for number in range(4))
    share = sum(one.weight for one in sample if one.zone == question("flood").zone) / weight_of(sample)
    assert share == pytest.approx(250_000 / 250_004, rel=0.01)


THINNED = {
    "one zone": [question("a", number) for number in range(500)],
    "many zones": [question(f"z{number}") for number in range(1_000)],
    "a heavy zone": [*(question("a", n, 50.0) for n in range(400)), *(question(f"z{n}") for n in range(400))],
    "many weights": [question(f"z{n % 7}", n, 1.0 + n % 90) for n in range(900)],
}


@pytest.mark.parametrize("questions", THINNED.values(), ids=THINNED.keys())
def test_thinning_keeps_weights_right_on_average(questions: list[Question]) -> None:
    """Also if it is done twice, as by a worker and then by control."""
    runs, total, of_zone = 60, 0.0, 0.0
    zone = questions[0].zone
    for _ in range(runs):
        kept = thinned([*thinned(questions), *thinned(questions)])
        assert len(kept) <= MAX_SLOT
        assert max(zones_of(kept).values()) <= MAX_OF_ZONE
        total += weight_of(kept) / 2 / runs
        of_zone += sum(one.weight for one in kept if one.zone == zone) / 2 / runs
    assert total == pytest.approx(weight_of(questions), rel=0.05)
    heavy = sum(one.weight for one in questions if one.zone == zone)
    if heavy > weight_of(questions) / 10:
        assert of_zone == pytest.approx(heavy, rel=0.1)


def test_few_questions_are_all_kept_as_they_are() -> None:
    few = [question(f"z{number}", number) for number in range(MAX_SLOT)]
    assert sorted(thinned(few)) == sorted(few)


def test_ten_minutes_expire() -> None:
    sample = QuestionSample()
    sample.begin(100)
    sample.add([question("old")], 100)
    sample.begin(100 + SLOTS - 1)
    sample.add([question("new")], 100 + SLOTS - 1)
    assert len(list(sample)) == 2
    sample.begin(100 + SLOTS)
    assert [one.zone for one in sample] == [question("new").zone]
    sample.add([question("late")], 100)
    sample.add([question("early")], 100 + SLOTS + 1)
    assert [one.zone for one in sample] == [question("new").zone]
    sample.begin(10_000)
    assert list(sample) == []


def test_clock_that_goes_back_begins_no_slot() -> None:
    sample = QuestionSample()
    sample.begin(5)
    sample.begin(3)
    sample.add([question("a")], 3)
    assert [slot for slot, _ in sample.after(0)] == [3]


def test_open_slot_is_bounded_and_not_handed_over() -> None:
    sample = QuestionSample()
    sample.begin(9)
    for _ in range(100):
        sample.add([question("a", number) for number in range(250)], 9)
        assert len(list(sample)) <= MANY
    assert list(sample.after(0)) == []
    sample.begin(10)
    ((slot, kept),) = sample.after(8)
    assert (slot, len(kept)) == (9, MAX_OF_ZONE)
    assert list(sample.after(9)) == []


HOSTILE = {
    "255 octets, no UTF-8": b"\x3f" + b"\xff" * 63 + (b"\x3f" + b"\x80" * 63) * 2 + b"\x3d" + b"c" * 61 + b"\0",
    "the root": b"\0",
    "dots, quotes and zeros": b"\5.\0\"'\\\0",
}


@pytest.mark.parametrize("qname", HOSTILE.values(), ids=HOSTILE.keys())
@pytest.mark.parametrize("owner", ["itself", "a wildcard", "none"])
def test_slot_is_the_same_after_packing(qname: bytes, owner: str) -> None:
    owners = {"itself": qname, "a wildcard": b"\1*\3com\0", "none": b""}
    questions = [Question(qname, 65_535, b"\3com\0", owners[owner], 2.5), Question(qname, 1, b"", b"", 1e9)]
    packed = json.dumps(packed_slot(12, questions))
    assert unpacked_slot(json.loads(packed)) == (12, questions)


def test_largest_message_is_far_below_a_megabyte() -> None:
    name = HOSTILE["255 octets, no UTF-8"]
    largest = [Question(name, 65_535, name, b"\1*" + name[66:], 123_456.789)] * MAX_SLOT
    assert len(json.dumps(packed_slot(2**40, largest))) < 300_000


@pytest.mark.parametrize("packed", [{}, {"slot": 1}, {"slot": 1, "questions": [[1]]}, {"slot": "x", "questions": []}])
def test_other_data_is_no_slot(packed: dict[str, object]) -> None:
    with pytest.raises((KeyError, TypeError, ValueError)):
        unpacked_slot(packed)


def test_slots_last_ten_seconds() -> None:
    assert [slot_at(one) for one in (0.0, 9.99, 10.0, 599.9, 600.0)] == [0, 0, 1, 59, 60]
