"""Changes that make origins public, over the API: told in `messages`, or refused on request."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar, cast

from dnsd.api.turns import after_change
from dnsd.app import Loaded
from dnsd.manage.draft import Draft
from dnsd.manage.exposed import IntoOpenError, can_expose, exposures, unless_exposed
from dnsd.manage.refusal import Fault, Reason, RefusedError, refused
from dnsd.manage.service import Actor, Service

T = TypeVar("T")
FIELD, REFUSE = "into_open", "refuse"  # in a query


class OpenWatch:
    """The service, for one request: notes the names that its changes take into the open."""

    def __init__(self, service: Service, *, refuses: bool) -> None:
        self.notes: list[str] = []
        self._service = service
        self._refuses = refuses

    def __getattr__(self, name: str) -> Any:
        return getattr(self._service, name)

    async def change(self, actor: Actor, action: str, verb: Callable[[Draft], T]) -> tuple[T, Loaded]:
        """Carry out a verb, as `Service.change`. Raises RefusedError."""
        if not can_expose(action):
            return await self._service.change(actor, action, verb)
        drafts: list[Draft] = []  # of the last attempt

        def noted(draft: Draft) -> T:
            drafts[:] = [draft]
            return verb(draft)

        try:
            made = unless_exposed(noted, actor.token) if self._refuses else noted
            result, loaded = await self._service.change(actor, action, made)
        except IntoOpenError as error:
            raise RefusedError(*(Fault(Reason.INTO_OPEN, line) for line in error.exposures.lines())) from None
        if not self._refuses:
            found = await after_change(actor, partial(exposures, drafts[0].loaded, loaded, actor.token))
            self.notes += found.lines()
        return result, loaded

    def as_service(self) -> Service:
        """The same, as a service."""
        return cast(Service, self)


def refuses(asked: str | None) -> bool:
    """Whether a query asks to refuse changes into the open. Raises RefusedError."""
    if asked not in (None, REFUSE):
        raise refused(Reason.INVALID, f"{asked!r} is unknown: use {REFUSE!r}, or leave it out", FIELD)
    return asked == REFUSE
