"""When objects were first seen, kept from one process to the next. Errors are logged, and otherwise ignored."""

from __future__ import annotations

from pathlib import Path

from dnsd.errors import shown
from dnsd.log import Log
from dnsd.model.sightings import NEVER_SEEN, ObjectTimes
from dnsd.store.first_seen import FirstSeen

CONSEQUENCE = "objects without times in their files may get other times at the next start"


class KeptTimes:
    """The times kept in the state folder. The methods block: call them in threads."""

    def __init__(self, state: Path, log: Log) -> None:
        self._file = FirstSeen(state)
        self._log = log

    def load(self) -> ObjectTimes:
        """The times of an earlier process; empty if they cannot be read, which must not stop the server."""
        try:
            times = self._file.load()
            if self._file.problem:
                self._log.warning(f"warning: {self._file.problem}; {CONSEQUENCE}")
            return times
        except OSError as error:
            self._warn("read", error)
            return NEVER_SEEN

    def save(self, times: ObjectTimes) -> None:
        """Save the times to disk. Call this before any client sees them."""
        try:
            self._file.save(times)
        except OSError as error:
            self._warn("written", error)

    def _warn(self, what: str, error: OSError) -> None:
        self._log.warning(f"warning: {shown(self._file.path)} cannot be {what}: {error.strerror}; {CONSEQUENCE}")
