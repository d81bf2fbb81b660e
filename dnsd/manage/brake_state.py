"""The state of the brake and the guard, for operators: each author's accounts, and the files that wait."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from dnsd.engine.snapshot import Snapshot
from dnsd.manage.brake import ALL, FILES, Book, Limit
from dnsd.manage.refusal import Reason, refused
from dnsd.manage.token_port import NoSuchTokenError, Tokens, single_token
from dnsd.model.guard import AccountMoves
from dnsd.model.times import time_text

MAX_RELEASE_S = 24 * 3600


@dataclass(frozen=True, slots=True)
class AuthorState:
    """An author with an open window or a release; ALL with a release for everyone."""

    key: str
    name: str
    accounts: int = 0  # whose addresses it has changed within the window
    ends_at: float | None = None  # of the window
    released_until: float | None = None


@dataclass(frozen=True, slots=True)
class BrakeState:
    """The limit of each author, the authors, and the files that the guard refused."""

    limit: Limit | None  # None: no brake
    authors: tuple[AuthorState, ...]
    is_refused: bool = False  # whether files wait
    reasons: tuple[str, ...] = ()
    waiting: tuple[AccountMoves, ...] = ()  # the names that they would move

    @property
    def at_limit(self) -> tuple[AuthorState, ...]:
        """The authors whose next account is refused."""
        return tuple(one for one in self.authors if self.limit and one.accounts >= self.limit.accounts)

    @property
    def released(self) -> tuple[AuthorState, ...]:
        """The authors without a limit for now."""
        return tuple(one for one in self.authors if one.released_until)

    @property
    def waiting_total(self) -> int:
        """The number of names that waiting files would move."""
        return sum(one.names.total for one in self.waiting)

    def data(self) -> dict[str, Any]:
        """The state as plain data."""
        return {
            "limit": self.limit.accounts if self.limit else None,
            "accounts": self.limit.total if self.limit else None,
            "window_s": self.limit.window_s if self.limit else None,
            "authors": [
                {
                    "id": one.key,
                    "name": one.name,
                    "accounts": one.accounts,
                    "window_ends_at": _text(one.ends_at),
                    "released_until": _text(one.released_until),
                }
                for one in self.authors
            ],
            "refused": self.is_refused,
            "reasons": list(self.reasons),
            "waiting": [
                {"account": one.account, **one.names._asdict()}
                for one in sorted(self.waiting, key=lambda one: (-one.names.total, one.account))
            ],
        }


def authors_of(book: Book, snapshot: Snapshot | None, limit: Limit | None, now: float) -> Iterator[AuthorState]:
    """The authors with an open window or a release, files first."""
    released = {author: until for author, until in book.released.items() if until > now}
    windows = {one: found for one in book.windows if limit and (found := book.window(one, limit.window_s, now))}
    for key in sorted({*released, *windows}, key=lambda one: (one != FILES.key, one)):
        window = windows.get(key)
        yield AuthorState(
            key,
            window.name if window else "all authors" if key == ALL else key,
            len(window.moved(snapshot)) if window and snapshot else 0,
            window.began_at + limit.window_s if window and limit else None,
            released.get(key),
        )


def author_key(book: Book, tokens: Tokens, author: str) -> str:
    """The key of an author: `files`, or a token by id or name; all authors if empty. Raises RefusedError."""
    if author in ("", FILES.key) or author in book.windows:
        return author or ALL
    named = [key for key, window in book.windows.items() if window.name == author]
    if len(named) == 1:
        return named[0]
    try:
        return single_token(tokens.tokens(), author).root.id
    except NoSuchTokenError as error:
        raise refused(Reason.INVALID, f"{error}; use `files`, or a token's id or name", "author") from None


def _text(time: float | None) -> str | None:
    return time_text(datetime.fromtimestamp(time, UTC)) if time is not None else None
