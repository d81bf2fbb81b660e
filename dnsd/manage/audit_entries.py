"""Entries of the audit log: their fields, the file that has them, and who may see them. Pure; no files."""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, TypeAlias, TypedDict

from dnsd.manage.tokens import OPERATOR, AccessLevel, Area, Token
from dnsd.model.times import parse_time, time_text

SERVER = "0" * 32  # the id of the actor for what the server itself does for an account
OWNER = re.compile("[0-9a-f]{32}")  # an account, or a token
MAX_STATE_SIZE = 64 * 1024  # octets of JSON of an object's state before or after the change
MAX_SMALL_SIZE = 1024  # the same for tenants, and for refused requests: it costs a client nothing to send many
TEXTS = ("id", "at", "client", "action", "object", "account_id", "zone_id", "outcome", "message")  # of a pending entry
MAX_TEXT = 4096  # characters of a text; octets that are kept of a state that is too large


class Outcome(StrEnum):
    """The outcome of a request."""

    OK = "ok"
    REFUSED = "refused"
    PENDING = "pending"  # the change is not made yet; another entry with the same id has the outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One request to change data; `before` and `after` are plain data, None if the object did not or does not exist."""

    at: datetime
    token: Token | None  # None: unknown
    client: str  # IP address
    action: str  # such as map.create
    object: str  # key or id
    account_id: str = ""  # the object's account; empty: unknown
    zone_id: str = ""
    outcome: Outcome
    revision: int | None = None  # the first revision with the change
    code: int | None = None  # the API's code of a refusal
    message: str = ""
    before: Any = None
    after: Any = None


class PendingEntry(TypedDict):
    """An entry of a change that is not made yet, as plain data, with the owner of its file."""

    owner: str
    entry: dict[str, Any]


PendingEntries: TypeAlias = Sequence[PendingEntry]


def owner_of_entry(entry: Entry) -> str:
    """The owner of an entry's file: empty for operators, else the account or, if it is unknown, the token's author."""
    token = entry.token
    if token is None or token.id == SERVER:
        return entry.account_id
    return "" if token.is_operator else entry.account_id or token.author.id


AREAS = {  # by the first part of an action
    "map": Area.MAPS,
    "prefix": Area.PREFIXES,
    "bgp_prefix": Area.PREFIXES,
    "binding": Area.PREFIXES,
    "loa": Area.PREFIXES,
    "lease": Area.PREFIXES,
    "account": Area.PREFIXES,
    "zone": Area.ZONES,
    "record": Area.DNS,
    "token": Area.TOKENS,
}


def may_see(token: Token, entry: Mapping[str, Any]) -> bool:
    """Whether a token may see an entry: it may read the entry's object."""
    if token.is_operator:
        return True
    account_id, zone_id = str(entry.get("account_id") or ""), str(entry.get("zone_id") or "")
    area = AREAS.get(str(entry.get("action") or "").partition(".")[0])
    if area is None or not account_id:
        return False
    return token.may(area, AccessLevel.READ, account_id=account_id, zone_id=zone_id)


def as_seen(token: Token, entry: Mapping[str, Any]) -> dict[str, Any]:
    """An entry as a token may see it: which operator made a change, and from where, is for operators to know."""
    actor = entry.get("actor")
    if token.is_operator or not (isinstance(actor, dict) and actor.get("is_operator")):
        return dict(entry)
    return {**entry, "actor": {"id": "", "name": OPERATOR}, "client": ""}


def is_pending(pending: Any) -> bool:
    """Whether plain data is a pending entry; a journal may be damaged."""
    if not isinstance(pending, dict) or not isinstance(entry := pending.get("entry"), dict):
        return False
    owner, actor = pending.get("owner"), entry.get("actor")
    if not isinstance(owner, str) or not (owner == "" or OWNER.fullmatch(owner)):
        return False
    if not all(isinstance(entry.get(name), str) for name in TEXTS) or entry["outcome"] != Outcome.PENDING:
        return False
    if not OWNER.fullmatch(entry["id"]) or not _is_time(entry["at"]):
        return False
    return actor is None or (isinstance(actor, dict) and all(isinstance(actor.get(one), str) for one in ("id", "name")))


def _is_time(text: str) -> bool:
    try:
        parse_time(text)
    except ValueError:
        return False
    return True


def pending_entry(entry: Entry) -> PendingEntry:
    """An entry of a change that is not made yet, with an id by which its outcome refers to it."""
    fields = _fields(replace(entry, outcome=Outcome.OK)) | {"outcome": Outcome.PENDING, "id": secrets.token_hex(16)}
    return {"owner": owner_of_entry(entry), "entry": fields}


def line_of(entry: Entry) -> bytes:
    """An entry as a line of the log."""
    return json_of(_fields(entry)) + b"\n"


def _fields(entry: Entry) -> dict[str, Any]:
    is_large = entry.outcome is Outcome.OK and (entry.token is None or entry.token.is_operator)
    largest = MAX_STATE_SIZE if is_large else MAX_SMALL_SIZE
    return {
        "at": time_text(entry.at),
        "actor": _actor(entry.token) if entry.token else None,
        "client": entry.client[:MAX_TEXT],
        "action": entry.action[:MAX_TEXT],
        "object": entry.object[:MAX_TEXT],
        "account_id": entry.account_id,
        "zone_id": entry.zone_id,
        "revision": entry.revision,
        "outcome": entry.outcome,
        "code": entry.code,
        "message": entry.message[:MAX_TEXT],
        "before": _bounded(entry.before, largest),
        "after": _bounded(entry.after, largest),
    }


def _actor(token: Token) -> dict[str, Any]:
    actor: dict[str, Any] = {"id": token.id, "name": token.name}
    return actor | {"is_operator": True} if role_of(token) == OPERATOR else actor


def role_of(token: Token) -> str:
    """The role in which a token acts: OPERATOR, or empty for customers and the server itself."""
    return OPERATOR if token.is_operator and token.id != SERVER else ""


def json_of(data: Any) -> bytes:
    """Data as one line of JSON; other types are written as text, and a lone surrogate as JSON's \\ud800."""
    return json.dumps(data, ensure_ascii=False, default=str).encode(errors="backslashreplace")


def _bounded(state: Any, largest: int) -> Any:
    """A state, or the size, the digest (BLAKE2b-128 of its JSON) and the beginning of a state that is too large."""
    octets = json_of(state)
    if len(octets) <= largest:
        return state
    digest = hashlib.blake2b(octets, digest_size=16).hexdigest()
    start = octets[: min(largest, MAX_TEXT)].decode(errors="ignore")
    return {"cut": f"{len(octets):,} octets", "digest": digest, "start": start}
