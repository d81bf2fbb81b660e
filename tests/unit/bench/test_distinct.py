"""The data without repetitions: files that are read, names that are all asked, and records that differ."""

from __future__ import annotations

import random
from itertools import islice

import dns.message
import dns.rdatatype
import dns.zone
import pytest
import yaml

from bench.distinct import AGAIN, START, Found, parse, report
from bench.distinct_worlds import HOT, SPECIAL, WORLDS, World, address

NAMES = 400


@pytest.mark.parametrize("world", [one for one in WORLDS if not one.is_yaml], ids=lambda world: world.name)
def test_zones_are_read_and_have_the_names_that_are_asked(world: World) -> None:
    zones = {}
    for name, lines in world.zones(NAMES):
        text = "".join(lines)
        zones[dns.name.from_text(name)] = dns.zone.from_text(text, origin=name, relativize=False, check_origin=False)
    owners = {owner for zone in zones.values() for owner in zone.nodes}
    asked = [dns.message.from_wire(one).question[0].name for one in world.once(NAMES, random.Random(1))]
    assert len(asked) == len(set(asked)) == NAMES
    assert all(owners & {name, name.parent()} for name in asked)
    last = dns.message.from_wire(world.asked(NAMES - 1, NAMES)).question[0].name
    assert any(last.is_subdomain(zone) for zone in [*zones][-1:])


def test_addresses_differ() -> None:
    assert len({address(number) for number in range(0, 16_000_000, 997)}) == len(range(0, 16_000_000, 997))


def test_share_of_special_names_and_delegations() -> None:
    worlds = {world.name: world for world in WORLDS}
    special = "".join(next(worlds["special"].zones(NAMES))[1])
    zone = dns.zone.from_text(special, origin="example.com", relativize=True, check_origin=False)
    types = {dns.rdatatype.to_text(one.rdtype) for node in zone.nodes.values() for one in node}
    assert types >= {"A", "AAAA", "MX", "TXT", "CNAME", "CAA", "SRV"}
    assert len(SPECIAL) == 7
    lines = "".join(next(worlds["tld"].zones(NAMES))[1]).splitlines()
    assert sum(" DS " in line for line in lines) == -(-NAMES // 3)
    assert sum(line.startswith("ns.") for line in lines) == NAMES // 20


def test_yaml_has_the_same_records() -> None:
    worlds = {world.name: world for world in WORLDS}
    records = yaml.safe_load("".join(next(worlds["yaml"].zones(50))[1]))["records"]
    lines = islice(next(worlds["distinct"].zones(50))[1], 1, None)
    assert [f"{one['name']} A {one['content']}\n" for one in records] == [*lines]


def test_hot_names_are_few_of_many() -> None:
    (world,) = (one for one in WORLDS if one.name == "distinct")
    assert len(set(world.hot(HOT * 3, random.Random(1)))) == HOT
    assert len([*world.hot(20, random.Random(1))]) == 20


def test_report_compares_with_nsd() -> None:
    found = Found({("tld", 10_000, START, "dnsd"): 1.5, ("tld", 10_000, START, "nsd"): 3.0}, ["Knot: not installed"])
    found.values["tld", 10_000, AGAIN, "dnsd"] = 0.25
    text = "\n".join(report(found))
    assert f"| 10,000 | {START} | 1.50 | 3.00 | 0.50 |" in text
    assert f"| 10,000 | {AGAIN} | 0.25 |  |  |" in text
    assert "- Knot: not installed" in text


@pytest.mark.parametrize("wrong", [["--world", "tdl"], ["--only", "bind"]])
def test_unknown_parts_are_refused(wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(wrong)
    assert "unknown" in capsys.readouterr().err
