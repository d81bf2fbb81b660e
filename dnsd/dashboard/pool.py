"""Whether names of an account may be answered from the default pool: the page, with the operator's form."""

from __future__ import annotations

from functools import partial

from dnsd.api.bodies import AccountBody, account_change
from dnsd.dashboard.forms import FormErrors
from dnsd.dashboard.page import HtmlPage, Redirect
from dnsd.dashboard.visit import Visit
from dnsd.manage.accounts import edit_account
from dnsd.manage.refusal import RefusedError
from dnsd.model.accounts import PoolUse


async def show_pool(visit: Visit) -> HtmlPage:
    """The choice, as it is now."""
    is_barred = visit.dataset.is_barred(visit.account)
    return _page(visit, (PoolUse.NEVER if is_barred else PoolUse.ALLOWED).value, FormErrors())


async def save_pool(visit: Visit) -> HtmlPage | Redirect:
    """Set the choice; if it is refused, show the form again."""
    account, chosen = visit.account, visit.form.text("pool")
    values = {"name": account.name, "pool": chosen}
    try:
        change = account_change(visit.body(AccountBody, values), values)
        await visit.change("account.edit", partial(edit_account, account_id=account.id, change=change))
    except RefusedError as error:
        return _page(visit, chosen, FormErrors(error, ("pool",)))
    done = "is barred from" if chosen == PoolUse.NEVER else "may use"
    return Redirect(f"/accounts/{account.id}/maps", f"{account.name} {done} the default pool.")


def _page(visit: Visit, chosen: str, errors: FormErrors) -> HtmlPage:
    account = visit.account
    immutable = visit.dataset.immutable_maps.get(account.id)
    is_barred = visit.dataset.is_barred(account)
    data = {"account": account, "is_barred": is_barred, "chosen": chosen, "errors": errors, "immutable": immutable}
    return HtmlPage("pool.html", data, errors.status)
