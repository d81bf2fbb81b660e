"""`make fleet`: a fleet on this machine to try: three nats-servers, two controls and three edges, until Ctrl-C.

    python -m bench.try_fleet                  in state/fleet of the clone, with the accounts in config/
    python -m bench.try_fleet --folder FOLDER  in a new folder
    python -m bench.try_fleet --free-ports     at any ports; else at the usual ones where others have left them

The folder is removed at the end.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx

from bench.fleet_nodes import HOST, ROOT, FleetFailedError, FleetProcess, LoopbackFleet, api_client, free_port, result
from bench.progress import Progress

USUAL = ROOT / "state" / "fleet"
CONTROLS, EDGES = ("c1", "c2"), ("pop-1", "pop-2", "pop-3")
FIRST_SERVER, FIRST_EDGE, FIRST_CONTROL, FIRST_API = 14222, 5301, 5311, 8061  # ports
MARK = ".of-make-fleet"  # the folder may be removed
NAME = "www.example.com"
MOVE = "Move of example.com"  # a disabled map of config/accounts for the zone of that name
AGAIN_S = 10.0  # after which a process that has ended starts again
LOOK_S = 0.2


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        prog="bench.try_fleet", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--folder", type=Path, default=USUAL, help="default: state/fleet")
    parser.add_argument("--free-ports", action="store_true", help="listen at any free ports")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str]) -> int:
    """Run the fleet until Ctrl-C or SIGTERM; return the exit status."""
    options, progress = parse(arguments), Progress()
    try:
        with _folder(options.folder.absolute()) as folder:
            first_port = 0 if options.free_ports else FIRST_SERVER
            fleet = LoopbackFleet(folder, controls=CONTROLS, first_port=first_port)
            try:
                _start(fleet, progress, are_free=options.free_ports)
                print("\n".join(_text(fleet, options.folder)), flush=True)
                _watch(fleet, progress)
            finally:
                signal.signal(signal.SIGINT, signal.SIG_IGN)  # what follows takes a few seconds at most
                progress.say("ending the fleet")
                fleet.stop()
    except KeyboardInterrupt:
        return 0
    except (FleetFailedError, OSError) as error:
        print(f"fleet: {error}", file=sys.stderr)
        return 1
    return 0


@contextmanager
def _folder(folder: Path) -> Iterator[Path]:
    """The new folder, which goes at the end. Raises FleetFailedError for one that is in use, or another's."""
    mark = folder / MARK
    if folder.exists() and not mark.exists():
        raise FleetFailedError(f"{folder} exists, and is not of an earlier run: choose another --folder")
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with mark.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise FleetFailedError(f"a fleet runs in {folder} already") from None
        for left in folder.iterdir():  # by a run that was killed
            if left != mark:
                shutil.rmtree(left) if left.is_dir() else left.unlink()
        try:
            yield folder
        finally:
            shutil.rmtree(folder)
            if folder.parent == USUAL.parent:
                with suppress(OSError):
                    folder.parent.rmdir()  # if nothing else is there


def _start(fleet: LoopbackFleet, progress: Progress, *, are_free: bool) -> None:
    """Make and start all. Raises FleetFailedError."""
    progress.say(f"making the keys of a fleet in {fleet.folder}")
    fleet.make()
    progress.say(f"starting {len(fleet.server_ports)} nats-servers")
    fleet.start_servers()
    said = fleet.fill(ROOT / "config" / "accounts").strip()
    progress.say(f"imported config/accounts: {said}")
    nodes: list[FleetProcess] = []
    for names, first, api in ((CONTROLS, FIRST_CONTROL, FIRST_API), (EDGES, FIRST_EDGE, 0)):
        for number, name in enumerate(names):
            more: dict[str, object] = {"listen": [f"{HOST}:{free_port(0 if are_free else first + number)}"]}
            if api:
                more["api"] = {"listen": f"{HOST}:{free_port(0 if are_free else api + number)}"}
            nodes.append(fleet.prepare(name, more))
            nodes[-1].start()
    progress.say(f"starting {len(CONTROLS)} controls and {len(EDGES)} edges")
    for node in nodes:
        node.await_ready()


def _text(fleet: LoopbackFleet, folder: Path) -> Iterator[str]:
    """What to try."""
    first = fleet.processes[CONTROLS[0]]
    token = fleet.token(first.name)
    host, port = first.place("api")
    with api_client(first, token) as client:
        path = _path_of_map(client)
    yield f"\nA fleet runs on this machine: servers {', '.join(fleet.server_ports)}; controls {', '.join(CONTROLS)};"
    yield f"edges {', '.join(EDGES)}. Its files and logs are in {folder}, each node's in a folder of its own.\n"
    yield "Ask each edge:"
    for name in EDGES:
        yield f"  dig @{HOST} -p {fleet.processes[name].port} {NAME} +short"
    yield "\nEnable an address map over the API of a control, and ask again; with false, it goes back:"
    yield f"  curl -X PATCH -H 'Authorization: Bearer {token}' -H 'Content-Type: application/json' \\"
    yield f"    -d '{{\"enabled\": true}}' http://{host}:{port}/client/v4{path}"
    yield f"\nThe same in a browser, with this token: http://{host}:{port}/"
    yield f"\nKill a server or a control: edges answer on. It starts again after {AGAIN_S:g} s:"
    for one in (*fleet.servers, *(fleet.processes[name] for name in CONTROLS)):
        yield f"  kill -9 {one.pid}   # {one.name}"
    yield "\nCtrl-C ends the fleet and removes its folder."


def _path_of_map(client: httpx.Client) -> str:
    """The path of the disabled map. Raises FleetFailedError."""
    for account in result(client, "GET", "/accounts"):
        maps = f"/accounts/{account['id']}/addressing/address_maps"
        for one in result(client, "GET", maps):
            if (one["description"] or "").startswith(MOVE):
                return f"{maps}/{one['id']}"
    raise FleetFailedError(f"config/accounts has no map {MOVE!r}")


def _watch(fleet: LoopbackFleet, progress: Progress) -> None:
    """Start again what ends, until Ctrl-C."""
    ended: dict[str, float] = {}
    while True:
        time.sleep(LOOK_S)
        for name, one in fleet.processes.items():
            if one.is_running:
                continue
            if name not in ended:
                ended[name] = time.monotonic()
                progress.say(f"{name} has ended; it starts again in {AGAIN_S:g} s")
            elif time.monotonic() - ended[name] > AGAIN_S:
                del ended[name]
                one.start()
                progress.say(f"{name} starts again: process {one.pid}")


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.umask(0o077)
    sys.exit(main(sys.argv[1:]))
