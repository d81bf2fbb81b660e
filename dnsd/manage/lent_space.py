"""Withdrawing address space from the maps that use it: of accounts to which it is lent, and of its own account."""

from __future__ import annotations

from dnsd.manage.draft import Draft
from dnsd.manage.maps import edit_map
from dnsd.manage.refusal import Reason, refused
from dnsd.model.accounts import Account
from dnsd.model.withdrawals import loss_message, losses


def withdraw_lent(draft: Draft, after: Account, *, of_own: bool = False) -> None:
    """Take addresses out of other accounts' enabled maps, or also its own, as an account's space becomes `after`'s.

    A map without other addresses keeps its own and is disabled. Disabled maps keep theirs, with a warning. Raises
    RefusedError if enabled maps use the space, unless the operator forces it; for immutable maps always.
    """
    found = losses(draft.dataset, after, of_own=of_own)
    if not found:
        return
    if not (draft.forced and draft.by_operator):
        message = loss_message(draft.dataset, found, by_operator=draft.by_operator)
        raise refused(Reason.FORBIDDEN, message)
    if immutable := next((one.map for one in found if one.map.immutable), None):
        raise refused(Reason.FORBIDDEN, f"{immutable.key} is immutable: replace its addresses in its file first")
    for one in found:
        if one.left:
            edit_map(draft, one.map.account_id, one.map.id, {"ips": one.left})
        else:
            edit_map(draft, one.map.account_id, one.map.id, {"enabled": False})
