"""Address space: an account's BYOIP prefixes and static IPs, and the maps that use them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from dnsd.api.bodies import DelegationBody, LeaseBody, PrefixBody, new_prefix
from dnsd.dashboard.forms import FormErrors
from dnsd.dashboard.page import HtmlPage, Redirect
from dnsd.dashboard.route_actions import seen_routes
from dnsd.dashboard.spaces import page_of, pages_of, spaces_of, uses_of
from dnsd.dashboard.visit import Visit
from dnsd.manage import accounts
from dnsd.manage.draft import Draft
from dnsd.manage.refusal import RefusedError
from dnsd.model.space import doubts

Verb = Callable[[Draft], Any]
PREFIX_FIELDS = ("cidr", "asn", "description")


async def show_addresses(visit: Visit) -> HtmlPage:
    """The prefixes, each with a picture, and the static IPs."""
    return await visit.aside(partial(_page, visit, FormErrors()))


async def add_prefix(visit: Visit) -> HtmlPage | Redirect:
    """Add a prefix; the operator has to approve it."""
    values: dict[str, Any] = {name: visit.form.text(name) for name in ("cidr", "description")}
    asn = visit.form.text("asn").upper().removeprefix("AS")
    values["asn"] = int(asn) if asn.isascii() and asn.isdigit() and len(asn) < 12 else asn or None

    def verb() -> Verb:
        new = new_prefix(visit.body(PrefixBody, values))
        return partial(accounts.create_prefix, account_id=visit.account.id, new=new)

    done = "The prefix is added. It can be used once the operator has approved it."
    return await _carry_out(visit, "prefix.create", verb, done, PREFIX_FIELDS)


async def delegate(visit: Visit) -> HtmlPage | Redirect:
    """Delegate a part of a prefix to another account."""
    account_id, prefix_id = _prefix(visit)
    values = {"cidr": visit.form.text("part"), "delegated_account_id": visit.form.text("delegated_account_id")}

    def verb() -> Verb:
        body = visit.body(DelegationBody, values)
        return lambda draft: accounts.create_delegation(
            draft, account_id, prefix_id, body.cidr, body.delegated_account_id
        )

    return await _carry_out(visit, "prefix.delegate", verb, "The part is delegated.", ("delegated_account_id",))


async def lease(visit: Visit) -> HtmlPage | Redirect:
    """Lease a static IP to the account."""

    def verb() -> Verb:
        body = visit.body(LeaseBody, {"ip": visit.form.text("ip"), "create_map": "create_map" in visit.form})
        return partial(accounts.create_lease, account_id=visit.account.id, ip=body.ip, with_map=body.create_map)

    return await _carry_out(visit, "lease.create", verb, "The static IP is leased.", ("ip",))


def _prefix(visit: Visit) -> tuple[str, str]:
    """The ids of the account and the prefix in the path."""
    return visit.path["account_id"], visit.path["prefix_id"]


async def _carry_out(
    visit: Visit, action: str, prepare: Callable[[], Verb], done: str, fields: tuple[str, ...] = ()
) -> HtmlPage | Redirect:
    """Prepare a verb and carry it out; if it is refused, show the page again with the errors."""
    try:
        await visit.change(action, prepare())
    except RefusedError as error:
        return await visit.aside(partial(_page, visit, FormErrors(error, fields)))
    return Redirect(f"/accounts/{visit.account.id}/addresses", done)


def _page(visit: Visit, errors: FormErrors) -> HtmlPage:
    dataset, account = visit.dataset, visit.account
    uses = uses_of(dataset, account.id)
    wrong, pages = visit.path.get("prefix_id", ""), pages_of(dataset, account)
    page = page_of(dataset, account, wrong) if wrong else min(visit.query.number("page", 1), pages)
    return HtmlPage(
        "addresses.html",
        {
            "account": account,
            "spaces": spaces_of(dataset, account, page=page),
            "page": page,
            "pages": pages,
            "to_page": lambda number: f"/accounts/{account.id}/addresses?page={number}",
            "accounts_by_id": dataset.accounts,
            "seen_routes": partial(seen_routes, visit),
            "delegation_id": accounts.delegation_id,
            "has_wide_map": accounts.has_wide_map(dataset, account.id),
            "doubts": partial(doubts, dataset, account, pool=visit.loaded.settings.default_addresses),
            "static_ips": [(ip, accounts.lease_id(account, ip), uses.get(ip, ())) for ip in account.static_ips],
            "errors": errors,
            "form": visit.form,
            "wrong_prefix": wrong,
        },
        errors.status,
    )
