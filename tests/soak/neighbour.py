"""Another customer at work: reads, edits a record, and looks at a page, again and again; in a process of its own.

python -m tests.soak.neighbour ORIGIN ZONE ACCOUNT

Reads the token from the first line of standard input, and works until its end. Then it writes what it saw as JSON.
"""

from __future__ import annotations

import json
import select
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Self

import httpx

from tests.api.server import BASE
from tests.limits import HANG_S

PAUSE_S = 0.05  # between two rounds


@dataclass
class Seen:
    """The times of all requests in seconds, the edits that were confirmed, and what went wrong."""

    seconds: list[float] = field(default_factory=list)
    edits: int = 0
    problems: list[str] = field(default_factory=list)


class Neighbour:
    """`with Neighbour(origin, token, zone, account) as one: …`: works meanwhile; `one.seen` is complete at the end.

    The clients of a hostile tenant would delay it in their own process, whatever the server does.
    """

    def __init__(self, origin: str, token: str, zone: str, account: str) -> None:
        self.seen = Seen()
        self._command = [sys.executable, "-m", __name__, origin, zone, account]
        self._token = token

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdin
        self._process.stdin.write(f"{self._token}\n")
        self._process.stdin.flush()
        return self

    def __exit__(self, *_: object) -> None:
        self.seen = Seen(**json.loads(self._process.communicate(timeout=HANG_S)[0]))


def work(client: httpx.Client, zone: str, account: str, is_over: Callable[[], bool]) -> Seen:
    """What a customer sees until it is over."""
    seen = Seen()
    records = f"/zones/{zone}/dns_records"

    def timed(method: str, path: str, **options: object) -> bool:
        started = time.monotonic()
        try:
            response = client.request(method, path, **options)  # type: ignore[arg-type]
        except httpx.HTTPError as error:
            seen.problems.append(repr(error))
            return False
        seen.seconds.append(time.monotonic() - started)
        if not response.is_success:
            seen.problems.append(f"{response.status_code} {response.text[:300]}")
        return response.is_success

    made = client.post(records, json={"name": "counted", "type": "TXT", "content": '"0"'})
    record = f"{records}/{made.json()['result']['id']}"
    while not is_over():
        timed("GET", records)
        timed("GET", "/zones", params={"account.id": account})
        timed("GET", f"/accounts/{account}/addressing/address_maps")
        seen.edits += timed("PATCH", record, json={"content": f'"{seen.edits + 1}"'})
    return seen


def _has_ended() -> bool:
    """Whether standard input has ended, after a pause."""
    return bool(select.select([sys.stdin], [], [], PAUSE_S)[0])


if __name__ == "__main__":
    origin, zone, account = sys.argv[1:]
    headers = {"Authorization": f"Bearer {sys.stdin.readline().strip()}"}
    with httpx.Client(base_url=origin + BASE, headers=headers, timeout=HANG_S) as client:
        sys.stdout.write(json.dumps(asdict(work(client, zone, account, _has_ended))))
