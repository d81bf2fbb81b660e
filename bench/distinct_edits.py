"""Edits of one record in a large zone, from the edit to the first changed answer: over the API, and in the file."""

from __future__ import annotations

import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx

from bench.client import ask
from bench.distinct_worlds import address
from bench.peers import ROOT, FailedError, Server
from bench.proc import wait_until_idle
from bench.questions import ZONE, A, query

TRIES = 5
WITHIN_S, IDLE_S = 120.0, 60.0
POLL_S = 0.0005
LISTENS = re.compile(rb"listening on (\S+) api")


def edits_of(server: Server, names: int) -> Iterator[tuple[str, float]]:
    """Each kind of edit with its median time in milliseconds."""
    if server.kind.is_ours:
        with httpx.Client(base_url=_origin(server), headers={"Authorization": f"Bearer {_token(server)}"}) as client:
            yield from _api_edits(server, client, names)
        file = server.folder / f"accounts/acme/zones/{ZONE}.zone"
    else:
        file = server.folder / f"zones/{ZONE}.zone"
    yield "a record changed in the file, ms", _median(server, lambda turn: _in_file(server, file, names, turn))


def _api_edits(server: Server, client: httpx.Client, names: int) -> Iterator[tuple[str, float]]:
    zone = f"/client/v4/zones/{_sent(client, 'GET', '/client/v4/zones', name=ZONE)[0]['id']}/dns_records"
    last = _sent(client, "GET", zone, name=f"h{names // 2}.{ZONE}")[0]["id"]

    def change(turn: int) -> float:
        body = {"content": f"198.51.100.{turn}"}
        return _until(
            server, f"h{names // 2}", f"198.51.100.{turn}", lambda: _sent(client, "PATCH", f"{zone}/{last}", body)
        )

    def add(turn: int) -> float:
        body = {"name": f"new{turn}", "type": "A", "content": "198.51.100.7", "ttl": 300}
        return _until(server, f"new{turn}", "198.51.100.7", lambda: _sent(client, "POST", zone, body))

    def delete(turn: int) -> float:
        found = _sent(client, "GET", zone, name=f"new{turn}.{ZONE}")[0]["id"]
        return _until(server, f"new{turn}", "", lambda: _sent(client, "DELETE", f"{zone}/{found}"))

    for what, edit in (("changed", change), ("added", add), ("deleted", delete)):
        yield f"a record {what} over the API, ms", _median(server, edit)


def _median(server: Server, edit: Callable[[int], float]) -> float:
    times = []
    for turn in range(1, TRIES + 1):
        wait_until_idle(server.pids, IDLE_S)
        times.append(edit(turn))
    return statistics.median(times)


def _in_file(server: Server, file: Path, names: int, turn: int) -> float:
    """Replace one line of the file as an editor does; NSD and Knot also need a signal."""
    text, number = file.read_text(), names - 1
    changed = re.sub(rf"(?m)^h{number} A .*$", f"h{number} A 198.51.100.{100 + turn}", text)
    if changed == text:
        raise FailedError(f"h{number} ({address(number)}) is not in {file}")
    draft = file.with_name(".draft")
    draft.write_text(changed)

    def save() -> None:
        draft.replace(file)
        if not server.kind.is_ours:
            server.hang_up()

    return _until(server, f"h{number}", f"198.51.100.{100 + turn}", save)


def _until(server: Server, label: str, ip: str, edit: Callable[[], object]) -> float:
    """Milliseconds from an edit to the answer with an address; without one, to the first answer without any."""
    probe, wanted = query(label, A), bytes(map(int, ip.split("."))) if ip else b""
    began = time.monotonic()
    edit()
    while time.monotonic() - began < WITHIN_S:
        reply = ask(server.port, probe)
        if reply and (wanted in reply[12:] if wanted else not int.from_bytes(reply[6:8])):
            return (time.monotonic() - began) * 1000
        time.sleep(POLL_S)
    raise FailedError(f"does not serve a change within {WITHIN_S:.0f} s: {server.last_words()}")


def _sent(client: httpx.Client, method: str, path: str, body: object = None, **query_: str) -> list[dict[str, str]]:
    reply = client.request(method, path, json=body, params=query_, timeout=WITHIN_S)
    if not reply.is_success:
        raise FailedError(f"{method} {path}: {reply.text[:200]}")
    found: list[dict[str, str]] = reply.json()["result"]
    return found


def _origin(server: Server) -> str:
    found = LISTENS.search(server.log.read_bytes())
    if not found:
        raise FailedError("the API does not listen")
    return f"http://{found[1].decode()}"


def _token(server: Server) -> str:
    command = [sys.executable, "-m", "dnsd", "token", "create", "-c", str(server.folder / "dnsd.yaml")]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    run = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return run.stdout.split()[-1]
