"""What can be wrong: problems with what a user wrote, and the exceptions of this package.

A problem is data: rules return lists of them, so that a user sees every one in a single run. An exception carries them
across a boundary once.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

Path = tuple[str | int, ...]  # where in an object: ("records", 3, "content")


@dataclass(frozen=True, slots=True)
class Place:
    """A position in a text; line and column count from 1."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


class Rule(StrEnum):
    """A rule that programs want to know by more than its message."""

    NOT_PROXIABLE = "not_proxiable"
    CNAME_TO_ITSELF = "cname_to_itself"
    OTHERS_AT_NAME = "others_at_name"
    CNAME_AT_NAME = "cname_at_name"
    IDENTICAL_RECORD = "identical_record"
    ZONE_EXISTS = "zone_exists"
    TARGET_OUTSIDE = "target_outside"
    OUTSIDE_SPACE = "outside_space"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong, or doubtful, in what a user wrote: `file:line:column: path: what is wrong`.

    `source` is the key of the object it is in (`acme/maps/shop`); whoever knows the object's text adds the `place`.
    `other` is the key of the object that this one clashes with, if the message tells of it.
    A warning does not stop anything from being loaded.
    """

    source: str
    path: Path
    message: str
    warning: bool = field(default=False, kw_only=True)
    place: Place | None = field(default=None, kw_only=True)
    rule: Rule | None = field(default=None, kw_only=True)
    other: str | None = field(default=None, kw_only=True)

    def __str__(self) -> str:
        where = str(self.place or self.source)
        line = ": ".join(part for part in (where, path_text(self.path), self.message) if part)
        return printable(line)

    def data(self) -> dict[str, Any]:
        """The problem as plain data."""
        place = self.place
        return {
            "file": printable(place.file if place else self.source),
            "line": place.line if place else None,
            "column": place.column if place else None,
            "path": path_text(self.path),
            "message": self.message,
            "severity": "warning" if self.warning else "error",
            "text": self.line(),
        }

    def line(self) -> str:
        """The problem as it is shown in a list of several."""
        return f"{'warning: ' if self.warning else ''}{self}"


def printable(text: str) -> str:
    """A text, which may hold anything as names of files do, as one line that moves no cursor and can be encoded."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def path_text(path: Path) -> str:
    """The path as a person writes it: `records[3].content`."""
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
    """The root of every exception this package raises on purpose."""


class WireError(DnsdError):
    """Bytes that are not a well-formed DNS name or message (RFC 1035 §4)."""


class InvalidDataError(DnsdError):
    """What a user wrote cannot be used; `problems` lists every reason."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = in_order(problems)
        super().__init__("\n".join(map(str, self.problems)))
