"""The benchmarks' own parts: queries, counts of time and memory, report; and the C programs, briefly."""

import json
import os
import random
import shutil
import subprocess
import threading
import time
import xml.etree.ElementTree
from pathlib import Path

import dns.message
import dns.rcode
import dns.zone
import psutil
import pytest

from bench.client import ask, view_of
from bench.figures import Figure, figure, ratio, remarks, requirements
from bench.map_edit import TYPES
from bench.native import build, load
from bench.peers import KINDS, cores
from bench.plot import Bar, plot
from bench.proc import children, cpu_clock, cpu_of, machine, memory_bytes, resident_bytes, schedstat_s
from bench.questions import (
    EDNS_DO,
    LEAST_QUERIES,
    MIXES,
    Mix,
    framed,
    mixed_case,
    names_of,
    query,
    scale_zone,
    zone_text,
)
from bench.report import BEGIN, END, write_report
from bench.run import loaded, main, parse, saved
from bench.scale import AGAIN, FIRST, MAP_EDIT, MEMORY, MORE, START, Scale, _worker_edit
from bench.traffic import Measure, Traffic, is_asked
from tests.conformance.peers import free_port
from tests.limits import HANG_S

MILLION = 1_000_000


# Queries.


@pytest.mark.parametrize("mix", MIXES, ids=lambda mix: mix.name)
def test_queries_of_a_mix_are_the_same_at_every_run_and_well_formed(mix: Mix) -> None:
    messages = list(names_of(mix, 20))
    assert messages == list(names_of(mix, 20))
    for message in messages[:40]:
        parsed = dns.message.from_wire(message)
        assert parsed.question[0].name.to_text().lower().endswith(".example.com.")
        assert (parsed.edns, bool(parsed.ednsflags)) == ((0, True) if mix.name == "edns" else (-1, False))


def test_both_forms_of_the_zone_differ_only_in_proxied_names() -> None:
    ours = dns.zone.from_text(zone_text(20, proxied=True), "example.com")
    theirs = dns.zone.from_text(zone_text(20, proxied=False), "example.com")
    assert ours.keys() == theirs.keys()
    differing = {name.to_text() for name in ours if ours[name] != theirs[name]}
    assert differing == {f"h{number}" for number in range(20)} | {"*.w"}


def test_mixed_case_changes_letters_of_the_name_only() -> None:
    message = query("h1", 1, EDNS_DO)
    changed = [mixed_case(message, random.Random(seed)) for seed in range(20)]
    assert len(set(changed)) > 10
    assert {one.lower() for one in changed} == {message.lower()}
    assert {one[-15:] for one in changed} == {message[-15:]}


def test_query_file_has_enough_queries_for_the_load_generator() -> None:
    octets = framed([query("h1", 1)] * 3)
    assert len(octets) >= LEAST_QUERIES * (2 + len(query("h1", 1)))
    assert int.from_bytes(octets[:2]) == len(query("h1", 1))


def test_editions_of_scale_zones_differ_in_the_marker_or_for_other_servers_everywhere() -> None:
    ours, theirs = (["".join(scale_zone(3, edition, proxied=form)) for edition in (0, 1)] for form in (True, False))
    assert [line for line in ours[1].splitlines() if line not in ours[0]][1:] == ["marker A 198.51.100.101"]
    assert len([line for line in theirs[1].splitlines() if line not in theirs[0]]) == 1 + 1 + 3


def test_small_servers_get_only_the_simple_mixes() -> None:
    asked = {server: {mix.name for mix in MIXES if is_asked(server, mix)} for server in KINDS}
    assert asked["dnslib"] == asked["twisted"] == {"proxied", "nxdomain"}
    assert asked["nsd"] == asked["dnsd"] == {mix.name for mix in MIXES}
    assert len(set(TYPES)) == len(TYPES)


# Counts of time and memory.


def test_the_clock_of_a_process_agrees_with_its_other_counts() -> None:
    outer = time.process_time()
    before = cpu_of([os.getpid()])
    start = time.process_time()
    while time.process_time() < start + 0.3:
        pass
    inner = time.process_time() - start
    took = cpu_of([os.getpid()]).since(before)
    assert inner - 0.01 <= took.total_s <= time.process_time() - outer + 0.01
    assert took.user_s + took.system_s == pytest.approx(took.total_s, abs=0.05)
    assert schedstat_s(os.getpid()) <= cpu_of([os.getpid()]).total_s + 0.01


def test_clock_includes_ended_threads() -> None:
    def work() -> None:
        end = time.thread_time() + 0.1
        while time.thread_time() < end:
            pass

    before = time.clock_gettime(cpu_clock(os.getpid()))
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert time.clock_gettime(cpu_clock(os.getpid())) - before >= 0.1


def test_shared_memory_counts_in_proportion() -> None:
    assert 0 < memory_bytes(os.getpid()) <= resident_bytes(os.getpid()) * 1.1
    assert children(os.getpid())[0] == os.getpid()
    assert {"processor", "memory", "kernel"} <= machine().keys()


# Report.


def measures(server: str, mix: str, *cpu_us: float, lost: int = 0) -> list[Measure]:
    return [
        Measure(server, mix, number, 100_000, lost, 1.0, value / 10, value / 20, value / 20, 100, 200, 0, 0)
        for number, value in enumerate(cpu_us)
    ]


