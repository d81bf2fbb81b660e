"""A request to change an address map, as plain data: carried out at once, or kept until its time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from dnsd.manage import maps
from dnsd.manage.draft import Draft
from dnsd.manage.history import History
from dnsd.manage.maps import MapChange, Member, NewMap
from dnsd.manage.restore import restore
from dnsd.model.fields import parse_ip
from dnsd.model.maps import MemberKind


@dataclass(frozen=True, slots=True)
class MapRequest:
    """A verb on one map, with its arguments as JSON."""

    action: str  # as in the audit log: map.add_ip
    account_id: str
    map_id: str  # of a new map: the id that it will have
    arguments: Mapping[str, Any] = field(default_factory=dict)

    def carry_out(self, draft: Draft, history: History) -> None:
        """Carry out the verb on a draft. Raises RefusedError; KeyError or ValueError if a stored request is damaged."""
        _VERBS[self.action](draft, self, history)


def create_request(account_id: str, map_id: str, new: NewMap) -> MapRequest:
    """The request to create a map."""
    fields = {name: getattr(new, name) for name in NewMap.__dataclass_fields__}
    return MapRequest("map.create", account_id, map_id, _plain(fields))


def edit_request(account_id: str, map_id: str, change: MapChange, action: str = "map.edit") -> MapRequest:
    """The request to change fields of a map."""
    return MapRequest(action, account_id, map_id, _plain(change))


def _plain(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a map as JSON."""
    plain = dict(fields)
    if "ips" in plain:
        plain["ips"] = [str(ip) for ip in plain["ips"]]
    if "memberships" in plain:
        plain["memberships"] = [{"kind": one.kind.value, "identifier": one.identifier} for one in plain["memberships"]]
    return plain


def _typed(plain: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a map from JSON."""
    fields = dict(plain)
    if "ips" in fields:
        fields["ips"] = [parse_ip(ip) for ip in fields["ips"]]
    if "memberships" in fields:
        fields["memberships"] = [Member(MemberKind(one["kind"]), one["identifier"]) for one in fields["memberships"]]
    return fields


def _create(draft: Draft, request: MapRequest, history: History) -> None:
    maps.create_map(draft, request.account_id, NewMap(**_typed(request.arguments)), request.map_id)


def _edit(draft: Draft, request: MapRequest, history: History) -> None:
    maps.edit_map(draft, request.account_id, request.map_id, cast(MapChange, _typed(request.arguments)))


def _delete(draft: Draft, request: MapRequest, history: History) -> None:
    maps.delete_map(draft, request.account_id, request.map_id)


def _add_ip(draft: Draft, request: MapRequest, history: History) -> None:
    maps.add_ip(draft, request.account_id, request.map_id, parse_ip(request.arguments["ip"]))


def _remove_ip(draft: Draft, request: MapRequest, history: History) -> None:
    maps.remove_ip(draft, request.account_id, request.map_id, parse_ip(request.arguments["ip"]))


def _add_member(draft: Draft, request: MapRequest, history: History) -> None:
    maps.add_member(draft, request.account_id, request.map_id, *_member(request))


def _remove_member(draft: Draft, request: MapRequest, history: History) -> None:
    maps.remove_member(draft, request.account_id, request.map_id, *_member(request))


def _member(request: MapRequest) -> tuple[MemberKind, str]:
    return MemberKind(request.action.rpartition("_")[2]), request.arguments["identifier"]


def _restore(draft: Draft, request: MapRequest, history: History) -> None:
    restore(draft, history, request.account_id, request.map_id, request.arguments["version"], is_map=True)


_VERBS: Mapping[str, Callable[[Draft, MapRequest, History], None]] = {
    "map.create": _create,
    "map.edit": _edit,
    "map.enable": _edit,
    "map.disable": _edit,
    "map.delete": _delete,
    "map.add_ip": _add_ip,
    "map.remove_ip": _remove_ip,
    "map.add_zone": _add_member,
    "map.remove_zone": _remove_member,
    "map.add_account": _add_member,
    "map.remove_account": _remove_member,
    "map.restore": _restore,
}
ACTIONS = frozenset(_VERBS)
