"""Pending changes: requests to change address maps at a set time, and the reasons not to make one when it is due.

A pending change goes on where its scheduler left it: `tag` is the map as the scheduler knew it, moved on by pending
changes made since, and `follows` are the pending changes on which its plan stands. Pure: callers pass the time.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sized
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from dnsd.app import Loaded
from dnsd.manage.map_request import MapRequest
from dnsd.manage.maps import map_tag
from dnsd.manage.plan import Plan
from dnsd.manage.refusal import Reason, refused
from dnsd.manage.tokens import OPERATOR, AccessLevel, Area, Token
from dnsd.model.dataset import Dataset
from dnsd.model.maps import AddressMap
from dnsd.model.times import parse_time

FIELD = "deploy_at"  # of requests
MAX_PENDING = 100  # of one account, stopped ones included
MAX_AHEAD = timedelta(days=366)
MAX_LATE = timedelta(hours=1)
NO_MAP = ""  # the tag of a map that does not exist
WITH_OFFSET = re.compile(r"(\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(?:\.\d{1,6})?)(?:([Zz])|[+ ](\d\d:\d\d)|(-\d\d:\d\d))")
HOW = "with seconds and an offset, such as 2026-12-01T03:00:00+01:00 or 2026-12-01T02:00:00Z"


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingChange:
    """A request that waits for its time, or was stopped and waits for a person."""

    id: str
    request: MapRequest
    at: datetime  # due
    created_at: datetime
    token_id: str
    token_name: str  # when it was scheduled
    tag: str  # of the map; NO_MAP for a map that does not exist yet
    zones: frozenset[str]  # ids of the zones whose answers change by its plan
    plan: Mapping[str, Any]  # as the API shows it
    follows: tuple[str, ...] = ()  # ids of the pending changes that its plan takes as made
    stopped: str = ""  # the reason; empty: not stopped
    stopped_at: datetime | None = None
    by_operator: bool = False  # the token that scheduled it was an operator's
    is_cut: bool = False  # `zones` may lack some in which only aliases are affected: the plan said so

    @property
    def by(self) -> str:
        """The name of the token that scheduled it, else the token's id; of an operator's, only that it is one."""
        return OPERATOR if self.by_operator else self.token_name or self.token_id

    @property
    def scheduler(self) -> str:
        """The token that scheduled it, in words that tenants may read."""
        return "the operator's token" if self.by_operator else f"the token {self.by}"

    def token_as_seen(self, viewer: Token) -> tuple[str, str]:
        """The id and the name of the token that scheduled it, as another token may see them."""
        return ("", OPERATOR) if self.by_operator and not viewer.is_operator else (self.token_id, self.token_name)

    @property
    def order(self) -> tuple[datetime, datetime, str]:
        """Its place among pending changes: by due time, then by creation."""
        return self.at, self.created_at, self.id


def parse_deploy_at(text: str) -> datetime:
    """Parse the time of a pending change, RFC 3339 with an offset. Raises RefusedError.

    A space stands for the `+` of an offset: that is what `+` means in a query.
    """
    found = WITH_OFFSET.fullmatch(text)
    try:
        if found:
            local, z, east, west = found.groups()
            return parse_time(local + (z or west or f"+{east}"))
    except ValueError:
        pass
    raise refused(Reason.INVALID, f"{text!r} is not a time {HOW}", FIELD)


def check_time(at: datetime, now: datetime, token: Token) -> None:
    """Refuse a time in the past, too far ahead, or after the end of the token. Raises RefusedError."""
    if at <= now:
        raise refused(Reason.INVALID, f"the time has passed: it is {_utc(now)} now; give a later one", FIELD)
    if at - now > MAX_AHEAD:
        raise refused(Reason.INVALID, f"the limit is {MAX_AHEAD.days} days ahead: {_utc(now + MAX_AHEAD)}", FIELD)
    if token.is_expired(at):
        assert token.expires
        message = f"this token expires before, at {_utc(token.expires)}: give an earlier time, or use another token"
        raise refused(Reason.INVALID, message, FIELD)


def check_room(pending: Sized) -> None:
    """Refuse one more pending change in an account that has the most already. Raises RefusedError."""
    if len(pending) >= MAX_PENDING:
        message = f"the account has {len(pending)} pending changes; the limit is {MAX_PENDING}: cancel one first"
        raise refused(Reason.FORBIDDEN, message, FIELD)


def map_of(dataset: Dataset, account_id: str, map_id: str) -> AddressMap | None:
    """The map of an account; None if it does not exist, or not yet."""
    found = dataset.maps.get(map_id)
    return found if found and found.account_id == account_id else None


def tag_in(dataset: Dataset, request: MapRequest) -> str:
    """The tag of a request's map; NO_MAP if there is none."""
    found = map_of(dataset, request.account_id, request.map_id)
    return map_tag(found) if found else NO_MAP


