"""The routes of the audit log, in both of Cloudflare's forms."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from typing import Any, TypedDict

from dnsd.api.cursors import opened_cursor, sealed_cursor
from dnsd.api.envelope import Cursored, Listed, Page, Reply
from dnsd.api.request import Call
from dnsd.api.shapes import JsonObject
from dnsd.manage.audit_entries import Outcome, as_seen, may_see
from dnsd.manage.audit_search import FoundEntries, LogQuery
from dnsd.manage.find import find_account
from dnsd.manage.refusal import Reason, refused
from dnsd.model.fields import derived_id
from dnsd.model.times import parse_time

MAX_ENTRIES = 1000  # on one page
MAX_SKIPPED = 100_000  # entries before a page
DATE = re.compile(r"\d{4}-\d\d-\d\d")
TYPES = {"create": "create", "delete": "delete", "revoke": "delete"}  # of actions; others are updates
TEXTS: Mapping[str, Callable[[JsonObject], Any]] = {  # filters by a text, and their values in an entry
    "id": lambda entry: _id(entry),
    "action.type": lambda entry: entry.get("action"),
    "actor.ip": lambda entry: entry.get("client"),
    "action_type": lambda entry: _type(entry),
    "action_result": lambda entry: _result(entry),
    "actor_ip_address": lambda entry: entry.get("client"),
    "actor_token_id": lambda entry: _actor(entry).get("id"),
    "actor_token_name": lambda entry: _actor(entry).get("name"),
    "resource_id": lambda entry: entry.get("object"),
    "zone_id": lambda entry: entry.get("zone_id"),
}


async def list_audit_logs(call: Call) -> Reply:
    """List the changes of an account's objects that the token may see, newest first; `total_count` is a lower bound"""
    page = call.page(default=100, largest=MAX_ENTRIES)
    skip = (page.number - 1) * page.size
    if skip > MAX_SKIPPED:
        raise refused(Reason.INVALID, f"the limit is {MAX_SKIPPED:,} entries: use `before`", "page")
    found = await call.service.audit(call.actor, LogQuery(page.size, _filter(call), skip=skip, **_order(call)))
    has_more = len(found.entries) == page.size and found.next is not None
    total = skip + len(found.entries) + has_more
    shapes = [_log_shape(_seen(call, one)) for one in found.entries]
    return Reply(Listed(shapes, Page(page.number, page.size), total), _notes(call, found))


async def list_audit(call: Call) -> Reply:
    """The same in the form of Cloudflare's second version, with a cursor"""
    limit = Page.of({"per_page": call.query.get("limit", "")}, default=100, largest=MAX_ENTRIES).size
    start = opened_cursor(text) if (text := call.query.get("cursor")) else None
    found = await call.service.audit(call.actor, LogQuery(limit, _filter(call), start=start, **_order(call)))
    account = find_account(call.dataset, call.path["account_id"])
    names = {zone.id: zone.name_text for zone in call.dataset.zones.values() if zone.account_id == account.id}
    shape = partial(_audit_shape, {"id": account.id, "name": account.name}, names)
    shapes = [shape(_seen(call, one)) for one in found.entries]
    return Reply(Cursored(shapes, sealed_cursor(found.next) if found.next else ""), _notes(call, found))


def _notes(call: Call, found: FoundEntries) -> list[str]:
    names = {account.id: account.name for account in call.dataset.accounts.values()} if found.unread else {}
    return found.notes(names, by_operator=call.actor.token.is_operator)


def _seen(call: Call, entry: JsonObject) -> JsonObject:
    """An entry as the token may see it, with an id that is the same for all."""
    return {**as_seen(call.actor.token, entry), "id": _id(entry)}


class _Order(TypedDict):
    oldest_first: bool
    text: bytes
    accounts: list[str]


def _order(call: Call) -> _Order:
    """The order of the entries, and the text in the lines of all entries of the account."""
    account_id = call.path["account_id"]
    return {
        "oldest_first": call.query.get("direction") == "asc",
        "text": account_id.encode(),
        "accounts": [account_id],
    }


