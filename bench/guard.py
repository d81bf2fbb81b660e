"""The guard at 10,000 accounts: the time of its judgement of an edit, and of a whole load compared with the build.

Times are processor time: other processes do not count.

python -m bench.guard                           10,000 accounts, 20,000 zones; about a minute
python -m bench.guard --accounts 1000
"""

from __future__ import annotations

import argparse
import gc
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from ipaddress import ip_address
from pathlib import Path

from dnsd.app import Loaded, load
from dnsd.compile.build import build_snapshot
from dnsd.manage.brake import FILES, Book, judged, limit_of
from dnsd.manage.judge import findings, moves_between
from dnsd.model.dataset import Dataset
from dnsd.model.maps import AddressMap
from dnsd.model.zones import Zone
from dnsd.process.garbage import garbage_paused

NAMES = 10  # proxied names of a zone
EDIT_MS, SHARE = 20, 0.2  # promised: an edit's time, a whole load's share of the build
TRIALS = 7


@dataclass(frozen=True, slots=True)
class Row:
    """One measured judgement."""

    what: str
    moved: int  # names
    milliseconds: float


def write_world(folder: Path, accounts: int) -> Path:
    """Write accounts with a map and two zones each. Returns the path of the settings."""
    for number in range(accounts):
        account = folder / f"accounts/a{number:05}"
        (account / "maps").mkdir(parents=True)
        (account / "zones").mkdir()
        prefix = f"10.{number // 250}.{number % 250}.0/24"
        (account / "account.yaml").write_text(f"prefixes: [{{cidr: {prefix}, approved: V}}]\n")
        member = f"{{kind: account, identifier: a{number:05}}}"
        ip = prefix.replace(".0/24", ".10")
        (account / "maps/all.yaml").write_text(f"enabled: true\nips: [{ip}]\nmemberships: [{member}]\n")
        for zone in range(2):
            (account / f"zones/z{zone}-{number}.example.yaml").write_text(zone_text())
    config = folder / "dnsd.yaml"
    config.write_text("default_addresses: [198.51.100.10]\nnameservers: [ns1.example.net]\n")
    return config


def zone_text(*, proxied: bool = True) -> str:
    """The file of a zone."""
    kind = f"type: A, content: 192.0.2.1, proxied: {str(proxied).lower()}"
    return "records:\n" + "".join(f"- {{name: n{one}, {kind}}}\n" for one in range(NAMES))


def changes(before: Loaded, config: Path) -> Iterator[tuple[str, Dataset]]:
    """Edits of one object, and loads in which every object is another."""
    (config.parent / "accounts/a00000/zones/z0-0.example.yaml").write_text(zone_text(proxied=False))
    yield "edit: ten names off the proxy", load(config, {}, previous=before).dataset
    yield from changes_of(before.dataset)


def changes_of(before: Dataset) -> Iterator[tuple[str, Dataset]]:
    """Edits of one object, and loads in which every object is another, as datasets."""
    one_map, one_zone = next(iter(before.maps.values())), next(iter(before.zones.values()))
    yield "edit: a map's address", replace(before, maps={**before.maps, one_map.id: readdressed(one_map)})
    yield "edit: a zone paused", replace(before, zones={**before.zones, one_zone.id: replace(one_zone, paused=True)})
    yield (
        "whole: all maps' addresses",
        replace(before, maps={key: readdressed(one) for key, one in before.maps.items()}),
    )
    yield "whole: all maps gone", replace(before, maps={})
    yield "whole: all zones changed", replace(before, zones={key: edited(one) for key, one in before.zones.items()})
    yield (
        "whole: all zones paused",
        replace(before, zones={key: replace(one, paused=True) for key, one in before.zones.items()}),
    )


def readdressed(one: AddressMap) -> AddressMap:
    """The map with other addresses."""
    return replace(one, ips=tuple(ip_address(int(ip) + 1) for ip in one.ips))


def edited(one: Zone) -> Zone:
    """The zone with the same names, but compiled anew."""
    return replace(one, settings=one.settings.model_copy(update={"http3": not one.settings.http3}))


@garbage_paused()
def judge(before: Loaded, after: Loaded) -> int:
    """Judge a load as a reload does; return the number of moved names."""
    moved = moves_between(before, after)
    findings(before, after, moved)
    limit = limit_of(len(before.dataset.accounts), before.settings.reload.brake_limits, 600)
    judged(Book(), FILES, moved.zones, moved.base, after.snapshot, limit, 0)
    return sum(one.names.total for one in moved.accounts)


def milliseconds(work: Callable[[], object]) -> float:
    """The least time of several trials."""
    least = float("inf")
    for _ in range(TRIALS):
        gc.collect()
        start = time.process_time()
        work()
        least = min(least, time.process_time() - start)
    return least * 1000


def measured(before: Loaded, config: Path) -> Iterator[Row]:
    """The rows; the first is the build of the whole snapshot."""
    options = before.settings.options
    yield Row("build of everything", 0, milliseconds(lambda: build_snapshot(before.dataset, options)))
    for what, dataset in changes(before, config):
        after = replace(before, dataset=dataset, snapshot=build_snapshot(dataset, options, before.snapshot))
        yield Row(what, judge(before, after), milliseconds(lambda after=after: judge(before, after)))


def main() -> None:
    """Print the rows and the verdicts."""
    parser = argparse.ArgumentParser(description="the guard's time")
    parser.add_argument("--accounts", type=int, default=10_000)
    accounts = parser.parse_args().accounts
    with tempfile.TemporaryDirectory() as folder:
        config = write_world(Path(folder), accounts)
        before = load(config, {})
        gc.freeze()
        report(measured(before, config))


def report(rows: Iterable[Row]) -> None:
    """Print the rows, each with its verdict."""
    build = 0.0
    for row in rows:
        build = build or row.milliseconds
        is_edit = row.what.startswith("edit")
        is_good = row.milliseconds <= (EDIT_MS if is_edit else SHARE * build)
        verdict = "" if row.milliseconds == build else "ok" if is_good else "TOO SLOW"
        share = f"{row.milliseconds / build:6.3f} of the build"
        print(f"{row.what:28} {row.moved:9,} names {row.milliseconds:10.1f} ms  {share}  {verdict}", flush=True)


if __name__ == "__main__":
    main()
