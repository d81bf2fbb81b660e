"""The data without repetitions: files that are read, names that are all asked, and records that differ."""

from __future__ import annotations

import random
import re
import subprocess
import sys
import xml.etree.ElementTree
from itertools import islice
from pathlib import Path

import dns.message
import dns.rdatatype
import dns.zone
import pytest
import yaml

from bench.distinct import main, parse, steps_of
from bench.distinct_client import api_of, sent
from bench.distinct_found import AGAIN, COLD, HOT, OTHERS, SENT, START, Found, Step
from bench.distinct_measure import COMPILED, PLAIN, SERVERS, prepared
from bench.distinct_report import BEGIN, BUSY, END, results, write_page
from bench.distinct_sent import sent_to_worker
from bench.distinct_worlds import HOT as HOT_NAMES
from bench.distinct_worlds import SPECIAL, WORLDS, World, address
from bench.peers import ROOT
from tests.limits import HANG_S

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


def test_server_without_a_compiler_has_no_compiled_part() -> None:
    program = f"{PLAIN}; import dnsd.app, dnsd.worker.worker; print(*[one for one in sys.modules.values() if one])"
    run = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=HANG_S)
    assert "dnsd/app.py" in run.stdout, run.stderr
    assert not re.findall(rf"{re.escape(str(ROOT))}/dnsd/\S+\.so\b", run.stdout)
    assert {f"dnsd.{one.parent.name}.{one.stem}" for one in (ROOT / "dnsd").rglob("_*.c")} == {*COMPILED}


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
    assert len(set(world.hot(HOT_NAMES * 3, random.Random(1)))) == HOT_NAMES
    assert len([*world.hot(20, random.Random(1))]) == 20


def test_report_compares_with_nsd_and_names_what_misses_its_limit() -> None:
    found = Found(about={"dnsd": "1"})
    for sample, (ours, theirs) in enumerate([(1.5, 3.0), (1.0, 4.0), (3.0, 2.0)]):
        found.add("tld", 1_000_000, START, "dnsd", sample, ours)
        found.add("tld", 1_000_000, START, "nsd", sample, theirs)
    found.add("tld", 1_000_000, AGAIN, "dnsd", 0, 0.25)
    found.add("yaml", 1_000_000, START, "dnsd", 0, 6.5)
    found.add("distinct", 1_000_000, SENT, "dnsd", 0, 222)
    found.failures["Knot"] = "not installed"
    text = "\n".join(results(found))
    assert f"| {START} | 1.50 (1.00–3.00) | 3.00 (2.00–4.00) | 0.50 |" in text
    assert f"| {AGAIN} | 0.25 |  |  |" in text
    assert "delegations of a TLD: first start ≤ 1 × NSD | 0.50 (0.25–1.50) × NSD | yes |" in text
    assert "message to a worker for a changed record ≤ 1000 octets | 222 octets | yes |" in text
    assert "in YAML: first start ≤ 6 s | 6.50 s | **no** |" in text
    assert "- Knot: not installed" in text


def test_figures_of_a_busy_machine_are_marked() -> None:
    found = Found()
    found.add("distinct", 1_000_000, COLD, "dnsd", 0, 4.0)
    found.add("distinct", 1_000_000, COLD, "nsd", 0, 8.0)
    found.add("distinct", 1_000_000, OTHERS, "", 0, 0.01)
    assert BUSY not in "\n".join(results(found))
    found.add("distinct", 1_000_000, OTHERS, "", 0, 0.2)
    text = "\n".join(results(found))
    assert f"0.50 × NSD{BUSY}" in text
    assert f"1,000,000 distinct A records{BUSY}" in text


def test_measurements_are_kept_and_gone_on_with(tmp_path: Path) -> None:
    found = Found(about={"dnsd": "1"}, failures={"Knot": "why"}, seconds={("tld", 10): 2.5})
    found.add("tld", 10, START, "dnsd", 3, 1.5)
    found.done[Step("tld", 10, 0)] = ["dnsd"]
    found.save(tmp_path / "kept.json")
    assert Found.load(tmp_path / "kept.json") == found


def test_page_has_the_figures_and_keeps_other_text(tmp_path: Path) -> None:
    page = tmp_path / "benchmarks.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    found = Found()
    found.add("distinct", 10, HOT, "dnsd", 0, 4.0)
    assert write_page(tmp_path, found) == page
    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "old" not in text
    assert "4.00" in text
    xml.etree.ElementTree.parse(tmp_path / "benchmarks-distinct.svg")


def test_first_rounds_of_all_come_before_second_rounds() -> None:
    steps = [*steps_of(parse(["--world", "tld,yaml", "--rounds", "2"]))]
    assert steps[:3] == [("tld", 1_000_000, 0), ("yaml", 1_000_000, 0), ("yaml", 20_000, 0)]
    assert [step.round for step in steps] == [0, 0, 0, 1, 1, 1]


@pytest.mark.slow
def test_a_small_world_is_measured_in_parts(tmp_path: Path) -> None:
    kept = tmp_path / "kept.json"
    common = [
        "--names",
        "200",
        "--world",
        "distinct",
        "--rounds",
        "1",
        "--no-edits",
        "--seconds",
        "0.02",
        "--results",
        f"{kept}",
    ]
    assert main([*common, "--only", "null"]) == 0
    assert main([*common, "--only", "dnsd"]) == 0
    found = Found.load(kept)
    assert found.done == {Step("distinct", 200, 0): ["null", "dnsd"]}
    assert not found.failures
    assert {what for _, _, what, server in found.values if server == "dnsd"} >= {START, AGAIN, COLD, HOT}
    assert main([*common, "--only", "dnsd", "--minutes", "0"]) == 0
    assert Found.load(kept) == found


@pytest.mark.slow
def test_message_to_a_worker_is_measured_on_a_live_server(tmp_path: Path) -> None:
    (world,) = (one for one in WORLDS if one.name == "distinct")
    with prepared(SERVERS["dnsd"], world, 20, tmp_path) as server:
        server.start(world.asked(19, 20), HANG_S)
        with api_of(server) as client:
            zone = f"/zones/{sent(client, 'GET', '/zones')[0]['id']}/dns_records"
            record = {"name": "new", "type": "A", "content": "192.0.2.1", "ttl": 300}
            assert 50 < sent_to_worker(server, lambda: sent(client, "POST", zone, record)) <= 1_000


@pytest.mark.parametrize("wrong", [["--world", "tdl"], ["--only", "bind"]])
def test_unknown_parts_are_refused(wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(wrong)
    assert "unknown" in capsys.readouterr().err
