"""The content of the file of tokens: entries as JSON and back, with no leniency. Pure; no files."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from dnsd.manage.tokens import ID, Token, parse_permission, permission_text
from dnsd.model.times import parse_time, time_text

FORMAT = 3
MAX_LINE = 8  # tokens in a line of descent
DIGEST = re.compile("[0-9a-f]{64}")
FIRST_KEYS = {"id", "name", "hash", "created_at", "expires_at", "accounts", "zones", "permissions"}
SECOND_KEYS = FIRST_KEYS | {"parent", "modified_at"}
KEYS = {1: FIRST_KEYS, 2: SECOND_KEYS, FORMAT: SECOND_KEYS | {"policies"}}  # of a token, by format


@dataclass(frozen=True, slots=True)
class KeptToken:
    """A token, and the SHA-256 of its secret in hex. A secret is random, so a slow hash would add no protection."""

    digest: str
    token: Token


ReadToken = tuple[KeptToken, str | None]  # a token without its parent, and the parent's id


def token_entry_data(entry: KeptToken) -> dict[str, Any]:
    """A token as plain data, with the hash of its secret."""
    token = entry.token
    return {
        "id": token.id,
        "name": token.name,
        "hash": entry.digest,
        "created_at": time_text(token.created_at),
        "modified_at": time_text(token.modified_at) if token.modified_at else None,
        "expires_at": time_text(token.expires_at) if token.expires_at else None,
        "parent": token.parent.id if token.parent else None,
        "accounts": token.accounts,
        "zones": token.zones,
        "permissions": [permission_text(permission) for permission in token.permissions],
        "policies": token.policies,
    }


def parse_tokens(octets: bytes) -> dict[str, KeptToken]:
    """The entries of a file, by digest. Raises ValueError, TypeError, KeyError … for any deviation from the format.

    So an unknown or missing key never widens a token's access. A token without its parent is left out: it is revoked.
    """
    data = json.loads(octets)
    if data.keys() != {"format", "tokens"}:
        raise ValueError
    read = [parse_entry(one, data["format"]) for one in _listed(data["tokens"])]
    if len({entry.token.id for entry, _ in read}) < len(read):
        raise ValueError
    return with_parents(read)


def with_parents(read: Sequence[ReadToken]) -> dict[str, KeptToken]:
    """The entries, by digest, with their lines of descent; without those whose line is broken: they are revoked."""
    by_id = {entry.token.id: (entry.token, parent) for entry, parent in read}
    entries = {}
    for entry, _ in read:
        if token := _with_parent(entry.token.id, by_id, MAX_LINE):
            entries[entry.digest] = KeptToken(entry.digest, token)
    return entries


def check_tokens(octets: bytes) -> None:
    """Check the content of a file. That of a later version may be anything, as it is useful after the next upgrade."""
    data = json.loads(octets)
    if not (isinstance(data["format"], int) and data["format"] > FORMAT):
        parse_tokens(octets)


def _with_parent(token_id: str, by_id: Mapping[str, tuple[Token, str | None]], left: int) -> Token | None:
    """A token with its line of descent; None if that is broken, or longer than `left` tokens."""
    if not left or token_id not in by_id:
        return None
    token, parent_id = by_id[token_id]
    if parent_id is None:
        return token
    parent = _with_parent(parent_id, by_id, left - 1)
    return replace(token, parent=parent) if parent else None


def parse_entry(data: dict[str, Any], version: int) -> ReadToken:
    """A token of a version of the format, still without its parent, and the parent's id. Raises as `parse_tokens`."""
    if data.keys() != KEYS[version] or not DIGEST.fullmatch(data["hash"]):
        raise ValueError
    parent, modified = data.get("parent"), data.get("modified_at")
    if parent is not None and not ID.fullmatch(parent):
        raise ValueError
    token = Token(
        id=data["id"],
        name=data["name"],
        created_at=parse_time(data["created_at"]),
        modified_at=None if modified is None else parse_time(modified),
        expires_at=None if data["expires_at"] is None else parse_time(data["expires_at"]),
        accounts=tuple(_listed(data["accounts"])),
        zones=tuple(_listed(data["zones"])),
        permissions=tuple(map(parse_permission, _listed(data["permissions"]))),
        written=_written(data.get("policies", [])),
    )
    return KeptToken(data["hash"], token), parent


def _written(policies: Any) -> str:
    """Policies as written. Raises ValueError, TypeError, AttributeError."""
    for policy in _listed(policies):
        groups, resources = _listed(policy["permission_groups"]), policy["resources"]
        if len(policy) > 2 or not isinstance(resources, dict) or not all(ID.fullmatch(one) for one in groups):
            raise ValueError
    return json.dumps(policies) if policies else ""


def _listed(value: Any) -> list[Any]:
    """A value if it is a list. Raises TypeError for other values, which might be empty and so widen access."""
    if not isinstance(value, list):
        raise TypeError
    return value


def tokens_not_in(entries: Iterable[KeptToken], others: Iterable[KeptToken]) -> list[Token]:
    """The tokens of entries that the others do not have, or have otherwise."""
    known = {one.token.id: token_entry_data(one) for one in others}
    return [one.token for one in entries if known.get(one.token.id) != token_entry_data(one)]
