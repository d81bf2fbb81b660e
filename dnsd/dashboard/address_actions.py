"""Changes of address space that need confirmation: approving and deleting a prefix, ending a lease or a delegation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from dnsd.dashboard.forms import FormErrors
from dnsd.dashboard.page import HtmlPage, Redirect
from dnsd.dashboard.planned import PlanView, plan_view
from dnsd.dashboard.spaces import uses_of
from dnsd.dashboard.visit import Visit
from dnsd.manage import accounts
from dnsd.manage.draft import Draft
from dnsd.manage.find import find_account, find_prefix
from dnsd.manage.refusal import Reason, RefusedError, refused
from dnsd.manage.tags import tag_of
from dnsd.model.accounts import Approval, Delegation, Prefix, contains, without
from dnsd.model.dataset import Dataset
from dnsd.model.fields import IPAddress, IPNetwork
from dnsd.model.maps import AddressMap
from dnsd.model.space import doubts
from dnsd.model.withdrawals import Loss, losses


@dataclass(frozen=True, slots=True)
class AddressAction:
    """A change of an account's address space, and its effect in words."""

    name: str  # in the audit log
    space: IPAddress | IPNetwork
    button: str
    effect: str
    done: str
    verb: Callable[[Draft], Any]
    is_dangerous: bool = True
    shown: Callable[[Dataset], Sequence[str]] = lambda dataset: ()  # what the page shows, and a person confirms
    doubts: tuple[str, ...] = ()  # about a prefix to approve
    losses: tuple[Loss, ...] = ()  # of other accounts' maps; shown to the operator only

    def tag(self, dataset: Dataset) -> str:
        """The tag of what the page shows; empty for nothing."""
        shown = self.shown(dataset)
        return tag_of([*shown]) if shown else ""


SHOWN = "shown"  # in a form: the tag of the data that its page has shown
Make = Callable[[Visit], AddressAction]


async def ask(make: Make, visit: Visit) -> HtmlPage:
    """Show the effect of an action and ask to confirm; if it would be refused, the reasons."""
    action = make(visit)
    try:
        plan = await _effect(visit, action)
    except RefusedError as error:
        return _page(visit, action, FormErrors(error))
    return _page(visit, action, FormErrors(), plan)


async def _effect(visit: Visit, action: AddressAction) -> PlanView | None:
    """The changes in DNS, if there are any: of the only other account that loses addresses, else in numbers."""
    losers = {one.map.account_id for one in action.losses}
    plan = await visit.plan(action.verb, losers.pop() if len(losers) == 1 else None)
    return plan_view(visit.dataset, plan, None, visit.loaded.settings.missing_family) if action.losses else None


async def act(make: Make, visit: Visit) -> HtmlPage | Redirect:
    """Carry out a confirmed action."""
    action, seen = make(visit), visit.form.get(SHOWN)

    def confirmed(draft: Draft) -> Any:
        if action.tag(draft.dataset) != seen:
            raise refused(Reason.CHANGED_MEANWHILE, "This has changed since the page was made: look at it again.")
        return action.verb(draft)

    try:
        await visit.change(action.name, confirmed)
    except RefusedError as error:
        if error.faults[0].reason is not Reason.CHANGED_MEANWHILE:
            return _page(visit, make(visit), FormErrors(error))
        page, errors = await ask(make, visit), FormErrors(error)
        return replace(page, data={**page.data, "changed": errors.others}, status=errors.status)
    return Redirect(f"/accounts/{visit.account.id}/addresses", action.done)


def approval(visit: Visit) -> AddressAction:
    """The approval of a prefix, with the operator's doubts about it."""
    prefix = _prefix(visit)

    def found(dataset: Dataset) -> list[str]:
        account, own, _ = find_prefix(dataset, visit.account.id, prefix.id)
        return [*doubts(dataset, account, own, pool=visit.loaded.settings.default_addresses)]

    return AddressAction(
        "prefix.edit",
        prefix.cidr,
        "Approve",
        f"Address maps of {visit.account.name} may use its addresses from then on. No answers change by that alone.",
        "The prefix is approved.",
        partial(
            accounts.edit_prefix,
            account_id=visit.account.id,
            prefix_id=prefix.id,
            change={"approved": Approval.ACTIVE},
        ),
        is_dangerous=False,
        shown=found,
        doubts=tuple(found(visit.dataset)),
    )


