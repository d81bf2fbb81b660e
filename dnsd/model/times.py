"""Times of objects, and times as RFC 3339 text, as in the API, the audit log and the token file."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import NamedTuple

DURATION = re.compile(r"([1-9][0-9]{0,6})([smhd])")
UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
EARLIEST = datetime.min.replace(tzinfo=UTC)
LATEST = datetime.max.replace(tzinfo=UTC)


class WrittenTimes(NamedTuple):
    """The times in an object's file; None where the file has no time."""

    created: datetime | None = None
    modified: datetime | None = None
    activated: datetime | None = None  # of a zone


NO_TIMES = WrittenTimes()


class Times(NamedTuple):
    """When an object was created and last modified."""

    created: datetime
    modified: datetime
    activated: datetime | None = None  # of a zone: when it became active; None if it never was


def time_text(time: datetime) -> str:
    """A time with its zone in UTC, with microseconds and Z: `2026-01-01T00:00:00.000000Z`."""
    try:
        time = time.astimezone(UTC)
    except OverflowError:  # files may contain 0001-01-01T00:00:00+23:59
        time = EARLIEST if time.year == 1 else LATEST
    return time.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def parse_time(text: str) -> datetime:
    """Parse an RFC 3339 time, returned in UTC. Raises ValueError, also without a time zone."""
    try:
        time = datetime.fromisoformat(text.upper())  # RFC 3339 §5.6: t and z may be lower case
        if time.tzinfo is not None:
            return time.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise ValueError(f"{text!r} is not a time with a time zone, such as 2026-01-01T00:00:00Z")


def parse_duration(text: str) -> int:
    """The seconds of a time such as 90s, 10m, 1h or 2d. Raises ValueError."""
    if not (found := DURATION.fullmatch(text)):
        raise ValueError(f"{text!r} is not a time such as 90s, 10m or 1h")
    return int(found[1]) * UNITS_S[found[2]]
