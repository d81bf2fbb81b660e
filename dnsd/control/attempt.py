"""The outcome of an attempt to load the files, as status, health and `dnsd reload` report it."""

from __future__ import annotations

from dataclasses import dataclass

from dnsd.errors import Problem
from dnsd.model.guard import AccountMoves


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """The outcome of the last attempt to load the files."""

    ok: bool  # the files are served, except for held accounts
    problems: tuple[Problem, ...]
    seconds: float
    at: float  # seconds since 1970
    revision: int = 0  # served after it
    held: tuple[str, ...] = ()  # accounts with errors, kept at their last good version
    by_guard: bool = False  # whether only the guard refused them: the server is ready, and files wait for an operator
    waiting: tuple[AccountMoves, ...] = ()  # then, the names that they would move
