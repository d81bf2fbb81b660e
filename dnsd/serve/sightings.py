"""When objects were first seen, from one process to the next; what goes wrong with that is logged, and no more."""

from __future__ import annotations

from pathlib import Path

from dnsd.log import Log
from dnsd.model.sightings import NEVER_SEEN, ObjectTimes
from dnsd.store.first_seen import FirstSeen


class KeptTimes:
    """What is in the state folder. Its methods block: they are for threads."""

    def __init__(self, state: Path, log: Log) -> None:
        self._file = FirstSeen(state)
        self._log = log

    def load(self) -> ObjectTimes:
        """What an earlier process has seen; nothing where that cannot be read, which is no reason not to serve."""
        try:
            return self._file.load()
        except OSError as error:
            self._warn("read", error)
            return NEVER_SEEN

    def has(self, times: ObjectTimes) -> bool:
        """Whether this is on the disk already; does not block."""
        return self._file.has(times)

    def save(self, times: ObjectTimes) -> None:
        """Have it on the disk, before anybody is told."""
        try:
            self._file.save(times)
        except OSError as error:
            self._warn("written", error)

    def _warn(self, what: str, error: OSError) -> None:
        consequence = "objects whose files say no times may get others at the next start"
        self._log.warning(f"warning: {self._file.path} cannot be {what}: {error.strerror}; {consequence}")
