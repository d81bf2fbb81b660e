"""The verbs on accounts, prefixes, delegations and static IPs, as edits of the accounts' files."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import NamedTuple, TypedDict

from dnsd.manage.draft import Document, Draft
from dnsd.manage.find import find_account, find_prefix
from dnsd.manage.lent_space import withdraw_lent
from dnsd.manage.maps import Member, NewMap, create_map
from dnsd.manage.refusal import Fault, GuessError, Reason, refused
from dnsd.model.accounts import Account, Approval, Delegation, PoolUse, Prefix, with_prefix, without
from dnsd.model.dataset import Dataset
from dnsd.model.fields import IPAddress, IPNetwork, derived_id
from dnsd.model.maps import MemberKind
from dnsd.model.quotas import OwnQuotas, written_quotas
from dnsd.model.requests import account_in_use
from dnsd.store.directory import FileKind


class NewPrefix(NamedTuple):
    """A prefix to create."""

    cidr: IPNetwork
    asn: int | None
    description: str | None
    approved: Approval
    delegate_loa_creation: bool = False
    loa_document_id: str | None = None


class PrefixChange(TypedDict, total=False):
    """The fields of a prefix to set; absent fields stay."""

    description: str | None
    approved: Approval
    delegate_loa_creation: bool
    loa_document_id: str | None


class AccountChange(TypedDict, total=False):
    """The fields of an account to set; absent fields stay."""

    name: str
    pool: PoolUse | None  # None: derived from the account's immutable map


def create_account(draft: Draft, change: AccountChange) -> str:
    """Create an account and return its id."""
    account_id = secrets.token_hex(16)
    key = draft.free_key("", change["name"])
    draft.write(key, FileKind.ACCOUNT, _with_change({"id": account_id}, change))
    return account_id


def edit_account(draft: Draft, account_id: str, change: AccountChange) -> None:
    """Rename an account, or set whether it may use the default pool."""
    account = find_account(draft.dataset, account_id)
    if change.get("name", account.name) != account.name or change.get("pool", account.pool) != account.pool:
        _write(draft, account_id, _with_change(draft.document(account.key), change))


def _with_change(document: Document, change: AccountChange) -> Document:
    if "name" in change:
        document["name"] = change["name"]
    if "pool" in change:
        document["pool"] = change["pool"].value if change["pool"] else None
    return document


def delete_account(draft: Draft, account_id: str) -> None:
    """Delete an account, with its immutable maps. Raises RefusedError if it has zones or other address maps."""
    account = find_account(draft.dataset, account_id)
    if use := account_in_use(draft.dataset, account_id):
        raise refused(Reason.FORBIDDEN, use)
    for owner in draft.dataset.accounts.values():
        if owner.id != account_id and any(one.account_id == account_id for one in _delegations(owner)):
            _drop_delegations(draft, owner, account_id)
    draft.remove_account(account.key)


def _delegations(account: Account) -> Iterator[Delegation]:
    return (one for prefix in account.prefixes for one in prefix.delegations)


def _drop_delegations(draft: Draft, owner: Account, account_id: str) -> None:
    """Delete the delegations of `owner` to an account that will be deleted, which has no map that uses them."""
    document = draft.document(owner.key)
    for index, prefix in enumerate(owner.prefixes):
        written = document["prefixes"][index]
        pairs = zip(prefix.delegations, written.get("delegations") or (), strict=True)
        kept = [text for one, text in pairs if one.account_id != account_id]
        document["prefixes"][index] = {**written, "delegations": kept or None}
    _write(draft, owner.id, document)


def edit_dns_settings(draft: Draft, account_id: str, *, enforce_dns_only: bool | None) -> None:
    """Change the DNS settings of an account."""
    account = find_account(draft.dataset, account_id)
    if enforce_dns_only is not None and enforce_dns_only != account.settings.enforce_dns_only:
        document = draft.document(account.key)
        document["settings"] = {**(document.get("settings") or {}), "enforce_dns_only": enforce_dns_only}
        _write(draft, account_id, document)


def edit_quotas(draft: Draft, account_id: str, given: OwnQuotas, cleared: Iterable[str]) -> None:
    """Set an account's own quotas, and leave `cleared` ones to the settings."""
    account = find_account(draft.dataset, account_id)
    document = draft.document(account.key)
    before = document.get("quotas") or {}
    after = written_quotas(before, given, cleared)
    if after != before:
        document["quotas"] = after or None
        _write(draft, account_id, document)


def create_prefix(draft: Draft, account_id: str, new: NewPrefix) -> str:
    """Create a prefix, pending unless the operator approves it, and return its id."""
    document = draft.document(find_account(draft.dataset, account_id).key)
    prefix_id = secrets.token_hex(16)
    created = {
        "id": prefix_id,
        "cidr": str(new.cidr),
        "asn": new.asn,
        "approved": new.approved.value,
        "description": new.description,
        "delegate_loa_creation": new.delegate_loa_creation or None,
        "loa_document_id": new.loa_document_id,
    }
    document["prefixes"] = [*(document.get("prefixes") or ()), _present(created)]
    _write(draft, account_id, document)
    return prefix_id


