"""Problems in users' files and requests, and the package's exceptions.

A problem is data: rules return lists of them, so that a user sees all at once. An exception carries the whole list
across a boundary.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

THROUGH_DESCRIPTOR = "/proc/self/fd/"  # the beginning of a path through an open folder

Path = tuple[str | int, ...]  # a place in an object: ("records", 3, "content")


@dataclass(frozen=True, slots=True)
class Place:
    """A position in a text; line and column count from 1."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{shown(self.file)}:{self.line}:{self.column}"


class BrokenRule(StrEnum):
    """A rule that programs identify by more than its message."""

    NOT_PROXIABLE = "not_proxiable"
    CNAME_TO_ITSELF = "cname_to_itself"
    OTHERS_AT_NAME = "others_at_name"
    CNAME_AT_NAME = "cname_at_name"
    IDENTICAL_RECORD = "identical_record"
    ZONE_EXISTS = "zone_exists"
    TARGET_OUTSIDE = "target_outside"
    OUTSIDE_SPACE = "outside_space"
    BARRED_FROM_POOL = "barred_from_pool"
    ZONE_QUOTA = "zone_quota"
    RECORD_QUOTA = "record_quota"
    QUOTA = "quota"
    MEMORY = "memory"


@dataclass(frozen=True, slots=True)
class Problem:
    """An error or warning about a user's file or request: `file:line:column: path: message`.

    `source` is the key of its object (`acme/maps/shop`); code that knows the object's text adds the `place`.
    `other` is the key of another object named in the message, with which this one conflicts.
    A warning prevents nothing from being loaded.
    """

    source: str
    path: Path
    message: str
    warning: bool = field(default=False, kw_only=True)
    place: Place | None = field(default=None, kw_only=True)
    rule: BrokenRule | None = field(default=None, kw_only=True)
    other: str | None = field(default=None, kw_only=True)

    def __str__(self) -> str:
        where = str(self.place or self.source)
        line = ": ".join(part for part in (where, path_text(self.path), self.message) if part)
        return printable(line)

    def data(self) -> dict[str, Any]:
        """The problem as plain data."""
        place = self.place
        return {
            "file": printable(shown(place.file) if place else self.source),
            "line": place.line if place else None,
            "column": place.column if place else None,
            "path": path_text(self.path),
            "message": self.message,
            "severity": "warning" if self.warning else "error",
            "text": self.line(),
        }

    def line(self) -> str:
        """The problem as a line of a list, with its severity if a warning."""
        return f"{'warning: ' if self.warning else ''}{self}"


def printable(text: str) -> str:
    """Any text, such as a file name, as one line without control characters or unencodable ones."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def shown(path: object) -> str:
    """A path for people; instead of a descriptor, it has the place of the open folder."""
    text = str(path)
    if not text.startswith(THROUGH_DESCRIPTOR):
        return text
    descriptor, slash, rest = text.removeprefix(THROUGH_DESCRIPTOR).partition("/")
    try:
        return os.readlink(THROUGH_DESCRIPTOR + descriptor) + slash + rest
    except OSError:  # it is closed
        return text


def path_text(path: Path) -> str:
    """The path as text: `records[3].content`."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}"
    return text.lstrip(".")


def in_order(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """The problems in the order of their files, lines and columns."""
    return tuple(sorted(problems, key=_position))


def _position(problem: Problem) -> tuple[str, int, int]:
    place = problem.place
    return (place.file, place.line, place.column) if place else (problem.source, 0, 0)


class DnsdError(Exception):
    """The base class of all exceptions that this package raises on purpose."""


class WireError(DnsdError):
    """Bytes that are not a well-formed DNS name or message (RFC 1035 §4)."""


class LongChangeError(DnsdError):
    """A change of a large file, for which nobody should wait."""

    def __init__(self) -> None:
        super().__init__("the change of a large file takes long")


class InvalidDataError(DnsdError):
    """Invalid data from a user; `problems` lists all reasons."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = in_order(problems)
        super().__init__("\n".join(map(str, self.problems)))
