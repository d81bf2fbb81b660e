"""The brake: which changes count for an author's window, and its file."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path

import pytest

from dnsd.compile.build import Options, build_snapshot
from dnsd.compile.moves import MAX_ALONE, moves
from dnsd.manage.brake import ALL, FILES, Author, Book, Limit, Overrun, author_of, judged, limit_of, time_left
from dnsd.manage.brake_file import FILE_NAME, BrakeFile
from dnsd.manage.brake_state import authors_of
from dnsd.manage.tokens import AccessLevel, Area, Token
from dnsd.model.dataset import Dataset
from dnsd.model.fields import derived_id
from tests.models import Fields, account_map, dataset, proxied, record, zone

OPTIONS = Options((ip_address("198.51.100.10"),))
ACCOUNTS = ("a1", "a2", "a3", "a4")
JOB, OTHER = Author("1" * 32, "job"), Author("2" * 32, "other")
NOW = 1_800_000_000.0
LIMIT = Limit(2, len(ACCOUNTS), 600)
TWO = [proxied("www A 192.0.2.1"), proxied("old A 192.0.2.2", ipv4_only=True)]


class State:
    """Data, the book, and a clock."""

    def __init__(self) -> None:
        self.lasts = dict.fromkeys(ACCOUNTS, 10)
        self.records: dict[str, list[object]] = {account: [*TWO] for account in ACCOUNTS}
        self.book = Book()
        self.now = NOW
        self.snapshot = build_snapshot(self.dataset(), OPTIONS)

    def dataset(self) -> Dataset:
        space: dict[str, Fields] = {
            account: {"prefixes": [{"cidr": f"203.0.{number}.0/24", "approved": "V"}]}
            for number, account in enumerate(ACCOUNTS)
        }
        maps: dict[str, Fields] = {
            f"{account}/all": account_map(f"203.0.{number}.{self.lasts[account]}", account=account)
            for number, account in enumerate(ACCOUNTS)
            if self.lasts[account]
        }
        zones = [zone(f"{account}.example", self.records[account], account=account) for account in ACCOUNTS]  # type: ignore[arg-type]
        return dataset(zones, maps, space)

    def moved(self, author: Author = JOB, *, limit: Limit | None = LIMIT) -> Overrun | None:
        """Judge the change since the last accepted one; accept it unless it is over the limit."""
        new = build_snapshot(self.dataset(), OPTIONS, self.snapshot)
        found = judged(self.book, author, moves(self.snapshot, new), self.snapshot, new, limit, self.now)
        if isinstance(found, Overrun):
            return found
        self.book, self.snapshot = found, new
        return None

    def count(self, author: Author = JOB) -> int:
        states = {one.key: one.accounts for one in authors_of(self.book, self.snapshot, LIMIT, self.now)}
        return states.get(author.key, 0)


@pytest.fixture(name="state")
def _state() -> State:
    return State()


def test_the_account_over_the_limit_is_stopped(state: State) -> None:
    for account in ACCOUNTS[:2]:
        state.lasts[account] = 99
        assert state.moved() is None
    state.lasts["a3"] = 99
    overrun = state.moved()
    assert overrun
    assert (len(overrun.before), len(overrun.after), overrun.ends_at) == (2, 3, NOW + 600)
    assert "the token job would have changed the addresses of 3 accounts within the window" in overrun.message(NOW + 8)
    assert "the limit is 2 of 4 accounts, 2 so far; the window ends in 9 min 52 s" in overrun.message(NOW + 8)
    assert state.moved(OTHER) is None


def test_changes_of_counted_accounts_go_on(state: State) -> None:
    for last in (99, 98, 97):
        for account in ACCOUNTS[:2]:
            state.lasts[account] = last
            assert state.moved() is None
    assert state.count() == 2


def test_a_return_to_the_beginning_of_the_window_counts_no_more(state: State) -> None:
    for last in (99, 98, 10):
        state.lasts["a1"] = last
        assert state.moved() is None
    assert state.count() == 0
    for account in ACCOUNTS[1:3]:
        state.lasts[account] = 99
        assert state.moved() is None


def test_a_change_back_passes_even_over_the_limit(state: State) -> None:
    for account in ACCOUNTS[:2]:
        state.lasts[account] = 99
        assert state.moved() is None
    tight = replace(LIMIT, accounts=1)
    state.lasts["a2"] = 10
    assert state.moved(limit=tight) is None
    state.lasts["a3"] = 99
    assert state.moved(limit=tight)


def test_removed_and_opened_names_count_until_they_are_back(state: State) -> None:
    state.records["a1"] = [TWO[1]]
    assert state.moved() is None
    state.records["a2"] = [record("www A 192.0.2.1"), TWO[1]]
    assert state.moved() is None
    assert state.count() == 2
    state.records["a1"] = [*TWO]
    assert state.moved() is None
    assert state.count() == 1
    state.records["a2"] = [*TWO]
    assert state.moved() is None
    assert state.count() == 0


def test_other_records_and_new_names_do_not_count(state: State) -> None:
    for account in ACCOUNTS:
        state.records[account] = [*TWO, record("_acme-challenge TXT x"), proxied("new A 192.0.2.3")]
        assert state.moved() is None
    assert state.count() == 0


def test_a_family_that_no_name_shows_does_not_count(state: State) -> None:
    state.records["a1"] = [TWO[1]]
    state.snapshot = build_snapshot(state.dataset(), OPTIONS)
    state.lasts["a1"] = 0  # onto the pool, IPv4 only
    assert state.moved() is None
    assert state.count() == 1


def test_more_than_can_be_kept_counts_until_the_window_ends(state: State) -> None:
    many = [proxied(f"n{number} A 192.0.2.1") for number in range(MAX_ALONE + 1)]
    state.records["a1"] = [*TWO, *many]
    state.snapshot = build_snapshot(state.dataset(), OPTIONS)
    state.records["a1"] = [*TWO]
    assert state.moved() is None
    state.records["a1"] = [*TWO, *many]
    assert state.moved() is None
    assert state.count() == 1
    state.now += 600
    assert state.count() == 0


def test_a_window_ends(state: State) -> None:
    for account in ACCOUNTS[:2]:
        state.lasts[account] = 99
        assert state.moved() is None
    state.now += 599
    state.lasts["a3"] = 99
    assert state.moved()
    state.now += 1
    assert state.moved() is None
    assert state.count() == 1


@pytest.mark.parametrize("key", [JOB.key, ALL])
def test_a_release_lifts_the_limit_and_begins_a_new_window(state: State, key: str) -> None:
    for account in ACCOUNTS[:2]:
        state.lasts[account] = 99
        assert state.moved() is None
    state.book = state.book.released_for(key, 60, state.now)
    for account in ACCOUNTS[2:]:
        state.lasts[account] = 99
        assert state.moved() is None
    assert state.count() == 0
    state.now += 60
    for account in ACCOUNTS[:2]:
        state.lasts[account] = 98
        assert state.moved() is None
    state.lasts["a3"] = 98
    assert state.moved()


def test_the_greater_of_both_limits_counts() -> None:
    assert limit_of(100, (25, 5), 600) == Limit(25, 100, 600)
    assert limit_of(1000, (25, 5), 600) == Limit(50, 1000, 600)
    assert limit_of(1000, None, 600) is None


def token(name: str, *, parent: Token | None = None, accounts: tuple[str, ...] = ()) -> Token:
    token_id = derived_id("token", name)
    return Token(id=token_id, name=name, created_at=datetime.now(UTC), accounts=accounts, parent=parent)


def test_authors() -> None:
    job = token("job")
    one, two = derived_id("account", "a1"), derived_id("account", "a2")
    assert author_of(job) == Author(job.id, "job")
    assert author_of(token("child", parent=token("middle", parent=job))) == Author(job.id, "job")
    assert author_of(token("tenant", accounts=(one,))) is None
    assert author_of(token("tenant of the job", parent=job, accounts=(one,))) is None
    assert author_of(token("of a tenant", parent=token("tenant", accounts=(one,)))) is None
    assert author_of(token("two", parent=job, accounts=(one, two))) == Author(job.id, "job")
    reseller = token("reseller", accounts=(one, two))
    assert author_of(token("for one", parent=reseller, accounts=(one,))) == Author(reseller.id, "reseller")
    of_job = token("two", parent=job, accounts=(one, two))
    assert author_of(token("for one of two", parent=of_job, accounts=(one,))) == Author(job.id, "job")
    tenant = token("tenant", accounts=(one,))
    assert author_of(replace(token("zones", parent=tenant), zones=(one, two))) is None
    limited = replace(token("limited", parent=job), permissions=((Area.MAPS, AccessLevel.EDIT),))
    assert author_of(token("for one", parent=limited, accounts=(one,))) == Author(job.id, "job")
    first, second = token("cli root"), replace(token("cli root"), id="3" * 32)
    assert author_of(first) == author_of(second)


def test_the_book_outlives_restarts(state: State, tmp_path: Path) -> None:
    state.lasts["a1"] = 99
    state.records["a2"] = [TWO[1]]
    assert state.moved() is None
    state.book = replace(state.book.released_for(FILES.key, 60, NOW), is_refused=True)
    file = BrakeFile(tmp_path)
    file.save(state.book)
    assert file.problem is None
    assert BrakeFile(tmp_path).load() == state.book


DAMAGED = {
    "empty": b"",
    "cut": b'{"format":1,"windows":{"files":{"began_at"',
    "a list": b"[]",
    "another format": b'{"format":2,"windows":{},"released":{},"refused":false}',
    "no windows": b'{"format":1}',
    "an address": b'{"format":1,"windows":{"x":{"began_at":1,"name":"","accounts":{"a":[["z",[["1"],[]],true,{}]]}}}}',
    "nested": b"[" * 100_000,
}


@pytest.mark.parametrize("octets", DAMAGED.values(), ids=DAMAGED.keys())
def test_a_damaged_file_is_an_empty_book(tmp_path: Path, octets: bytes) -> None:
    (tmp_path / FILE_NAME).write_bytes(octets)
    file = BrakeFile(tmp_path)
    assert file.load() == Book()
    name = FILE_NAME
    assert file.problem == f"{tmp_path / name} is corrupt: moved aside as {name}.damaged; the brake begins anew"
    file.save(Book(is_refused=True))
    assert (file.problem, file.load().is_refused) == (None, True)


def test_the_file_names_no_secret(state: State, tmp_path: Path) -> None:
    state.lasts["a1"] = 99
    assert state.moved() is None
    BrakeFile(tmp_path).save(state.book)
    assert (tmp_path / FILE_NAME).stat().st_mode & 0o077 == 0
    assert json.loads((tmp_path / FILE_NAME).read_text())["windows"][JOB.key]["name"] == "job"


def test_times_in_words() -> None:
    assert [time_left(seconds) for seconds in (0, 59.6, 61, 600)] == ["1 s", "1 min", "1 min 1 s", "10 min"]
