"""The audit log, limited to the entries that a token may read."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from functools import partial
from typing import Any

from dnsd.dashboard.audit_words import AuditWords
from dnsd.dashboard.page import HtmlPage
from dnsd.dashboard.visit import Visit
from dnsd.manage.audit_entries import as_seen, may_see
from dnsd.manage.audit_search import LogQuery
from dnsd.manage.token_changes import accounts_of
from dnsd.manage.tokens import Token
from dnsd.model.spelling import is_found, spellings

ENTRIES = 100  # on a page


async def show_audit(visit: Visit) -> HtmlPage:
    """The audit log, newest entries first."""
    q, page = visit.query.text("q"), visit.query.number("page", 1)
    is_wanted = partial(_is_visible, visit.token, spellings(q))
    accounts = [*accounts_of(visit.token, visit.dataset)] or None  # no flood of another account hides the entries
    found = await visit.service.audit(
        visit.actor, LogQuery(ENTRIES, is_wanted, skip=(page - 1) * ENTRIES, accounts=accounts)
    )
    changes = AuditWords(visit.dataset).changes([as_seen(visit.token, one) for one in found.entries])
    has_more = len(found.entries) == ENTRIES and bool(found.next)
    names = {one.id: one.name for one in visit.dataset.accounts.values()} if found.unread else {}
    notes = found.notes(names, by_operator=visit.token.is_operator)
    return HtmlPage("audit.html", {"changes": changes, "page": page, "has_more": has_more, "q": q, "notes": notes})


def _is_visible(token: Token, wanted: Collection[str], entry: Mapping[str, Any]) -> bool:
    """Whether a token may read an entry's object, and the entry contains one of the texts, if there are any."""
    if not may_see(token, entry):
        return False
    return not wanted or is_found(wanted, [json.dumps(as_seen(token, entry), ensure_ascii=False)])
