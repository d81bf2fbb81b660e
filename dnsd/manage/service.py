"""The running server's interface for the API and the dashboard: the loaded data, and the only way to change it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from dnsd.app import Loaded
from dnsd.manage.draft import Draft
from dnsd.manage.history import History
from dnsd.manage.recent import RecentQuestions
from dnsd.manage.token_changes import TokenChange
from dnsd.manage.token_file import TokenFile
from dnsd.manage.tokens import Token
from dnsd.manage.traffic import Traffic

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Actor:
    """The token that requests a change, and its client."""

    token: Token
    client: str  # IP address


class Service(Protocol):
    """The running server's data, and changes of it."""

    @property
    def history(self) -> History:
        """Earlier versions of objects."""

    @property
    def loaded(self) -> Loaded:
        """The loaded data. Raises RefusedError if the files cannot be used."""

    @property
    def tokens(self) -> TokenFile:
        """The tokens; `change_tokens` changes them."""

    @property
    def traffic(self) -> Traffic:
        """Samples of the queries answered in the last hour."""

    @property
    def recent(self) -> RecentQuestions:
        """A sample of the questions of the last ten minutes."""

    def problems(self) -> list[str]:
        """The server's current problems, for its operator."""

    async def audit(
        self, limit: int, is_wanted: Callable[[dict[str, Any]], bool], *, skip: int = 0
    ) -> list[dict[str, Any]]:
        """The latest entries of the audit log that satisfy `is_wanted`, newest first. Raises OSError."""

    async def change(self, actor: Actor, action: str, verb: Callable[[Draft], T]) -> tuple[T, Loaded]:
        """Carry out a verb of this package. Returns the verb's result, and the loaded data with the change.

        On return, the change is durable and DNS answers with it. `action` names the change in the
        audit log, such as `map.create`. After RefusedError, nothing has changed.
        """

    async def change_tokens(self, actor: Actor, action: str, verb: Callable[[TokenFile], TokenChange]) -> TokenChange:
        """Carry out a verb on the tokens; the audit log has it. Raises RefusedError and TokenFileError."""

    async def plan(self, actor: Actor, verb: Callable[[Draft], T]) -> tuple[Loaded, Loaded]:
        """The loaded data now, and as a verb would change it. Raises RefusedError."""
