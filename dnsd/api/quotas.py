"""The routes of an account's quotas, dnsd's own: the limits and their use."""

from __future__ import annotations

from typing import ClassVar

from dnsd.api.bodies import RequestBody
from dnsd.api.envelope import Reply
from dnsd.api.request import Call
from dnsd.manage.accounts import edit_quotas
from dnsd.model.quotas import Quotas


class QuotasBody(RequestBody, Quotas):
    """The account's own quotas to set; null leaves one to the settings again."""

    is_ours: ClassVar[bool] = True


async def get_quotas(call: Call) -> Reply:
    """Get each quota of an account: the limit, and its use"""
    return Reply(await call.service.quotas(call.actor.token, call.path["account_id"]))


async def edit_quotas_of(call: Call) -> Reply:
    """Set quotas of an account that differ from the settings"""
    account_id, given = call.path["account_id"], call.fields(QuotasBody).given()
    cleared = [name for name, value in call.json.items() if value is None]
    await call.service.change(
        call.actor, "account.edit_quotas", lambda draft: edit_quotas(draft, account_id, given, cleared)
    )
    return Reply(await call.service.quotas(call.actor.token, account_id))
