"""Entries of the audit log in words: who did what to which object, with links to the objects that still exist."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from dnsd.dashboard.views import map_title
from dnsd.manage.audit_entries import Outcome
from dnsd.model.accounts import Account
from dnsd.model.dataset import Dataset
from dnsd.model.maps import AddressMap
from dnsd.model.zones import Zone

LogEntry = Mapping[str, Any]
MAX_ITEMS = 5  # added or removed parts that a sentence names
# For each action: the infinitive, the past tense, and the rest of the sentence. `{items}` are the parts of the object
# that the change added, replaced or removed.
PHRASES: Mapping[str, tuple[str, str, str]] = {
    "map.create": ("create", "created", "{object}"),
    "map.edit": ("edit", "edited", "{object}"),
    "map.enable": ("enable", "enabled", "{object}"),
    "map.disable": ("disable", "disabled", "{object}"),
    "map.delete": ("delete", "deleted", "{object}"),
    "map.restore": ("restore", "restored", "an earlier version of {object}"),
    "map.add_ip": ("add", "added", "{items} to {object}"),
    "map.remove_ip": ("remove", "removed", "{items} from {object}"),
    "map.add_zone": ("add", "added", "{items} to {object}"),
    "map.remove_zone": ("remove", "removed", "{items} from {object}"),
    "map.add_account": ("make", "made", "{object} account-wide"),
    "map.remove_account": ("end", "ended", "the account-wide effect of {object}"),
    "map.schedule": ("schedule", "scheduled", "a change of {object}"),
    "map.cancel": ("cancel", "cancelled", "a scheduled change of {object}"),
    "map.drain": ("end", "ended", "the drain of {object}"),
    "map.stop": ("make", "stopped", "a scheduled change of {object}"),
    "zone.create": ("create", "created", "{object}"),
    "zone.edit": ("edit", "edited", "{object}"),
    "zone.edit_settings": ("change", "changed", "the settings of {object}"),
    "zone.edit_dns_settings": ("change", "changed", "the DNS settings of {object}"),
    "zone.delete": ("delete", "deleted", "{object}"),
    "zone.restore": ("restore", "restored", "an earlier version of {object}"),
    "record.create": ("create", "created", "{items} in {object}"),
    "record.edit": ("change", "changed", "{items} in {object}"),
    "record.replace": ("replace", "replaced", "{items} in {object}"),
    "record.delete": ("delete", "deleted", "{items} in {object}"),
    "record.batch": ("change", "changed", "{items} in {object}"),
    "record.import": ("import", "imported", "{items} into {object}"),
    "prefix.create": ("add", "added", "{items} to {object}"),
    "prefix.edit": ("change", "changed", "{items} of {object}"),
    "prefix.delete": ("delete", "deleted", "{items} of {object}"),
    "prefix.delegate": ("delegate", "delegated", "a part of {items} of {object}"),
    "prefix.undelegate": ("take back", "took back", "a part of {items} of {object}"),
    "prefix.advertise": ("advertise", "advertised", "{items} of {object}"),
    "prefix.withdraw": ("withdraw", "withdrew", "{items} of {object}"),
    "prefix.validate": ("validate", "validated", "{items} of {object}"),
    "bgp_prefix.create": ("add", "added", "a BGP prefix of {object}"),
    "bgp_prefix.edit": ("change", "changed", "a BGP prefix of {object}"),
    "bgp_prefix.delete": ("delete", "deleted", "a BGP prefix of {object}"),
    "binding.create": ("bind", "bound", "a prefix of {object} to a service"),
    "binding.delete": ("unbind", "unbound", "a prefix of {object} from a service"),
    "loa.upload": ("upload", "uploaded", "the letter of agency {object}"),
    "loa.delete": ("delete", "deleted", "the letter of agency {object}"),
    "lease.create": ("lease", "leased", "{items} to {object}"),
    "lease.delete": ("take back", "took back", "{items} from {object}"),
    "account.create": ("create", "created", "{object}"),
    "account.edit": ("edit", "edited", "{object}"),
    "account.edit_dns_settings": ("change", "changed", "the DNS settings of {object}"),
    "account.delete": ("delete", "deleted", "{object}"),
    "account.held": ("hold", "held", "{object} at its last good version"),
    "account.let_go": ("serve", "served", "the current files of {object} again"),
    "edge.edit": ("change", "changed", "the ring, label or drain of {object}"),
    "brake.release": ("release", "released", "the brake {object}"),
    "token.create": ("create", "created", "{object}"),
    "token.edit": ("edit", "edited", "{object}"),
    "token.roll": ("roll", "rolled", "the secret of {object}"),
    "token.revoke": ("revoke", "revoked", "{object}"),
}
SPACE_ACTIONS = ("prefix", "lease", "bgp_prefix", "binding")
LISTS = ("ips", "static_ips", "memberships", "prefixes", "records")  # the parts of objects


@dataclass(frozen=True, slots=True)
class Sentence:
    """One object of a change: the words around its name, and its page if it has one."""

    before: str
    title: str
    url: str
    after: str
    state: Mapping[str, Any]  # of the object, before and after; empty if unknown


@dataclass(frozen=True, slots=True)
class LoggedChange:
    """All entries of one request."""

    at: str
    actor: str
    client: str
    outcome: str
    message: str
    sentences: tuple[Sentence, ...]


class AuditWords:
    """The words for entries, with the names of objects in a dataset."""

    def __init__(self, dataset: Dataset) -> None:
        parts = (dataset.maps.values(), dataset.zones.values(), dataset.accounts.values())
        self._by_key: Mapping[str, AddressMap | Zone | Account] = {one.key: one for part in parts for one in part}

    def changes(self, entries: Iterable[LogEntry]) -> list[LoggedChange]:
        """The changes that entries tell of, in the same order."""
        return [self._change(list(group)) for _, group in groupby(entries, _request)]

    def _change(self, entries: Sequence[LogEntry]) -> LoggedChange:
        first = entries[0]
        actor = first.get("actor") or {}
        return LoggedChange(
            at=str(first.get("at") or ""),
            actor=str(actor.get("name") or actor.get("id", "")[:8]),
            client=str(first.get("client") or ""),
            outcome=str(first.get("outcome") or ""),
            message=str(first.get("message") or ""),
            sentences=tuple(map(self._sentence, entries)),
        )

    def _sentence(self, entry: LogEntry) -> Sentence:
        action = str(entry.get("action") or "")
        infinitive, past, rest = PHRASES.get(action, (f"carry out {action} on", action, "{object}"))
        verb = past if entry.get("outcome") == Outcome.OK else f"tried to {infinitive}"
        title, url = self._object(entry, action)
        state = {name: entry[name] for name in ("before", "after") if entry.get(name)}
        before, _, after = f"{verb} {rest}".partition("{object}")
        if "{items}" in before:
            before = before.replace("{items}", _items(state, action) or "parts")
        return Sentence(before, title, url, after, state)

    def _object(self, entry: LogEntry, action: str) -> tuple[str, str]:
        """The name of an entry's object, and the URL of its page; without a page, an empty text."""
        key = str(entry.get("object") or "")
        kind = action.partition(".")[0]
        found = self._by_key.get(key)
        if isinstance(found, AddressMap):
            return map_title(found), f"/accounts/{found.account_id}/maps/{found.id}"
        if isinstance(found, Zone):
            return found.name_text, f"/zones/{found.id}" + ("/records" if kind == "record" else "")
        if isinstance(found, Account):
            return found.name, f"/accounts/{found.id}/addresses" if kind in SPACE_ACTIONS else ""
        return key.rpartition("/")[2] if key.count("/") > 1 else key, ""


