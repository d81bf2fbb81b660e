"""One request of a signed-in user: session, path, form, and the permissions on the page's objects."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import parse_qsl

from starlette.concurrency import run_in_threadpool

from dnsd.api.codes import ShownFault, shown_faults
from dnsd.api.request import Call, etag_of, in_thread
from dnsd.api.shapes import map_shape
from dnsd.app import Loaded
from dnsd.dashboard.sessions import Session
from dnsd.manage.draft import Draft
from dnsd.manage.find import find_account, find_map, find_zone
from dnsd.manage.history import Version
from dnsd.manage.plan import Plan, plan_of
from dnsd.manage.refusal import Reason, RefusedError, refused
from dnsd.manage.service import Actor, Service
from dnsd.manage.tokens import AccessLevel, Area, Token
from dnsd.model.accounts import Account
from dnsd.model.dataset import Dataset
from dnsd.model.maps import AddressMap
from dnsd.model.zones import Zone

T = TypeVar("T")
MAX_FIELDS = 30_000  # in a form: it may list all zones of an account


class FormValues:
    """The values of a form or a query: texts by name; names may repeat."""

    def __init__(self, pairs: Sequence[tuple[str, str]] = ()) -> None:
        self._pairs = [(name, text) for name, text in pairs]

    @classmethod
    def of(cls, encoded: bytes | str) -> FormValues:
        """Parse application/x-www-form-urlencoded. Raises RefusedError."""
        try:
            text = encoded.decode() if isinstance(encoded, bytes) else encoded
            return cls(parse_qsl(text, keep_blank_values=True, max_num_fields=MAX_FIELDS, errors="strict"))
        except ValueError:
            raise refused(Reason.INVALID, "the form cannot be read") from None

    def __contains__(self, name: str) -> bool:
        return any(one == name for one, _ in self._pairs)

    def get(self, name: str, default: str = "") -> str:
        """The first text with a name, as typed."""
        return next((text for one, text in self._pairs if one == name), default)

    def text(self, name: str) -> str:
        """The first text with a name, stripped."""
        return self.get(name).strip()

    def all(self, name: str) -> list[str]:
        """All texts with a name, without empty and repeated ones."""
        return list(dict.fromkeys(text.strip() for one, text in self._pairs if one == name and text.strip()))

    def number(self, name: str, default: int) -> int:
        """A whole number, at least 1."""
        text = self.text(name)
        return max(1, int(text)) if text.isascii() and text.isdigit() and len(text) < 10 else default

    def pairs(self) -> list[tuple[str, str]]:
        """All pairs, in order."""
        return list(self._pairs)


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

    @property
    def token(self) -> Token:
        """The token of the session."""
        return self.session.token

    @property
    def actor(self) -> Actor:
        """The actor of a change."""
        return Actor(self.token, self.client)

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

    def call(self, body: Mapping[str, Any] | None = None, *, tag: str = "", **query: str) -> Call:
        """This request as a call of an API route; `tag` is the entity tag that the page was made from."""
        headers = {"if-match": tag} if tag else {}
        given = {name: text for name, text in query.items() if text}
        return Call(self.service, self.actor, self.path, given, headers, json.dumps(body or {}).encode())

    async def change(self, action: str, verb: Callable[[Draft], T]) -> tuple[T, Loaded]:
        """Carry out a verb; on return, DNS answers accordingly. Raises RefusedError."""
        return await self.service.change(self.actor, action, verb)

    async def plan(self, verb: Callable[[Draft], Any]) -> Plan:
        """The effect of a verb on answers. Raises RefusedError if the verb is refused."""
        before, after = await self.service.plan(self.actor, verb)
        return await in_thread(len(after.dataset.zones), plan_of, before, after)

    async def versions(self, object_id: str, account_id: str) -> list[Version]:
        """The versions of an account's object, newest first."""
        found = await run_in_threadpool(self.service.history.versions, object_id)
        return [version for version in found if version.account_id == account_id]


def map_tag(loaded: Loaded, found: AddressMap) -> str:
    """The entity tag of a map."""
    return etag_of(map_shape(loaded, found))


class Wrong:
    """The errors of a form by field; `others` are the errors outside its fields."""

    def __init__(self, error: RefusedError | None = None, fields: Sequence[str] = ()) -> None:
        self._by_field: dict[str, list[str]] = {}
        self.others: list[str] = []
        for fault in shown_faults(error) if error else ():
            name = _field(fault, fields)
            (self._by_field.setdefault(name, []) if name else self.others).append(fault.message)

    def __bool__(self) -> bool:
        return bool(self._by_field or self.others)

    def of(self, name: str) -> list[str]:
        """The errors of one field."""
        return self._by_field.get(name, [])


def _field(fault: ShownFault, fields: Sequence[str]) -> str | None:
    """The field of a fault: the last step of its path that names a field."""
    return next((str(step) for step in reversed(fault.path) if step in fields), None)
