"""The routes of accounts, their prefixes and static IPs, and of the user."""

from __future__ import annotations

from contextlib import suppress
from functools import partial

from dnsd.api import bodies
from dnsd.api.addressing import forced
from dnsd.api.envelope import Reply, listed
from dnsd.api.request import Call
from dnsd.api.shapes import (
    JsonObject,
    account_shape,
    delegation_shape,
    dns_settings_shape,
    leases_shape,
    prefix_shape,
)
from dnsd.api.zone_bodies import DnsSettingsEdit
from dnsd.app import Loaded
from dnsd.manage import accounts
from dnsd.manage.draft import Draft
from dnsd.manage.find import find_account, find_prefix
from dnsd.manage.prefixes import set_advertised
from dnsd.model.accounts import Account, Prefix
from dnsd.model.times import time_text
from dnsd.process.tasks import in_thread

MAX_ACCOUNTS = 50  # on one page


async def list_accounts(call: Call) -> Reply:
    """List the accounts that the token covers"""
    loaded, name = call.service.loaded, call.query.get("name", "").lower()
    found = [
        account
        for account in loaded.dataset.accounts.values()
        if call.actor.token.covers(account.id) and name in account.name.lower()
    ]
    if call.query.get("direction") == "desc":
        found.reverse()
    return Reply(call.page(default=20, largest=MAX_ACCOUNTS).of_list(found, partial(account_shape, loaded)))


async def create_account(call: Call) -> Reply:
    """Create an account"""
    change = bodies.account_change(call.fields(bodies.AccountBody), call.json)
    account_id, loaded = await call.service.change(
        call.actor, "account.create", lambda draft: accounts.create_account(draft, change)
    )
    return Reply(account_shape(loaded, find_account(loaded.dataset, account_id)))


async def get_account(call: Call) -> Reply:
    """Get an account"""
    loaded = call.service.loaded
    return Reply(account_shape(loaded, find_account(loaded.dataset, call.path["account_id"])))


async def edit_account(call: Call) -> Reply:
    """Rename an account, or set whether its names may be answered from the default pool"""
    account_id = call.path["account_id"]
    shown = account_shape(call.service.loaded, find_account(call.dataset, account_id))
    change = bodies.account_change(call.fields(bodies.AccountBody, shown), call.json)
    _, loaded = await call.service.change(
        call.actor, "account.edit", lambda draft: accounts.edit_account(draft, account_id, change)
    )
    return Reply(account_shape(loaded, find_account(loaded.dataset, account_id)))


async def delete_account(call: Call) -> Reply:
    """Delete an account, with its immutable maps and LOA documents; it must have no zones and no other address maps"""
    account_id = call.path["account_id"]
    await call.service.change(call.actor, "account.delete", lambda draft: accounts.delete_account(draft, account_id))
    with suppress(OSError):  # the account is gone; what is left of its documents goes later
        await in_thread(partial(call.service.loa.remove_all, account_id))
    return Reply({"id": account_id})


async def get_dns_settings(call: Call) -> Reply:
    """Get the DNS settings of an account"""
    return Reply(dns_settings_shape(find_account(call.dataset, call.path["account_id"])))


async def edit_dns_settings(call: Call) -> Reply:
    """Change the DNS settings of an account: `enforce_dns_only`"""
    account_id = call.path["account_id"]
    edit = call.fields(DnsSettingsEdit, dns_settings_shape(find_account(call.dataset, account_id)))
    _, loaded = await call.service.change(
        call.actor,
        "account.edit_dns_settings",
        lambda draft: accounts.edit_dns_settings(draft, account_id, enforce_dns_only=edit.enforce_dns_only),
    )
    return Reply(dns_settings_shape(find_account(loaded.dataset, account_id)))


async def list_prefixes(call: Call) -> Reply:
    """List the BYOIP prefixes of an account"""
    loaded, account = call.service.loaded, find_account(call.dataset, call.path["account_id"])
    return Reply(call.listed(account.prefixes, partial(_shape, call, loaded, account)))


async def create_prefix(call: Call) -> Reply:
    """Add a prefix; it can be used once the operator has approved it"""
    account_id, new = call.path["account_id"], bodies.new_prefix(call.fields(bodies.PrefixBody))
    await _check_document(call, new.loa_document_id)
    prefix_id, loaded = await call.service.change(
        call.actor, "prefix.create", lambda draft: accounts.create_prefix(draft, account_id, new)
    )
    return Reply(_shape(call, loaded, *find_prefix(loaded.dataset, account_id, prefix_id)[:2]))


async def get_prefix(call: Call) -> Reply:
    """Get a prefix"""
    loaded = call.service.loaded
    found = find_prefix(loaded.dataset, call.path["account_id"], call.path["prefix_id"])
    return Reply(_shape(call, loaded, *found[:2]))


