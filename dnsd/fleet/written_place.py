"""How far a control has written in the state of a fleet. Pure."""

from __future__ import annotations

from collections.abc import Iterable


class WrittenPlace:
    """The number of the last message that a control has written; numbers begin anew with each epoch."""

    def __init__(self) -> None:
        self._epoch, self._seq = "", 0

    def note(self, epoch: str, numbers: Iterable[int]) -> None:
        """Take note of messages that were stored in the state with this epoch."""
        self._seq = max([self.seq(epoch), *numbers])
        self._epoch = epoch

    def seq(self, epoch: str) -> int:
        """The number of the last message in the state with this epoch; 0 if this control has written none."""
        return self._seq if epoch == self._epoch else 0
