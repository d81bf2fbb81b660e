"""What beats say of a copy, whoever sends them."""

from __future__ import annotations

from dnsd.fleet.beat import Beat
from dnsd.fleet.beat_watch import AGAIN_S, MAX_EPOCHS, TOLD_S, BeatVerdict, BeatWatch

FINE, BEHIND = BeatVerdict.FINE, BeatVerdict.BEHIND


def own(seq: int = 100, heads_sum: int = 1, epoch: str = "e") -> Beat:
    return Beat(epoch, seq, heads_sum)


def test_a_copy_that_stands_still_is_behind_and_one_that_moves_is_not() -> None:
    still, moving = BeatWatch(), BeatWatch()
    for second in range(10):
        verdict = still.judge(Beat("e", 200, 2), own(), float(second))
        assert verdict is (BEHIND if second in (3, 6, 9) else FINE), second
        assert moving.judge(Beat("e", 200, 2), own(100 + second), float(second)) is FINE
    assert (still.is_behind, moving.is_behind) == (True, False)
    still.look(199, 9.0)
    assert still.is_behind
    still.look(200, 9.0)
    assert not still.is_behind


def test_a_lag_of_which_no_beat_tells_any_more_ends() -> None:
    watch = BeatWatch()
    for second in range(4):
        watch.judge(Beat("e", 200, 2), own(), float(second))
    watch.look(100, 3 + TOLD_S)
    assert watch.is_behind
    watch.look(100, 3.1 + TOLD_S)
    assert not watch.is_behind


def test_a_control_that_is_late_or_was_paused_says_nothing() -> None:
    watch = BeatWatch()
    verdicts = {watch.judge(Beat("e", seq, 7), own(), float(second)) for second, seq in enumerate([99, 40, 99] * 3)}
    assert verdicts == {FINE}
    assert not watch.is_behind


def test_a_copy_is_fetched_anew_once_because_of_a_wrong_control() -> None:
    watch, wrong = BeatWatch(), own(heads_sum=9)
    assert watch.judge(wrong, own(), 0.0) is BeatVerdict.OTHER_HEADS
    for second in range(1, 10):
        assert watch.judge(wrong, own(), float(second)) is BeatVerdict.OTHER_HEADS_STILL
        assert watch.judge(own(), own(), float(second)) is FINE
    assert watch.judge(wrong, own(), 2 * AGAIN_S) is BeatVerdict.OTHER_HEADS


def test_copies_do_not_fetch_together_for_ever_because_of_a_wrong_control() -> None:
    wrong, fetched = own(heads_sum=9), list[list[int]]()
    for _ in range(8):
        watch = BeatWatch()
        told = [watch.judge(wrong, own(), float(second)) for second in range(24 * 3600)]
        fetched.append([at for at, verdict in enumerate(told) if verdict is BeatVerdict.OTHER_HEADS])
    assert len({times[1] for times in fetched}) > 1
    assert all(len(times) <= 10 for times in fetched)


def test_another_epoch_is_looked_for_once() -> None:
    watch = BeatWatch()
    assert watch.judge(own(epoch="old"), own(), 0.0) is BeatVerdict.OTHER_EPOCH
    assert watch.judge(own(epoch="old"), own(), 1.0) is FINE
    assert watch.judge(own(epoch="new"), own(), 2.0) is BeatVerdict.OTHER_EPOCH
    assert watch.judge(own(epoch="new"), own(), 2.0 + AGAIN_S) is BeatVerdict.OTHER_EPOCH


def test_the_newest_number_is_that_of_the_last_beats() -> None:
    watch = BeatWatch()
    for seq in (100, 300, 200):
        watch.judge(Beat("e", seq, 1), own(300), 0.0)
    assert watch.newest == 300
    watch.judge(Beat("e", 50, 1), own(50), TOLD_S + 1)  # the servers had an older state restored
    assert watch.newest == 50


def test_a_lag_begins_anew_at_each_step_of_the_copy() -> None:
    watch = BeatWatch()
    numbers = [100, 100, 100, 101, 101, 101, 101]
    verdicts = [watch.judge(Beat("e", 200, 2), own(seq), float(at)) for at, seq in enumerate(numbers)]
    assert verdicts == [FINE] * 6 + [BEHIND]


def test_each_of_several_other_epochs_is_looked_for_once() -> None:
    watch = BeatWatch()
    told = [watch.judge(own(epoch=epoch), own(), float(at)) for at in range(60) for epoch in ("x", "y")]
    assert told.count(BeatVerdict.OTHER_EPOCH) == 2


def test_epochs_without_end_are_not_looked_for() -> None:
    watch = BeatWatch()
    told = [watch.judge(own(epoch=f"x{at}"), own(), float(at)) for at in range(100)]
    assert told.count(BeatVerdict.OTHER_EPOCH) == MAX_EPOCHS