async def edit_prefix(call: Call) -> Reply:
    """Change a prefix's description or LOA, or advertise or withdraw it; the operator can also approve it"""
    account_id, prefix_id = call.path["account_id"], call.path["prefix_id"]
    shown = _shape(call, call.service.loaded, *find_prefix(call.dataset, account_id, prefix_id)[:2])
    body, is_forced = call.fields(bodies.PrefixEdit, shown), forced(call)
    change = bodies.prefix_change(body, call.json)
    await _check_document(call, body.loa_document_id)

    def verb(draft: Draft) -> None:
        draft.forced = is_forced
        accounts.edit_prefix(draft, account_id, prefix_id, change)
        if body.advertised is not None:
            set_advertised(draft, account_id, prefix_id, advertised=body.advertised)

    _, loaded = await call.service.change(call.actor, "prefix.edit", verb)
    return Reply(_shape(call, loaded, *find_prefix(loaded.dataset, account_id, prefix_id)[:2]))


async def delete_prefix(call: Call) -> Reply:
    """Delete a prefix that no enabled map uses; the operator withdraws it from other accounts' with `?force=true`"""
    account_id, prefix_id, is_forced = call.path["account_id"], call.path["prefix_id"], forced(call)

    def verb(draft: Draft) -> None:
        draft.forced = is_forced
        accounts.delete_prefix(draft, account_id, prefix_id)

    await call.service.change(call.actor, "prefix.delete", verb)
    return Reply(listed([]))


def _shape(call: Call, loaded: Loaded, account: Account, prefix: Prefix) -> JsonObject:
    return prefix_shape(loaded, account, prefix, call.service.validations.of(prefix))


async def _check_document(call: Call, document_id: str | None) -> None:
    """Raise RefusedError unless the account has the LOA document."""
    if document_id:
        await call.aside(partial(call.service.loa.find, call.path["account_id"], document_id))


async def list_delegations(call: Call) -> Reply:
    """List the delegations of a prefix to other accounts"""
    loaded = call.service.loaded
    _, prefix, _ = find_prefix(loaded.dataset, call.path["account_id"], call.path["prefix_id"])
    return Reply(call.listed(prefix.delegations, partial(delegation_shape, loaded, prefix)))


async def create_delegation(call: Call) -> Reply:
    """Delegate a part of a prefix to another account"""
    account_id, prefix_id = call.path["account_id"], call.path["prefix_id"]
    body = call.fields(bodies.DelegationBody)
    created_id, loaded = await call.service.change(
        call.actor,
        "prefix.delegate",
        lambda draft: accounts.create_delegation(draft, account_id, prefix_id, body.cidr, body.delegated_account_id),
    )
    _, prefix, _ = find_prefix(loaded.dataset, account_id, prefix_id)
    created = next(one for one in prefix.delegations if accounts.delegation_id(prefix, one) == created_id)
    return Reply(delegation_shape(loaded, prefix, created))


async def delete_delegation(call: Call) -> Reply:
    """Delete a delegation that no enabled map uses; the operator withdraws it from maps with `?force=true`"""
    account_id, prefix_id, wanted = (call.path[name] for name in ("account_id", "prefix_id", "delegation_id"))
    is_forced = forced(call)

    def verb(draft: Draft) -> None:
        draft.forced = is_forced
        accounts.delete_delegation(draft, account_id, prefix_id, wanted)

    await call.service.change(call.actor, "prefix.undelegate", verb)
    return Reply({"id": wanted})


async def list_leases(call: Call) -> Reply:
    """List the static IPs leased to an account"""
    loaded = call.service.loaded
    return Reply(call.listed(leases_shape(loaded, find_account(loaded.dataset, call.path["account_id"])), dict))


async def create_lease(call: Call) -> Reply:
    """Lease a static IP to an account, on request with an account-wide map, disabled"""
    account_id, body = call.path["account_id"], call.fields(bodies.LeaseBody)
    _, loaded = await call.service.change(
        call.actor,
        "lease.create",
        lambda draft: accounts.create_lease(draft, account_id, body.ip, with_map=body.create_map),
    )
    leases = leases_shape(loaded, find_account(loaded.dataset, account_id))
    return Reply(next(lease for lease in leases if lease["ip"] == str(body.ip)))


async def delete_lease(call: Call) -> Reply:
    """End the lease of a static IP; no enabled address map may use it"""
    account_id, wanted = call.path["account_id"], call.path["lease_id"]
    await call.service.change(
        call.actor, "lease.delete", lambda draft: accounts.delete_lease(draft, account_id, wanted)
    )
    return Reply({"id": wanted})


async def get_user(call: Call) -> Reply:
    """Get the token in the form of a user"""
    token = call.actor.token
    return Reply(
        {
            "id": token.id,
            "email": "",
            "username": token.name,
            "first_name": token.name or None,
            "last_name": None,
            "telephone": None,
            "country": None,
            "zipcode": None,
            "suspended": False,
            "two_factor_authentication_enabled": False,
            "two_factor_authentication_locked": False,
            "has_pro_zones": False,
            "has_business_zones": False,
            "has_enterprise_zones": False,
            "created_on": time_text(token.created_at),
        }
    )
