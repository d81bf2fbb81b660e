"""Names of a barred account that lead to proxied names of other accounts are a warning."""

from __future__ import annotations

from typing import Any

import pytest

from dnsd.compile.build import Options, build_snapshot
from dnsd.compile.foreign import foreign_answers
from dnsd.model.fields import parse_ip
from tests.models import SPACE, account_map, dataset, proxied, record, zone

OWN = "own.example"
OTHER = [
    proxied("www A 192.0.2.1"),
    record("plain A 192.0.2.2"),
    proxied("*.wild A 192.0.2.3"),
    record("on CNAME www.other.example"),
]
UNVERIFIED = [proxied("www A 192.0.2.1")]
Case = tuple[list[Any], str | None]

CASES: dict[str, Case] = {  # records of the barred account's zone, the owner of the first that leads away
    "a chain": ([record("a CNAME www.other.example")], "a"),
    "a longer chain": ([record("a CNAME on.other.example")], "a"),
    "a chain to a wildcard": ([record("a CNAME x.wild.other.example")], "a"),
    "a flattened name": ([record("a CNAME www.other.example", settings={"flatten_cname": True})], "a"),
    "a flattened apex": ([record("@ CNAME www.other.example")], "@"),
    "a wildcard": ([record("*.a CNAME www.other.example")], "*.a"),
    "a DNAME": ([record("a DNAME other.example")], "a"),
    "a proxied name": ([proxied("a CNAME www.other.example")], None),
    "to a name as stored": ([record("a CNAME plain.other.example")], None),
    "to a name that is not there": ([record("a CNAME nothing.other.example")], None),
    "to a zone that is not verified": ([record("a CNAME www.new.example")], None),
    "to a zone that is not served": ([record("a CNAME www.elsewhere.example")], None),
    "to an own name": ([record("a CNAME b.own.example"), proxied("b A 192.0.2.9")], None),
    "by way of an own name": ([record("b CNAME a.own.example"), record("a CNAME www.other.example")], "a"),
    "an address": ([record("a A 192.0.2.9")], None),
}


def found(records: list[Any], pool: str | None = "never", **settings: bool) -> list[Any]:
    zones = [
        zone(OWN, records),
        zone("other.example", OTHER, account="a2"),
        zone("new.example", UNVERIFIED, account="a2", verified=False),
    ]
    own = {**SPACE, "settings": settings, **({"pool": pool} if pool else {})}
    built = dataset(zones, {"a1/m": account_map("203.0.113.1")}, {"a1": own, "a2": {}})
    snapshot = build_snapshot(built, Options((parse_ip("198.51.100.10"),)))
    return [*foreign_answers(built, snapshot)]


@pytest.mark.parametrize(("records", "owner"), CASES.values(), ids=CASES.keys())
def test_name_that_leads_to_another_account_is_a_warning(records: list[Any], owner: str | None) -> None:
    problems = found(records)
    assert [(one.source, one.warning) for one in problems] == ([("a1/zones/own.example", True)] if owner else [])
    if owner:
        (problem,) = problems
        index = [one.name for one in records].index(owner)
        assert problem.path == ("records", index, "content")
        assert problem.message.startswith(OWN if owner == "@" else f"{owner}.{OWN}")
        assert "other.example" not in problem.message
    for pool in (None, "allowed"):
        assert found(records, pool) == []


def test_proxied_name_answered_as_stored_leads_away_too() -> None:
    records = [proxied("a CNAME www.other.example")]
    assert found(records, enforce_dns_only=False) == []
    assert len(found(records, enforce_dns_only=True)) == 1


def test_many_names_are_one_warning() -> None:
    (problem,) = found([record(f"a{n} CNAME www.other.example") for n in range(40)])
    assert "like 39 more" in problem.message
