"""The verbs on accounts, prefixes, delegations and static IPs, as edits of the accounts' files."""

from __future__ import annotations

import secrets
from typing import Any

from pydantic import ConfigDict, Field, StrictBool

from dnsd.manage.draft import Document, Draft
from dnsd.manage.find import find_account, find_prefix
from dnsd.manage.refusal import Reason, refused
from dnsd.model.accounts import Approval
from dnsd.model.fields import Cidr, Fields, Ip, IPNetwork
from dnsd.store.directory import FileKind


class AccountBody(Fields):
    """A complete account."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    name: str = Field(min_length=1, max_length=100)


class DnsSettingsEdit(Fields):
    """The DNS settings of an account to change."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    enforce_dns_only: StrictBool | None = None


class PrefixBody(Fields):
    """A new prefix."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    cidr: Cidr
    asn: int | None = Field(default=None, ge=0, le=4_294_967_295)
    description: str | None = Field(default=None, max_length=1000)
    approved: Approval | None = Field(default=None, description="operator only; P, pending, by default")


class PrefixEdit(Fields):
    """The fields of a prefix to change."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    description: str | None = Field(default=None, max_length=1000)
    approved: Approval | None = Field(default=None, description="operator only")


class DelegationBody(Fields):
    """A new delegation."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    cidr: Cidr
    delegated_account_id: str


class LeaseBody(Fields):
    """A static IP to lease; operator only."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    ip: Ip


def create_account(draft: Draft, body: AccountBody) -> str:
    """Create an account and return its id."""
    account_id = secrets.token_hex(16)
    draft.write(draft.free_key("", body.name), FileKind.ACCOUNT, {"id": account_id, "name": body.name})
    return account_id


def edit_account(draft: Draft, account_id: str, body: AccountBody) -> None:
    """Rename an account."""
    account = find_account(draft.dataset, account_id)
    if account.name != body.name:
        _write(draft, account_id, draft.document(account.key) | {"name": body.name})


def delete_account(draft: Draft, account_id: str) -> None:
    """Delete an account. Raises RefusedError if it has zones or address maps."""
    account = find_account(draft.dataset, account_id)
    dataset = draft.dataset
    zones = sum(zone.account_id == account_id for zone in dataset.zones.values())
    maps = sum(one.account_id == account_id for one in dataset.maps.values())
    if zones or maps:
        raise refused(Reason.FORBIDDEN, f"the account has {zones} zones and {maps} address maps: delete them first")
    draft.remove_account(account.key)


def edit_dns_settings(draft: Draft, account_id: str, edit: DnsSettingsEdit) -> None:
    """Change the DNS settings of an account."""
    account = find_account(draft.dataset, account_id)
    if edit.enforce_dns_only is not None and edit.enforce_dns_only != account.settings.enforce_dns_only:
        document = draft.document(account.key)
        document["settings"] = {**(document.get("settings") or {}), "enforce_dns_only": edit.enforce_dns_only}
        _write(draft, account_id, document)


def create_prefix(draft: Draft, account_id: str, body: PrefixBody) -> str:
    """Create a prefix, pending unless the operator approves it, and return its id."""
    document = draft.document(find_account(draft.dataset, account_id).key)
    prefix_id = secrets.token_hex(16)
    made = {
        "id": prefix_id,
        "cidr": str(body.cidr),
        "asn": body.asn,
        "approved": (body.approved or Approval.PENDING).value,
        "description": body.description or None,
    }
    document["prefixes"] = [*(document.get("prefixes") or ()), _present(made)]
    _write(draft, account_id, document)
    return prefix_id


def edit_prefix(draft: Draft, account_id: str, prefix_id: str, edit: PrefixEdit, given: dict[str, Any]) -> None:
    """Change the given fields of a prefix."""
    document, index = _prefix(draft, account_id, prefix_id)
    written = dict(document["prefixes"][index])
    if "description" in given:
        written["description"] = edit.description or None
    if edit.approved:
        written["approved"] = edit.approved.value
    document["prefixes"][index] = _with_id(_present(written), prefix_id)
    _write(draft, account_id, document)


def delete_prefix(draft: Draft, account_id: str, prefix_id: str) -> None:
    """Delete a prefix; a rule refuses this while a map uses it."""
    document, index = _prefix(draft, account_id, prefix_id)
    del document["prefixes"][index]
    _write(draft, account_id, document)


def create_delegation(draft: Draft, account_id: str, prefix_id: str, body: DelegationBody) -> tuple[IPNetwork, str]:
    """Delegate a part of a prefix to another account; return the part and the account's id."""
    other = draft.dataset.accounts.get(body.delegated_account_id.lower())
    if other is None:
        raise refused(Reason.NOT_FOUND, "not_found: there is no account with this id", "delegated_account_id")
    _, prefix, _ = find_prefix(draft.dataset, account_id, prefix_id)
    if not any((one.cidr, one.account_id) == (body.cidr, other.id) for one in prefix.delegations):
        document, index = _prefix(draft, account_id, prefix_id)
        made = {"cidr": str(body.cidr), "account": other.key}
        written = document["prefixes"][index]
        document["prefixes"][index] = {**written, "delegations": [*(written.get("delegations") or ()), made]}
        _write(draft, account_id, document)
    return body.cidr, other.id


def delete_delegation(draft: Draft, account_id: str, prefix_id: str, place: int) -> None:
    """Delete a delegation; a rule refuses this while a map uses it."""
    document, index = _prefix(draft, account_id, prefix_id)
    del document["prefixes"][index]["delegations"][place]
    _write(draft, account_id, document)


def create_lease(draft: Draft, account_id: str, body: LeaseBody) -> None:
    """Lease a static IP to an account."""
    account = find_account(draft.dataset, account_id)
    if body.ip not in account.static_ips:
        document = draft.document(account.key)
        document["static_ips"] = [*(document.get("static_ips") or ()), str(body.ip)]
        _write(draft, account_id, document)


def delete_lease(draft: Draft, account_id: str, place: int) -> None:
    """End the lease of a static IP; a rule refuses this while a map uses it."""
    document = draft.document(find_account(draft.dataset, account_id).key)
    del document["static_ips"][place]
    _write(draft, account_id, document)


def _prefix(draft: Draft, account_id: str, prefix_id: str) -> tuple[Document, int]:
    """An account's file as data, and the index of a prefix in it."""
    account, _, index = find_prefix(draft.dataset, account_id, prefix_id)
    return draft.document(account.key), index


def _write(draft: Draft, account_id: str, document: Document) -> None:
    draft.write(find_account(draft.dataset, account_id).key, FileKind.ACCOUNT, document)


def _with_id(written: Document, prefix_id: str) -> Document:
    return written if "id" in written else {"id": prefix_id, **written}


def _present(document: Document) -> Document:
    return {name: value for name, value in document.items() if value is not None}