def deletion(visit: Visit) -> AddressAction:
    """The deletion of a prefix; the page names its delegations, and the maps that use it."""
    prefix = _prefix(visit)
    lent = ", ".join(str(one.cidr) for one in prefix.delegations)

    def ending(dataset: Dataset) -> list[str]:
        _, own, _ = find_prefix(dataset, visit.account.id, prefix.id)
        delegated = (accounts.delegation_id(own, one) for one in own.delegations)
        users = sorted(one.id for one in _users(dataset, visit.account.id, own.cidr))
        return [*sorted(delegated), *users, *map(str, _losses(visit, dataset, own))]

    return AddressAction(
        "prefix.delete",
        prefix.cidr,
        "Delete",
        "Address maps can no longer use its addresses."
        + (f" The delegations of {lent} end, too." if lent else "")
        + (" To use it again, you add it again, and the operator approves it." if not visit.token.is_operator else ""),
        "The prefix is deleted.",
        _forced(visit, partial(accounts.delete_prefix, account_id=visit.account.id, prefix_id=prefix.id)),
        shown=ending,
        losses=tuple(_losses(visit, visit.dataset, prefix)),
    )


def lease_end(visit: Visit) -> AddressAction:
    """The end of the lease of a static IP."""
    account, wanted = visit.account, visit.path["lease_id"]
    ip = next((one for one in account.static_ips if accounts.lease_id(account, one) == wanted), None)
    if ip is None:
        raise refused(Reason.NOT_FOUND, f"There is no lease {wanted}")
    return AddressAction(
        "lease.delete",
        ip,
        "Take back",
        f"Address maps of {account.name} can no longer use it.",
        "The lease of the static IP has ended.",
        partial(accounts.delete_lease, account_id=account.id, wanted=wanted),
    )


def delegation_end(visit: Visit) -> AddressAction:
    """The end of a delegation."""
    prefix, wanted = _prefix(visit), visit.path["delegation_id"]
    found = next((one for one in prefix.delegations if accounts.delegation_id(prefix, one) == wanted), None)
    if found is None:
        raise refused(Reason.NOT_FOUND, f"There is no delegation {wanted}")

    def lost(dataset: Dataset) -> list[str]:
        own = find_prefix(dataset, visit.account.id, prefix.id)[1]
        return [*map(str, _losses(visit, dataset, own, found))]

    return AddressAction(
        "prefix.undelegate",
        found.cidr,
        "Take back",
        "Address maps of the other account can no longer use it; disabled ones still list it.",
        "The delegation is deleted.",
        _forced(
            visit,
            partial(accounts.delete_delegation, account_id=visit.account.id, prefix_id=prefix.id, wanted=wanted),
        ),
        shown=lost,
        losses=tuple(_losses(visit, visit.dataset, prefix, found)),
    )


def _losses(visit: Visit, dataset: Dataset, prefix: Prefix, delegation: Delegation | None = None) -> list[Loss]:
    """The losses of other accounts' maps without a prefix or its delegation, for the operator's eyes only."""
    if not visit.token.is_operator:
        return []
    return losses(dataset, without(find_account(dataset, visit.account.id), prefix, delegation))


def _forced(visit: Visit, verb: Callable[[Draft], Any]) -> Callable[[Draft], Any]:
    """The verb, forced for the operator: the page has shown the losses and the changes in DNS."""

    def forced(draft: Draft) -> Any:
        draft.forced = visit.token.is_operator
        return verb(draft)

    return forced


def _prefix(visit: Visit) -> Prefix:
    """The prefix in the path. Raises RefusedError."""
    return find_prefix(visit.dataset, visit.path["account_id"], visit.path["prefix_id"])[1]


def _page(visit: Visit, action: AddressAction, errors: FormErrors, plan: PlanView | None = None) -> HtmlPage:
    data = {
        "account": visit.account,
        "action": action,
        "users": _users(visit.dataset, visit.account.id, action.space),
        "url": visit.url,
    }
    asks = {"asks": not errors, "tag": action.tag(visit.dataset), "shown": SHOWN, "plan": plan, "changed": ()}
    return HtmlPage("address_action.html", {**data, **asks, "errors": errors}, errors.status)


def _users(dataset: Dataset, account_id: str, space: IPAddress | IPNetwork) -> list[AddressMap]:
    """The account's own maps that use the address space."""
    found = dict[str, AddressMap]()
    for ip, maps in uses_of(dataset, account_id).items():
        if contains(space, ip) if isinstance(space, IPNetwork) else ip == space:
            found |= {one.id: one for one in maps}
    return list(found.values())
