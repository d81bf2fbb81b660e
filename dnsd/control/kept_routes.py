"""The observed routes of the running server: kept from one process to the next, and read from the watched file."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

from dnsd.log import Log
from dnsd.model.advertisement import NO_ROUTES, Routes
from dnsd.model.observed import FeedError, FeedFields, Observed, without_new_withdrawals
from dnsd.store.kept_file import DamagedFileError
from dnsd.store.observations import UnusableFileError, load_feed, load_own, save_observed


class KeptRoutes:
    """The observed routes of an earlier process and of the watched file. The methods block: call them in threads."""

    def __init__(self, state: Path, log: Log) -> None:
        self.observed = Observed()
        self.applied = NO_ROUTES  # to answers; new withdrawals wait until they are judged
        self._state = state
        self._log = log
        self._is_loaded = False
        self._stamp: tuple[Path, int, int] | None = None  # path, time and size of the file when last read
        self._feed: FeedFields | None = None  # of the file, until its routes are taken
        self._problem = ""

    def load(self, file: Path | None) -> None:
        """Read the watched file and, at first, the kept observations. Errors are logged, and otherwise ignored.

        Without kept observations, as at the first start, the file is taken as it is.
        """
        is_first, self._is_loaded = not self._is_loaded, True
        kept = self._load_kept() if is_first else None
        if kept is not None:
            self.observed, self.applied = kept, kept.states
        self.read_file(file)
        if is_first and kept is None:
            self.keep(self.observed, self.observed.states)

    def routes(self, max_age: timedelta) -> Routes:
        """The routes that count now, without withdrawals that are not judged yet."""
        return without_new_withdrawals(self.applied, self.observed.routes(datetime.now(UTC), max_age))

    def keep(self, observed: Observed, applied: Routes) -> None:
        """Keep the observations, and the routes applied to answers, for later processes."""
        self.observed, self.applied = observed, applied
        try:
            save_observed(self._state, observed.without_waiting(applied))
        except OSError as error:
            self._warn(f"the observations of routes cannot be kept: {error.strerror}; a restart would forget them")

    def _load_kept(self) -> Observed | None:
        try:
            return load_own(self._state)
        except (OSError, DamagedFileError) as error:
            self._warn(f"warning: the kept observations of routes cannot be used: {error}; they start again")
        return None

    def read_file(self, file: Path | None) -> None:
        """Read the watched file if it changed. An unusable file changes nothing.

        A feed that is refused is kept and tried again: it may be of the near future, or wait for room.
        """
        if file is None:
            self._stamp = None
            return
        try:
            status = os.stat(file)
            stamp = (file, status.st_mtime_ns, status.st_size)
            if stamp != self._stamp:
                self._stamp, self._feed = stamp, None
                self._feed = load_feed(file)
            if self._feed:
                self.observed = self.observed.with_feed(self._feed, "", datetime.now(UTC))
                self._feed, self._problem = None, ""
        except (OSError, UnusableFileError, FeedError) as error:
            if isinstance(error, OSError):
                self._stamp = None  # it may become readable without a change
            why = error.strerror if isinstance(error, OSError) else str(error)
            self._warn(f"{file} cannot be used: {why}; the routes observed last count until they are too old")

    def _warn(self, problem: str) -> None:
        if problem != self._problem:
            self._problem = problem
            self._log.warning(problem)