def edit_prefix(draft: Draft, account_id: str, prefix_id: str, change: PrefixChange) -> None:
    """Change fields of a prefix; the operator forces enabled maps off one that is to be pending again."""
    account, prefix, index = find_prefix(draft.dataset, account_id, prefix_id)
    if prefix.is_active and change.get("approved") is Approval.PENDING and draft.by_operator:
        withdraw_lent(draft, with_prefix(account, prefix, replace(prefix, approved=Approval.PENDING)), of_own=True)
    document = draft.document(account.key)
    written = dict(document["prefixes"][index])
    if "description" in change:
        written["description"] = change["description"]
    if "approved" in change:
        written["approved"] = change["approved"].value
    if "delegate_loa_creation" in change:
        written["delegate_loa_creation"] = change["delegate_loa_creation"] or None
    if "loa_document_id" in change:
        written["loa_document_id"] = change["loa_document_id"]
    document["prefixes"][index] = _with_id(_present(written), prefix_id)
    _write(draft, account_id, document)


def delete_prefix(draft: Draft, account_id: str, prefix_id: str) -> None:
    """Delete a prefix; a rule refuses this while an enabled map uses it, unless the operator forces it for others'."""
    account, prefix, index = find_prefix(draft.dataset, account_id, prefix_id)
    withdraw_lent(draft, without(account, prefix))
    document = draft.document(account.key)
    del document["prefixes"][index]
    _write(draft, account_id, document)


def create_delegation(draft: Draft, account_id: str, prefix_id: str, cidr: IPNetwork, to_id: str) -> str:
    """Delegate a part of a prefix to another account; return the delegation's id.

    Raises GuessError if there is no such account, unless the request would be refused also for one that there is.
    """
    _, prefix, _ = find_prefix(draft.dataset, account_id, prefix_id)
    other = draft.dataset.accounts.get(to_id.lower())
    if other is None:
        _try_delegation(draft, account_id, prefix_id, cidr)
        message = "not_found: there is no account with this id"
        raise GuessError(Fault(Reason.NOT_FOUND, message, ("delegated_account_id",)))
    if not any((one.cidr, one.account_id) == (cidr, other.id) for one in prefix.delegations):
        document, index = _prefix(draft, account_id, prefix_id)
        # The names of folders are the operator's: the account's audit entries show what its file gets.
        created = {"cidr": str(cidr), "account": other.key if draft.by_operator else other.id}
        written = document["prefixes"][index]
        document["prefixes"][index] = {**written, "delegations": [*(written.get("delegations") or ()), created]}
        _write(draft, account_id, document)
    return delegation_id(prefix, Delegation(cidr, other.id))


def _try_delegation(draft: Draft, account_id: str, prefix_id: str, cidr: IPNetwork) -> None:
    """Raise RefusedError if a delegation would be refused, whichever other account it is for."""
    trial = Draft(draft.loaded, draft.now, by_operator=draft.by_operator)
    if anybody := next((one for one in draft.dataset.accounts if one != account_id), None):
        create_delegation(trial, account_id, prefix_id, cidr, anybody)
        trial.load()


def delete_delegation(draft: Draft, account_id: str, prefix_id: str, wanted: str) -> None:
    """Delete a delegation by its id; refused while an enabled map uses it, unless the operator forces it."""
    account, prefix, index = find_prefix(draft.dataset, account_id, prefix_id)
    found = next((one for one in prefix.delegations if delegation_id(prefix, one) == wanted), None)
    if found is None:
        raise refused(Reason.NOT_FOUND, "not_found: there is no delegation with this id")
    withdraw_lent(draft, without(account, prefix, found))
    document = draft.document(account.key)
    del document["prefixes"][index]["delegations"][prefix.delegations.index(found)]
    _write(draft, account_id, document)


def create_lease(draft: Draft, account_id: str, ip: IPAddress, *, with_map: bool = False) -> None:
    """Lease a static IP to an account; if `with_map`, and no map covers the whole account, also make one, disabled."""
    account = find_account(draft.dataset, account_id)
    if ip not in account.static_ips:
        document = draft.document(account.key)
        document["static_ips"] = [*(document.get("static_ips") or ()), str(ip)]
        _write(draft, account_id, document)
    if with_map and not has_wide_map(draft.dataset, account_id):
        member = Member(MemberKind.ACCOUNT, account_id)
        create_map(draft, account_id, NewMap(description="Static IPs", ips=(ip,), memberships=(member,)))


def has_wide_map(dataset: Dataset, account_id: str) -> bool:
    """Whether an account is a member of a map, enabled or not."""
    return bool(dataset.maps_by_member.get(account_id))


def delete_lease(draft: Draft, account_id: str, wanted: str) -> None:
    """End the lease of a static IP by its id; a rule refuses this while a map uses it."""
    account = find_account(draft.dataset, account_id)
    places = [place for place, ip in enumerate(account.static_ips) if lease_id(account, ip) == wanted]
    if not places:
        raise refused(Reason.NOT_FOUND, "not_found: there is no static IP with this id")
    document = draft.document(account.key)
    del document["static_ips"][places[0]]
    _write(draft, account_id, document)


def delegation_id(prefix: Prefix, delegation: Delegation) -> str:
    """The id of a delegation, derived from its content."""
    return derived_id("delegation", prefix.id, str(delegation.cidr), delegation.account_id)


def lease_id(account: Account, ip: IPAddress) -> str:
    """The id of a leased static IP, derived from account and address."""
    return derived_id("lease", account.id, str(ip))


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
