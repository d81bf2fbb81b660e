"""A tenant at full speed takes nothing from others: no answer, no time, no memory, no evidence (reliability.md)."""

from __future__ import annotations

import pathlib
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import httpx

from tests.api.server import A1, A2, Z1, Z3, Api
from tests.beside import Beside
from tests.limits import HANG_S, judged
from tests.soak.changes import memory_kib
from tests.soak.conftest import Scale
from tests.soak.harness import Dnsperf, growth_percent, wait_until
from tests.soak.tenant import HostileTenant
from tests.soak.watched import LEAST_S, long_steps

Figures = Callable[..., None]

QPS = 1_000
PAUSE_S = 0.05  # of the neighbour, between two rounds
API_S = judged(0.25)  # the neighbour's 99th percentile
STEP_S = judged(0.02)  # of CPU time, for which control's loop serves nobody else
GROWTH_PERCENT = 10.0
WARM_UP = 0.2  # share of the time, until the tenant's data has its size
SAMPLE_S = 0.5  # between two looks at the memory; it goes up and down with the work


class Neighbour(Beside):
    """Another customer at work: reads, edits a record, and looks at a page, again and again."""

    def __init__(self, api: Api, token: str) -> None:
        super().__init__()
        self.seconds: list[float] = []
        self.contents: list[str] = []  # of the record, in order
        self.problems: list[str] = []
        self._api = api
        self._token = token

    def _run(self) -> None:
        records = f"/zones/{Z3}/dns_records"
        headers = {"Authorization": f"Bearer {self._token}"}
        with httpx.Client(base_url=self._api.client.base_url, headers=headers, timeout=HANG_S) as client:
            new = {"name": "counted", "type": "TXT", "content": '"0"'}
            record = client.post(records, json=new).json()["result"]["id"]
            while not self._stop.wait(PAUSE_S):
                content = f'"{len(self.contents) + 1}"'
                self._timed(lambda: client.get(records))
                self._timed(lambda: client.get("/zones", params={"account.id": A2}))
                self._timed(lambda: client.get(f"/accounts/{A2}/addressing/address_maps"))
                if self._timed(lambda: client.patch(f"{records}/{record}", json={"content": content})):  # noqa: B023
                    self.contents.append(content)

    def _timed(self, send: Callable[[], httpx.Response]) -> bool:
        started = time.monotonic()
        try:
            response = send()
        except httpx.HTTPError as error:
            self.problems.append(repr(error))
            return False
        self.seconds.append(time.monotonic() - started)
        if not response.is_success:
            self.problems.append(f"{response.status_code} {response.text[:300]}")
        return response.is_success


class Memory(Beside):
    """The memory of the server's processes, again and again: with work of the same kind, its average is steady."""

    def __init__(self, api: Api) -> None:
        super().__init__()
        self._api = api
        self._samples: list[dict[str, int]] = []

    def _run(self) -> None:
        while not self._stop.wait(SAMPLE_S):
            self._samples.append(memory_kib(self._api))

    def growth_percent(self) -> float:
        """From the first third of the samples to the last."""
        third = -(-len(self._samples) // 3)
        return growth_percent(_average(self._samples[:third]), _average(self._samples[-third:]))


def _average(samples: Sequence[dict[str, int]]) -> dict[str, int]:
    return {name: sum(one[name] for one in samples) // len(samples) for name in samples[0]}


def audited(api: Api, token: str) -> int:
    """The number of edits of a record in the neighbour's audit log."""
    found, cursor = 0, ""
    while True:
        said: dict[str, Any] = api.call("GET", f"/accounts/{A2}/logs/audit?limit=1000{cursor}", token=token).json()
        found += sum(entry["action"]["type"] == "update" for entry in said["result"])
        if not said["result_info"].get("cursor"):
            return found
        cursor = f"&cursor={said['result_info']['cursor']}"


def test_neighbours_of_a_hostile_tenant(tmp_path: pathlib.Path, scale: Scale, figures: Figures) -> None:
    seconds = scale(8, 600)
    api, steps = Api(tmp_path), tmp_path / "steps"
    tenant = api.token("--name", "tenant", "--account", "acme")
    other = api.token("--name", "neighbour", "--account", "globex")
    with api.running(command=[sys.executable, "-m", "tests.soak.watched", str(api.config), str(steps)]):
        with HostileTenant(api, tenant, A1, Z1) as hostile, Neighbour(api, other) as neighbour:
            time.sleep(seconds * WARM_UP)
            begun = steps.stat().st_size
            with Memory(api) as memory:
                questions = ["www.example.org A", "nothing.example.org AAAA"]
                perf = Dnsperf(api.dns, questions, seconds, max_qps=QPS).result()
            longest = max((one.cpu_s for one in long_steps(steps, begun)), default=LEAST_S)
            wait_until(lambda: bool(neighbour.contents))
        evidence = audited(api, other)
    times = sorted(neighbour.seconds)
    slow_s = times[int(0.99 * (len(times) - 1))]
    figures(
        "F17",
        "neighbours of a hostile tenant",
        requests=hostile.statuses.total(),
        refused=sum(count for code, count in hostile.statuses.items() if code >= 400),
        DNS_lost=perf.lost,
        API_p99_ms=1e3 * slow_s,
        longest_step_ms=1e3 * longest,
        memory=f"{memory.growth_percent():+.1f} %",
        edits_audited=f"{evidence:,} of {len(neighbour.contents):,}",
    )
    assert not hostile.broken, hostile.broken[:5]
    assert not neighbour.problems, neighbour.problems[:5]
    assert perf.lost == 0
    assert evidence == len(neighbour.contents) > 0
    assert slow_s <= API_S
    assert longest <= STEP_S
    assert memory.growth_percent() <= scale(100.0, GROWTH_PERCENT)
