"""Address space: an account's BYOIP prefixes and static IPs, and the maps that use them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from dnsd.api import accounts
from dnsd.api.codes import status_of
from dnsd.api.request import Call
from dnsd.dashboard.page import HtmlPage, Redirect
from dnsd.dashboard.spaces import spaces_of, uses_of
from dnsd.dashboard.visit import Visit, Wrong
from dnsd.manage.accounts import delegation_id, lease_id
from dnsd.manage.refusal import RefusedError

PREFIX_FIELDS = ("cidr", "asn", "description")


async def show_addresses(visit: Visit) -> HtmlPage:
    """The prefixes, each with a picture, and the static IPs."""
    return _page(visit)


async def add_prefix(visit: Visit) -> HtmlPage | Redirect:
    """Add a prefix; the operator has to approve it."""
    body: dict[str, Any] = {name: visit.form.text(name) for name in ("cidr", "description")}
    asn = visit.form.text("asn").upper().removeprefix("AS")
    body |= {"asn": int(asn) if asn.isascii() and asn.isdigit() and len(asn) < 12 else asn or None}
    done = "The prefix is added. It can be used once the operator has approved it."
    return await _done(visit, accounts.create_prefix, body, done, PREFIX_FIELDS)


async def approve_prefix(visit: Visit) -> HtmlPage | Redirect:
    """Approve a prefix."""
    return await _done(visit, accounts.edit_prefix, {"approved": "V"}, "The prefix is approved.")


async def delete_prefix(visit: Visit) -> HtmlPage | Redirect:
    """Delete a prefix; no map may use it."""
    return await _done(visit, accounts.delete_prefix, {}, "The prefix is deleted.")


async def delegate(visit: Visit) -> HtmlPage | Redirect:
    """Delegate a part of a prefix to another account."""
    body = {"cidr": visit.form.text("part"), "delegated_account_id": visit.form.text("delegated_account_id")}
    return await _done(visit, accounts.create_delegation, body, "The part is delegated.", ("delegated_account_id",))


async def undelegate(visit: Visit) -> HtmlPage | Redirect:
    """Delete a delegation; no map may use it."""
    return await _done(visit, accounts.delete_delegation, {}, "The delegation is deleted.")


async def lease(visit: Visit) -> HtmlPage | Redirect:
    """Lease a static IP to the account."""
    return await _done(visit, accounts.create_lease, {"ip": visit.form.text("ip")}, "The static IP is leased.", ("ip",))


async def take_back(visit: Visit) -> HtmlPage | Redirect:
    """End the lease of a static IP; no map may use it."""
    return await _done(visit, accounts.delete_lease, {}, "The lease of the static IP has ended.")


async def _done(
    visit: Visit,
    change: Callable[[Call], Awaitable[Any]],
    body: dict[str, Any],
    done: str,
    fields: tuple[str, ...] = (),
) -> HtmlPage | Redirect:
    """Call a route of the API; if it refuses, show the page again with the errors."""
    try:
        await change(visit.call(body))
    except RefusedError as error:
        return _page(visit, Wrong(error, fields), status_of(error))
    return Redirect(f"/accounts/{visit.account.id}/addresses", done)


def _page(visit: Visit, wrong: Wrong | None = None, status: int = 200) -> HtmlPage:
    dataset, account = visit.dataset, visit.account
    uses = uses_of(dataset, account.id)
    return HtmlPage(
        "addresses.html",
        {
            "account": account,
            "spaces": spaces_of(dataset, account),
            "accounts_by_id": dataset.accounts,
            "delegation_id": delegation_id,
            "static_ips": [(ip, lease_id(account, ip), uses.get(ip, ())) for ip in account.static_ips],
            "wrong": wrong or Wrong(),
            "form": visit.form,
            "wrong_prefix": visit.path.get("prefix_id", ""),
        },
        status,
    )
