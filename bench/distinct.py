"""dnsd, NSD and Knot with data that repeats nothing: start, memory, answers, edits, and questions to the API.

    python -m bench.distinct                          all, several rounds: about 20 minutes on a quiet machine
    python -m bench.distinct --minutes 10             then the same command goes on
    python -m bench.distinct --names 10000 --rounds 1 the same in small, two minutes
    python -m bench.distinct --world tld,zones --only dnsd,nsd --no-edits
    python -m bench.distinct --page                   measures nothing; writes docs/benchmarks.md

Each step measures all servers with one world, side by side on one core; the load generator has the other. Its figures
are kept in a file at once, and a later run goes on with the steps that are left, if dnsd is still the same version.
dnsd runs with two workers and its API.
"""

from __future__ import annotations

import argparse
import datetime
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench.arguments import several
from bench.distinct_found import VERSION, Found, Step
from bench.distinct_measure import SERVERS, Measuring, takes_part
from bench.distinct_report import results, write_page
from bench.distinct_worlds import WORLDS
from bench.native import NativeError, build
from bench.peers import ROOT, cores, dnsd_version
from bench.proc import machine
from bench.progress import Progress

ROUNDS = 3
KEPT = Path(tempfile.gettempdir()) / "dnsd-distinct.json"
BY_NAME = {world.name: world for world in WORLDS}


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        prog="bench.distinct", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--names", type=_numbers, help="default: each world's own numbers, up to 1,000,000")
    parser.add_argument("--world", type=several(BY_NAME), default=list(BY_NAME), help=f"of {','.join(BY_NAME)}")
    parser.add_argument("--only", type=several(SERVERS), default=list(SERVERS), help=f"of {','.join(SERVERS)}")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"default {ROUNDS}")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="begin no step that would end later")
    parser.add_argument("--seconds", type=float, default=1.0, help="of each measure of hot names; default 1")
    parser.add_argument("--no-edits", action="store_true", help="without edits and questions to the API")
    parser.add_argument("--results", type=Path, default=KEPT, help=f"file with the measurements; default {KEPT}")
    parser.add_argument("--fresh", action="store_true", help="forget earlier measurements")
    parser.add_argument("--page", action="store_true", help="write the page from the measurements, and measure nothing")
    parser.add_argument("--output", type=Path, default=ROOT / "docs", help="folder of the page; default docs")
    return parser.parse_args(arguments)


def _numbers(text: str) -> list[int]:
    return [int(one) for one in text.split(",")]


def main(arguments: Sequence[str]) -> int:
    """Measure what is left, and print the figures; return the exit status."""
    options, progress = parse(arguments), Progress()
    found = Found.kept(options, progress)
    if not options.page:
        try:
            build("load"), build("null")
        except NativeError as error:
            print(f"bench: {error}", file=sys.stderr)
            return 1
        usable, (_, own) = os.sched_getaffinity(0), cores()
        os.sched_setaffinity(0, {own})  # the servers get the other core
        found.about = {"date": f"{datetime.date.today():%Y-%m-%d}", VERSION: dnsd_version(), **machine()}
        folder = Path(tempfile.mkdtemp(prefix="dnsd-distinct-"))
        try:
            _measure(options, found, folder, progress)
        finally:
            progress.end()
            os.sched_setaffinity(0, usable)
            shutil.rmtree(folder, ignore_errors=True)
    print("\n".join(results(found)))
    if options.page:
        print(f"\n{write_page(options.output, found)}")
    return 0


def steps_of(options: argparse.Namespace) -> Iterator[Step]:
    """All steps: the first round of everything, then the next one."""
    for turn in range(options.rounds):
        for name in options.world:
            for names in options.names or BY_NAME[name].sizes:
                yield Step(name, names, turn)


def _measure(options: argparse.Namespace, found: Found, folder: Path, progress: Progress) -> None:
    """Measure the steps that are left and fit in the time."""
    deadline = time.monotonic() + options.minutes * 60
    steps = [*steps_of(options)]
    progress.expect(len(steps))
    for step in steps:
        world = BY_NAME[step.world]
        left = [
            name
            for name in options.only
            if takes_part(name, world, step.round) and name not in found.done.get(step, ())
        ]
        progress.step(f"{world.label}, {step.names:,} names, round {step.round + 1}")
        began = time.monotonic()
        if not left or began + found.seconds.get(step[:2], 0.0) > deadline:
            continue
        Measuring(found, world, step, folder, progress, options.seconds).run(left, has_edits=not options.no_edits)
        found.seconds[step[:2]] = time.monotonic() - began
        found.save(options.results)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # ends the servers, too
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.path.insert(0, str(ROOT))
    sys.exit(main(sys.argv[1:]))
