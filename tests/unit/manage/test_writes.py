"""The rate of changes of a token's line."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from dnsd.manage.tokens import Token
from dnsd.manage.writes import TooManyWritesError, Writes, writes_limit
from dnsd.model.accounts import Account, AccountSettings
from dnsd.model.dataset import Dataset
from dnsd.model.quotas import DEFAULT_QUOTAS

A1, A2 = "a1" * 16, "a2" * 16
ROOT = Token(id="01" * 16, name="root", created_at=datetime(2026, 1, 1, tzinfo=UTC), accounts=(A1,))
MADE = replace(ROOT, id="02" * 16, parent=ROOT)
OTHER = replace(ROOT, id="03" * 16)


def test_default_lets_ten_thousand_records_through_at_once() -> None:
    writes, limit = Writes(), DEFAULT_QUOTAS.writes_per_minute
    for _ in range(10_000):
        writes.take(ROOT, limit, 0.0)


def test_line_shares_its_budget_and_others_have_their_own() -> None:
    writes = Writes()
    for number in range(60):
        writes.take(MADE if number % 2 else ROOT, 60, 0.0)
    for token in (ROOT, MADE):
        with pytest.raises(TooManyWritesError) as caught:
            writes.take(token, 60, 0.0)
        assert caught.value.retry_after_s == 1
    assert writes.used(MADE, 60, 0.0) == 60
    writes.take(OTHER, 60, 0.0)


def test_customers_whose_tokens_one_operator_made_share_no_budget() -> None:
    operator = replace(ROOT, id="04" * 16, accounts=())
    first, second = (replace(ROOT, id=f"0{number}" * 16, parent=operator) for number in (5, 6))
    writes = Writes()
    writes.take(first, 1, 0.0)
    for token in (second, operator):
        writes.take(token, 1, 0.0)
    with pytest.raises(TooManyWritesError):
        writes.take(replace(MADE, parent=first), 1, 0.0)


def test_budget_comes_back_evenly_and_refused_changes_cost_nothing() -> None:
    writes = Writes()
    for _ in range(3):
        writes.take(ROOT, 3, 0.0)
    for _ in range(10):
        with pytest.raises(TooManyWritesError) as caught:
            writes.take(ROOT, 3, 5.0)
    assert caught.value.retry_after_s == 15
    writes.take(ROOT, 3, 20.0)
    assert writes.used(ROOT, 3, 20.0) == 3
    assert writes.used(ROOT, 3, 1000.0) == 0


@pytest.mark.parametrize("limit", [1, 60, 12_000])
def test_ten_wrong_guesses_use_up_any_limit(limit: int) -> None:
    writes = Writes()
    for _ in range(9):
        writes.miss(MADE, limit, 0.0)
    assert writes.used(ROOT, limit, 0.0) < limit or limit == 1
    writes.miss(ROOT, limit, 0.0)
    with pytest.raises(TooManyWritesError):
        writes.take(MADE, limit, 0.0)
    writes.miss(ROOT, limit, 0.0)
    writes.miss(ROOT, limit, 0.0)
    assert writes.used(ROOT, limit, 0.0) == limit
    with pytest.raises(TooManyWritesError):
        writes.take(MADE, limit, 5.9)  # a guess refills in six seconds
    writes.take(MADE, limit, 66.1)  # no more than one is owed


def test_limit_is_the_most_of_the_tokens_accounts() -> None:
    def account(account_id: str, *own: tuple[str, int]) -> Account:
        return Account(account_id[:2], account_id, "", (), (), AccountSettings(), quotas=own)

    dataset = Dataset({A1: account(A1, ("writes_per_minute", 5)), A2: account(A2)}, {}, {})
    both = replace(ROOT, accounts=(A1, A2))
    everything = replace(ROOT, accounts=())
    assert writes_limit(ROOT, dataset, DEFAULT_QUOTAS) == 5
    assert writes_limit(both, dataset, DEFAULT_QUOTAS) == DEFAULT_QUOTAS.writes_per_minute
    assert writes_limit(everything, dataset, DEFAULT_QUOTAS) == DEFAULT_QUOTAS.writes_per_minute
