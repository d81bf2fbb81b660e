"""The guard: the limit on drops by a reload without --force."""

from __future__ import annotations

from pathlib import Path

import pytest

from dnsd.app import Loaded, load
from dnsd.errors import Problem
from dnsd.manage.judge import findings, moves_between
from dnsd.model.dataset import Dataset
from dnsd.model.guard import drop_findings
from dnsd.model.records import RecordFields
from tests.models import Fields, dataset, record, zone, zone_map

LIMIT_PERCENT = 30


def drop_problems(old: Dataset, new: Dataset, limit: int) -> list[Problem]:
    found = drop_findings(old, new, limit)
    assert all(one.accounts == {"a1"} for one in found)
    return [one.problem for one in found]


TEN = [record(f"n{number} A 192.0.2.{number}") for number in range(10)]


def zones(count: int) -> Dataset:
    return dataset([zone(f"{number}.example") for number in range(count)], {})


def records(*records_of_a_zone: list[RecordFields]) -> Dataset:
    return dataset([zone(f"{number}.example", some) for number, some in enumerate(records_of_a_zone)], {})


DROPS: dict[str, tuple[Dataset, Dataset, list[str]]] = {
    "nothing": (zones(10), zones(10), []),
    "more of everything": (zones(1), zones(10), []),
    "no zones before": (zones(0), zones(0), []),
    "three zones of ten": (zones(10), zones(7), []),
    "four zones of ten": (
        zones(10),
        zones(6),
        ["4 of 10 zones would be removed: 6.example, 7.example, 8.example and"],
    ),
    "all zones": (
        zones(2),
        zones(0),
        ["2 of 2 zones would be removed: 0.example, 1.example; the limit is 30"],
    ),
    "three records of ten": (records(TEN), records(TEN[:7]), []),
    "four records of ten": (records(TEN), records(TEN[:6]), ["4 of 10 records would be removed, from 0.example; "]),
    "a zone's records, few of all": (records(TEN, TEN, TEN, TEN), records([], TEN, TEN, TEN), []),
    "records of several zones": (
        records(TEN, TEN, TEN),
        records(TEN[:9], [], TEN),
        ["11 of 30 records would be removed, from 1.example, 0.example; "],
    ),
    "a large zone": (
        records([], [], [], TEN),
        records([], [], []),
        ["10 of 10 records would be removed, from 3.example"],
    ),
    "other data": (records([record("www A 192.0.2.1")]), records([record("www A 192.0.2.2")]), []),
    "another TTL": (records([record("www A 192.0.2.1", ttl=60)]), records([record("www A 192.0.2.1", ttl=90)]), []),
    "part of an RRset": (
        records([record("www A 192.0.2.1"), record("www A 192.0.2.2")]),
        records([record("www A 192.0.2.3")]),
        ["1 of 2 records would be removed"],
    ),
    "another name": (
        records([record("www A 192.0.2.1")]),
        records([record("web A 192.0.2.1")]),
        ["1 of 1 records would be removed"],
    ),
}


@pytest.mark.parametrize(("old", "new", "expected"), DROPS.values(), ids=DROPS.keys())
def test_dropped_share(old: Dataset, new: Dataset, expected: list[str]) -> None:
    found = drop_problems(old, new, LIMIT_PERCENT)
    assert [(problem.source, problem.path) for problem in found] == [("a1", ())] * len(expected)
    for problem, text in zip(found, expected, strict=True):
        assert problem.message.startswith(text)
        assert "dnsd reload --force --account a1" in problem.message
        assert not problem.warning


def test_limits() -> None:
    assert not drop_problems(zones(10), zones(0), 100)
    assert not drop_problems(records(TEN), records([]), 100)
    assert not drop_problems(zones(10), zones(9), 10)
    assert drop_problems(zones(10), zones(9), 9)
    assert not drop_problems(zones(10), zones(10), 0)
    assert drop_problems(zones(1000), zones(999), 0)


def test_name_servers_and_serials_are_not_counted() -> None:
    old = dataset([zone("example.com", [record("www A 192.0.2.1"), record("@ NS ns1.example.org")])], {})
    new = dataset([zone("example.com", [record("www A 192.0.2.1")])], {})
    assert not drop_problems(old, new, 0)


def with_map(**fields: object) -> Dataset:
    maps: dict[str, Fields] = {"a1/m": zone_map("example.com", "203.0.113.1", "203.0.113.2", **fields)}
    return dataset([zone("example.com")], maps)


EMPTIED: dict[str, tuple[Dataset, Dataset, bool]] = {
    "emptied": (with_map(), with_map(ips=[]), True),
    "emptied and disabled": (with_map(), with_map(ips=[], enabled=False), True),
    "one address left": (with_map(), with_map(ips=["203.0.113.9"]), False),
    "empty before": (with_map(ips=[]), with_map(ips=[]), False),
    "disabled before": (with_map(enabled=False), with_map(ips=[]), False),
    "without members before": (with_map(memberships=[]), with_map(ips=[]), False),
    "disabled": (with_map(), with_map(enabled=False), False),
    "deleted": (with_map(), dataset([zone("example.com")], {}), False),
}


@pytest.mark.parametrize(("old", "new", "is_refused"), EMPTIED.values(), ids=EMPTIED.keys())
def test_emptied_map(old: Dataset, new: Dataset, is_refused: bool) -> None:
    found = drop_problems(old, new, 30)
    assert [(problem.source, problem.path) for problem in found] == ([("a1/maps/m", ("ips",))] if is_refused else [])
    assert all("lose all its 2 addresses" in problem.message for problem in found)


def test_problems_are_at_their_places(tmp_path: Path) -> None:
    config, account = tmp_path / "dnsd.yaml", tmp_path / "accounts/acme"
    (account / "maps").mkdir(parents=True)
    (account / "zones").mkdir()
    (account / "account.yaml").write_text("static_ips: [192.0.2.200]\n")
    (account / "maps/shop.yaml").write_text(
        "enabled: true\nips: [192.0.2.200]\nmemberships: [{kind: account, identifier: acme}]\n"
    )
    (account / "zones/example.com.yaml").write_text("records: []\n")
    (account / "zones/example.net.yaml").write_text("records: []\n")
    config.write_text("default_addresses: [198.51.100.10]\nreload:\n  max_drop_percent: 40\n")
    loaded = load(config, {})
    (account / "maps/shop.yaml").write_text(
        "enabled: true\nips: []\nmemberships: [{kind: account, identifier: acme}]\n"
    )
    (account / "zones/example.net.yaml").unlink()
    lines = [str(problem) for problem in problems(config, loaded)]
    assert [line.split(": ")[0] for line in lines] == [f"{account}/account.yaml:1:1", f"{account}/maps/shop.yaml:2:1"]
    assert "1 of 2 zones would be removed: example.net; the limit is 40 percent" in lines[0]
    assert "ips: the map answers for 1 member and would lose its address" in lines[1]
    config.write_text("default_addresses: [198.51.100.10]\nreload:\n  max_drop_percent: 50\n")
    assert len(problems(config, loaded)) == 1


def problems(config: Path, before: Loaded) -> list[Problem]:
    after = load(config, {}, previous=before)
    return [one.problem for one in findings(before, after, moves_between(before, after))]
