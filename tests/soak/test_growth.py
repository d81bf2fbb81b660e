"""No process grows with the number of changes (reliability.md), and a load needs little more than its result."""

from __future__ import annotations

import pathlib
import subprocess
import sys
from collections.abc import Callable

import pytest

from dnsd.engine.table import MAX_OVERLAY
from tests.api.server import FILES, SETTINGS, Api
from tests.limits import IS_LONG
from tests.live.server import PROJECT
from tests.packets import answers, query
from tests.soak.changes import FEW, Changing, memory_kib
from tests.soak.conftest import Scale
from tests.soak.editions import ZONE, edition_world, zone_of
from tests.soak.flow import reload_now
from tests.soak.harness import Soaked, growth_percent
from tests.worlds import AccountFiles, World, write_world

Figures = Callable[..., None]

GROWTH_PERCENT = 5.0  # of each process, from the end of the warm-up on
FEW_CHANGES, WARM_UP = 100, 1_000
STEPS = (("a growing number of changes", ""), ("the same with the largest table of rates", "table_size: 10000000"))


@pytest.mark.parametrize(("what", "rrl"), STEPS)
def test_changes(tmp_path: pathlib.Path, what: str, rrl: str, scale: Scale, figures: Figures) -> None:
    if rrl and not IS_LONG:
        pytest.skip("takes too long: DNSD_SOAK=long")
    map_edits, record_edits, reloads, zones = scale((100, 100, 15, 50), (10_000, 10_000, 500, 2_500))
    with Api(tmp_path, settings=f"{SETTINGS}limits: {{rrl: {{{rrl}}}}}\n").running(is_forked=False) as api:
        changing = Changing(api, rrl)
        for _ in range(scale(FEW_CHANGES, WARM_UP)):
            changing.edit_map()
        for _ in range(FEW_CHANGES):
            changing.edit_record()
        before = memory_kib(api)
        grown = {}
        for kind, change, count in (
            ("map edits", changing.edit_map, map_edits),
            ("record edits", changing.edit_record, record_edits),
            ("reloads", changing.reload, reloads),
            ("zones", changing.make_and_delete_zones, zones // FEW),
        ):
            for _ in range(count):
                change()
            grown[kind] = growth_percent(before, memory_kib(api))
        after = memory_kib(api)
    figures(
        "R16",
        what,
        map_edits=map_edits,
        record_edits=record_edits,
        reloads=reloads,
        zones_made_and_deleted=zones,
        **{name: f"{after[name] / 1024:.1f} MiB ({100 * (after[name] / before[name] - 1):+.1f} %)" for name in after},
    )
    assert growth_percent(before, after) <= GROWTH_PERCENT, grown


RELOADS, MERGES = 20, 10
A_MERGE = 3  # reloads, each of so many names that the last one's merges the overlay into a new base
GROWTH_OF_MERGES = 15.0  # percent of each process, from the first merges on


def test_reloads_that_merge_the_names(tmp_path: pathlib.Path, scale: Scale, figures: Figures) -> None:
    names, changed = scale(6_000, 200_000), MAX_OVERLAY // A_MERGE + 1
    addresses = [1] * names
    snapshot = tmp_path / "state" / "snapshot"

    def edit(number: int) -> None:
        first = number * changed % (names - changed)
        addresses[first : first + changed] = [2 + number % 200] * changed
        text = "".join(f"n{name} 300 A 192.0.2.{address}\n" for name, address in enumerate(addresses))
        server.write(ZONE, zone_of(number % 2) + text)
        result = reload_now(server)
        assert result["ok"], result
        assert answers(server.udp(query(f"n{first}.example.net"))) == [f"192.0.2.{addresses[first]}"]

    with Soaked(tmp_path, edition_world(reload={"watch": False})) as server:
        for number in range(2 * A_MERGE):
            edit(number)
        before = server.rss_kib()
        files = {snapshot.stat().st_ino}
        for number in range(max(RELOADS, A_MERGE * MERGES)):
            edit(2 * A_MERGE + number)
            files.add((snapshot.stat().st_ino, snapshot.stat().st_mtime_ns))
        after = server.rss_kib()
    shown = {name: f"{after[name] / 1024:.1f} MiB ({100 * (after[name] / before[name] - 1):+.1f} %)" for name in after}
    figures("R16", "reloads and merges of a large zone", names=names, merges=len(files) - 1, **shown)
    assert len(files) > MERGES
    assert growth_percent(before, after) <= GROWTH_OF_MERGES, shown


def test_edits_of_a_large_zone(tmp_path: pathlib.Path, scale: Scale, figures: Figures) -> None:
    names, edits = scale((5_000, 30), (200_000, 300))
    api = Api(tmp_path, {**FILES, "acme/zones/large.example.zone": zone_of(0) + "".join(hosts(names))})
    with api.running(is_forked=False):
        (zone,) = api.result("GET", "/zones?name=large.example")
        records = f"/zones/{zone['id']}/dns_records"
        found = api.result("GET", f"{records}?type=A&page=3&per_page={edits}")
        samples = []
        for number, one in enumerate(found):
            api.result("PATCH", f"{records}/{one['id']}", {"content": f"192.0.2.{number % 250}"})
            samples.append(memory_kib(api))
    third = edits // 3
    before, after = (
        {name: sum(one[name] for one in some) // third for name in samples[0]}
        for some in (samples[third : 2 * third], samples[-third:])
    )
    shown = {name: f"{after[name] / 1024:.1f} MiB ({100 * (after[name] / before[name] - 1):+.1f} %)" for name in after}
    figures("R16", "edits of a large zone over the API", names=names, edits=edits, **shown)
    assert len(found) == edits
    assert growth_percent(before, after) <= GROWTH_PERCENT, shown


A_RECORD, A_PROCESS = 85, 4 * 1024**2  # octets
LOAD = """
import sys
from pathlib import Path
from dnsd.app import load
def octets(field):
    return 1024 * int(next(line for line in open("/proc/self/status") if line.startswith(field)).split()[1])
load(Path(sys.argv[1]))
before = octets("VmRSS:")
table = load(Path(sys.argv[2])).snapshot.names.table
print(before, octets("VmHWM:"), memoryview(table.octets).nbytes, len(table))
"""


def hosts(records: int) -> list[str]:
    return [f"h{number:07} A 10.{number >> 16}.{number >> 8 & 255}.{number & 255}\n" for number in range(records)]


def registry(records: int) -> list[str]:
    """Delegations of a TLD, and one alias, of which it matters whether it is below one of them."""
    servers = [f"d{number:07} NS ns{number % 2}.host{number % 5_000}.example.net.\n" for number in range(records - 1)]
    return ["pointer CNAME www.example.net.\n", *servers]


@pytest.mark.parametrize("lines_of", [hosts, registry])
def test_load_needs_little_more_than_its_result(
    tmp_path: pathlib.Path, scale: Scale, figures: Figures, lines_of: Callable[[int], list[str]]
) -> None:
    records = scale(150_000, 1_000_000)
    lines = lines_of(records)
    texts = [zone_of(0) + "".join(some) for some in (lines[:9], lines)]
    settings = {"default_addresses": ["198.51.100.10"], "nameservers": ["ns1.example.net"]}
    worlds = [World(settings, {"a": AccountFiles(zones={"example.com.zone": text})}) for text in texts]
    configs = [str(write_world(world, tmp_path / str(number))) for number, world in enumerate(worlds)]
    ran = subprocess.run([sys.executable, "-c", LOAD, *configs], cwd=PROJECT, capture_output=True, text=True)
    assert not ran.returncode, ran.stderr
    before, peak, result, loaded = map(int, ran.stdout.split())
    allowed = len(texts[1]) + A_RECORD * records + 2 * result + A_PROCESS
    mib = {"peak_mib": (peak - before) / 2**20, "allowed_mib": allowed / 2**20}
    figures("R16", f"peak of a load of a master file of {lines_of.__name__}", records=records, **mib)
    assert loaded >= records
    assert peak - before <= allowed