def test_ratios_are_of_the_same_round() -> None:
    traffic = Traffic(measures=[*measures("dnsd", "proxied", 5, 10, 6), *measures("nsd", "proxied", 10, 20)])
    assert ratio(traffic, ("dnsd", "proxied"), ("nsd", "proxied")) == Figure(0.5, 0.5, 0.5)
    assert ratio(traffic, ("dnsd", "proxied"), ("knot", "proxied")) is None
    assert figure([3, 1, 2]) == Figure(2, 1, 3)
    assert Figure(2, 1, 3).text(1) == "2.0 (1.0–3.0)"


def test_requirements_are_met_or_not_or_not_measured() -> None:
    traffic = Traffic(
        measures=[
            *measures("dnsd", "proxied", 9),
            *measures("dnsd-2", "proxied", 9.5),
            *measures("nsd", "proxied", 10),
            *measures("knot", "proxied", 8),
            *measures("bind", "proxied", 20),
        ]
    )
    met = {one.text: one.is_met for one in requirements(traffic, Scale())}
    assert met["CPU per answer, proxied A and AAAA: ≤ 1.0 × NSD; aim 0.85"] is True
    assert met["CPU per answer, proxied A and AAAA: ≤ 1.0 × Knot; aim 0.85"] is False
    assert met["CPU per answer, proxied A and AAAA: BIND needs ≥ 2 × dnsd's"] is True
    assert met["CPU per answer, random case: ≤ 1.1 × plain"] is None
    assert met["two workers answer ≥ 1.8 × one, by CPU accounting"] is True


def test_requirements_of_scale_are_those_of_a_million_names() -> None:
    scale = Scale(
        worker_edit={1_000: {"median": 1.0, "least": 1, "most": 1}, MILLION: {"median": 1.6, "least": 1, "most": 2}}
    )
    for server, what, value in (
        ("dnsd", START, 5.0),
        ("nsd", START, 2.0),
        ("dnsd", AGAIN, 3.0),
        ("dnsd", MEMORY, 200.0),
        ("nsd", MEMORY, 280.0),
        ("dnsd", MORE, 20.0),
        ("dnsd", FIRST, 100.0),
        ("dnsd", MAP_EDIT, 250.0),
    ):
        scale.add(server, MILLION, what, value)
    found = requirements(Traffic(), scale)[-8:-1]
    assert [one.is_met for one in found] == [True, False, True, True, True, False, True]
    assert found[0].reached == "2.50 ×: 5.00 ÷ 2.00"


def test_conditions_of_the_run_are_remarked() -> None:
    traffic = Traffic(measures=measures("dnsd", "proxied", 3, lost=5), skipped=["NSD: not installed"])
    said = "\n".join(remarks(traffic))
    assert "NSD: not installed" in said
    assert "dnsd, proxied: 5 of 100,005 queries lost" in said
    assert "dnsd proxied 30%" in said


def test_other_text_of_the_page_stays(tmp_path: Path) -> None:
    page = tmp_path / "benchmarks.md"
    page.write_text(f"# Title\n\nbefore\n{BEGIN}\nold figures\n{END}\nafter\n")
    traffic = Traffic(measures=measures("dnsd", "proxied", 3), versions={"dnsd": "1"}, commands={"dnsd": "dnsd serve"})
    scale = Scale()
    scale.add("dnsd", 10_000, START, 1.5)
    kept = tmp_path / "kept.json"
    saved(kept, traffic, scale, {"date": "today"})
    assert loaded(kept) == (traffic, scale, {"date": "today"})
    assert main(["--again", str(kept), "--output", str(tmp_path)]) == 0
    text = page.read_text()
    assert text.startswith("# Title\n\nbefore\n")
    assert text.endswith(f"{END}\nafter\n")
    assert "old figures" not in text
    assert "| dnsd | 30.00 |" in text or "| dnsd | 3.00 |" in text
    assert write_report(tmp_path, traffic, scale, {"date": "today"}).read_text() == text
    xml.etree.ElementTree.parse(tmp_path / "benchmarks.svg")


def test_the_plot_is_well_formed() -> None:
    root = xml.etree.ElementTree.fromstring(plot([("a & b", [Bar("dnsd", "dnsd", 1, 2, 1.5, 250)])], title="<title>"))
    assert root.tag.endswith("svg")


@pytest.mark.parametrize("arguments", [["--only", "nds"], ["--mix", "tpc"]])
def test_unknown_servers_and_mixes_are_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(arguments)
    assert "is not one of" in capsys.readouterr().err


# The C programs.


@pytest.mark.skipif(not shutil.which("cc"), reason="not installed: cc")
def test_the_load_generator_loses_nothing_against_the_null_responder(tmp_path: Path) -> None:
    port, queries = free_port(), tmp_path / "queries"
    queries.write_bytes(framed(names_of(MIXES[0], 100)))
    with subprocess.Popen([str(build("null")), str(port)]) as responder:
        try:
            # No query before it listens: a client with the same port by chance would receive its own query.
            deadline = time.monotonic() + HANG_S
            while not psutil.Process(responder.pid).net_connections("udp") and time.monotonic() < deadline:
                time.sleep(0.01)
            view = view_of(ask(port, query("h1", 1), timeout_s=20))
            found = load(port, queries, 0.2, core=cores()[1])
        finally:
            responder.kill()
    assert view
    assert view.rcode == dns.rcode.NOERROR
    assert len(view.answer) == 2
    assert found.answered == found.sent > 100
    assert found.lost == 0
    assert json.dumps(found.rcodes) == json.dumps({"0": found.answered})
    assert 0 < found.p50_us <= found.p99_us


@pytest.mark.slow
def test_a_map_edit_inside_a_worker_is_measured() -> None:
    found = _worker_edit(10)
    assert 0 < found["least"] <= found["median"] <= found["most"]
