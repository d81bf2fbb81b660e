"""A fleet on loopback: how soon every edge answers by a change, what survives, and what edges cost.

    python -m bench.fleet                             all: about half an hour on a quiet machine with two cores
    python -m bench.fleet --minutes 10                then the same command goes on
    python -m bench.fleet --step names,followers      some steps
    python -m bench.fleet --zones 200 --names 5000 --followers 8 --simulated 20 --away 3    the same in small
    python -m bench.fleet --page                      measures nothing; writes docs/benchmarks.md

Each step has a fleet of its own: three nats-servers, a control and edges, as processes of this machine. Its figures are
kept in a file at once, and a later run goes on with the steps that are left, if dnsd is still the same version.
"""

from __future__ import annotations

import argparse
import datetime
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import httpx

from bench.arguments import several
from bench.distinct_found import VERSION, Found, Step
from bench.fleet_figures import EDGES, FOLLOWERS, NAMES, ZONES, FleetSizes, FleetStep
from bench.fleet_lag import measure_edges, measure_followers
from bench.fleet_names import measure_names
from bench.fleet_nodes import ROOT, FleetFailedError
from bench.fleet_report import results, write_page
from bench.fleet_wire import measure_zones
from bench.peers import compile_package, dnsd_version
from bench.proc import machine
from bench.progress import Progress
from dnsd.errors import DnsdError

KEPT = Path(tempfile.gettempdir()) / "dnsd-fleet.json"
STEPS: dict[str, Callable[[FleetStep], None]] = {
    FOLLOWERS: measure_followers,
    NAMES: measure_names,
    EDGES: measure_edges,
    ZONES: measure_zones,
}


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        prog="bench.fleet", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    usual = FleetSizes()
    for size in ("zones", "names", "edges", "changes", "slow-changes", "followers", "simulated"):
        default = getattr(usual, size.replace("-", "_"))
        parser.add_argument(f"--{size}", type=int, default=default, help=f"default {default:,}")
    parser.add_argument("--away", type=float, default=usual.away_s, help=f"seconds; default {usual.away_s:g}")
    parser.add_argument("--step", type=several(STEPS), default=list(STEPS), help=f"of {','.join(STEPS)}")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="begin no step that would end later")
    parser.add_argument("--results", type=Path, default=KEPT, help=f"file with the measurements; default {KEPT}")
    parser.add_argument("--fresh", action="store_true", help="forget earlier measurements")
    parser.add_argument("--page", action="store_true", help="write the page from the measurements, and measure nothing")
    parser.add_argument("--output", type=Path, default=ROOT / "docs", help="folder of the page; default docs")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str]) -> int:
    """Measure what is left, and print the figures; return the exit status, 1 if a step failed."""
    options, progress = parse(arguments), Progress()
    found = Found.kept(options, progress)
    if not options.page:
        compile_package()
        found.about = {"date": f"{datetime.date.today():%Y-%m-%d}", VERSION: dnsd_version(), **machine()}
        try:
            _measure(options, found, progress)
        finally:
            progress.end()
    print("\n".join(results(found)))
    if options.page:
        print(f"\n{write_page(options.output, found)}")
    return 1 if found.failures else 0


def sizes_of(options: argparse.Namespace) -> FleetSizes:
    """The sizes that were asked for."""
    return FleetSizes(
        zones=options.zones,
        names=options.names,
        edges=options.edges,
        changes=options.changes,
        slow_changes=options.slow_changes,
        followers=options.followers,
        simulated=options.simulated,
        away_s=options.away,
    )


def _measure(options: argparse.Namespace, found: Found, progress: Progress) -> None:
    """Measure the steps that are left and fit in the time."""
    deadline, sizes = time.monotonic() + options.minutes * 60, sizes_of(options)
    progress.expect(len(options.step))
    for name in options.step:
        step = Step(name, sizes.of(name), 0)
        progress.step(f"{step.names:,} {name}")
        began = time.monotonic()
        if step in found.done or began + found.seconds.get(step[:2], 0.0) > deadline:
            continue
        _measure_step(step, sizes, found, progress)
        found.seconds[step[:2]] = time.monotonic() - began
        found.save(options.results)


def _measure_step(step: Step, sizes: FleetSizes, found: Found, progress: Progress) -> None:
    """Measure a step; if it fails, that is reported, and its figures are left out."""
    title, values = f"{step.names:,} {step.world}", dict[str, list[float]]()
    folder = Path(tempfile.mkdtemp(prefix="dnsd-fleet-"))
    try:
        note: Callable[[str, float], None] = lambda what, value: values.setdefault(what, []).append(value)  # noqa: E731
        STEPS[step.world](FleetStep(sizes, folder, note, progress))
    except (FleetFailedError, DnsdError, OSError, httpx.HTTPError) as error:
        found.failures[title] = str(error) or type(error).__name__
        progress.say(f"{title}: {found.failures[title]}")
        return
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    found.failures.pop(title, None)
    for what, samples in values.items():
        for number, value in enumerate(samples):
            found.add(step.world, step.names, what, "", number, value)
    found.done[step] = [VERSION]


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # ends the fleet, too
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.path.insert(0, str(ROOT))
    sys.exit(main(sys.argv[1:]))
