"""Problems of a change in terms of its request: with places in the body, and no word about other accounts."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass, replace

from dnsd.errors import Path, Problem
from dnsd.store.directory import account_of

# Keys of a file that are also fields of a request.
REQUEST_FIELDS = (
    *("ips", "memberships", "description", "default_sni", "enabled", "immutable"),
    *("name", "status", "verified", "pool"),
)
CONFLICT = "it conflicts with another account"


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestTerms:
    """The terms of a request that writes and removes some files, given by their keys."""

    written: Set[str]
    removed: Set[str]
    places: Mapping[str, Mapping[int, Path]]  # the place of each record in the request, by key and row
    by_operator: bool

    def of(self, problem: Problem) -> Problem:
        """A problem with a path in the request's body, or with the name of another file.

        Only the operator learns about other accounts.
        """
        if self.is_about_others(problem) and not self.by_operator:
            path = problem.path if problem.source in self.written else ()
            return replace(problem, path=path, message=CONFLICT)
        if problem.source in self.written or problem.source in self.removed:
            return replace(problem, path=self._place(problem))
        return replace(problem, path=(), message=f"{problem.source}: {problem.message}")

    def is_about_others(self, problem: Problem) -> bool:
        """Whether a problem concerns an account without a changed file."""
        own = {"", *map(account_of, (*self.written, *self.removed))}
        return not own >= {account_of(problem.source), account_of(problem.other)}

    def _place(self, problem: Problem) -> Path:
        """The place in the request of a problem with a place in a file; empty if unknown."""
        first, *rest = problem.path or ("",)
        if first == "records":
            return self.places.get(problem.source, {}).get(rest[0], ()) if rest and isinstance(rest[0], int) else ()
        if first in ("prefixes", "static_ips"):
            return tuple(step for step in rest[-1:] if isinstance(step, str))
        return problem.path if first in REQUEST_FIELDS else ()
