"""One request of a signed-in user: session, path, form, and the permissions on the page's objects."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar

from dnsd.api.request import check_texts, fields_of
from dnsd.api.turns import aside, in_turns, planned, planned_in_turns
from dnsd.app import Loaded
from dnsd.dashboard.forms import FormValues
from dnsd.dashboard.sessions import Session
from dnsd.manage.brake_state import BrakeState
from dnsd.manage.draft import Draft
from dnsd.manage.find import find_account, find_map, find_zone
from dnsd.manage.fleet_view import FleetEdges
from dnsd.manage.pending import Due, map_of
from dnsd.manage.plan import Plan, plan_of
from dnsd.manage.refusal import RefusedError
from dnsd.manage.service import Actor, Service
from dnsd.manage.tokens import AccessLevel, Area, Token
from dnsd.manage.versions import Version
from dnsd.model.accounts import Account
from dnsd.model.dataset import Dataset
from dnsd.model.fields import F
from dnsd.model.maps import AddressMap
from dnsd.model.record_parts import Steps
from dnsd.model.zones import Zone
from dnsd.process.turns import Presence

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Visit:
    """A request of a signed-in user."""

    service: Service
    session: Session
    client: str  # IP address
    url: str  # path and query
    path: Mapping[str, str] = field(default_factory=dict)  # parameters of the path
    query: FormValues = field(default_factory=FormValues)
    form: FormValues = field(default_factory=FormValues)
    upload: Mapping[str, bytes] = field(default_factory=dict)  # files, by field
    notice: str = ""  # from the previous page
    undo: str = ""  # the path that takes back the change of the previous page
    presence: Presence = field(default_factory=Presence)  # of the client

    @property
    def token(self) -> Token:
        """The token of the session."""
        return self.session.token

    @property
    def actor(self) -> Actor:
        """The actor of a change."""
        return Actor(self.token, self.client, presence=self.presence)

    @property
    def loaded(self) -> Loaded:
        """The loaded data with its snapshot. Raises RefusedError."""
        return self.service.loaded

    @property
    def dataset(self) -> Dataset:
        """The loaded dataset. Raises RefusedError."""
        return self.service.loaded.dataset

    @property
    def account(self) -> Account:
        """The account in the path. Raises RefusedError."""
        return find_account(self.dataset, self.path["account_id"])

    @property
    def map(self) -> AddressMap:
        """The address map in the path. Raises RefusedError."""
        return find_map(self.dataset, self.path["account_id"], self.path["map_id"])

    @property
    def zone(self) -> Zone:
        """The zone in the path. Raises RefusedError."""
        return find_zone(self.dataset, self.path["zone_id"])

    def may(self, area: str, level: str, account_id: str, zone_id: str | None = None) -> bool:
        """Whether the token has a permission; pages offer only permitted actions."""
        return self.token.may(Area(area), AccessLevel(level), account_id=account_id, zone_id=zone_id)

    def may_read(self, area: str) -> bool:
        """Whether the token may read an area somewhere; the menu has no other pages."""
        return self.token.grants(Area(area), AccessLevel.READ)

    @property
    def is_loaded(self) -> bool:
        """Whether the files are loaded; otherwise only a snapshot is served, without a dataset."""
        try:
            return bool(self.service.loaded)
        except RefusedError:
            return False

    def accounts(self) -> list[Account]:
        """The accounts that the token covers, by name."""
        if not self.is_loaded:
            return []
        found = (one for one in self.dataset.accounts.values() if self.token.covers(one.id))
        return sorted(found, key=lambda one: one.name.lower())

    def held(self) -> list[tuple[str, str]]:
        """The token's accounts that are held at their last good version, by name, each with the reason."""
        if not self.is_loaded:
            return []
        loaded, is_operator = self.loaded, self.token.is_operator
        covered = {one.key: one.name for one in self.accounts()}
        return [
            (covered.get(key, key), loaded.reason(key, is_operator=is_operator))
            for key in loaded.held
            if is_operator or key in covered
        ]

    def stopped(self) -> list[Due]:
        """The stopped changes of maps that the token may see, the first due first."""
        found = self.service.schedule.stopped()
        return sorted((one for one in found if self.may("maps", "read", one.account_id)), key=lambda one: one.at)

    def place_of(self, due: Due) -> str:
        """The page that lists a pending change: its map's or, for a new map, the list of maps."""
        maps = f"/accounts/{due.account_id}/maps"
        return f"{maps}/{due.map_id}" if map_of(self.dataset, due.account_id, due.map_id) else maps

    @property
    def fleet(self) -> FleetEdges | None:
        """The edges of the fleet, for its operator; None for others, and on a server without one."""
        return self.service.fleet if self.token.is_operator else None

    @property
    def now(self) -> datetime:
        """The time, as forms show it."""
        return datetime.now(UTC)

    def body(self, model: type[F], values: Mapping[str, Any]) -> F:
        """The body of a request made from a form, validated like the API's. Raises RefusedError."""
        check_texts(values)
        return fields_of(model, values)

    def brake(self) -> BrakeState | None:
        """For operators, the state of the brake if it needs a person: files wait, or an author is at the limit."""
        if not self.token.is_operator:
            return None
        state = self.service.brake()
        return state if state.is_refused or state.at_limit or state.released else None

    async def change(self, action: str, verb: Callable[[Draft], T]) -> tuple[T, Loaded]:
        """Carry out a verb; on return, DNS answers accordingly. Raises RefusedError."""
        return await self.service.change(self.actor, action, verb)

    async def plan(self, verb: Callable[[Draft], Any], account_id: str | None = None) -> Plan:
        """The effect of a verb on answers, as an account may see it: by default that of the path.

        Raises RefusedError if the verb is refused.
        """
        return await self.plan_between(*await self.service.plan(self.actor, verb), account_id)

    async def plan_between(self, before: Loaded, after: Loaded, account_id: str | None = None) -> Plan:
        """The same for data before and after a change."""
        account_id = account_id or self.path.get("account_id") or self.zone.account_id
        objection = await self.service.objection(self.actor, before, after)

        asked = await self.service.asked()
        steps = plan_of(before, after, account_id, asked, may_name=self.covers, objection=objection)
        return await planned_in_turns(self.actor, steps)

    def covers(self, zone: Zone) -> bool:
        """Whether the token covers a zone."""
        return self.token.covers(zone.account_id, zone.id)

    async def aside(self, work: Callable[[], T]) -> T:
        """The result of work that grows with a tenant's data, done in a thread, in turn with others."""
        return await aside(self.actor, work)

    async def in_turns(self, steps: Steps[T]) -> T:
        """The result of such work in steps."""
        return await in_turns(self.actor, steps)

    async def planned(self, work: Callable[[], T]) -> T:
        """The result of work on the effects of a change, done in a thread, in turn with other such work."""
        return await planned(self.actor, work)

    async def versions(self, object_id: str, account_id: str) -> list[Version]:
        """The versions of an account's object, newest first."""
        found = await self.aside(partial(self.service.history.versions, object_id))
        return [version for version in found if version.account_id == account_id]
