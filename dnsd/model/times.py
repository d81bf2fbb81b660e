"""Times as text: RFC 3339, as the API, the audit log and the file of tokens write them."""

from __future__ import annotations

from datetime import UTC, datetime


def time_text(time: datetime) -> str:
    """A time with its zone in UTC, with microseconds and Z: `2026-01-01T00:00:00.000000Z`."""
    return time.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def parse_time(text: str) -> datetime:
    """The time that a text in the manner of RFC 3339 means, in UTC. Raises ValueError, also where it has no zone."""
    try:
        time = datetime.fromisoformat(text.upper())  # RFC 3339 §5.6: t and z may be lower case
        if time.tzinfo is not None:
            return time.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise ValueError(f"{text!r} is not a time with its zone, such as 2026-01-01T00:00:00Z")
