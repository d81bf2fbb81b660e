"""Things by domain name, to find those around a name: at it, above it and below it, at the cost of those found."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, TypeVar

from dnsd.wire.names import ancestors

T = TypeVar("T")


class Nearby(Generic[T]):
    """Things by name; several may have the same."""

    def __init__(self) -> None:
        self._at: dict[bytes, list[T]] = {}
        self._below: dict[bytes, list[T]] = {}

    def add(self, name: bytes, thing: T) -> None:
        """Add a thing at a canonical name."""
        self._at.setdefault(name, []).append(thing)
        for part in ancestors(name):
            self._below.setdefault(part, []).append(thing)

    def around(self, name: bytes) -> Iterator[T]:
        """The things at a canonical name, above it, and below it."""
        yield from self._at.get(name, ())
        for part in ancestors(name):
            yield from self._at.get(part, ())
        yield from self._below.get(name, ())
