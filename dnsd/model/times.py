"""Times of objects, and times as text: RFC 3339, as the API, the audit log and the file of tokens write them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import NamedTuple

EARLIEST = datetime.min.replace(tzinfo=UTC)
LATEST = datetime.max.replace(tzinfo=UTC)


class Said(NamedTuple):
    """The times that an object's file says; None for those that it does not."""

    created: datetime | None = None
    modified: datetime | None = None
    activated: datetime | None = None  # of a zone


UNSAID = Said()


class Times(NamedTuple):
    """When an object was made and when it was changed last."""

    created: datetime
    modified: datetime
    activated: datetime | None = None  # of a zone: when it was made active; None where that never happened


def time_text(time: datetime) -> str:
    """A time with its zone in UTC, with microseconds and Z: `2026-01-01T00:00:00.000000Z`."""
    try:
        time = time.astimezone(UTC)
    except OverflowError:  # 0001-01-01T00:00:00+23:59 is a time that files may say
        time = EARLIEST if time.year == 1 else LATEST
    return time.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def parse_time(text: str) -> datetime:
    """The time that a text in the manner of RFC 3339 means, in UTC. Raises ValueError, also where it has no zone."""
    try:
        time = datetime.fromisoformat(text.upper())  # RFC 3339 §5.6: t and z may be lower case
        if time.tzinfo is not None:
            return time.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise ValueError(f"{text!r} is not a time with its zone, such as 2026-01-01T00:00:00Z")
