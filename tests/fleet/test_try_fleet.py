"""`make fleet`: what it prints works, a killed server holds nothing up, and nothing is left at the end."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import dns.message
import dns.query
import httpx

from bench.proc import children
from tests.fleet.nats_servers import needs_nats_server
from tests.limits import HANG_S
from tests.live.server import Lines

ROOT = Path(__file__).parents[2]
DIG = re.compile(r"dig @127\.0\.0\.1 -p (\d+) (\S+) \+short")
CURL = re.compile(r"curl -X PATCH -H '(.+?): (.+?)' -H 'Content-Type: application/json' \\\n +-d '(.+?)' (\S+)")
KILL = re.compile(r"kill -9 (\d+)   # n1")
SLEEPING = """
import sys, time
from pathlib import Path
from bench.fleet_nodes import FleetProcess
one = FleetProcess("one", Path(sys.argv[1]), ["sleep", "600"], lambda said: True)
one.start()
print(one.pid, flush=True)
time.sleep(600)
"""


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + HANG_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that has ended may wait for its parent."""
    try:
        return (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def answers(port: str, name: str) -> set[str]:
    reply = dns.query.udp(dns.message.make_query(name, "A"), "127.0.0.1", port=int(port), timeout=HANG_S)
    return {str(item) for rrset in reply.answer for item in rrset}


@needs_nats_server
def test_a_fleet_to_try_does_what_it_prints_and_leaves_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "fleet"
    command = [sys.executable, "-m", "bench.try_fleet", "--folder", str(folder), "--free-ports"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    out, said = Lines(process.stdout), Lines(process.stderr)
    try:
        wait_for(lambda: "Ctrl-C ends the fleet" in out.text() or process.poll() is not None)
        assert process.poll() is None, said.text()
        assert "making the keys" in said.text()
        assert "17 new, 0 changed, 0 removed" in said.text()
        asked, curl = DIG.findall(out.text()), CURL.search(out.text())
        assert curl, out.text()
        assert len(asked) == 3
        assert {frozenset(answers(*one)) for one in asked} == {frozenset({"203.0.113.10", "203.0.113.11"})}

        def change(body: str) -> bool:
            headers = {curl[1]: curl[2], "Content-Type": "application/json"}
            return httpx.patch(curl[4], headers=headers, content=body, timeout=HANG_S).is_success

        assert change(curl[3])
        wait_for(lambda: all(answers(*one) == {"203.0.113.50", "203.0.113.51"} for one in asked))
        killed = KILL.search(out.text())
        assert killed
        os.kill(int(killed[1]), signal.SIGKILL)
        wait_for(lambda: change(curl[3].replace("true", "false")))
        wait_for(lambda: all(answers(*one) == {"203.0.113.10", "203.0.113.11"} for one in asked))
        wait_for(lambda: "n1 has ended; it starts again in" in said.text())
        pids = children(process.pid)
        assert len(pids) > 8
        process.send_signal(signal.SIGINT)
        assert process.wait(HANG_S) == 0, said.text()
        assert [pid for pid in pids if is_alive(pid)] == []
        assert not folder.exists()
    finally:
        process.kill()
        process.wait()
        out.close()
        said.close()


def test_a_folder_of_others_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    command = [sys.executable, "-m", "bench.try_fleet", "--folder", str(tmp_path)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=HANG_S)
    assert run.returncode == 1
    assert "exists, and is not of an earlier run" in run.stderr
    assert [one.name for one in tmp_path.iterdir()] == ["file"]


def test_processes_of_a_fleet_end_with_the_program_that_was_killed(tmp_path: Path) -> None:
    command = [sys.executable, "-c", SLEEPING, str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout
        pid = int(program.stdout.readline())
        assert is_alive(pid)
        program.kill()
        wait_for(lambda: not is_alive(pid))
