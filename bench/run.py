"""All benchmarks: dnsd compared with NSD, Knot, BIND, PowerDNS, dnslib, twisted.names and a null responder.

    python -m bench.run                       the whole, 10 to 20 minutes; writes docs/benchmarks.md and .svg
    python -m bench.run --quick               one short round, small sizes, under 2 minutes; writes to a folder in /tmp
    python -m bench.run --only dnsd,nsd --mix proxied,nxdomain --no-scale

A server that is not installed or fails is reported and left out. twisted.names and dnslib run on this Python.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from bench.arguments import several
from bench.figures import remarks, requirements
from bench.native import NativeError, build
from bench.peers import KINDS, ROOT, cores
from bench.proc import machine
from bench.progress import Progress
from bench.questions import MIXES
from bench.report import MARK, write_report
from bench.scale import SERVERS, Scale, run_scale
from bench.traffic import Measure, Plan, Traffic, run_traffic

SIZES = [10_000, 100_000, 1_000_000]


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="bench", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one short round, small sizes")
    parser.add_argument("--only", type=several(KINDS), default=list(KINDS), help=f"of {','.join(KINDS)}")
    mixes = [mix.name for mix in MIXES]
    parser.add_argument("--mix", type=several(mixes), default=mixes, help=f"of {','.join(mixes)}")
    parser.add_argument("--rounds", type=int, help="default 3; 1 with --quick")
    parser.add_argument("--seconds", type=float, help="of each measure; default 2; 0.3 with --quick")
    parser.add_argument("--names", type=int, help="of each kind; default 10,000; 1,000 with --quick")
    parser.add_argument("--sizes", type=lambda text: [int(one) for one in text.split(",")], help="of the scale part")
    parser.add_argument("--no-traffic", action="store_true", help="the scale part alone")
    parser.add_argument("--no-scale", action="store_true", help="the traffic part alone")
    parser.add_argument(
        "--output", type=Path, help="folder for benchmarks.md, .svg, .json; default docs for a whole run"
    )
    parser.add_argument("--again", type=Path, metavar="JSON", help="rewrite the page from an earlier run")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str]) -> int:
    """Measure, write the page, print the requirements and results; return the exit status."""
    options = parse(arguments)
    if options.again:
        traffic, scale, about = loaded(options.again)
        folder = options.output or ROOT / "docs"
    else:
        os.sched_setaffinity(0, {cores()[1]})  # the servers get the other core
        try:
            build("load"), build("null")
        except NativeError as error:
            print(f"bench: {error}", file=sys.stderr)
            return 1
        traffic, scale = measured(options)
        about = {"date": f"{datetime.date.today():%Y-%m-%d}", **machine(), "servers and load": _placement()}
        whole = not (options.quick or options.no_traffic or options.no_scale) and _is_whole(options)
        folder = options.output or (ROOT / "docs" if whole else Path(tempfile.mkdtemp(prefix="dnsd-benchmarks-")))
        saved(Path(tempfile.gettempdir()) / "dnsd-benchmarks.json", traffic, scale, about)
    folder.mkdir(parents=True, exist_ok=True)
    page = write_report(folder, traffic, scale, about)
    for row in requirements(traffic, scale):
        print(f"{MARK[row.is_met].strip('*'):4} {row.text}: {row.reached}")
    for remark in [*remarks(traffic), *scale.skipped]:
        print(f"     {remark}")
    print(f"\n{page}")
    return 0


def _is_whole(options: argparse.Namespace) -> bool:
    return options.only == list(KINDS) and options.mix == [mix.name for mix in MIXES] and options.sizes is None


def _placement() -> str:
    server, load = cores()
    return f"core {server}, core {load}" if server != load else f"both on core {server}, the only one"


def measured(options: argparse.Namespace) -> tuple[Traffic, Scale]:
    """Measure both parts, in a temporary folder."""
    quick, progress = options.quick, Progress()
    folder = Path(tempfile.mkdtemp(prefix="dnsd-bench-"))
    traffic, scale = Traffic(), Scale()
    plan = Plan(
        options.only,
        options.mix,
        options.names or (1_000 if quick else 10_000),
        options.rounds or (1 if quick else 3),
        options.seconds or (0.3 if quick else 2.0),
    )
    try:
        if not options.no_traffic:
            traffic = run_traffic(plan, folder, progress)
        if not options.no_scale:
            sizes = options.sizes or (SIZES[:1] if quick else SIZES)
            scale = run_scale(sizes, plan.rounds, options.only, folder, progress)
            for name in SERVERS:
                if name in options.only and not KINDS[name].missing():
                    traffic.versions.setdefault(name, KINDS[name].version())
    finally:
        progress.end()
        shutil.rmtree(folder, ignore_errors=True)
    return traffic, scale


def saved(file: Path, traffic: Traffic, scale: Scale, about: dict[str, str]) -> None:
    """Save the measurements, so that the page can be rewritten."""
    values = [[*key, found] for key, found in scale.values.items()]
    parts = {"traffic": asdict(traffic), "scale": asdict(scale) | {"values": values}, "about": about}
    file.write_text(json.dumps(parts), encoding="utf-8")


def loaded(file: Path) -> tuple[Traffic, Scale, dict[str, str]]:
    """Load saved measurements."""
    parts = json.loads(file.read_text(encoding="utf-8"))
    traffic = Traffic(**parts["traffic"] | {"measures": [Measure(**one) for one in parts["traffic"]["measures"]]})
    given = parts["scale"]
    scale = Scale(
        {(server, names, what): found for server, names, what, found in given["values"]},
        {int(names): found for names, found in given["parts"].items()},
        {int(names): found for names, found in given["worker_edit"].items()},
        given["skipped"],
    )
    return traffic, scale, parts["about"]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
