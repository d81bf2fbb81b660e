"""What the API and the dashboard are given of the running server: what is loaded, and the one way to change it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from dnsd.app import Loaded
from dnsd.manage.draft import Draft
from dnsd.manage.history import History
from dnsd.manage.tokens import Token
from dnsd.manage.traffic import Traffic

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Actor:
    """Who asks for a change, and from where."""

    token: Token
    client: str  # IP address


class Service(Protocol):
    """The running server, as far as its objects are concerned."""

    @property
    def history(self) -> History:
        """Earlier versions of objects."""

    @property
    def loaded(self) -> Loaded:
        """What is loaded. Raises RefusedError where the files cannot be used."""

    @property
    def traffic(self) -> Traffic:
        """What was answered in the last hour."""

    def problems(self) -> list[str]:
        """Why the server does not do all that it should, for its operator."""

    async def audit(
        self, limit: int, is_wanted: Callable[[dict[str, Any]], bool], *, skip: int = 0
    ) -> list[dict[str, Any]]:
        """The last entries of the audit log that are wanted, the newest first. Raises OSError."""

    async def change(self, actor: Actor, action: str, verb: Callable[[Draft], T]) -> tuple[T, Loaded]:
        """Have a verb of this package carried out: what it returned, and what is loaded with it.

        The change is durable then, and DNS answers it. `action` is what the audit log calls it, such as `map.create`.
        Raises RefusedError; nothing has changed then.
        """

    async def plan(self, actor: Actor, verb: Callable[[Draft], T]) -> tuple[Loaded, Loaded]:
        """What is loaded, and what would be if a verb were carried out. Raises RefusedError."""
