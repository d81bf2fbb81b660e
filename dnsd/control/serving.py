"""What all workers serve, by the numbers of a fleet's state."""

from __future__ import annotations

from typing import NamedTuple

from dnsd.app import Loaded
from dnsd.control.current import Current
from dnsd.control.publish import Publisher
from dnsd.store.port import Seen


class ServedPlace(NamedTuple):
    """A revision, and the epoch and number of the fleet's state that it has."""

    revision: int = 0
    epoch: str = ""
    seq: int = 0


class ServedState:
    """Knows the last state of a fleet that all workers serve."""

    def __init__(self, current: Current, publisher: Publisher) -> None:
        self._current = current
        self._publisher = publisher
        self._places: dict[int, ServedPlace] = {}  # by revision: the last that all workers serve, and later ones
        self._compared: tuple[Seen | None, Loaded | None, bool] = (None, None, False)

    @property
    def awaited(self) -> int:
        """The revision with the next news: they come once all workers serve it."""
        newest = self._publisher.revision
        is_known = newest in self._places or self._current.loaded is None
        return newest + 1 if is_known and not self._publisher.late(newest) else newest

    def place(self) -> ServedPlace:
        """The last state that all workers serve; without one, its numbers are 0."""
        if loaded := self._current.loaded:
            revision = loaded.snapshot.revision
            self._places[revision] = ServedPlace(revision, *self._loaded(loaded))
        served = [revision for revision in self._places if not self._publisher.late(revision)]
        if not served:
            return ServedPlace()
        last = max(served)
        self._places = {revision: place for revision, place in self._places.items() if revision >= last}
        return self._places[last]

    def _loaded(self, loaded: Loaded) -> tuple[str, int]:
        """Epoch and number of the last state with the loaded content: it may be later than that which was loaded."""
        seen, source = self._current.seen, loaded.source.seen
        if seen is not self._compared[0] or loaded is not self._compared[1]:
            self._compared = seen, loaded, seen == source
        files = seen.files if seen and self._compared[2] else source.files
        return (files.epoch, files.seq) if files else ("", 0)
