"""What a control has written, also in a state that was made anew."""

from __future__ import annotations

from dnsd.fleet.written_place import WrittenPlace


def test_the_highest_number_counts() -> None:
    written = WrittenPlace()
    assert written.seq("e") == 0
    written.note("e", [7, 9])
    written.note("e", [8])
    assert written.seq("e") == 9


def test_numbers_of_another_epoch_do_not_count() -> None:
    written = WrittenPlace()
    written.note("old", [1_000_000])
    assert written.seq("new") == 0
    written.note("new", [500])
    assert (written.seq("new"), written.seq("old")) == (500, 0)
