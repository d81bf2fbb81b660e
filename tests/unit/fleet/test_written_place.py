"""What a control has written, also in a state that was made anew."""

from __future__ import annotations

from dnsd.fleet.written_place import AWAITED_S, WrittenPlace


def test_the_highest_number_counts() -> None:
    written = WrittenPlace()
    assert written.seq("e") == 0
    written.note("e", [7, 9], 0.0)
    written.note("e", [8], 0.0)
    assert written.seq("e") == 9


def test_numbers_of_another_epoch_do_not_count() -> None:
    written = WrittenPlace()
    written.note("old", [1_000_000], 0.0)
    assert written.seq("new") == 0
    written.note("new", [500], 0.0)
    assert (written.seq("new"), written.seq("old")) == (500, 0)


def test_a_copy_waits_for_what_was_written_for_a_while() -> None:
    written = WrittenPlace()
    written.note("e", [9], 5.0)
    assert (written.awaited("e", 5.0 + AWAITED_S), written.awaited("other", 5.0)) == (9, 0)
    assert written.awaited("e", 5.1 + AWAITED_S) == 0
    assert written.seq("e") == 9
