"""The running server's interface for the API and the dashboard: the loaded data, and the only way to change it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol, TypeVar

from dnsd.app import Loaded
from dnsd.manage.asked import Asked
from dnsd.manage.audit_search import FoundEntries, LogQuery
from dnsd.manage.brake_state import BrakeState
from dnsd.manage.draft import Draft
from dnsd.manage.drains import DrainBook
from dnsd.manage.fleet_view import EdgeChange, FleetEdges
from dnsd.manage.history import History
from dnsd.manage.loa import LoaDocuments
from dnsd.manage.map_request import MapRequest
from dnsd.manage.pending import Due, PendingChange
from dnsd.manage.recent import RecentQuestions
from dnsd.manage.token_changes import TokenChange
from dnsd.manage.token_port import Tokens
from dnsd.manage.tokens import Token
from dnsd.manage.traffic import Traffic
from dnsd.manage.validation import Validation, Validations
from dnsd.model.accounts import Account, Prefix
from dnsd.model.observed import FeedFields, Observed
from dnsd.model.zones import Zone
from dnsd.process.turns import Presence

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Actor:
    """The token that requests a change, and its client."""

    token: Token
    client: str  # IP address; empty: a change made at its time
    note: str = ""  # added to the token's name in the history, such as "scheduled by alice"
    presence: Presence = field(default_factory=Presence, compare=False, repr=False)  # of the client


class Schedule(Protocol):
    """The pending changes of address maps."""

    def stopped(self) -> list[Due]:
        """The stopped changes of all accounts."""

    async def of_account(self, account_id: str) -> list[PendingChange]:
        """The pending changes of an account, in the order of their times. Raises OSError."""

    async def find(self, account_id: str, change_id: str) -> PendingChange:
        """A pending change of an account. Raises RefusedError."""

    async def add(
        self, actor: Actor, request: MapRequest, at: datetime, expect: Callable[[str], None]
    ) -> PendingChange:
        """Plan a change, and make it at its time; on return, it is on disk. Raises RefusedError.

        `expect` is called with the map's tag, and raises RefusedError if the client read another version.
        """

    async def cancel(self, actor: Actor, account_id: str, change_id: str) -> list[PendingChange]:
        """Cancel a change; return those whose plans stand on it, which will be stopped. Raises RefusedError."""

    async def run(self, actor: Actor, account_id: str, change_id: str) -> Loaded:
        """Make a stopped change now, as a change of the actor. Raises RefusedError."""


class Service(Protocol):
    """The running server's data, and changes of it."""

    @property
    def schedule(self) -> Schedule:
        """The pending changes."""

    @property
    def history(self) -> History:
        """Earlier versions of objects."""

    @property
    def loaded(self) -> Loaded:
        """The loaded data. Raises RefusedError if the files cannot be used."""

    @property
    def tokens(self) -> Tokens:
        """The tokens; `change_tokens` changes them."""

    @property
    def traffic(self) -> Traffic:
        """Samples of the queries answered in the last hour."""

    @property
    def recent(self) -> RecentQuestions:
        """A sample of the questions of the last ten minutes."""

    async def asked(self) -> Asked:
        """What is known about recent questions; workers that are slow to send theirs are left out, and named."""

    @property
    def loa(self) -> LoaDocuments:
        """The accounts' letters of agency."""

    @property
    def validations(self) -> Validations:
        """The last results of the validation of prefixes."""

    async def validate(self, actor: Actor, account: Account, prefix: Prefix) -> Validation:
        """Check a prefix now, and keep the result."""

    async def record(self, actor: Actor, action: str, key: str, account_id: str) -> None:
        """Write a request that changes no file of an account to the audit log."""

    async def act(self, actor: Actor, action: str, key: str, account_id: str, file: str, verb: Callable[[], T]) -> T:
        """Make or remove a file in the state folder, with its entry in the audit log. Raises RefusedError and OSError.

        `verb` blocks; `file` is the path in the state folder. The entry comes first if the setting `audit` asks for it.
        """

    def check_activation(self, zone: Zone) -> None:
        """Look up soon whether an unverified zone belongs to its account. Raises RefusedError if asked too often."""

    @property
    def observed(self) -> Observed:
        """The last observation of each route."""

    async def feed(self, actor: Actor, feed: FeedFields) -> None:
        """Take the observations of routes that a token sends, and apply them to answers. Raises RefusedError."""

    @property
    def drains(self) -> DrainBook:
        """The drains of all maps."""

    def late(self) -> list[str]:
        """The names of workers that do not serve the last change yet."""

    @property
    def fleet(self) -> FleetEdges | None:
        """The edges of the fleet; None on a server that is not a control."""

    async def edit_edge(self, actor: Actor, name: str, change: EdgeChange) -> None:
        """Change the record of an edge, with its entry in the audit log. Raises RefusedError."""

    def problems(self) -> list[str]:
        """The server's current problems, for its operator."""

    async def audit(self, actor: Actor, query: LogQuery) -> FoundEntries:
        """Search the audit log, in turns with others. Files that cannot be read are named in the result."""

    async def change(self, actor: Actor, action: str, verb: Callable[[Draft], T]) -> tuple[T, Loaded]:
        """Carry out a verb of this package. Returns the verb's result, and the loaded data with the change.

        On return, the change is durable and DNS answers with it. `action` names the change in the
        audit log, such as `map.create`. After RefusedError, nothing has changed.
        """

    async def catch_up(self) -> None:
        """Have the last tokens and sessions, if others change them, too; soon, or not."""

    async def change_tokens(self, actor: Actor, action: str, verb: Callable[[Tokens], TokenChange]) -> TokenChange:
        """Carry out a verb on the tokens; the audit log has it. Raises RefusedError and TokenFileError."""

    async def quotas(self, token: Token, account_id: str) -> dict[str, dict[str, Any]]:
        """Each quota of an account: its limit, its use, and whether the account's file sets it. Raises RefusedError."""

    def pace(self, token: Token) -> None:
        """Count a request to change something. Raises TooManyWritesError over the quota `writes_per_minute`, or if too
        many changes of the token's author wait.
        """

    def brake(self) -> BrakeState:
        """The state of the brake and the guard."""

    async def release(self, actor: Actor, author: str, seconds: int) -> BrakeState:
        """Lift the brake for an author, or all if empty, for a time. Raises RefusedError and TokenFileError."""

    async def objection(self, actor: Actor, before: Loaded, after: Loaded) -> str:
        """The reason for which the brake would refuse a planned change if the actor made it now; empty without one."""

    async def plan(self, actor: Actor, verb: Callable[[Draft], T]) -> tuple[Loaded, Loaded]:
        """The loaded data now, and as a verb would change it. Raises RefusedError."""