def _request(entry: LogEntry) -> tuple[Any, ...]:
    """The request of an entry: its entries follow each other, with one revision."""
    actor = entry.get("actor") or {}
    at, client = str(entry.get("at") or "")[:19], entry.get("client")
    return at, actor.get("id"), client, entry.get("action"), entry.get("revision"), entry.get("outcome")


def _items(state: Mapping[str, Any], action: str) -> str:
    """The parts of an object that a change added, replaced or removed."""
    before, after = (state.get(name) for name in ("before", "after"))
    old, new = (one if isinstance(one, Mapping) else {} for one in (before, after))
    for name in LISTS:
        lists = [one.get(name) or [] for one in (old, new)]
        if not all(isinstance(one, list) for one in lists):
            continue
        changed = [_words(one) for one in lists[1] if one not in lists[0]]
        changed += [_words(one) for one in lists[0] if one not in lists[1]]
        if changed := list(dict.fromkeys(changed)):
            more = f" and {len(changed) - MAX_ITEMS:,} more" if len(changed) > MAX_ITEMS else ""
            return ", ".join(changed[:MAX_ITEMS]) + more
    return "records" if action.startswith("record.") else ""


def _words(part: Any) -> str:
    """An address, a member, a prefix or a record in words."""
    if not isinstance(part, Mapping):
        return str(part)
    if "content" in part:
        return f"{part.get('name')} {part.get('type')}"
    return str(part.get("cidr") or part.get("identifier") or "a part")