def _filter(call: Call) -> Callable[[JsonObject], bool]:
    """Whether a request is for an entry, and its token may see it. Raises RefusedError."""
    since, before = _bound(call, "since"), _bound(call, "before")
    texts = {name: call.query[name] for name in TEXTS if call.query.get(name)}

    def is_wanted(written: JsonObject) -> bool:
        if written.get("account_id") != call.path["account_id"] or not may_see(call.actor.token, written):
            return False
        at = _time_of(written)
        if at is None or (since and at < since) or (before and at >= before):
            return False
        entry = _seen(call, written) if texts else {}  # no filter may tell what the entry does not show
        return all(TEXTS[name](entry) == text for name, text in texts.items())

    return is_wanted


def _bound(call: Call, name: str) -> datetime | None:
    """A bound in the query: a date in UTC, or a time. Raises RefusedError."""
    if not (text := call.query.get(name, "").replace(" ", "+")):
        return None
    try:
        return parse_time(f"{text}T00:00:00Z" if DATE.fullmatch(text) else text)
    except ValueError as error:
        raise refused(Reason.INVALID, str(error), name) from None


def _log_shape(entry: JsonObject) -> JsonObject:
    actor = _actor(entry)
    return {
        "id": _id(entry),
        "action": {"result": _result(entry) == "success", "type": str(entry.get("action") or "")},
        "actor": {"id": actor.get("id", ""), "email": "", "ip": str(entry.get("client") or ""), "type": "user"},
        "interface": "API",
        "metadata": {
            "token_name": actor.get("name", ""),
            **{name: entry[name] for name in ("revision", "code", "message", "zone_id") if entry.get(name)},
        },
        "newValue": _value(entry, "after"),
        "oldValue": _value(entry, "before"),
        "owner": {"id": entry["account_id"]},
        "resource": {"id": str(entry.get("object") or ""), "type": _kind(entry)},
        "when": entry["at"],
    }


def _audit_shape(account: JsonObject, names: Mapping[str, str], entry: JsonObject) -> JsonObject:
    actor, zone_id = _actor(entry), str(entry.get("zone_id") or "")
    return {
        "id": _id(entry),
        "account": account,
        "action": {
            "description": str(entry.get("message") or ""),
            "result": _result(entry),
            "time": entry["at"],
            "type": _type(entry),
        },
        "actor": {
            "id": actor.get("id", ""),
            "context": "api_token",
            "email": "",
            "ip_address": str(entry.get("client") or ""),
            "token_id": actor.get("id", ""),
            "token_name": actor.get("name", ""),
            "type": "user",
        },
        "raw": {},
        "resource": {
            "id": str(entry.get("object") or ""),
            "product": str(entry.get("action") or ""),
            "request": entry.get("before"),
            "response": entry.get("after"),
            "scope": "zones" if zone_id else "accounts",
            "type": _kind(entry),
        },
        "zone": {"id": zone_id, "name": names.get(zone_id, "")} if zone_id else {},
    }


def _time_of(entry: JsonObject) -> datetime | None:
    try:
        return parse_time(str(entry["at"]))
    except (KeyError, ValueError):
        return None


def _id(entry: JsonObject) -> str:
    return str(entry["id"]) if entry.get("id") else derived_id("audit", json.dumps(entry, sort_keys=True))


def _actor(entry: JsonObject) -> Mapping[str, Any]:
    actor = entry.get("actor")
    return actor if isinstance(actor, dict) else {}


def _kind(entry: JsonObject) -> str:
    return str(entry.get("action") or "").partition(".")[0]


def _type(entry: JsonObject) -> str:
    return TYPES.get(str(entry.get("action") or "").partition(".")[2], "update")


def _result(entry: JsonObject) -> str:
    return "success" if entry.get("outcome") == Outcome.OK else "failure"


def _value(entry: JsonObject, name: str) -> str:
    return "" if entry.get(name) is None else json.dumps(entry[name], ensure_ascii=False)
