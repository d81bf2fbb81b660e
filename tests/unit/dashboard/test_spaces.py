"""Pictures of address space: squares for small prefixes, bars for large ones, and the next free address."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest

from dnsd.dashboard.spaces import BAR, CELLS, PER_PAGE, TICK, next_free, pages_of, spaces_of
from tests.models import account_map, dataset

NEXT_FREE = [  # prefix, used, lent, next free
    ("203.0.113.0/24", [], [], "203.0.113.2"),  # .1 often is a router
    ("203.0.113.0/24", ["203.0.113.2", "203.0.113.3"], [], "203.0.113.4"),
    ("203.0.113.0/24", ["203.0.113.2"], ["203.0.113.0/25"], "203.0.113.128"),
    ("203.0.113.0/29", [f"203.0.113.{n}" for n in range(2, 7)], [], None),  # the last one is the broadcast address
    ("203.0.113.0/31", [], [], "203.0.113.1"),
    ("203.0.113.7/32", [], [], "203.0.113.7"),
    ("2001:db8:100::/48", [], [], "2001:db8:100::2"),
    ("2001:db8:100::/126", [], [], "2001:db8:100::1"),
    ("203.0.113.0/24", [], ["203.0.113.0/24"], None),
    ("203.0.113.0/24", [], ["203.0.113.128/25", "203.0.113.0/26", "203.0.113.64/26"], None),
    ("203.0.113.0/24", ["203.0.113.64"], ["203.0.113.0/26", "203.0.113.8/29"], "203.0.113.65"),
]


@pytest.mark.parametrize(("cidr", "used", "lent", "expected"), NEXT_FREE)
def test_next_free_address_respects_reserved_ones(
    cidr: str, used: list[str], lent: list[str], expected: str | None
) -> None:
    found = next_free(ip_network(cidr), set(map(ip_address, used)), [*map(ip_network, lent)])
    assert (str(found) if found else None) == expected


def test_large_prefix_is_a_bar_with_its_used_subnets() -> None:
    ips = ["198.51.0.7", "198.51.0.8", "198.51.127.1", "198.51.255.254", "2001:db8:100:1::1", "2001:db8:100:ff::1"]
    prefixes = [
        {"cidr": "203.0.113.0/28", "approved": "V"},
        {
            "cidr": "198.51.0.0/16",
            "approved": "V",
            "delegations": [{"cidr": "198.51.128.0/17", "account": "b1"}],
        },
        {"cidr": "2001:db8:100::/48", "approved": "V"},
    ]
    data = dataset([], {"a1/all": account_map(*ips)}, {"a1": {"prefixes": prefixes}, "b1": {}})
    (account,) = (one for one in data.accounts.values() if one.prefixes)
    by_cidr = {str(one.cidr): one for one in spaces_of(data, account)}
    squares, large, v6 = (by_cidr[str(one["cidr"])] for one in prefixes)
    assert (len(squares.cells), squares.stretches, squares.rows) == (16, (), 1)
    assert large.cells == ()
    assert [(str(subnet), count) for subnet, count in large.subnets] == [
        ("198.51.0.0/24", 2),
        ("198.51.127.0/24", 1),
        ("198.51.255.0/24", 1),
    ]
    lent, *used = large.stretches
    assert (lent.state, lent.x, lent.width) == ("lent", BAR / 2, BAR / 2)
    assert [one.title.count("\n") for one in used] == [1, 0, 0]  # neighbours share a tick
    assert all(0 <= one.x <= BAR - TICK for one in large.stretches)
    assert (v6.size_text, len(v6.subnets)) == ("2⁸⁰", 2)


DELEGATED = 3_000


def lender(approved: str) -> dict[str, object]:
    """An account that delegates thousands of parts of one prefix to b1."""
    parts = [{"cidr": f"2001:db8:{n:x}::/120", "account": "b1"} for n in range(DELEGATED)]
    return {"prefixes": [{"cidr": "2001:db8::/32", "approved": approved, "delegations": parts}]}


def test_pictures_are_bounded_whatever_others_delegate() -> None:
    data = dataset([], {}, {"a1": lender("V"), "b1": {}})
    owner, borrower = sorted(data.accounts.values(), key=lambda one: one.key)
    assert pages_of(data, borrower) == DELEGATED // PER_PAGE
    shown = [spaces_of(data, borrower, page=page) for page in (1, 2, DELEGATED // PER_PAGE)]
    assert [len(page) for page in shown] == [PER_PAGE] * 3
    assert len({space.cidr for page in shown for space in page}) == 3 * PER_PAGE
    assert all(len(space.cells) <= CELLS for page in shown for space in page)
    (own,) = spaces_of(data, owner)
    assert len(own.stretches) <= CELLS


def test_nothing_of_an_unapproved_prefix_reaches_another_account() -> None:
    data = dataset([], {}, {"a1": lender("P"), "b1": {}})
    owner, borrower = sorted(data.accounts.values(), key=lambda one: one.key)
    assert spaces_of(data, borrower) == []
    assert len(spaces_of(data, owner)) == 1