def zones_of(plan: Plan) -> frozenset[str]:
    """The ids of the zones whose answers change."""
    return frozenset(one.zone.id for one in plan.zones)


@dataclass(frozen=True, slots=True)
class Due:
    """A pending change in brief."""

    id: str
    account_id: str
    map_id: str
    tag: str
    at: datetime
    stopped: str

    @classmethod
    def of(cls, change: PendingChange) -> Due:
        """A change in brief."""
        request = change.request
        return cls(change.id, request.account_id, request.map_id, change.tag, change.at, change.stopped)

    def is_gone(self, dataset: Dataset) -> bool:
        """Whether its map, or its account, was deleted: the change is then cancelled."""
        if self.account_id not in dataset.accounts:
            return True
        return self.tag != NO_MAP and map_of(dataset, self.account_id, self.map_id) is None

    def is_due(self, now: datetime) -> bool:
        """Whether it is to be made, or stopped, now."""
        return not self.stopped and self.at <= now


def obstacle(
    change: PendingChange, loaded: Loaded, token: Token | None, now: datetime, *, waiting: Collection[str] = ()
) -> str:
    """The reason to stop a due change instead of making it; empty if it may be made.

    `token` is the scheduler's as it is now, None if revoked; `waiting` are the ids of all pending changes.
    """
    account = loaded.dataset.accounts.get(change.request.account_id)
    if account is None:
        return "the account is gone"
    if token is None:
        return f"{change.scheduler} that scheduled it was revoked"
    if token.is_expired(now):
        return f"{change.scheduler} that scheduled it has expired"
    if not token.may(Area.MAPS, AccessLevel.EDIT, account_id=account.id):
        return f"{change.scheduler} that scheduled it may no longer edit the account's address maps"
    if now - change.at > MAX_LATE:
        return f"it is {int((now - change.at).total_seconds() / 60)} minutes late; the limit is an hour"
    if account.key in loaded.held:
        return "the account is held at its last good version"
    if left := [one for one in change.follows if one in waiting]:
        return f"the change {left[0]}, which comes before it, is not made"
    if change.follows:
        return f"the change {change.follows[0]}, which comes before it, was cancelled"
    if tag_in(loaded.dataset, change.request) != change.tag:
        return "the map was changed after this was scheduled"
    return ""


def others_touched(change: PendingChange, plan: Plan) -> str:
    """The reason to stop a change whose plan now touches zones that were not shown; empty if it touches none.

    A zone that the plan shown may have left out, as it said, is no reason; that the plan is now cut is one.
    """
    if plan.is_cut and not change.is_cut:
        return "too many names lie below DNAMEs by now: its plan may touch zones that were not shown"
    others = sorted(
        one.zone.name_text
        for one in plan.zones
        if one.zone.id not in change.zones and not (change.is_cut and one.by_aliases)
    )
    if not others:
        return ""
    more = f" and {len(others) - 1} more" if len(others) > 1 else ""
    return f"its plan now touches zones that were not shown: {others[0]}{more}"


def moved_on(others: Iterable[PendingChange], made: PendingChange, before: str, after: str) -> list[PendingChange]:
    """The other pending changes that `made` affects, as they are once it is made.

    Those that knew the map by the tag `before` now know it by `after`, and none waits for it any longer.
    """
    found = []
    for one in others:
        is_of_map = one.request.map_id == made.request.map_id and one.tag == before
        if is_of_map or made.id in one.follows:
            follows = tuple(other for other in one.follows if other != made.id)
            found.append(replace(one, follows=follows, tag=after if is_of_map else one.tag))
    return found


def _utc(at: datetime) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%SZ}"
