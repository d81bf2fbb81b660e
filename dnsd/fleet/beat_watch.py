"""What is known of the stream says of a copy: that it is behind, or that it is another state. Pure; times are given.

Beats may come from several controls, which may lag themselves, be paused, or be wrong. So a copy is behind only while
its own number stands still; a beat with a lower number says nothing; and a copy that was fetched anew because of one
beat is not fetched anew again because of the next.
"""

from __future__ import annotations

import random
from enum import Enum, auto

from dnsd.fleet.beat import Beat

BEHIND_S = 2.0
TOLD_S = 5.0  # for which a beat counts, if no other comes
MAX_EPOCHS = 8  # other ones that are looked for in AGAIN_S
AGAIN_S = 600.0  # at least, between two fetches because of a beat, and between two looks because of one epoch
LONGEST_PAUSE_S = 6 * 3600.0  # between such fetches: a control that is wrong once stays wrong


class BeatVerdict(Enum):
    """What a beat says of a copy."""

    FINE = auto()
    BEHIND = auto()  # for longer than BEHIND_S: the server lags
    OTHER_HEADS = auto()  # to be fetched anew
    OTHER_HEADS_STILL = auto()  # after it was fetched anew: the control is wrong
    OTHER_EPOCH = auto()  # to be compared with the servers' state


class BeatWatch:
    """Judges the beats that a follower gets."""

    def __init__(self) -> None:
        self.is_behind = False  # from a verdict until the copy has what it lacked, or no beat says so any more
        self.newest = 0  # the highest number of the last beats
        self._newest_at = 0.0
        self._goal = 0  # the number of a control that the copy had not reached when it fell behind
        self._since: float | None = None  # the copy's number stands still below the goal
        self._seq = 0  # of the copy, at the last beat
        self._told_at = 0.0
        self._fetch_at = 0.0  # not before
        self._pause = AGAIN_S  # from the next fetch on
        self._epochs: dict[str, float] = {}  # other ones, and when each was last looked for

    def judge(self, beat: Beat, own: Beat, now: float) -> BeatVerdict:
        """The verdict on a beat for a copy that would send `own`; `now` is in monotonic seconds."""
        if beat.epoch != own.epoch:
            return self._of_epoch(beat.epoch, now)
        if beat.seq >= self.newest or now - self._newest_at > TOLD_S:
            self.newest, self._newest_at = beat.seq, now
        if beat.seq == own.seq and beat.heads_sum != own.heads_sum:
            return self._of_heads(now)
        return self.lags(beat.seq, own.seq, now)

    def lags(self, told: int, seq: int, now: float) -> BeatVerdict:
        """Whether a copy with the number `seq` is behind one that is known to exist."""
        has_moved, self._seq = seq != self._seq, seq
        if seq >= self._goal:
            self._since = None
        if told <= seq:
            self.look(seq, now)
            return BeatVerdict.FINE
        self._told_at = now
        if self._since is None:
            self._goal, self._since = told, now
        elif has_moved:
            self._since = now
        elif now - self._since > BEHIND_S:
            self._since, self.is_behind = now, True
            return BeatVerdict.BEHIND
        return BeatVerdict.FINE

    def begin(self) -> None:
        """Forget the numbers that were told: the copy is of another epoch, where they begin anew."""
        self.is_behind, self._since = False, None
        self.newest, self._newest_at, self._goal = 0, 0.0, 0

    def look(self, seq: int, now: float) -> None:
        """Take note of the copy's number between beats."""
        if self.is_behind and (seq >= self._goal or now - self._told_at > TOLD_S):
            self.is_behind, self._since = False, None

    def _of_heads(self, now: float) -> BeatVerdict:
        if now < self._fetch_at:
            return BeatVerdict.OTHER_HEADS_STILL
        self._fetch_at = now + self._pause * random.uniform(1, 2)  # all copies hear the same beat
        self._pause = min(2 * self._pause, LONGEST_PAUSE_S)
        return BeatVerdict.OTHER_HEADS

    def _of_epoch(self, epoch: str, now: float) -> BeatVerdict:
        self._epochs = {one: at for one, at in self._epochs.items() if now - at < AGAIN_S}
        if epoch in self._epochs or len(self._epochs) >= MAX_EPOCHS:
            return BeatVerdict.FINE  # a control that is late itself
        self._epochs[epoch] = now
        return BeatVerdict.OTHER_EPOCH
