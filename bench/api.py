"""The API with many objects: times of list pages, and of changes until DNS answers with them.

    python -m bench.api                             1,000 maps and 10,000 zones; about 30 s
    python -m bench.api --maps 100 --zones 1000

A change is measured from its request to the first DNS answer that shows it; by then it is on the disk. The exit status
is 1 with a figure over its limit.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from bench.progress import Progress
from tests.api.server import Api

READ_MS, WRITE_MS = 50, 200  # limits
READY_S = 300.0
WRITERS = 8
ACCOUNTS = 10

START, MEMORY, RATE = "start, s", "memory of control, MiB", f"map edits per second, {WRITERS} writers"


@dataclass(frozen=True)
class Size:
    """The number of objects, in all accounts together."""

    maps: int = 1_000
    zones: int = 10_000
    records: int = 5  # per zone
    rounds: int = 20

    def text(self) -> str:
        """The numbers in words."""
        return f"{self.maps:,} maps, {self.zones:,} zones with {self.records} records each, {ACCOUNTS} accounts"


@dataclass
class Found:
    """Milliseconds of each round by measurement, with the limit on the median; and single values."""

    times: dict[str, list[float]] = field(default_factory=dict)
    limits: dict[str, int] = field(default_factory=dict)
    values: dict[str, float] = field(default_factory=dict)

    def beyond(self) -> list[str]:
        """The measurements over their limit."""
        return [what for what, times in self.times.items() if statistics.median(times) > self.limits[what]]

    def table(self) -> str:
        """The figures as a text table."""
        lines = [f"{'':44}{'median':>10}{'worst':>10}{'limit':>10}"]
        for what, times in self.times.items():
            middle, worst = statistics.median(times), max(times)
            lines.append(f"{what:44}{middle:>7.1f} ms{worst:>7.1f} ms{self.limits[what]:>7} ms")
        return "\n".join([*lines, *(f"{what:44}{value:>7.1f}" for what, value in self.values.items())])


def account_id(number: int) -> str:
    return f"{number:032x}"


def map_id(number: int) -> str:
    return f"a{number:031x}"


def zone_name(number: int) -> str:
    return f"zone{number}.example"


def write_world(size: Size) -> dict[str, str]:
    """Write the files; each map has its own zone."""
    files = {}
    for number in range(ACCOUNTS):
        files[f"a{number}/account.yaml"] = (
            f'id: "{account_id(number)}"\nprefixes:\n- {{cidr: 10.{number}.0.0/16, approved: V}}\n'
        )
    for number in range(size.maps):
        account = number % ACCOUNTS
        files[f"a{account}/maps/m{number}.yaml"] = (
            f'id: "{map_id(number)}"\ndescription: Map {number}\nenabled: true\nips: [{map_ip(number, 0)}]\n'
            f"memberships:\n- {{kind: zone, identifier: {zone_name(number)}}}\n"
        )
    records = "".join(
        f"- {{name: h{n}, type: A, content: 192.0.2.{n + 1}, proxied: true}}\n" for n in range(size.records)
    )
    for number in range(size.zones):
        files[f"a{number % ACCOUNTS}/zones/{zone_name(number)}.yaml"] = f"records:\n{records}"
    return files


def map_ip(number: int, edition: int) -> str:
    return f"10.{number % ACCOUNTS}.{edition // 250}.{edition % 250 + 1}"


def measure(size: Size, folder: Path, progress: Progress | None = None) -> Found:
    """Start a server with these objects in a folder, and measure it. Raises AssertionError for a wrong response."""
    progress = progress or Progress()
    progress.say(f"writing {size.text()}")
    api, found = Api(folder, write_world(size)), Found()
    progress.say("starting")
    started = time.monotonic()
    with api.running(ready_timeout_s=READY_S, is_forked=False):
        found.values[START] = time.monotonic() - started
        session = _Session(api, size, found)
        progress.say("reading")
        session.read()
        progress.say("changing")
        session.write()
        session.write_at_once()
        found.values[MEMORY] = max(
            child.memory_info().rss / 2**20 for child in psutil.Process(api.dns.process.pid).children()
        )
    return found


@dataclass
class _Session:
    api: Api
    size: Size
    found: Found

    def read(self) -> None:
        maps = f"/accounts/{account_id(1)}/addressing/address_maps"
        zone = self._zone(1)
        for what, path in (
            ("first page of zones", "/zones?per_page=50"),
            ("last page of zones", f"/zones?per_page=50&page={max(1, self.size.zones // 50)}"),
            ("zone by its name", f"/zones?name={zone_name(1)}"),
            ("page of records", f"/zones/{zone}/dns_records?per_page=100"),
            ("record by its name and type", f"/zones/{zone}/dns_records?name.exact=h1.{zone_name(1)}&type=A"),
            ("page of maps", f"{maps}?per_page=50"),
            ("all maps of an account", maps),
            ("one map", f"{maps}/{map_id(1)}"),
        ):
            self._time(what, READ_MS, lambda _, path=path: self.api.result("GET", path))

    def write(self) -> None:
        map_path, zone = f"/accounts/{account_id(1)}/addressing/address_maps/{map_id(1)}", self._zone(1)
        records, made = f"/zones/{zone}/dns_records", list[str]()

        def add_ip(number: int) -> None:
            ip = map_ip(1, number + 1)
            self.api.result("PUT", f"{map_path}/ips/{ip}")
            assert ip in self.api.ask(f"h0.{zone_name(1)}")

        def switch(number: int) -> None:
            self.api.result("PATCH", map_path, {"enabled": bool(number % 2)})
            assert (map_ip(1, 0) in self.api.ask(f"h0.{zone_name(1)}")) == bool(number % 2)

        def create_record(number: int) -> None:
            body = {"name": f"new{number}", "type": "A", "content": "192.0.2.99", "ttl": 300}
            made.append(self.api.result("POST", records, body)["id"])
            assert self.api.ask(f"new{number}.{zone_name(1)}") == ["192.0.2.99"]

        def edit_record(number: int) -> None:
            self.api.result("PATCH", f"{records}/{made[number]}", {"content": "192.0.2.98"})
            assert self.api.ask(f"new{number}.{zone_name(1)}") == ["192.0.2.98"]

        def delete_record(number: int) -> None:
            self.api.result("DELETE", f"{records}/{made[number]}")
            assert self.api.ask(f"new{number}.{zone_name(1)}") == []

        def create_zone(number: int) -> None:
            name = f"made{number}.example"
            made.append(self.api.result("POST", "/zones", {"name": name, "account": {"id": account_id(1)}})["id"])
            assert self.api.ask(name, "SOA")

        def delete_zone(number: int) -> None:
            self.api.result("DELETE", f"/zones/{made[number]}")
            assert not self.api.ask(f"made{number}.example", "SOA")

        self._time("address added to a map", WRITE_MS, add_ip)
        self._time("map enabled or disabled", WRITE_MS, switch)
        self._time("record created", WRITE_MS, create_record)
        self._time("record edited", WRITE_MS, edit_record)
        self._time("record deleted", WRITE_MS, delete_record)
        made.clear()
        self._time("zone created", WRITE_MS, create_zone)
        self._time("zone deleted", WRITE_MS, delete_zone)

    def write_at_once(self) -> None:
        """Measure several writers at once, each with its own map."""

        def edit(number: int) -> None:
            path = f"/accounts/{account_id(number % ACCOUNTS)}/addressing/address_maps/{map_id(number)}"
            for edition in range(self.size.rounds):
                self.api.result("PATCH", path, {"description": f"Edition {edition}"})

        started = time.monotonic()
        with ThreadPoolExecutor(WRITERS) as pool:
            list(pool.map(edit, range(WRITERS)))
        self.found.values[RATE] = WRITERS * self.size.rounds / (time.monotonic() - started)

    def _zone(self, number: int) -> str:
        found: str = self.api.result("GET", f"/zones?name={zone_name(number)}")[0]["id"]
        return found

    def _time(self, what: str, limit: int, work: Callable[[int], Any]) -> None:
        times = self.found.times[what] = []
        self.found.limits[what] = limit
        for number in range(self.size.rounds):
            started = time.monotonic()
            work(number)
            times.append((time.monotonic() - started) * 1e3)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print the table; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="bench.api", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    for name in ("maps", "zones", "records", "rounds"):
        parser.add_argument(f"--{name}", type=int, default=getattr(Size, name), help=f"default {getattr(Size, name):,}")
    size = Size(**vars(parser.parse_args(arguments)))
    with tempfile.TemporaryDirectory(prefix="dnsd-bench-") as folder:
        found = measure(size, Path(folder))
    print(found.table())
    for what in found.beyond():
        print(f"beyond its limit: {what}", file=sys.stderr)
    return 1 if found.beyond() else 0


if __name__ == "__main__":
    sys.exit(main())
