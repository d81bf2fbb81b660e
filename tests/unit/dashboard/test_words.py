"""Numbers and states in words."""

from __future__ import annotations

from typing import Any

import pytest

from dnsd.dashboard.bulk import DELETE, DNS_ONLY, PROXY, SET_TTL, selected_record
from dnsd.dashboard.page import plural, sentence, ttl_words

TTLS = [
    (1, "Auto"),
    (0, "0 s"),
    (30, "30 s"),
    (60, "1 min"),
    (90, "90 s"),
    (300, "5 min"),
    (3600, "1 h"),
    (5400, "90 min"),
    (86_400, "1 day"),
    (172_800, "2 days"),
    (90_061, "90,061 s"),
]


@pytest.mark.parametrize(("ttl_s", "words"), TTLS)
def test_ttl_in_its_largest_whole_unit(ttl_s: int, words: str) -> None:
    assert ttl_words(ttl_s) == words


def test_numbers_with_nouns() -> None:
    assert [plural(n, "zone") for n in (0, 1, 1200)] == ["0 zones", "1 zone", "1,200 zones"]
    assert (plural(2, "address"), plural(2, "query")) == ("2 addresses", "2 queries")


def test_messages_become_sentences() -> None:
    assert sentence("the map is enabled") == "The map is enabled."
    assert sentence("shop.example is paused!") == "shop.example is paused!"


def record(rtype: str, *, proxied: bool = False, ttl: int = 1) -> dict[str, Any]:
    return {"id": "1", "type": rtype, "proxied": proxied, "proxiable": rtype in ("A", "CNAME"), "ttl": ttl}


ROWS = [  # record, change, TTL, old, new, reason to leave it
    (record("A"), PROXY, 1, "DNS only", "Proxied", ""),
    (record("A", proxied=True), PROXY, 1, "Proxied", "Proxied", "no change"),
    (record("CNAME", proxied=True), DNS_ONLY, 1, "Proxied", "DNS only", ""),
    (record("MX"), PROXY, 1, "DNS only", "Proxied", "MX records cannot be proxied"),
    (record("MX", ttl=300), SET_TTL, 3600, "5 min", "1 h", ""),
    (record("MX", ttl=3600), SET_TTL, 3600, "1 h", "1 h", "no change"),
    (record("A", proxied=True), SET_TTL, 3600, "Auto", "1 h", "its TTL is automatic while it is proxied"),
    (record("A", proxied=True), DELETE, 1, "", "deleted", ""),
]


@pytest.mark.parametrize(("one", "do", "ttl_s", "old", "new", "left"), ROWS)
def test_selected_record_is_changed_or_left(
    one: dict[str, Any], do: str, ttl_s: int, old: str, new: str, left: str
) -> None:
    row = selected_record(one, do, ttl_s)
    assert (row.old, row.new, row.left) == (old, new, left)
