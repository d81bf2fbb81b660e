"""How far a control has written in the state of a fleet. Pure."""

from __future__ import annotations

from collections.abc import Iterable

AWAITED_S = 60.0  # for which a copy waits for what was written: servers that lost it would have it wait for ever


class WrittenPlace:
    """The number of the last message that a control has written; numbers begin anew with each epoch."""

    def __init__(self) -> None:
        self._epoch, self._seq, self._at = "", 0, 0.0

    def note(self, epoch: str, numbers: Iterable[int], now: float) -> None:
        """Take note of messages that were stored in the state with this epoch; `now` is in monotonic seconds."""
        self._seq = max([self.seq(epoch), *numbers])
        self._epoch, self._at = epoch, now

    def seq(self, epoch: str) -> int:
        """The number of the last message in the state with this epoch; 0 if this control has written none."""
        return self._seq if epoch == self._epoch else 0

    def awaited(self, epoch: str, now: float) -> int:
        """The same for a copy, which is to have it; 0 once that has taken too long."""
        return self.seq(epoch) if now - self._at <= AWAITED_S else 0
