"""The settings that only a restart can change."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from dnsd.errors import Path
from dnsd.settings.server import Settings

NEEDS_START: tuple[tuple[str, ...], ...] = (
    ("role",),
    ("fleet",),
    ("listen",),
    ("workers",),
    ("resolver",),
    ("udp",),
    ("metrics", "listen"),
    ("api", "listen"),
    ("state",),
    ("user",),
    ("group",),
    ("limits", "rrl", "table_size"),
)


def waiting_for_start(settings: Settings, first: Settings) -> Iterator[Path]:
    """The settings that differ from those of the server's start, but have no effect before the next one."""
    return (path for path in NEEDS_START if _value(path, settings) != _value(path, first))


def _value(path: tuple[str, ...], settings: Settings) -> Any:
    """The value of a setting; None if its section is off."""
    found: Any = settings
    for key in path:
        found = getattr(found, key, None)
    return found
