"""The quotas of an account: the limits and their use."""

from __future__ import annotations

from dnsd.dashboard.page import HtmlPage
from dnsd.dashboard.visit import Visit
from dnsd.model.quotas import Quotas


async def show_quotas(visit: Visit) -> HtmlPage:
    """The table of quotas."""
    account = visit.account
    quotas = await visit.service.quotas(visit.token, account.id)
    words = {name: field.description for name, field in Quotas.model_fields.items()}
    return HtmlPage("quotas.html", {"account": account, "quotas": quotas, "words": words})
