"""The rate of changes: each author may make so many a minute, all at once or spread out.

An author is a token that an operator made, with the tokens and sessions made from it: a tenant gains nothing by making
more tokens, and takes nothing from the operator's other tenants.
"""

from __future__ import annotations

from collections import OrderedDict
from math import ceil

from dnsd.manage.refusal import Fault, Reason, RefusedError
from dnsd.manage.token_changes import accounts_of
from dnsd.manage.tokens import Token
from dnsd.model.dataset import Dataset
from dnsd.model.quota_rules import quotas_of
from dnsd.model.quotas import Quotas

QUOTA = "the quota `writes_per_minute`"
MINUTE_S = 60.0
MAX_GUESSES = 10  # wrong ones a minute, of one author
MAX_AUTHORS = 100_000  # remembered; those idle longest are forgotten first


class TooManyWritesError(RefusedError):
    """A change over a limit, until `retry_after_s` have passed."""

    def __init__(self, what: str, wait_s: float) -> None:
        seconds = max(1, ceil(wait_s))
        message = "Please wait and consider throttling your request speed"  # Cloudflare's words
        fault = Fault(Reason.TOO_MANY_WRITES, f"{message}: {what}; go on in {seconds} s")
        super().__init__(fault, retry_after_s=seconds)


class Writes:
    """The changes of each author within the last minute, as a budget that refills evenly. Times are monotonic."""

    def __init__(self) -> None:
        self._spent: OrderedDict[str, tuple[float, float]] = OrderedDict()  # changes, and the time of the last

    def take(self, token: Token, limit: int, now: float, *, kind: str = QUOTA) -> None:
        """Count a change; `kind` names the limit. Raises TooManyWritesError over the limit, without counting it."""
        spent = self._left_spent(token, limit, now)
        if spent + 1 > limit:
            what = f"{kind} is {limit:,} for this token and those made from it"
            raise TooManyWritesError(what, (spent + 1 - limit) * MINUTE_S / limit)
        author = token.author.id
        self._spent[author] = spent + 1, now
        self._spent.move_to_end(author)
        if len(self._spent) > MAX_AUTHORS:
            self._spent.popitem(last=False)

    def miss(self, token: Token, limit: int, now: float) -> None:
        """Count a wrong guess at another account's id as a share of the limit: MAX_GUESSES at once use it up.

        One more may be owed, so that the next guess has to wait for as long as a whole one needs to refill.
        """
        guess = limit / MAX_GUESSES
        spent = self._left_spent(token, limit, now) + guess
        self._spent[token.author.id] = min(limit + guess, spent), now

    def used(self, token: Token, limit: int, now: float) -> int:
        """The part of the limit that a token's author has used."""
        return min(limit, ceil(self._left_spent(token, limit, now)))

    def _left_spent(self, token: Token, limit: int, now: float) -> float:
        spent, at = self._spent.get(token.author.id, (0.0, now))
        return max(0.0, spent - (now - at) * limit / MINUTE_S)


def writes_limit(token: Token, dataset: Dataset | None, quotas: Quotas) -> int:
    """The changes a minute of a token: the settings' or, if its accounts have more or less, the most of these."""
    accounts = accounts_of(token, dataset) if dataset else set()
    known = [dataset.accounts[one] for one in accounts if one in dataset.accounts] if dataset else []
    return max((quotas_of(one, quotas).writes_per_minute for one in known), default=quotas.writes_per_minute)
