"""Answers kept about the parts of zones: within a limit that counts at once, and dropped when nobody asks any more."""

from __future__ import annotations

import threading

import pytest

from dnsd.manage import record_ids
from dnsd.manage.record_ids import KEPT_S, IdHeads, KeptAnswers, views
from dnsd.model.record_parts import finished
from dnsd.model.records import Record
from dnsd.model.zones import Zone
from dnsd.wire.names import parse_name_text
from tests.limits import HANG_S
from tests.models import zone


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> KeptAnswers:
    answers = KeptAnswers()
    monkeypatch.setattr(record_ids, "_answers", answers)
    return answers


def made(name: str, records: int = 5000) -> Zone:
    apex = parse_name_text(name)
    return zone(name, [Record(b"\x05h%04d" % number + apex, 1, 60, number.to_bytes(4)) for number in range(records)])


def ask(one: Zone) -> None:
    finished(record_ids.find_records(one, ["f" * 32]))


def size(one: Zone) -> int:
    return one.records.parts.octets


def test_answers_of_the_last_question_count_towards_the_limit(
    kept: KeptAnswers, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, last = made("first.example"), made("last.example")
    ask(first)
    monkeypatch.setattr(record_ids, "KEPT_OCTETS", size(first) * 3 // 2)
    ask(last)
    assert size(first) == 0
    assert size(last) > 0
    assert kept._octets == size(last)


def test_answers_that_nobody_asks_for_are_dropped_also_of_the_only_zone(kept: KeptAnswers) -> None:
    one = made("one.example")
    kept.note_use(one, 0.0)
    for view in one.records.parts.views(one.records):
        view.ask(IdHeads(one.id))
    kept.note_use(one, 1.0)
    kept.forget_old(KEPT_S)
    assert size(one) > 0
    kept.forget_old(KEPT_S + 1.0)
    assert (size(one), kept._octets) == (0, 0)


def test_answers_about_parts_that_an_edit_left_are_dropped_too(kept: KeptAnswers) -> None:
    one = made("one.example")
    ask(one)
    parts = one.records.parts.after((), (0,), len(one.records), len(one.records))
    assert sum(bool(part.kept) for part in parts.parts) == len(parts.parts) - 1 > 0
    del one
    kept.forget_old(1e12)
    assert not any(part.kept for part in parts.parts)


def test_a_question_that_ends_early_counts(kept: KeptAnswers) -> None:
    one = made("one.example")
    for view in views(one):
        view.ask(IdHeads(one.id))
        break
    assert kept._octets == size(one) > 0


def test_search_that_the_garbage_collector_ends_waits_for_no_lock(kept: KeptAnswers) -> None:
    """It may end it in a thread that holds the lock."""
    searches = [record_ids.find_records(made("one.example"), ["f" * 32])]
    next(searches[0])

    def collect() -> None:
        with kept._lock:
            searches.clear()

    collecting = threading.Thread(target=collect, daemon=True)
    collecting.start()
    collecting.join(HANG_S)
    assert not collecting.is_alive()


def test_search_of_old_data_leaves_the_answers_about_the_new_ones_counted(kept: KeptAnswers) -> None:
    old, new = made("one.example"), made("one.example")
    search = record_ids.find_records(old, ["f" * 32])
    next(search)
    ask(new)
    finished(search)
    assert kept._octets == size(new) > 0
    kept.forget_old(1e12)
    assert size(new) == 0
