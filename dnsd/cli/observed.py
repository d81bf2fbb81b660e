"""The observed routes that a running server with the same configuration uses, read from its files."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from dnsd.errors import InvalidDataError
from dnsd.model.advertisement import NO_ROUTES, Routes
from dnsd.model.observed import FeedError, Observed
from dnsd.settings.file import load_settings
from dnsd.settings.written import state_folder
from dnsd.store.observations import UnusableFileError, load_feed, load_observed


def observed_by_server(config: Path) -> Routes:
    """The observed routes that count now; those in unreadable files are left out."""
    try:
        settings, folder = load_settings(config).settings.advertisement, state_folder(config)
    except InvalidDataError:  # `load` reports it
        return NO_ROUTES
    observed, now = Observed(), datetime.now(UTC)
    with suppress(OSError, UnusableFileError):
        observed = load_observed(folder) or observed
    file = settings.feed_file(config)
    if file:
        with suppress(OSError, UnusableFileError, FeedError):
            observed = observed.with_feed(load_feed(file), "", now)
    return observed.routes(now, settings.max_age)
